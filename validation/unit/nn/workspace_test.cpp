// Every segment tells how much device memory its kernels work in: no less than they ask for, or a
// run would end in a bug report, and no more, or decks that fit would be refused.

#include "kernels/attention/attention.hpp"
#include "kernels/base/device.hpp"
#include "kernels/elementwise/elementwise.hpp"
#include "kernels/gemm/gemm.hpp"
#include "validation/harness/device_fixture.hpp"
#include "validation/harness/tiny_models.hpp"

#include <gtest/gtest.h>

namespace trireme::validation {
namespace {

const auto* const kRuntime = with_runtime_and_device(1);

/// Device memory of zeros.
DeviceMemory zeros(std::int64_t bytes) {
  DeviceMemory memory(round_up(bytes, std::int64_t{sizeof(float)}));
  const Shape shape{memory.bytes() / std::int64_t{sizeof(float)}};
  kernels::fill({memory.data(), shape, DType::f32, 0, MemorySpace::device}, 0);
  return memory;
}

/// A block of one rank alone: its segments may run in their order.
class DeviceBlock : public nn::StepContext {
 public:
  DeviceBlock(const models::Model& model, const models::Block& block)
      : model_(model), block_(block) {
    for (const nn::BufferSpec& spec : block.plan->buffers) buffers_.push_back(zeros(spec.bytes()));
    for (const int unit : block.units) {
      const std::int64_t elements =
          unit == models::kNoUnit ? 0 : model.units[static_cast<std::size_t>(unit)].elements;
      weights_.push_back(zeros(elements * std::int64_t{sizeof(float)}));
      gradients_.push_back(zeros(elements * std::int64_t{sizeof(float)}));
    }
    for (const auto& place : block.plan->place_on_device) place();
  }

  TensorView view(nn::Slot slot) const override {
    const auto i = static_cast<std::size_t>(slot);
    TensorView made = block_.plan->buffers[i].view(buffers_[i].data());
    made.space = MemorySpace::device;
    return made;
  }
  TensorView weight(nn::ParameterId id) const override {
    return parameter(id, weights_, model_.placement.compute);
  }
  TensorView gradient(nn::ParameterId id) const override {
    return parameter(id, gradients_, DType::f32);
  }
  bool accumulate(nn::ParameterId) const override { return true; }
  bool accumulate_loss() const override { return true; }
  bool training() const override { return scalars_.training; }
  double gradient_scale() const override { return scalars_.gradient_scale; }
  nn::RandomPlace random_place() const override { return {scalars_.seed, scalars_.step, 0}; }
  std::int64_t tensor_rank() const override { return 0; }
  int layer() const override { return block_.layer; }

 private:
  TensorView parameter(nn::ParameterId id, const std::vector<DeviceMemory>& all,
                       DType dtype) const {
    const auto unit = static_cast<std::size_t>(id.unit);
    const nn::PlacedParameter& placed = model_.units[static_cast<std::size_t>(block_.units[unit])]
                                            .parameters[static_cast<std::size_t>(id.index)];
    auto* at = static_cast<std::byte*>(all[unit].data()) +
               placed.offset * static_cast<std::int64_t>(size_of(dtype));
    return {at, placed.local, dtype, 0, MemorySpace::device};
  }

