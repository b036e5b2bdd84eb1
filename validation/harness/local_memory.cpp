#include "validation/harness/local_memory.hpp"

#include "kernels/elementwise/elementwise.hpp"

#include <algorithm>
#include <cmath>

namespace trireme::validation {
namespace {

using Bytes = std::vector<std::byte>;
using nn::Role;
using nn::Slot;

std::size_t at(std::int64_t i) { return static_cast<std::size_t>(i); }

/// All ones is a NaN in every floating dtype.
void fill_nan(Bytes& bytes) { std::fill(bytes.begin(), bytes.end(), std::byte{0xff}); }

/// Calls `element(logical, local)` for every element of the tensor that this rank holds.
template <class Element>
void for_shard(const nn::PlacedParameter& placed, std::int64_t tensor, std::int64_t rank,
               const Element& element) {
  const nn::Parameter& parameter = placed.parameter;
  const bool matrix = parameter.shape.rank() == 2;
  const std::int64_t columns = matrix ? parameter.shape[1] : 1;
  const std::int64_t local_columns = matrix ? placed.local[1] : 1;
  const Range held = nn::local_range(parameter, tensor, rank);
  const bool by_columns = parameter.split_dim == 1;
  const std::int64_t first_row = by_columns ? 0 : held.begin;
  const std::int64_t first_column = by_columns ? held.begin : 0;
  const std::int64_t rows = by_columns ? parameter.shape[0] : held.size();
  for (std::int64_t i = 0; i < rows; ++i)
    for (std::int64_t j = 0; j < local_columns; ++j)
      element(at((first_row + i) * columns + first_column + j),
              at(placed.offset + i * local_columns + j));
}

}  // namespace

LocalMemory::LocalMemory(const models::Model& model) : model_(model) {
  const std::size_t element = size_of(model.placement.compute);
  const std::size_t stream = at(model.placement.local_tokens() * model.hidden) * element;
  ranks.resize(at(model.placement.tensor));
  for (Rank& rank : ranks) {
    for (const nn::Unit& unit : model.units) {
      const std::vector<float> zeros(at(unit.elements));
      rank.units.push_back({zeros, zeros, Bytes(zeros.size() * element), {zeros, zeros}});
    }
    for (const models::Block& block : model.blocks) {
      rank.buffers.emplace_back();
      for (const nn::BufferSpec& spec : block.plan->buffers)
        rank.buffers.back().emplace_back(at(spec.bytes()));
    }
    rank.streams.assign(model.blocks.size(), Bytes(stream));
    rank.stream_gradients.assign(model.blocks.size(), Bytes(stream));
  }
  for (std::size_t u = 0; u < model.units.size(); ++u)
    for (std::size_t p = 0; p < model.units[u].parameters.size(); ++p) {
      const nn::Parameter& parameter = model.units[u].parameters[p].parameter;
      tensors.push_back({logical_name(model.units[u], parameter), static_cast<int>(u),
                         static_cast<int>(p), parameter.shape});
    }
}

TensorView LocalMemory::view(std::int64_t rank, int block, Slot slot) const {
  const Rank& state = ranks[at(rank)];
  const auto index = at(static_cast<int>(slot));
  const nn::BufferSpec& spec = model_.blocks[at(block)].plan->buffers[index];
  const void* data = nullptr;
  switch (spec.role) {
    case Role::input: data = state.streams[at(block)].data(); break;
    case Role::output: data = state.streams[at(block + 1)].data(); break;
    case Role::input_gradient: data = state.stream_gradients[at(block)].data(); break;
    case Role::output_gradient: data = state.stream_gradients[at(block + 1)].data(); break;
    case Role::tokens: data = state.tokens.data(); break;
    case Role::documents: data = state.documents.data(); break;
    case Role::loss: data = &state.loss; break;
    case Role::internal: data = state.buffers[at(block)][index].data(); break;
  }
  return spec.view(const_cast<void*>(data));
}

void LocalMemory::refresh() {
  for (Rank& rank : ranks)
    for (Unit& unit : rank.units) {
      const Shape shape{static_cast<std::int64_t>(unit.masters.size())};
      kernels::copy(TensorView::of(unit.masters.data(), shape),
                    TensorView(unit.weights.data(), shape, model_.placement.compute));
    }
}

void LocalMemory::begin(const LocalBatch& batch) {
  const auto bytes_of = [](const std::vector<std::int32_t>& values) {
    const auto* first = reinterpret_cast<const std::byte*>(values.data());
    return Bytes(first, first + values.size() * sizeof(std::int32_t));
  };
  for (Rank& rank : ranks) {
    rank.tokens = bytes_of(batch.tokens);
    rank.documents = bytes_of(batch.documents);
    std::for_each(rank.streams.begin(), rank.streams.end(), fill_nan);
    std::for_each(rank.stream_gradients.begin(), rank.stream_gradients.end(), fill_nan);
  }
  for (std::size_t b = 0; b < model_.blocks.size(); ++b) poison(static_cast<int>(b));
}

void LocalMemory::poison(int block) {
  for (Rank& rank : ranks)
    std::for_each(rank.buffers[at(block)].begin(), rank.buffers[at(block)].end(), fill_nan);
}

void LocalMemory::set(const LocalTensor& tensor, const std::vector<double>& whole) {
  const auto& placed = model_.units[at(tensor.unit)].parameters[at(tensor.index)];
  for (std::size_t r = 0; r < ranks.size(); ++r) {
    std::vector<float>& masters = ranks[r].units[at(tensor.unit)].masters;
    for_shard(placed, model_.placement.tensor, static_cast<std::int64_t>(r),
              [&](std::size_t logical, std::size_t local) {
                masters[local] = static_cast<float>(whole[logical]);
              });
  }
  refresh();
}

std::vector<double> LocalMemory::get(const LocalTensor& tensor) const {
  const auto& placed = model_.units[at(tensor.unit)].parameters[at(tensor.index)];
  std::vector<double> whole(at(tensor.shape.elements()));
  for (std::size_t r = 0; r < ranks.size(); ++r) {
    const std::vector<float>& masters = ranks[r].units[at(tensor.unit)].masters;
    for_shard(placed, model_.placement.tensor, static_cast<std::int64_t>(r),
              [&](std::size_t logical, std::size_t local) {
                whole[logical] = static_cast<double>(masters[local]);
              });
  }
  return whole;
}

std::vector<double> LocalMemory::gradient(const LocalTensor& tensor) const {
  const auto& placed = model_.units[at(tensor.unit)].parameters[at(tensor.index)];
  std::vector<double> whole(at(tensor.shape.elements()));
  for (std::size_t r = 0; r < ranks.size(); ++r) {
    const std::vector<float>& gradients = ranks[r].units[at(tensor.unit)].gradients;
    const bool replica = placed.parameter.split_dim < 0 && r > 0;
    for_shard(placed, model_.placement.tensor, static_cast<std::int64_t>(r),
              [&](std::size_t logical, std::size_t local) {
                const auto value = static_cast<double>(gradients[local]);
                check(!replica || value == whole[logical] || std::isnan(value), Exit::kUnexpected,
                      "tensor ranks disagree about the gradient of {}", tensor.name);
                whole[logical] = value;
              });
  }
  return whole;
}

}  // namespace trireme::validation
