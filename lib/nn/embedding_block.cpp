#include "kernels/base/device.hpp"
#include "kernels/embedding/embedding.hpp"
#include "lib/nn/blocks.hpp"
#include "lib/nn/pieces.hpp"

namespace trireme::nn {
namespace {

using Pass = PlanBuilder::Pass;

/// Position of every token of a micro-batch in its sequence.
class Positions {
 public:
  explicit Positions(const Placement& placement)
      : values_(static_cast<std::size_t>(placement.tokens())) {
    for (std::size_t i = 0; i < values_.size(); ++i)
      values_[i] = static_cast<std::int32_t>(static_cast<std::int64_t>(i) % placement.sequence);
  }
  void place_on_device() {
    device_ = DeviceMemory(static_cast<std::int64_t>(values_.size() * sizeof(std::int32_t)));
    copy_bytes(device_.data(), values_.data(), device_.bytes());
    current_stream().wait();
  }
  TensorView rows(std::int64_t first, std::int64_t count, MemorySpace space) const {
    const void* all = space == MemorySpace::device ? device_.data() : values_.data();
    return {const_cast<std::int32_t*>(static_cast<const std::int32_t*>(all)) + first,
            {count},
            DType::i32,
            0,
            space};
  }

 private:
  std::vector<std::int32_t> values_;
  DeviceMemory device_;
};

struct Embedding {
  LayerConfig config;
  Placement placement;
  ParameterId table;
  ParameterId position_table;
  std::shared_ptr<Positions> positions;
  std::int64_t local_vocabulary = 0;
  Slot tokens, summed, y, dy, dsummed, dwhole;

  TensorView inputs(const StepContext& c) const {
    return c.view(tokens).row_slice(0, 1).reshaped({placement.tokens()});
  }
  /// Of this rank's rows, in the memory space of `beside`.
  TensorView local_positions(const StepContext& c, Slot beside) const {
    const std::int64_t rows = placement.local_tokens();
    const std::int64_t first = placement.sequence_parallel ? c.tensor_rank() * rows : 0;
    return positions->rows(first, rows, c.view(beside).space);
  }
  std::int64_t first_row(const StepContext& c) const { return c.tensor_rank() * local_vocabulary; }
  kernels::RowDropout dropout(const StepContext& c) const {
    return stream_dropout(c, placement, DropoutPlace::embedding, config.dropout.embedding);
  }
};

/// A step of this kind needs no second look at rows: nothing is added or dropped after the sum.
bool sums_only(const LayerConfig& config) {
  return !config.learned_positions && config.dropout.embedding == 0;
}

void add_forward(PlanBuilder& b, const Embedding& e, Slot whole) {
  Step lookup;
  lookup.name = "lookup";
  lookup.reads = {e.tokens};
  lookup.writes = {whole};
  lookup.weights_of = {e.table.unit};
  lookup.body = [e, whole](const StepContext& c) {
    kernels::embedding_forward(e.inputs(c), c.weight(e.table), e.first_row(c), c.view(whole));
  };
  b.step(Pass::forward, lookup);
  if (e.placement.sequence_parallel) {
    b.reduce_scatter(Pass::forward, whole, e.summed);
  } else {
    b.all_reduce(Pass::forward, whole);
  }
  if (sums_only(e.config)) return;
  Step add;
  add.name = "positions";
  add.reads = {e.summed};
  add.writes = {e.y};
  if (e.config.learned_positions) add.weights_of = {0};
  add.body = [e](const StepContext& c) {
    const TensorView table = e.config.learned_positions ? c.weight(e.position_table) : TensorView{};
    kernels::add_positions(c.view(e.summed), e.local_positions(c, e.summed), table, e.dropout(c),
                           c.view(e.y));
  };
  b.step(Pass::forward, add);
}

void add_backward(PlanBuilder& b, const Embedding& e) {
  if (!sums_only(e.config)) {
    Step add;
    add.name = "positions";
    add.reads = {e.dy};
    if (e.dsummed != e.dy) add.writes = {e.dsummed};
    if (e.config.learned_positions) add.gradients_of = {0};
    add.body = [e](const StepContext& c) {
      if (e.dsummed != e.dy) kernels::apply_dropout(c.view(e.dy), e.dropout(c), c.view(e.dsummed));
      if (e.config.learned_positions)
        kernels::embedding_backward(e.local_positions(c, e.dy), c.view(e.dsummed), 0,
                                    c.gradient(e.position_table), c.accumulate(e.position_table));
    };
    b.step(Pass::backward, add);
  }
  if (e.placement.sequence_parallel) b.all_gather(Pass::backward, e.dsummed, e.dwhole);
  Step scatter;
  scatter.name = "lookup";
  scatter.half = Half::weight;
  scatter.reads = {e.tokens, e.dwhole};
  scatter.gradients_of = {e.table.unit};
  scatter.body = [e](const StepContext& c) {
    kernels::embedding_backward(e.inputs(c), c.view(e.dwhole), e.first_row(c), c.gradient(e.table),
                                c.accumulate(e.table));
  };
  b.step(Pass::backward, scatter);
}

}  // namespace

std::shared_ptr<const BlockPlan> embedding_block(const LayerConfig& config,
                                                 const Placement& placement) {
  PlanBuilder b(placement);
  Embedding e;
  e.config = config;
  e.placement = placement;
  e.positions = std::make_shared<Positions>(placement);
  b.table([table = e.positions] { table->place_on_device(); });
  e.local_vocabulary = divide_up(config.vocabulary, placement.tensor);
  Parameter table = matrix("tokens.weight", config.vocabulary, config.hidden, 0, config.init_std);
  table.pad_split = true;
  if (config.learned_positions) {
    Parameter learned =
        matrix("positions.weight", config.context, config.hidden, -1, config.init_std);
    learned.partial_gradient = placement.sequence_parallel;
    e.position_table = b.parameter(0, std::move(learned));
  }
  e.table = b.parameter(config.tied_embeddings ? 1 : 0, std::move(table));

  const Shape stream{placement.local_tokens(), config.hidden};
  const Shape all{placement.tokens(), config.hidden};
  e.tokens = b.buffer("tokens", {2, placement.tokens()}, DType::i32, Role::tokens);
  e.y = b.buffer("y", stream, placement.compute, Role::output);
  e.dy = b.buffer("dy", stream, placement.compute, Role::output_gradient);
  e.summed = sums_only(config) ? e.y : b.buffer("summed", stream, placement.compute);
  const Slot whole =
      placement.sequence_parallel ? b.buffer("whole", all, placement.compute) : e.summed;
  e.dsummed = config.dropout.embedding > 0 ? b.like(e.y, "dsummed") : e.dy;
  e.dwhole = placement.sequence_parallel ? b.buffer("dwhole", all, placement.compute) : e.dsummed;
  add_forward(b, e, whole);
  add_backward(b, e);
  return b.finish();
}

}  // namespace trireme::nn
