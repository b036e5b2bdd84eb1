// Tensor and sequence parallelism change the order of summation and nothing else.

#include "validation/harness/comparison.hpp"
#include "validation/harness/runtime_fixture.hpp"
#include "validation/harness/tiny_models.hpp"

#include <algorithm>
#include <limits>

namespace trireme::validation {
namespace {

const auto* const kRuntime = with_runtime(1);
constexpr double kClearly = 10;  ///< how far beyond the bound a fault must be

struct Division {
  std::int64_t tensor;
  bool sequence_parallel;
};
constexpr Division kDivisions[] = {{2, false}, {2, true}, {4, false}, {4, true}};

StepOutcome run_model(const deck::ModelConfig& config, const nn::Placement& placement,
                      const LocalOptions& options = {}, nn::StepScalars scalars = tiny_scalars(),
                      const std::function<void(LocalRun&)>& spoil = {}) {
  const models::Model model = models::build_language_model(config, placement);
  LocalRun run(model);
  scramble(run);
  if (spoil) spoil(run);
  return outcome(run, local_batches(placement, config.vocabulary, 2, 5), scalars, options);
}

deck::ModelConfig with_dropout(deck::ModelConfig config) {
  config.dropout = {0.1, 0.1, 0.1};
  return config;
}

TEST(TensorLaw, EveryModelEqualsItsOneRankSelf) {
  for (const auto& [name, config] : tiny_models())
    for (const bool dropout : {false, true}) {
      const auto used = dropout ? with_dropout(config) : config;
      const StepOutcome one = run_model(used, tiny_placement());
      for (const Division d : kDivisions) {
        SCOPED_TRACE(name + (dropout ? ", dropout" : "") + ", tensor " + std::to_string(d.tensor) +
                     (d.sequence_parallel ? ", sequence parallel" : ""));
        const auto placement = tiny_placement(d.tensor, d.sequence_parallel);
        const Deviation worst = compare(run_model(used, placement), one, DType::f32, 2);
        EXPECT_LT(worst.over_bound, 1) << worst.name;
      }
    }
}

TEST(TensorLaw, HoldsInSixteenBits) {
  for (const DType dtype : {DType::bf16, DType::f16})
    for (const auto& [name, config] : tiny_models()) {
      const StepOutcome one = run_model(config, tiny_placement(1, false, dtype));
      for (const Division d : kDivisions) {
        SCOPED_TRACE(name + ", tensor " + std::to_string(d.tensor));
        const auto placement = tiny_placement(d.tensor, d.sequence_parallel, dtype);
        const Deviation worst = compare(run_model(config, placement), one, dtype, 2);
        EXPECT_LT(worst.over_bound, 1) << worst.name;
      }
    }
}

TEST(TensorLaw, SixteenBitsAreNearFp32) {
  for (const auto& [name, config] : tiny_models()) {
    SCOPED_TRACE(name);
    const StepOutcome exact = run_model(config, tiny_placement());
    for (const DType dtype : {DType::bf16, DType::f16}) {
      const auto placement = tiny_placement(1, false, dtype);
      const Deviation worst = compare(run_model(config, placement), exact, dtype, 2);
      EXPECT_LT(worst.over_bound, 2) << worst.name;
      EXPECT_GT(worst.over_bound, 1e-3);  // it did run in 16 bits
    }
  }
}

/// The faults: each collective of each block left out in turn.
TEST(TensorLaw, AMissingCollectiveShows) {
  for (const auto& config : {with_dropout(tiny_llama()), tiny_gpt()}) {
    const StepOutcome one = run_model(config, tiny_placement());
    for (const Division d : kDivisions) {
      const auto placement = tiny_placement(d.tensor, d.sequence_parallel);
      const models::Model model = models::build_language_model(config, placement);
      int faults = 0;
      for (const models::Block& block : model.blocks)
        for (const bool backward : {false, true}) {
          const auto& steps = backward ? block.plan->backward : block.plan->forward;
          for (std::size_t s = 0; s < steps.size(); ++s) {
            if (steps[s].kind == nn::StepKind::compute) continue;
            LocalOptions options;
            std::size_t seen = 0;
            options.drops = [&](const models::Block& b, bool in_backward, const nn::Step& step) {
              return b.name == block.name && in_backward == backward &&
                     step.name == steps[s].name && step.kind == steps[s].kind && ++seen > 0;
            };
            double over_bound = std::numeric_limits<double>::infinity();
            try {
              over_bound =
                  compare(run_model(config, placement, options), one, DType::f32, 2).over_bound;
            } catch (const Error&) {  // ranks disagree
            }
            EXPECT_GT(over_bound, kClearly) << block.name << " " << steps[s].name;
            EXPECT_GT(seen, 0u);
            ++faults;
          }
        }
      EXPECT_GE(faults, 11);
    }
  }
}

TEST(TensorLaw, OtherFaultsShow) {
  const auto config = with_dropout(tiny_llama());
  const StepOutcome one = run_model(config, tiny_placement());
  const auto placement = tiny_placement(2, true);
  const auto over_bound = [&](const StepOutcome& got) {
    return compare(got, one, DType::f32, 2).over_bound;
  };

  LocalOptions partial;
  partial.drop_tail_sum = true;
  EXPECT_THROW(run_model(config, placement, partial), Error);  // ranks disagree

  nn::StepScalars other = tiny_scalars();
  ++other.step;  // other masks
  EXPECT_GT(over_bound(run_model(config, placement, {}, other)), kClearly);

  // A shard in the wrong place: halves of one matrix swapped.
  const auto swap_halves = [](LocalRun& run) {
    for (const LocalTensor& tensor : run.tensors()) {
      if (tensor.name != "layers.1.mlp.up_proj.weight") continue;
      auto values = run.get(tensor);
      std::rotate(values.begin(), values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2),
                  values.end());
      run.set(tensor, values);
    }
  };
  EXPECT_GT(over_bound(run_model(config, placement, {}, tiny_scalars(), swap_halves)), kClearly);
}

TEST(TensorLaw, EveryDivisionStartsFromTheSameModel) {
  for (const auto& [name, config] : tiny_models()) {
    SCOPED_TRACE(name);
    const models::Model whole = models::build_language_model(config, tiny_placement());
    const models::Model divided = models::build_language_model(config, tiny_placement(4, true));
    LocalRun one(whole);
    LocalRun four(divided);
    one.initialise(3);
    four.initialise(3);
    for (std::size_t t = 0; t < one.tensors().size(); ++t) {
      ASSERT_EQ(one.tensors()[t].name, four.tensors()[t].name);
      EXPECT_EQ(one.get(one.tensors()[t]), four.get(four.tensors()[t])) << one.tensors()[t].name;
    }
    four.initialise(4);
    EXPECT_NE(one.get(one.tensors()[0]), four.get(four.tensors()[0]));
  }
}

}  // namespace
}  // namespace trireme::validation