  const models::Model& model_;
  const models::Block& block_;
  nn::StepScalars scalars_ = tiny_scalars();
  std::vector<DeviceMemory> buffers_, weights_, gradients_;
};

struct Need {
  std::string segment;
  std::int64_t told = 0;
  std::int64_t asked = 0;  ///< by its kernels
};

/// Runs the segment with `reserved` bytes of working memory, which are at `memory`; what its
/// kernels asked for.
std::int64_t asked_by(const nn::Step& step, const nn::StepContext& context, void* memory,
                      std::int64_t reserved) {
  Stream stream;
  stream.reserve_scratch(memory, reserved);
  const StreamScope scope(stream);
  step.body(context);
  stream.wait();
  return stream.scratch_used();
}

/// All segments, each with what it has told and no more.
std::vector<Need> needs_of(const deck::ModelConfig& config, const nn::Placement& placement) {
  static const DeviceMemory memory(2 * kernels::kGemmWorkspace);
  const models::Model model = models::build_language_model(config, placement);
  std::vector<Need> needs;
  for (const models::Block& block : model.blocks) {
    const DeviceBlock context(model, block);
    for (const auto* steps : {&block.plan->forward, &block.plan->backward})
      for (const nn::Step& step : *steps) {
        if (step.kind != nn::StepKind::compute) continue;
        EXPECT_LE(step.workspace, memory.bytes()) << step.name;
        needs.push_back({block.name + " " + step.name, step.workspace,
                         asked_by(step, context, memory.data(), step.workspace)});
      }
  }
  return needs;
}

deck::ModelConfig with_dropout(deck::ModelConfig config) {
  config.dropout = {0.1, 0.1, 0.1};
  return config;
}

/// Sizes that products in fp8 take.
deck::ModelConfig even_llama() {
  deck::ModelConfig model = tiny_llama();
  model.hidden = 32;
  model.heads = 4;
  model.kv_heads = 2;
  model.head_dim = 8;
  model.ffn_hidden = 48;
  return model;
}

TEST(Workspace, IsWhatTheKernelsOfASegmentAskFor) {
  for (const auto& [name, config] : tiny_models())
    for (const bool dropout : {false, true})
      for (const std::int64_t tensor : {1, 2}) {
        SCOPED_TRACE(name + (dropout ? ", dropout, " : ", ") + std::to_string(tensor));
        const auto placement = tiny_placement(tensor, tensor > 1);
        for (const Need& need : needs_of(dropout ? with_dropout(config) : config, placement))
          EXPECT_EQ(need.asked, need.told) << need.segment;
      }
}

TEST(Workspace, HoldsInSixteenAndEightBits) {
  for (const bool documents : {false, true})
    for (const bool fp8 : {false, true}) {
      SCOPED_TRACE(std::string(documents ? "documents" : "plain") + (fp8 ? ", fp8" : ""));
      nn::Placement placement = tiny_placement(1, false, DType::bf16);
      placement.attention_across_documents = !documents;
      placement.products.fp8 = fp8;
      for (const Need& need : needs_of(even_llama(), placement)) {
        EXPECT_LE(need.asked, need.told) << need.segment;
        EXPECT_TRUE(!documents || need.asked == need.told) << need.segment << ": no library's";
      }
    }
}

/// The first segment of this name in the second block.
const nn::Step& segment(const std::vector<nn::Step>& steps, const std::string& name) {
  return *std::find_if(steps.begin(), steps.end(),
                       [&](const nn::Step& step) { return step.name == name; });
}

TEST(Workspace, ASegmentThatTellsTooLittleIsABugReportThatNamesTheKernel) {
  const models::Model model = models::build_language_model(tiny_gpt(), tiny_placement());
  const models::Block& block = model.blocks[1];
  const DeviceBlock context(model, block);
  const nn::Step& mlp = segment(block.plan->forward, "mlp");
  const DeviceMemory memory(mlp.workspace);
  EXPECT_EQ(asked_by(mlp, context, memory.data(), mlp.workspace), mlp.workspace);
  try {
    asked_by(mlp, context, memory.data(), mlp.workspace - 1);
    FAIL() << "planted fault";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), Exit::kUnexpected);
    EXPECT_NE(error.text().find("gemm needs"), std::string::npos) << error.text();
  }
}

/// Sizes at which attention needs more than products do; nothing runs.
TEST(Workspace, OfAttentionIsTheLibrarysWhereItMayBeAsked) {
  const auto backward = [](const deck::ModelConfig& config, bool across_documents, DType dtype) {
    nn::Placement placement = tiny_placement(1, false, dtype);
    placement.sequence = 2048;
    placement.micro_batch = 4;
    placement.attention_across_documents = across_documents;
    deck::ModelConfig large = config;
    large.context = placement.sequence;
    const models::Model model = models::build_language_model(large, placement);
    return segment(model.blocks[1].plan->backward, "attention").workspace;
  };
  const deck::ModelConfig llama = tiny_llama();
  const kernels::AttentionShape shape{4, 2048, llama.heads, llama.kv_heads, llama.head_dim};
  const std::int64_t scores = 4 * llama.heads * 2048 * 2048 * 2;
  EXPECT_GT(scores, kernels::kGemmWorkspace);
  const std::int64_t library = kernels::attention_backward_workspace(shape, DType::bf16, true);
  EXPECT_EQ(backward(llama, true, DType::bf16), library);
  EXPECT_GE(library, scores);
  EXPECT_LE(library, scores + scores / 8);
  EXPECT_EQ(backward(llama, false, DType::bf16), kernels::kGemmWorkspace);
  EXPECT_EQ(backward(with_dropout(llama), true, DType::bf16), kernels::kGemmWorkspace);
  EXPECT_EQ(backward(llama, true, DType::f32), kernels::kGemmWorkspace);
  // Sequences so long that the library's scores would fill a device are the own kernels'.
  const kernels::AttentionShape endless{1, 1 << 17, 32, 8, 128};
  EXPECT_EQ(kernels::attention_backward_workspace(endless, DType::bf16, true),
            kernels::attention_backward_workspace(endless, DType::bf16, false));
}

}  // namespace
}  // namespace trireme::validation
