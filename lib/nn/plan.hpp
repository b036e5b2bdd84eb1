#pragma once
// What a block is to the rest of the engine: buffers, and segments that compute on them, cut at the
// tensor-parallel collectives. Step programs are made from this declaration; the bodies run inside
// it. A segment's body computes and never communicates.

#include "kernels/base/tensor_view.hpp"
#include "lib/nn/parameter.hpp"

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace trireme::nn {

/// What products round their operands to first.
struct ProductRounding {
  bool fp8 = false;   ///< kernels::gemm_fp8
  bool tf32 = false;  ///< kernels::GemmOptions::tf32
};

/// What every block of a model agrees on. tokens below means micro_batch x sequence.
struct Placement {
  std::int64_t tensor = 1;  ///< ranks of the tensor group
  bool sequence_parallel =
      false;  ///< residual stream divided over the tensor group along tokens; needs tensor > 1
  std::int64_t micro_batch = 1;  ///< sequences
  std::int64_t sequence = 1;     ///< tokens of a sequence
  DType compute = DType::f32;    ///< of weights, activations and activation gradients
  ProductRounding products;      ///< of linear layers; the logits' are not rounded to fp8
  bool attention_across_documents = true;
  Sharding sharding;  ///< of model state over the data axis

  std::int64_t tokens() const { return micro_batch * sequence; }
  /// Rows of the residual stream on one rank.
  std::int64_t local_tokens() const { return sequence_parallel ? tokens() / tensor : tokens(); }
};

/// Index of a buffer in its block's plan.
enum class Slot : std::int32_t { none = -1 };

enum class Role : std::uint8_t {
  input,            ///< residual stream entering the block, from its predecessor
  output,           ///< residual stream leaving it
  input_gradient,   ///< gradient of `input`, for the predecessor
  output_gradient,  ///< gradient of `output`, from the successor
  tokens,           ///< i32 [2, tokens]: inputs, then targets (-1: counts for nothing)
  documents,        ///< i32 [tokens]: position in the sequence where this token's document starts
  loss,             ///< f64 [1]: sum over tokens, accumulated over the micro-batches of a step
  internal,         ///< alive from its first writer to its last reader, within one micro-batch
};

struct BufferSpec {
  std::string name;
  Shape shape;
  DType dtype = DType::f32;
  Role role = Role::internal;
  std::int64_t row_stride = 0;  ///< elements between rows; 0 = dense
  std::int64_t bytes() const {
    const std::int64_t elements = row_stride ? shape.rows() * row_stride : shape.elements();
    return elements * static_cast<std::int64_t>(size_of(dtype));
  }
  TensorView view(void* memory) const { return {memory, shape, dtype, row_stride}; }
};

/// A parameter of a plan: which of the block's units, which parameter in it.
struct ParameterId {
  int unit = 0;
  int index = 0;
};

/// Scalars of the running step; the same on all ranks.
struct StepScalars {
  std::uint64_t seed = 0;
  std::int64_t step = 0;  ///< number of the step, from 0
  double gradient_scale =
      1;  ///< loss scale / tokens of the global batch: what d loss / d logits is multiplied by
  bool training = true;  ///< false: dropout off, no gradients
};

/// Where a segment's random streams stand in this step.
struct RandomPlace {
  std::uint64_t seed = 0;
  std::int64_t step = 0;
  std::int64_t first_sample = 0;  ///< global index of the micro-batch's
};

/// What a segment's body sees: apart from training(), gradient_scale() and random_place() the same
/// in every step, so that work is recorded once where a body asks for none of these
/// (lib/engine/compute_graphs.hpp). A body keeps nothing of them. Views are local to the rank;
/// nothing here is owned by the body.
class StepContext {
 public:
  virtual ~StepContext() = default;
  virtual TensorView view(Slot slot) const = 0;
  /// Weights in the compute dtype, local shape.
  virtual TensorView weight(ParameterId id) const = 0;
  /// f32 gradient, local shape; add to it when accumulate(), overwrite it otherwise.
  virtual TensorView gradient(ParameterId id) const = 0;
  virtual bool accumulate(ParameterId id) const = 0;
  /// True when the loss buffer already holds earlier micro-batches of this step.
  virtual bool accumulate_loss() const = 0;
  virtual bool training() const = 0;          ///< as StepScalars has it
  virtual double gradient_scale() const = 0;  ///< as StepScalars has it
  virtual RandomPlace random_place() const = 0;
  virtual std::int64_t tensor_rank() const = 0;
  /// Number of the block's layer, for random streams and messages.
  virtual int layer() const = 0;
};

using Body = std::function<void(const StepContext&)>;

enum class StepKind : std::uint8_t { compute, all_reduce, all_gather, reduce_scatter };

/// backward splits into its input-gradient and weight-gradient halves: `weight` steps read no
/// weights and write nothing that an `input` step reads, so that a schedule may delay them.
enum class Half : std::uint8_t { input, weight };

/// One segment, or one collective over the tensor group between segments.
struct Step {
  StepKind kind = StepKind::compute;
  Half half = Half::input;
  std::string name;
  std::vector<Slot> reads;        ///< for a collective: the source
  std::vector<Slot> writes;       ///< for a collective: the destination (all_reduce works in place)
  std::vector<int> weights_of;    ///< positions of units whose weights are read
  std::vector<int> gradients_of;  ///< positions of units whose gradients are written
  double flops = 0;
  /// Memory traffic of a segment: what it reads and writes, each buffer once, weights not counted.
  /// Payload of a collective: bytes of the whole tensor.
  std::int64_t bytes = 0;
  /// Device memory that the segment's kernels work in besides, the largest of them: bytes.
  std::int64_t workspace = 0;
  Body body;  ///< empty for collectives
};

struct BlockPlan {
  std::vector<BufferSpec> buffers;
  std::vector<std::vector<Parameter>> units;  ///< parameters by position of the unit in the block
  std::vector<Step> forward;
  std::vector<Step> backward;
  /// Tables of the bodies' own, each copied to the device in use; once, before bodies run on views
  /// in device memory.
  std::vector<std::function<void()>> place_on_device;
  Slot slot_of(Role role) const;  ///< Slot::none when the block has none
  double forward_flops() const;
  double backward_flops() const;
};

/// Makes a plan; the layers of lib/nn append their segments to it.
class PlanBuilder {
 public:
  explicit PlanBuilder(const Placement& placement) : placement_(placement) {}
  const Placement& placement() const { return placement_; }

  Slot buffer(std::string name, Shape shape, DType dtype, Role role = Role::internal);
  /// An internal buffer that products write, or read along its columns, and no collective moves.
  /// Long rows take an odd number of cache lines: rows that begin inside a line cost products up to
  /// a quarter of their speed, rows that share cache sets a tenth.
  Slot product_buffer(std::string name, Shape shape, DType dtype);
  /// A second buffer like `slot`.
  Slot like(Slot slot, std::string name);
  const BufferSpec& spec(Slot slot) const;
  ParameterId parameter(int unit, Parameter parameter);

  /// `place` copies a table of a body to the device: see BlockPlan::place_on_device.
  void table(std::function<void()> place) { plan_.place_on_device.push_back(std::move(place)); }

  enum class Pass : std::uint8_t { forward, backward };
  /// Adds a step; the bytes of a segment are counted here.
  void step(Pass pass, Step step);
  /// Collectives over the tensor group; nothing is added when it has one rank.
  void all_reduce(Pass pass, Slot slot);
  void all_gather(Pass pass, Slot shard, Slot whole);
  void reduce_scatter(Pass pass, Slot whole, Slot shard);

  std::shared_ptr<const BlockPlan> finish();

 private:
  void collective(Pass pass, StepKind kind, Slot from, Slot to);

  Placement placement_;
  BlockPlan plan_;
};

}  // namespace trireme::nn
