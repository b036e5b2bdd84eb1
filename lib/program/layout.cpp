// Where blocks and units live.

#include "lib/program/compile.hpp"

#include <algorithm>
#include <set>

namespace trireme::program {
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

std::vector<std::int32_t> trained_units_of_stage(const models::Model& model, const Layout& layout,
                                                 std::int32_t stage) {
  std::vector<std::int32_t> units = units_of_stage(model, layout, stage);
  std::erase_if(
      units, [&](std::int32_t unit) { return model.units[static_cast<std::size_t>(unit)].frozen; });
  return units;
}

}  // namespace trireme::program
