#include "lib/program/residence.hpp"

#include "kernels/elementwise/exact_sum.hpp"
#include "kernels/optimizer/optimizer.hpp"
#include "lib/program/compile.hpp"
#include "lib/program/memory_plan.hpp"

#include <algorithm>
#include <cmath>

namespace trireme::program {
namespace {

constexpr std::int64_t kResidentAlignment = 4096;
constexpr std::int64_t kFloat = sizeof(float);

/// Adds the buffers of one stage and counts the bytes of its tiers.
class StageTable {
 public:
  StageTable(const models::Model& model, const Options& options, std::int32_t stage,
             std::vector<Buffer>& buffers)
      : model_(model), options_(options), stage_(stage), buffers_(buffers) {
    host_left_ = options.zero.offload_param.max_in_cpu;
  }

  void add(std::int32_t unit, Purpose purpose, std::int32_t number, Tier tier, Part part,
           Range elements, std::int64_t bytes) {
    if (bytes == 0 && elements.size() == 0) return;
    auto& next = next_[static_cast<std::size_t>(tier)];
    Buffer buffer;
    buffer.bytes = bytes;
    buffer.offset = next;
    buffer.stage = stage_;
    buffer.owner = unit;
    buffer.slot = number;
    buffer.purpose = buffer.content = purpose;
    buffer.lifetime = Lifetime::resident;
    buffer.tier = tier;
    buffer.part = part;
    buffer.elements = elements;
    buffers_.push_back(buffer);
    next += room_for(bytes, kResidentAlignment);
  }

  /// Body or share of one purpose, a part of it on the device where the deck gives a ratio; then
  /// the tail.
  void add_f32(std::int32_t unit, Purpose purpose, std::int32_t number, bool divided, Tier tier) {
    const nn::Unit& flat = model_.units[static_cast<std::size_t>(unit)];
    const Part part = divided ? Part::share : Part::body;
    const std::int64_t elements = divided ? flat.share() : flat.body;
    std::int64_t away = tier == Tier::device ? 0 : elements;
    if (tier != Tier::device && options_.zero.offload_optimizer.ratio < 1) {
      const auto wanted = static_cast<std::int64_t>(
          std::floor(options_.zero.offload_optimizer.ratio * static_cast<double>(elements)));
      away = std::min(elements, round_up(wanted, model_.placement.sharding.alignment));
    }
    add(unit, purpose, number, tier, part, {0, away}, away * kFloat);
    add(unit, purpose, number, Tier::device, part, {away, elements}, (elements - away) * kFloat);
    const std::int64_t tail = flat.elements - flat.body;
    add(unit, purpose, number, Tier::device, Part::tail, {0, tail}, tail * kFloat);
  }

  void add_gradients(std::int32_t unit, const Residence& residence) {
    const Tier tier = residence.gradients_leave ? residence.gradients : Tier::device;
    if (!residence.gradients_used_up)
      return add_f32(unit, Purpose::gradients, 0, residence.gradients_divided, tier);
    const nn::Unit& flat = model_.units[static_cast<std::size_t>(unit)];
    const std::int64_t tail = flat.elements - flat.body;
    add(unit, Purpose::gradients, 0, Tier::device, Part::body, {0, flat.body}, 0);
    add(unit, Purpose::gradients, 0, Tier::device, Part::tail, {0, tail}, tail * kFloat);
  }

  void add_weights(std::int32_t unit, const Residence& residence) {
    const nn::Unit& flat = model_.units[static_cast<std::size_t>(unit)];
    const auto size = static_cast<std::int64_t>(size_of(model_.placement.compute));
    const Part part = residence.weights_divided ? Part::share : Part::body;
    const std::int64_t elements = residence.weights_divided ? flat.share() : flat.body;
    Tier tier = residence.weights;
    if (tier == Tier::nvme && elements <= host_left_ &&
        options_.zero.offload_param.max_in_cpu > 0) {
      tier = Tier::host;
      host_left_ -= elements;
    }
    add(unit, Purpose::weights, 0, tier, part, {0, elements}, elements * size);
    const std::int64_t tail = flat.elements - flat.body;
    add(unit, Purpose::weights, 0, Tier::device, Part::tail, {0, tail}, tail * size);
  }

  const std::array<std::int64_t, kTiers>& end() const { return next_; }

