#pragma once
// Random grids, schedules and models for the laws of step programs.

#include "lib/program/check.hpp"
#include "validation/harness/toy_model.hpp"

#include <random>

namespace trireme::program {

struct Case {
  models::Model model;
  Options options;
  Layout layout;
};

/// Random stage, tiers and budgets; sizes of the order of a toy unit.
template <class Pick>
deck::ZeroConfig random_zero(const Pick& pick) {
  deck::ZeroConfig zero;
  zero.stage = pick(0, 3);
  zero.cyclic = pick(0, 1) == 1;
  zero.reduce_per = zero.stage >= 2 && pick(0, 2) > 0 ? deck::Per::micro_batch : deck::Per::step;
  zero.gather_per = pick(0, 1) == 1 ? deck::Per::step : deck::Per::micro_batch;
  zero.overlap_comm = pick(0, 3) > 0;
  zero.reduce_scatter = pick(0, 3) > 0;
  zero.allgather_partitions = pick(0, 3) > 0;
  const auto size = [&] { return pick(0, 2) == 0 ? std::int64_t{1} << 40 : 256 * pick(1, 40); };
  zero.reduce_bucket_size = size();
  zero.allgather_bucket_size = size();
  zero.sub_group_size = size();
  zero.prefetch_bucket_size = size();
  zero.max_live_parameters = size();
  zero.max_reuse_distance = size();
  const auto tier = [&] { return static_cast<deck::Tier>(pick(0, 2)); };
  zero.offload_optimizer.tier = tier();
  zero.offload_optimizer.buffer_count = pick(1, 4);
  zero.offload_optimizer.pipeline_read = pick(0, 1) == 1;
  zero.offload_optimizer.pipeline_write = pick(0, 1) == 1;
  zero.offload_optimizer.ratio = pick(0, 2) == 0 ? 0.5 : 1;
  zero.offload_param.tier = tier();
  zero.offload_param.buffer_size = size();
  zero.offload_param.max_in_cpu = size();
  return zero;
}

inline Case random_case(std::uint32_t seed) {
  std::mt19937 random(seed);
  const auto pick = [&](int low, int high) {
    return low + static_cast<int>(random() % static_cast<unsigned>(high - low + 1));
  };
  validation::ToyShape toy;
  Options options;
  options.shape.stages = pick(1, 5);
  options.shape.micro_batches = pick(1, 9);
  switch (pick(0, 2)) {
    case 0: options.shape.schedule = Schedule::gpipe; break;
    case 1: options.shape.schedule = Schedule::one_f_one_b; break;
    default:
      if (options.shape.stages == 1) break;
      options.shape.schedule = Schedule::interleaved;
      options.shape.virtual_stages = pick(1, 3);
      options.shape.micro_batches = options.shape.stages * pick(1, 3);
  }
  options.shape.forward_only = pick(0, 9) == 0;
  options.data = pick(1, 3);
  options.recompute = pick(0, 1) == 1;
  options.moments = pick(0, 2);
  options.tensor_norms = pick(0, 4) == 0;
  toy.layers = pick(std::max(1, options.shape.stages * options.shape.virtual_stages - 2), 14);
  toy.tensor = 1 << pick(0, 2);
  toy.sequence_parallel = pick(0, 1) == 1;
  toy.tied = pick(0, 1) == 1;
  toy.compute = pick(0, 1) == 1 ? DType::bf16 : DType::f32;
  options.zero = random_zero(pick);
  if (options.zero.stage > 0) toy.sharding.ranks = options.data;
  toy.sharding.cyclic = options.zero.cyclic;
  toy.sharding.alignment = 256;
  toy.sharding.whole_up_to = pick(0, 1) * 64;
  toy.sharding.whole_in_total = 1 << 20;
  options.activation_tier = static_cast<Tier>(pick(0, 2));
  options.divide_activations = pick(0, 1) == 1;
  options.device_apart = pick(0, 2) > 0;
  options.device_links = pick(0, 1) == 1;
  Case made{validation::toy_model(toy), options, {}};
  made.layout = make_layout(made.model, made.options);
  return made;
}

inline Compiled compile_case(const Case& c) {
  return compile(c.model, c.layout, c.options, ResidentTable(c.model, c.layout, c.options));
}

}  // namespace trireme::program
