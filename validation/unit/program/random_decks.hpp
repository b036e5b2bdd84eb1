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
  Case made{validation::toy_model(toy), options, {}};
  made.layout = make_layout(made.model, made.options);
  return made;
}

inline Compiled compile_case(const Case& c) {
  return compile(c.model, c.layout, c.options, ResidentTable(c.model, c.layout, c.options));
}

}  // namespace trireme::program
