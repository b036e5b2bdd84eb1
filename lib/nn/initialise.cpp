#include "lib/nn/initialise.hpp"

#include "kernels/elementwise/elementwise.hpp"
#include "kernels/elementwise/initialize.hpp"

#include <xxhash.h>

#include <algorithm>

namespace trireme::nn {

std::uint64_t stream_of(std::string_view logical_name) {
  return XXH3_64bits(logical_name.data(), logical_name.size());
}

void initialise(const Unit& unit, std::int64_t tensor, std::int64_t tensor_rank, std::uint64_t seed,
                Range flat, std::span<float> values) {
  std::fill(values.begin(), values.end(), 0.0f);
  for (const PlacedParameter& placed : unit.parameters) {
    const Parameter& parameter = placed.parameter;
    if (parameter.init.kind == Initialisation::Kind::zeros) continue;
    const Range held = local_range(parameter, tensor, tensor_rank);
    const bool by_rows = parameter.split_dim == 0;
    kernels::RandomSource source;
    source.seed = seed;
    source.stream = stream_of(logical_name(unit, parameter));
    // Only the last rank of a padded split holds fewer rows than its buffer has.
    for (const Rectangle& part :
         rectangles(placed, flat, by_rows ? held.size() : placed.local[0])) {
      float* first = values.data() + (part.flat - flat.begin);
      const TensorView view = placed.local.rank() == 2
                                  ? TensorView::of(first, {part.rows.size(), part.columns.size()})
                                  : TensorView::of(first, {part.rows.size()});
      if (parameter.init.kind == Initialisation::Kind::ones) {
        kernels::fill(view, 1.0f);
        continue;
      }
      const bool matrix = placed.local.rank() == 2;
      const std::int64_t row = (by_rows ? held.begin : 0) + part.rows.begin;
      source.logical_width = parameter.shape[-1];
      source.first_row = matrix ? row : 0;
      source.first_column =
          !matrix ? row : (parameter.split_dim == 1 ? held.begin : 0) + part.columns.begin;
      kernels::fill_normal(view, 0.0f, static_cast<float>(parameter.init.std), source);
    }
  }
}

void initialise(const Unit& unit, std::int64_t tensor, std::int64_t tensor_rank, std::uint64_t seed,
                std::span<float> masters) {
  initialise(unit, tensor, tensor_rank, seed, {0, unit.elements}, masters);
}

}  // namespace trireme::nn