 private:
  const models::Model& model_;
  const Options& options_;
  std::int32_t stage_;
  std::vector<Buffer>& buffers_;
  std::array<std::int64_t, kTiers> next_{};
  std::int64_t host_left_ = 0;
};

/// Bytes that the device's kernels of a stage work in, at most.
std::int64_t workspace_of(const models::Model& model, const Layout& layout, const Options& options,
                          std::int32_t stage) {
  std::int64_t most = 0;
  for (std::size_t b = 0; b < model.blocks.size(); ++b) {
    if (layout.stage_of_block(static_cast<std::int32_t>(b)) != stage) continue;
    for (const auto* steps : {&model.blocks[b].plan->forward, &model.blocks[b].plan->backward})
      for (const nn::Step& step : *steps) most = std::max(most, step.workspace);
  }
  if (trained_units_of_stage(model, layout, stage).empty()) return most;
  most = std::max(most, kernels::kExactSquaresWorkspace);
  return options.tensor_norms ? std::max(most, kernels::kLambMomentsWorkspace) : most;
}

}  // namespace

Residence residence_of(const models::Model& model, const Options& options, std::int32_t unit) {
  const deck::ZeroConfig& zero = options.zero;
  const nn::Unit& flat = model.units[static_cast<std::size_t>(unit)];
  const bool shared = flat.ranks > 1;
  Residence made;
  made.optimizer = zero.offload_optimizer.tier;
  made.weights = zero.offload_param.tier;
  made.optimizer_divided = shared && zero.stage >= 1;
  made.gradients_divided = shared && zero.stage >= 2;
  // Tied gradients are summed once more over two stages: they stay on the device.
  if (zero.stage >= 2 && !flat.tied) made.gradients = made.optimizer;
  made.gradients_leave =
      zero.stage >= 2 && (made.gradients_divided || made.gradients != Tier::device);
  // One sum is all that is made of them: they need not wait for others, nor for the step's end.
  const bool one_sum = zero.reduce_per == deck::Per::step || options.shape.micro_batches == 1;
  if (zero.update_per == deck::UpdatePer::unit && one_sum && !flat.tied) {
    made.gradients_leave = made.gradients_used_up = true;
    made.gradients_divided = false;
    made.gradients = Tier::device;
  }
  made.weights_divided = shared && zero.stage >= 3;
  made.weights_move = made.weights_divided || made.weights != Tier::device;
  made.separate_masters = model.placement.compute != DType::f32 || made.optimizer != Tier::device;
  return made;
}

ResidentTable::ResidentTable(const models::Model& model, const Layout& layout,
                             const Options& options) {
  for (std::int32_t stage = 0; stage < layout.stages; ++stage) {
    StageTable table(model, options, stage, buffers_);
    const auto record = [&](std::int32_t unit, Purpose purpose, std::int32_t number,
                            const auto& add) {
      const auto first = static_cast<BufferId>(buffers_.size());
      add();
      const auto last = static_cast<BufferId>(buffers_.size());
      if (last > first) ranges_[{stage, unit, purpose, number}] = {first, last};
    };
    record(-1, Purpose::scalars, 0, [&] {
      table.add(-1, Purpose::scalars, 0, Tier::device, Part::none, {},
                (kScalars + kernels::kExactLimbs) * std::int64_t{sizeof(double)});
    });
    if (options.device_apart)
      record(-1, Purpose::workspace, 0, [&] {
        table.add(-1, Purpose::workspace, 0, Tier::device, Part::none, {},
                  workspace_of(model, layout, options, stage));
      });
    for (const std::int32_t unit : units_of_stage(model, layout, stage)) {
      const Residence here = residence_of(model, options, unit);
      record(unit, Purpose::weights, 0, [&] { table.add_weights(unit, here); });
      if (here.separate_masters)
        record(unit, Purpose::masters, 0, [&] {
          table.add_f32(unit, Purpose::masters, 0, here.optimizer_divided, here.optimizer);
        });
      if (model.units[static_cast<std::size_t>(unit)].frozen) continue;
      record(unit, Purpose::gradients, 0, [&] { table.add_gradients(unit, here); });
      for (std::int32_t m = 0; m < options.moments; ++m)
        record(unit, Purpose::moments, m, [&] {
          table.add_f32(unit, Purpose::moments, m, here.optimizer_divided, here.optimizer);
        });
    }
    end_.push_back(table.end());
  }
}

std::vector<BufferId> ResidentTable::homes(std::int32_t stage, std::int32_t unit, Purpose purpose,
                                           std::int32_t number) const {
  const auto found = ranges_.find({stage, unit, purpose, number});
  if (found == ranges_.end()) return {};
  std::vector<BufferId> ids;
  for (BufferId id = found->second.first; id < found->second.second; ++id) ids.push_back(id);
  return ids;
}

std::vector<BufferId> ResidentTable::homes_of(std::int32_t stage, std::int32_t unit,
                                              Purpose purpose, bool tail,
                                              std::int32_t number) const {
  std::vector<BufferId> ids = homes(stage, unit, purpose, number);
  std::erase_if(ids, [&](BufferId id) { return (at(id).part == Part::tail) != tail; });
  return ids;
}

Purpose ResidentTable::master_purpose(std::int32_t stage, std::int32_t unit) const {
  return ranges_.contains({stage, unit, Purpose::masters, 0}) ? Purpose::masters : Purpose::weights;
}

}  // namespace trireme::program
