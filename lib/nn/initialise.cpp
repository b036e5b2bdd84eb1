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
                std::span<float> masters) {
  std::fill(masters.begin(), masters.end(), 0.0f);
  for (const PlacedParameter& placed : unit.parameters) {
    const Parameter& parameter = placed.parameter;
    if (parameter.init.kind == Initialisation::Kind::zeros) continue;
    TensorView view = TensorView::of(masters.data() + placed.offset, placed.local);
    const Range held = local_range(parameter, tensor, tensor_rank);
    const bool by_rows = parameter.split_dim == 0;
    // Only the last rank of a padded split holds fewer rows than its buffer has.
    if (by_rows && parameter.shape.rank() == 2) view = view.row_slice(0, held.size());
    if (parameter.init.kind == Initialisation::Kind::ones) {
      kernels::fill(view, 1.0f);
      continue;
    }
    kernels::RandomSource source;
    source.seed = seed;
    source.stream = stream_of(logical_name(unit, parameter));
    source.logical_width = parameter.shape[-1];
    source.first_row = by_rows ? held.begin : 0;
    source.first_column = parameter.split_dim == 1 ? held.begin : 0;
    kernels::fill_normal(view, 0.0f, static_cast<float>(parameter.init.std), source);
  }
}

}  // namespace trireme::nn
