// What one step may be cut into without changing it: micro-batches, recomputation, documents.

#include "validation/harness/comparison.hpp"
#include "validation/harness/runtime_fixture.hpp"
#include "validation/harness/tiny_models.hpp"

namespace trireme::validation {
namespace {

const auto* const kRuntime = with_runtime(1);
constexpr double kClearly = 10;

deck::ModelConfig with_dropout(deck::ModelConfig config) {
  config.dropout = {0.1, 0.1, 0.1};
  return config;
}

StepOutcome run_model(const deck::ModelConfig& config, const nn::Placement& placement,
                      const std::vector<LocalBatch>& batches, const LocalOptions& options = {}) {
  const models::Model model = models::build_language_model(config, placement);
  LocalRun run(model);
  scramble(run);
  return outcome(run, batches, tiny_scalars(), options);
}

/// The samples of all batches as one.
LocalBatch join(const std::vector<LocalBatch>& batches) {
  LocalBatch all;
  for (const int row : {0, 1})
    for (const LocalBatch& batch : batches) {
      const auto half = static_cast<std::ptrdiff_t>(batch.tokens.size() / 2);
      const auto first = batch.tokens.begin() + row * half;
      all.tokens.insert(all.tokens.end(), first, first + half);
    }
  return all;
}

TEST(StepLaw, MicroBatchesAddUpToTheirBatch) {
  for (const auto& [name, plain] : tiny_models()) {
    SCOPED_TRACE(name);
    const auto config = with_dropout(plain);
    const auto small = tiny_placement();
    auto large = small;
    large.micro_batch = 3 * small.micro_batch;
    const auto batches = local_batches(small, config.vocabulary, 3, 5);
    const StepOutcome whole = run_model(config, large, {join(batches)});
    const Deviation worst = compare(run_model(config, small, batches), whole, DType::f32, 2);
    EXPECT_LT(worst.over_bound, 1) << worst.name;

    // The faults: gradients that are not added up, a micro-batch too few, samples in another order
    // (they take each other's masks).
    LocalOptions overwrite;
    overwrite.drop_accumulation = true;
    const auto over_bound = [&](const StepOutcome& got) {
      return compare(got, whole, DType::f32, 2).over_bound;
    };
    EXPECT_GT(over_bound(run_model(config, small, batches, overwrite)), kClearly);
    EXPECT_GT(over_bound(run_model(config, small, {batches[0], batches[1]})), kClearly);
    EXPECT_GT(over_bound(run_model(config, small, {batches[1], batches[0], batches[2]})), kClearly);
  }
}

TEST(StepLaw, RecomputationRepeatsTheBits) {
  for (const auto& [name, plain] : tiny_models())
    for (const DType dtype : {DType::f32, DType::bf16})
      for (const bool divided : {false, true}) {
        SCOPED_TRACE(name);
        const auto config = with_dropout(plain);
        const auto placement = tiny_placement(divided ? 2 : 1, divided, dtype);
        const auto batches = local_batches(placement, config.vocabulary, 2, 5);
        const StepOutcome kept = run_model(config, placement, batches);
        LocalOptions options;
        options.recompute = true;
        const StepOutcome again = run_model(config, placement, batches, options);
        EXPECT_EQ(kept.loss, again.loss);
        EXPECT_EQ(kept.gradients, again.gradients);
        if (!divided) continue;
        // The fault: the second forward of a block goes without its gathers.
        int gathers = 0;
        options.drops = [&](const models::Block& block, bool backward, const nn::Step& step) {
          return block.name == "layers.1" && !backward && step.kind == nn::StepKind::all_gather &&
                 gathers++ >= 2;
        };
        const StepOutcome wrong = run_model(config, placement, batches, options);
        EXPECT_GT(compare(wrong, kept, dtype, 2).over_bound, kClearly);
      }
}

TEST(StepLaw, AMaskedDocumentIsASequenceOfItsOwn) {
  auto config = tiny_llama();  // rotary: attention depends on distances alone
  config.qk_norm = true;
  nn::Placement packed = tiny_placement();
  packed.sequence = 6;
  packed.attention_across_documents = false;
  nn::Placement apart = packed;
  apart.micro_batch = 4;
  apart.sequence = 3;
  apart.attention_across_documents = true;
  const auto batches = local_batches(packed, config.vocabulary, 2, 5);  // documents of 3 tokens
  const StepOutcome want = run_model(config, apart, batches);
  const Deviation worst = compare(run_model(config, packed, batches), want, DType::f32, 2);
  EXPECT_LT(worst.over_bound, 1) << worst.name;

  packed.attention_across_documents = true;  // the fault
  EXPECT_GT(compare(run_model(config, packed, batches), want, DType::f32, 2).over_bound, kClearly);
}

TEST(StepLaw, EvaluationDropsNothing) {
  const auto placement = tiny_placement();
  const auto batches = local_batches(placement, tiny_gpt().vocabulary, 1, 5);
  nn::StepScalars evaluation = tiny_scalars();
  evaluation.training = false;
  LocalOptions forward;
  forward.backward = false;
  const auto loss = [&](const deck::ModelConfig& config, const nn::StepScalars& scalars) {
    const models::Model model = models::build_language_model(config, placement);
    LocalRun run(model);
    scramble(run);
    return run.run(batches, scalars, forward);
  };
  EXPECT_EQ(loss(with_dropout(tiny_gpt()), evaluation), loss(tiny_gpt(), tiny_scalars()));
  EXPECT_NE(loss(with_dropout(tiny_gpt()), tiny_scalars()), loss(tiny_gpt(), tiny_scalars()));
}

TEST(StepLaw, GradientsFollowTheScale) {
  const auto placement = tiny_placement();
  const auto config = tiny_llama();
  const models::Model model = models::build_language_model(config, placement);
  const auto batches = local_batches(placement, config.vocabulary, 1, 5);
  LocalRun run(model);
  scramble(run);
  nn::StepScalars scalars = tiny_scalars();
  const StepOutcome plain = outcome(run, batches, scalars);
  scalars.gradient_scale = 0.25;  // a power of two: exact
  StepOutcome scaled = outcome(run, batches, scalars);
  EXPECT_EQ(plain.loss, scaled.loss);
  for (auto& gradient : scaled.gradients)
    for (double& value : gradient) value *= 4;
  EXPECT_EQ(plain.gradients, scaled.gradients);
}

}  // namespace
}  // namespace trireme::validation
