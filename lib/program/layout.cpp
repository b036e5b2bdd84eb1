// Where blocks and units live, and the table of model state that all programs of a run share.

#include "lib/program/compile.hpp"

#include <algorithm>
#include <set>

namespace trireme::program {
namespace {

constexpr std::int64_t kResidentAlignment = 4096;

}  // namespace

std::int32_t Layout::chunk_of(std::int32_t block) const {
  const auto after = std::upper_bound(chunk_begin.begin(), chunk_begin.end(), block);
  return static_cast<std::int32_t>(after - chunk_begin.begin()) - 1;
}

Layout make_layout(const models::Model& model, const Options& options) {
  std::vector<double> costs;
  for (const models::Block& block : model.blocks)
    costs.push_back(block.plan->forward_flops() + block.plan->backward_flops());
  const std::int32_t chunks = options.shape.stages * options.shape.virtual_stages;
  return {partition_blocks(costs, chunks, options.layers_per_chunk), options.shape.stages};
}

std::vector<std::int32_t> units_of_stage(const models::Model& model, const Layout& layout,
                                         std::int32_t stage) {
  std::set<std::int32_t> units;
  for (std::size_t b = 0; b < model.blocks.size(); ++b)
    if (layout.stage_of_block(static_cast<std::int32_t>(b)) == stage)
      units.insert(model.blocks[b].units.begin(), model.blocks[b].units.end());
  units.erase(models::kNoUnit);
  return {units.begin(), units.end()};
}

ResidentTable::ResidentTable(const models::Model& model, const Layout& layout,
                             const Options& options) {
  const DType compute = model.placement.compute;
  for (std::int32_t stage = 0; stage < layout.stages; ++stage) {
    std::int64_t next = 0;
    const auto add = [&](std::int32_t unit, Purpose purpose, std::int32_t number,
                         std::int64_t bytes) {
      Buffer buffer;
      buffer.bytes = bytes;
      buffer.offset = next;
      buffer.stage = stage;
      buffer.owner = unit;
      buffer.slot = number;
      buffer.purpose = purpose;
      buffer.lifetime = Lifetime::resident;
      buffers_.push_back(buffer);
      next = round_up(next + bytes, kResidentAlignment);
    };
    add(-1, Purpose::scalars, 0,
        (kScalars + static_cast<std::int64_t>(model.units.size())) * std::int64_t{sizeof(double)});
    for (const std::int32_t unit : units_of_stage(model, layout, stage)) {
      const std::int64_t elements = model.units[static_cast<std::size_t>(unit)].elements;
      add(unit, Purpose::weights, 0, elements * static_cast<std::int64_t>(size_of(compute)));
      if (compute != DType::f32) add(unit, Purpose::masters, 0, elements * 4);
      add(unit, Purpose::gradients, 0, elements * 4);
      for (int m = 0; m < options.moments; ++m) add(unit, Purpose::moments, m, elements * 4);
    }
    end_.push_back(next);
  }
}

BufferId ResidentTable::find(std::int32_t stage, std::int32_t unit, Purpose purpose,
                             std::int32_t number) const {
  // Sorted by (stage, unit, purpose, number) as the constructor adds them.
  const auto key = [](const Buffer& b) { return std::tuple(b.stage, b.owner, b.purpose, b.slot); };
  const auto wanted = std::tuple(stage, unit, purpose, number);
  const auto found = std::lower_bound(buffers_.begin(), buffers_.end(), wanted,
                                      [&](const Buffer& b, const auto& w) { return key(b) < w; });
  check(found != buffers_.end() && key(*found) == wanted, Exit::kUnexpected,
        "stage {} holds no {} of unit {}", stage, name_of(purpose), unit);
  return static_cast<BufferId>(found - buffers_.begin());
}

}  // namespace trireme::program
