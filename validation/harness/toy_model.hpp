#pragma once
// A model without arithmetic: blocks with the segments, collectives, parameters and tied unit of a
// transformer, for tests of programs alone. Bodies do nothing.

#include "lib/models/model.hpp"

namespace trireme::validation {

struct ToyShape {
  int layers = 4;
  std::int64_t tensor = 1;
  bool sequence_parallel = false;
  bool tied = false;
  std::int64_t micro_batch = 2;
  std::int64_t sequence = 16;
  std::int64_t hidden = 8;
  DType compute = DType::f32;
  nn::Sharding sharding;
};

models::Model toy_model(const ToyShape& shape);

}  // namespace trireme::validation
