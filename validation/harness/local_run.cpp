#include "validation/harness/local_run.hpp"

#include "kernels/base/random.hpp"
#include "kernels/elementwise/elementwise.hpp"
#include "lib/nn/initialise.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <map>

namespace trireme::validation {
namespace {

using Bytes = std::vector<std::byte>;
using nn::Role;
using nn::Slot;

std::size_t at(std::int64_t i) { return static_cast<std::size_t>(i); }

std::vector<float> floats_of(const TensorView& view) {
  std::vector<float> values(at(view.elements()));
  kernels::copy(view, TensorView::of(values.data(), view.shape));
  return values;
}

void round_into(const std::vector<float>& values, const TensorView& view) {
  kernels::copy(TensorView::of(values.data(), view.shape), view);
}

/// State of one rank.
struct Rank {
  struct Unit {
    std::vector<float> masters, gradients;
    Bytes weights;
  };
  std::vector<Unit> units;
  std::vector<std::vector<Bytes>> buffers;       // [block][slot], internal ones
  std::vector<Bytes> streams, stream_gradients;  // between block b - 1 and b
  Bytes tokens, documents;
  double loss = 0;
};

}  // namespace

class LocalRun::Impl {
 public:
  explicit Impl(const models::Model& model);

  void refresh();
  double run(const std::vector<LocalBatch>& batches, const nn::StepScalars& scalars,
             const LocalOptions& options);
  std::vector<double> logits() const;

  const models::Model& model;
  std::vector<LocalTensor> tensors;
  std::vector<Rank> ranks;

 private:
  class Context;

  TensorView view(std::int64_t rank, int block, Slot slot) const;
  void poison_internal(int block, bool keep_logits);
  void micro_batch(const LocalBatch& batch);
  void pass(int block, bool backward);
  void compute(int block, const nn::Step& step);
  void collective(int block, const nn::Step& step);
  void sum_tails();
  int blocks() const { return static_cast<int>(model.blocks.size()); }

  const nn::StepScalars* scalars_ = nullptr;
  const LocalOptions* options_ = nullptr;
  std::int64_t first_sample_ = 0;
  bool loss_started_ = false;
  bool replaying_ = false;
  std::map<int, std::pair<int, int>> first_gradient_;  // unit -> (block, micro) that overwrites
  int micro_ = 0;
};

/// What one body sees; knows which slots and units its step declares.
class LocalRun::Impl::Context final : public nn::StepContext {
 public:
  Context(const Impl& run, std::int64_t rank, int block, const nn::Step& step)
      : run_(run), rank_(rank), block_(block), step_(step) {}

  TensorView view(Slot slot) const override {
    const bool declared = std::count(step_.reads.begin(), step_.reads.end(), slot) +
                              std::count(step_.writes.begin(), step_.writes.end(), slot) >
                          0;
    check(declared, Exit::kUnexpected, "segment {} of {} uses slot {}, which it does not declare",
          step_.name, block().name, static_cast<int>(slot));
    return run_.view(rank_, block_, slot);
  }
  TensorView weight(nn::ParameterId id) const override {
    expect(step_.weights_of, id, "weights");
    const auto& placed = parameter(id);
    const DType dtype = run_.model.placement.compute;
    const auto* data =
        unit(id).weights.data() + placed.offset * static_cast<std::int64_t>(size_of(dtype));
    return {const_cast<std::byte*>(data), placed.local, dtype};
  }
  TensorView gradient(nn::ParameterId id) const override {
    expect(step_.gradients_of, id, "gradients");
    const auto& placed = parameter(id);
    return TensorView::of(unit(id).gradients.data() + placed.offset, placed.local);
  }
  bool accumulate(nn::ParameterId id) const override {
    const int index = block().units[at(id.unit)];
    return run_.first_gradient_.at(index) != std::pair{block_, run_.micro_};
  }
  bool accumulate_loss() const override { return run_.loss_started_; }
  const nn::StepScalars& scalars() const override { return *run_.scalars_; }
  std::int64_t first_sample() const override { return run_.first_sample_; }
  std::int64_t tensor_rank() const override { return rank_; }
  int layer() const override { return block().layer; }

 private:
  const models::Block& block() const { return run_.model.blocks[at(block_)]; }
  const Rank::Unit& unit(nn::ParameterId id) const {
    return run_.ranks[at(rank_)].units[at(block().units[at(id.unit)])];
  }
  const nn::PlacedParameter& parameter(nn::ParameterId id) const {
    return run_.model.units[at(block().units[at(id.unit)])].parameters[at(id.index)];
  }
  void expect(const std::vector<int>& declared, nn::ParameterId id, const char* what) const {
    check(std::count(declared.begin(), declared.end(), id.unit) > 0, Exit::kUnexpected,
          "segment {} of {} uses {} of unit {}, which it does not declare", step_.name,
          block().name, what, id.unit);
  }

