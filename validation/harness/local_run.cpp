#include "validation/harness/local_run.hpp"

#include "kernels/base/random.hpp"
#include "kernels/elementwise/elementwise.hpp"
#include "lib/nn/initialise.hpp"
#include "lib/optim/optimizer.hpp"
#include "validation/harness/local_memory.hpp"

#include <algorithm>
#include <cstring>
#include <limits>
#include <map>

namespace trireme::validation {
namespace {

/// Where each of `norms` lies.
std::vector<kernels::LambNorms*> places(std::vector<kernels::LambNorms>& norms) {
  std::vector<kernels::LambNorms*> all;
  for (kernels::LambNorms& one : norms) all.push_back(&one);
  return all;
}

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

}  // namespace

class LocalRun::Impl {
 public:
  explicit Impl(const models::Model& made) : model(made), memory(made) {}

  double run(const std::vector<LocalBatch>& batches, const nn::StepScalars& scalars,
             const LocalOptions& options);
  void update(const deck::OptimizerConfig& optimizer, const optim::StepScalars& scalars);
  std::vector<double> logits() const;

  const models::Model& model;
  LocalMemory memory;

 private:
  class Context;

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
    return run_.memory.view(rank_, block_, slot);
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
    expect(step_.gradients_of, id, "gradients");
    const int index = block().units[at(id.unit)];
    return run_.first_gradient_.at(index) != std::pair{block_, run_.micro_};
  }
  bool accumulate_loss() const override { return run_.loss_started_; }
  bool training() const override { return run_.scalars_->training; }
  double gradient_scale() const override { return run_.scalars_->gradient_scale; }
  nn::RandomPlace random_place() const override {
    return {run_.scalars_->seed, run_.scalars_->step, run_.first_sample_};
  }
  std::int64_t tensor_rank() const override { return rank_; }
  int layer() const override { return block().layer; }

 private:
  const models::Block& block() const { return run_.model.blocks[at(block_)]; }
  const LocalMemory::Unit& unit(nn::ParameterId id) const {
    return run_.memory.ranks[at(rank_)].units[at(block().units[at(id.unit)])];
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

double LocalRun::Impl::run(const std::vector<LocalBatch>& batches, const nn::StepScalars& scalars,
                           const LocalOptions& options) {
  scalars_ = &scalars;
  options_ = &options;
  loss_started_ = false;
  first_gradient_.clear();
  for (LocalMemory::Rank& rank : memory.ranks) {
    rank.loss = std::numeric_limits<double>::quiet_NaN();
    for (LocalMemory::Unit& unit : rank.units)
      std::fill(unit.gradients.begin(), unit.gradients.end(), 0.0f);
  }
  for (micro_ = 0; micro_ < static_cast<int>(batches.size()); ++micro_) {
    first_sample_ = micro_ * model.placement.micro_batch;
    if (options.drop_accumulation) first_gradient_.clear();
    micro_batch(batches[at(micro_)]);
  }
  if (options.backward && !options.drop_tail_sum) sum_tails();
  for (const LocalMemory::Rank& rank : memory.ranks)
    check(std::memcmp(&rank.loss, &memory.ranks[0].loss, sizeof(double)) == 0, Exit::kUnexpected,
          "tensor ranks disagree about the loss: {} and {}", rank.loss, memory.ranks[0].loss);
  return memory.ranks[0].loss;
}

void LocalRun::Impl::micro_batch(const LocalBatch& batch) {
  memory.begin(batch);
  for (int b = 0; b < blocks(); ++b) pass(b, false);
  loss_started_ = true;
  if (!options_->backward) return;
  for (int b = blocks(); b-- > 0;) {
    const bool head = model.blocks[at(b)].plan->slot_of(Role::loss) != Slot::none;
    if (options_->recompute && !head) {
      memory.poison(b);
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
      const TensorView source = memory.view(r, block, slot);
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
    from.push_back(memory.view(r, block, step.reads.at(0)));
    to.push_back(memory.view(r, block, step.writes.at(0)));
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
    for (auto i = at(model.units[u].partial.begin); i < at(model.units[u].partial.end); ++i) {
      float sum = memory.ranks[0].units[u].gradients[i];
      for (std::size_t r = 1; r < memory.ranks.size(); ++r)
        sum += memory.ranks[r].units[u].gradients[i];
      for (auto& rank : memory.ranks) rank.units[u].gradients[i] = sum;
    }
}

void LocalRun::Impl::update(const deck::OptimizerConfig& optimizer,
                            const optim::StepScalars& scalars) {
  const auto memory_of = [](LocalMemory::Unit& unit) {
    return optim::UnitMemory{.master = unit.masters,
                             .weights = {},
                             .gradient = unit.gradients,
                             .states = {unit.moments[0], unit.moments[1]}};
  };
  for (std::size_t u = 0; u < model.units.size(); ++u) {
    if (model.units[u].frozen) continue;
    if (!optim::needs_tensor_norms(optimizer)) {
      const auto undecayed = optim::undecayed_ranges(model.units[u]);
      for (auto& rank : memory.ranks)
        optim::update_unit(optimizer, scalars, undecayed, memory_of(rank.units[u]));
      continue;
    }
    const auto spans = optim::tensor_spans(model.units[u]);
    std::vector<std::vector<kernels::LambNorms>> norms;  // by rank
    for (auto& rank : memory.ranks) {
      norms.emplace_back(spans.size());
      optim::lamb_begin(optimizer, scalars, spans, memory_of(rank.units[u]), places(norms.back()));
    }
    for (std::size_t i = 0; i < spans.size(); ++i)
      for (std::size_t r = 1; r < norms.size() && spans[i].divided; ++r) {
        norms[0][i].weights += norms[r][i].weights;
        norms[0][i].update += norms[r][i].update;
      }
    for (auto& rank : memory.ranks)
      optim::lamb_finish(optimizer, scalars, spans, places(norms[0]), memory_of(rank.units[u]));
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
    const TensorView shard = memory.view(r, head, slot);
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

const std::vector<LocalTensor>& LocalRun::tensors() const { return impl_->memory.tensors; }

void LocalRun::initialise(std::uint64_t seed) {
  const std::int64_t size = impl_->model.placement.tensor;
  for (std::int64_t r = 0; r < size; ++r)
    for (std::size_t u = 0; u < impl_->model.units.size(); ++u)
      nn::initialise(impl_->model.units[u], size, r, seed,
                     impl_->memory.ranks[at(r)].units[u].masters);
  impl_->memory.refresh();
}

void LocalRun::set(const LocalTensor& tensor, const std::vector<double>& whole) {
  impl_->memory.set(tensor, whole);
}
std::vector<double> LocalRun::get(const LocalTensor& tensor) const {
  return impl_->memory.get(tensor);
}
std::vector<double> LocalRun::gradient(const LocalTensor& tensor) const {
  return impl_->memory.gradient(tensor);
}

double LocalRun::sum_of_squares() const {
  double sum = 0;
  for (std::size_t r = 0; r < impl_->memory.ranks.size(); ++r)
    for (std::size_t u = 0; u < impl_->model.units.size(); ++u)
      for (const Range& range :
           optim::norm_ranges(impl_->model.units[u], static_cast<std::int64_t>(r)))
        sum += kernels::sum_of_squares(TensorView::of(
            impl_->memory.ranks[r].units[u].gradients.data() + range.begin, {range.size()}));
  return sum;
}

void LocalRun::update(const deck::OptimizerConfig& optimizer, const optim::StepScalars& scalars) {
  impl_->update(optimizer, scalars);
  impl_->memory.refresh();
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