  const Impl& run_;
  std::int64_t rank_;
  int block_;
  const nn::Step& step_;
};

LocalRun::Impl::Impl(const models::Model& made) : model(made) {
  const std::size_t element = size_of(model.placement.compute);
  const std::size_t stream = at(model.placement.local_tokens() * model.hidden) * element;
  ranks.resize(at(model.placement.tensor));
  for (Rank& rank : ranks) {
    for (const nn::Unit& unit : model.units) {
      const std::size_t size = at(unit.elements);
      rank.units.push_back(
          {std::vector<float>(size), std::vector<float>(size), Bytes(size * element)});
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

void LocalRun::Impl::refresh() {
  for (Rank& rank : ranks)
    for (Rank::Unit& unit : rank.units) {
      const auto size = static_cast<std::int64_t>(unit.masters.size());
      round_into(unit.masters, TensorView(unit.weights.data(), {size}, model.placement.compute));
    }
}

TensorView LocalRun::Impl::view(std::int64_t rank, int block, Slot slot) const {
  const Rank& state = ranks[at(rank)];
  const nn::BufferSpec& spec = model.blocks[at(block)].plan->buffers[at(static_cast<int>(slot))];
  const void* data = nullptr;
  switch (spec.role) {
    case Role::input: data = state.streams[at(block)].data(); break;
    case Role::output: data = state.streams[at(block + 1)].data(); break;
    case Role::input_gradient: data = state.stream_gradients[at(block)].data(); break;
    case Role::output_gradient: data = state.stream_gradients[at(block + 1)].data(); break;
    case Role::tokens: data = state.tokens.data(); break;
    case Role::documents: data = state.documents.data(); break;
    case Role::loss: data = &state.loss; break;
    case Role::internal: data = state.buffers[at(block)][at(static_cast<int>(slot))].data(); break;
  }
  return {const_cast<void*>(data), spec.shape, spec.dtype};
}

/// All ones is a NaN in every floating dtype: what is read before it is written shows.
void LocalRun::Impl::poison_internal(int block, bool keep_logits) {
  const auto& specs = model.blocks[at(block)].plan->buffers;
  for (Rank& rank : ranks)
    for (std::size_t slot = 0; slot < specs.size(); ++slot)
      if (specs[slot].role == Role::internal && !(keep_logits && specs[slot].name == "logits"))
        std::fill(rank.buffers[at(block)][slot].begin(), rank.buffers[at(block)][slot].end(),
                  std::byte{0xff});
}

double LocalRun::Impl::run(const std::vector<LocalBatch>& batches, const nn::StepScalars& scalars,
                           const LocalOptions& options) {
  scalars_ = &scalars;
  options_ = &options;
  loss_started_ = false;
  first_gradient_.clear();
  for (Rank& rank : ranks) {
    rank.loss = std::numeric_limits<double>::quiet_NaN();
    for (Rank::Unit& unit : rank.units)
      std::fill(unit.gradients.begin(), unit.gradients.end(), 0.0f);
  }
  for (micro_ = 0; micro_ < static_cast<int>(batches.size()); ++micro_) {
    first_sample_ = micro_ * model.placement.micro_batch;
    if (options.drop_accumulation) first_gradient_.clear();
    micro_batch(batches[at(micro_)]);
  }
  if (options.backward && !options.drop_tail_sum) sum_tails();
  for (const Rank& rank : ranks)
    check(std::memcmp(&rank.loss, &ranks[0].loss, sizeof(double)) == 0, Exit::kUnexpected,
          "tensor ranks disagree about the loss: {} and {}", rank.loss, ranks[0].loss);
  return ranks[0].loss;
}

void LocalRun::Impl::micro_batch(const LocalBatch& batch) {
  const auto bytes_of = [](const std::vector<std::int32_t>& values) {
    const auto* first = reinterpret_cast<const std::byte*>(values.data());
    return Bytes(first, first + values.size() * sizeof(std::int32_t));
  };
  for (Rank& rank : ranks) {
    rank.tokens = bytes_of(batch.tokens);
    rank.documents = bytes_of(batch.documents);
    for (auto* streams : {&rank.streams, &rank.stream_gradients})
      for (Bytes& stream : *streams) std::fill(stream.begin(), stream.end(), std::byte{0xff});
  }
  for (int b = 0; b < blocks(); ++b) {
    poison_internal(b, false);
    pass(b, false);
  }
  loss_started_ = true;
  if (!options_->backward) return;
  for (int b = blocks(); b-- > 0;) {
    const bool head = model.blocks[at(b)].plan->slot_of(Role::loss) != Slot::none;
    if (options_->recompute && !head) {
      poison_internal(b, false);
      pass(b, false);
    }
    pass(b, true);
  }
}

void LocalRun::Impl::pass(int block, bool backward) {
  const models::Block& b = model.blocks[at(block)];
  for (const nn::Step& step : backward ? b.plan->backward : b.plan->forward) {
    for (const int position : step.gradients_of)
      first_gradient_.try_emplace(b.units[at(position)], block, micro_);
    if (step.kind == nn::StepKind::compute) {
      compute(block, step);
    } else if (!options_->drops || !options_->drops(b, backward, step)) {
      collective(block, step);
    }
  }
}

void LocalRun::Impl::compute(int block, const nn::Step& step) {
  for (std::int64_t r = 0; r < model.placement.tensor; ++r) {
    std::vector<std::pair<TensorView, Bytes>> untouched;
    for (const Slot slot : step.reads) {
      if (std::count(step.writes.begin(), step.writes.end(), slot) > 0) continue;
      const TensorView source = view(r, block, slot);
      const auto* first = static_cast<const std::byte*>(source.data);
      untouched.emplace_back(source, Bytes(first, first + source.bytes()));
    }
    step.body(Context(*this, r, block, step));
    for (const auto& [source, before] : untouched)
      check(std::memcmp(source.data, before.data(), before.size()) == 0, Exit::kUnexpected,
            "segment {} of {} changes what it only reads", step.name, model.blocks[at(block)].name);
  }
}

void LocalRun::Impl::collective(int block, const nn::Step& step) {
  const std::int64_t size = model.placement.tensor;
  std::vector<TensorView> from;
  std::vector<TensorView> to;
  for (std::int64_t r = 0; r < size; ++r) {
    from.push_back(view(r, block, step.reads.at(0)));
    to.push_back(view(r, block, step.writes.at(0)));
  }
  if (step.kind == nn::StepKind::all_gather) {
    for (std::int64_t r = 0; r < size; ++r)
      for (std::int64_t part = 0; part < size; ++part)
        std::memcpy(static_cast<std::byte*>(to[at(r)].data) + part * from[0].bytes(),
                    from[at(part)].data, at(from[0].bytes()));
    return;
  }
  std::vector<float> sum = floats_of(from[0]);
  for (std::int64_t r = 1; r < size; ++r) {
    const std::vector<float> next = floats_of(from[at(r)]);
    for (std::size_t i = 0; i < sum.size(); ++i) sum[i] += next[i];
  }
  for (std::int64_t r = 0; r < size; ++r) {
    const std::int64_t part = to[at(r)].elements();
    const std::int64_t begin = step.kind == nn::StepKind::reduce_scatter ? r * part : 0;
    round_into({sum.begin() + begin, sum.begin() + begin + part}, to[at(r)]);
  }
}

/// What the engine does once a step: partial gradients are added up over the tensor group.
void LocalRun::Impl::sum_tails() {
  for (std::size_t u = 0; u < model.units.size(); ++u)
    for (auto i = at(model.units[u].tail_begin); i < at(model.units[u].elements); ++i) {
      float sum = ranks[0].units[u].gradients[i];
      for (std::size_t r = 1; r < ranks.size(); ++r) sum += ranks[r].units[u].gradients[i];
      for (Rank& rank : ranks) rank.units[u].gradients[i] = sum;
    }
}

std::vector<double> LocalRun::Impl::logits() const {
  const int head = blocks() - 1;
  const auto& specs = model.blocks.back().plan->buffers;
  const auto found = std::find_if(specs.begin(), specs.end(),
                                  [](const nn::BufferSpec& spec) { return spec.name == "logits"; });
  const auto slot = static_cast<Slot>(found - specs.begin());
  const std::int64_t tokens = model.placement.tokens();
  const std::int64_t vocabulary =
      model.units[at(model.blocks.back().units.back())].parameters.back().parameter.shape[0];
  std::vector<double> whole(at(tokens * vocabulary));
  for (std::int64_t r = 0; r < model.placement.tensor; ++r) {
    const TensorView shard = view(r, head, slot);
    const std::vector<float> values = floats_of(shard);
    const std::int64_t first = r * shard.width();
    for (std::int64_t t = 0; t < tokens; ++t)
      for (std::int64_t c = 0; c < shard.width() && first + c < vocabulary; ++c)
        whole[at(t * vocabulary + first + c)] =
            static_cast<double>(values[at(t * shard.width() + c)]);
  }
  return whole;
}

LocalRun::LocalRun(const models::Model& model) : impl_(std::make_unique<Impl>(model)) {}
LocalRun::~LocalRun() = default;
LocalRun::LocalRun(LocalRun&&) noexcept = default;

const std::vector<LocalTensor>& LocalRun::tensors() const { return impl_->tensors; }

void LocalRun::initialise(std::uint64_t seed) {
  const std::int64_t size = impl_->model.placement.tensor;
  for (std::int64_t r = 0; r < size; ++r)
    for (std::size_t u = 0; u < impl_->model.units.size(); ++u)
      nn::initialise(impl_->model.units[u], size, r, seed, impl_->ranks[at(r)].units[u].masters);
  impl_->refresh();
}

namespace {

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

void LocalRun::set(const LocalTensor& tensor, const std::vector<double>& whole) {
  const auto& placed = impl_->model.units[at(tensor.unit)].parameters[at(tensor.index)];
  for (std::size_t r = 0; r < impl_->ranks.size(); ++r)
    for_shard(placed, impl_->model.placement.tensor, static_cast<std::int64_t>(r),
              [&](std::size_t logical, std::size_t local) {
                impl_->ranks[r].units[at(tensor.unit)].masters[local] =
                    static_cast<float>(whole[logical]);
              });
  impl_->refresh();
}

std::vector<double> LocalRun::get(const LocalTensor& tensor) const {
  const auto& placed = impl_->model.units[at(tensor.unit)].parameters[at(tensor.index)];
  std::vector<double> whole(at(tensor.shape.elements()));
  for (std::size_t r = 0; r < impl_->ranks.size(); ++r)
    for_shard(placed, impl_->model.placement.tensor, static_cast<std::int64_t>(r),
              [&](std::size_t logical, std::size_t local) {
                whole[logical] =
                    static_cast<double>(impl_->ranks[r].units[at(tensor.unit)].masters[local]);
              });
  return whole;
}

std::vector<double> LocalRun::gradient(const LocalTensor& tensor) const {
  const auto& placed = impl_->model.units[at(tensor.unit)].parameters[at(tensor.index)];
  std::vector<double> whole(at(tensor.shape.elements()));
  for (std::size_t r = 0; r < impl_->ranks.size(); ++r)
    for_shard(placed, impl_->model.placement.tensor, static_cast<std::int64_t>(r),
              [&](std::size_t logical, std::size_t local) {
                const auto value =
                    static_cast<double>(impl_->ranks[r].units[at(tensor.unit)].gradients[local]);
                const bool replica = placed.parameter.split_dim < 0 && r > 0;
                check(!replica || value == whole[logical] || std::isnan(value), Exit::kUnexpected,
                      "tensor ranks disagree about the gradient of {}", tensor.name);
                whole[logical] = value;
              });
  return whole;
}

double LocalRun::run(const std::vector<LocalBatch>& batches, const nn::StepScalars& scalars,
                     const LocalOptions& options) {
  return impl_->run(batches, scalars, options);
}

std::vector<double> LocalRun::logits() const { return impl_->logits(); }

std::vector<LocalBatch> local_batches(const nn::Placement& placement, std::int64_t vocabulary,
                                      int count, std::uint64_t seed) {
  const Philox philox(seed);
  const std::int64_t tokens = placement.tokens();
  std::vector<LocalBatch> batches;
  for (int b = 0; b < count; ++b) {
    LocalBatch batch;
    for (std::int64_t i = 0; i < 2 * tokens; ++i) {
      const auto word = philox.at(static_cast<std::uint64_t>(i), static_cast<std::uint64_t>(b))[0];
      const bool ignored = i >= tokens && i % 7 == 3;
      batch.tokens.push_back(
          ignored ? -1 : static_cast<std::int32_t>(word % static_cast<std::uint64_t>(vocabulary)));
    }
    constexpr std::int64_t kDocument = 3;
    if (!placement.attention_across_documents)
      for (std::int64_t i = 0; i < tokens; ++i)
        batch.documents.push_back(
            static_cast<std::int32_t>(i % placement.sequence / kDocument * kDocument));
    batches.push_back(std::move(batch));
  }
  return batches;
}

}  // namespace trireme::validation
