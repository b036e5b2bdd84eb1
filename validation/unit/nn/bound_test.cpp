// The factor k of bound() on whole models. A transformer's channels, inner units, vocabulary and
// samples have no order of their own: numbered differently it is the same function, rounded at the
// same places, with every sum in another order. And the faults that equality must not hide.

#include "validation/harness/bound.hpp"
#include "validation/harness/comparison.hpp"
#include "validation/harness/reference_math.hpp"
#include "validation/harness/runtime_fixture.hpp"
#include "validation/harness/tiny_models.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <numeric>

namespace trireme::validation {
namespace {

const auto* const kRuntime = with_runtime(1);

using Order = std::vector<std::size_t>;  // new place -> old place

Order shuffled(std::int64_t size, std::uint64_t seed) {
  Order order(static_cast<std::size_t>(size));
  std::iota(order.begin(), order.end(), std::size_t{0});
  for (std::size_t i = order.size(); i > 1; --i) {
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    std::swap(order[i - 1], order[(seed >> 33) % i]);
  }
  return order;
}

struct Numbering {
  Order hidden, inner, vocabulary;

  /// Orders of the rows and of the columns of a tensor; null where they keep theirs.
  std::pair<const Order*, const Order*> of(const std::string& name) const {
    const auto has = [&](const char* part) { return name.find(part) != std::string::npos; };
    if (has("q_norm") || has("k_norm")) return {nullptr, nullptr};
    if (has("norm.")) return {&hidden, nullptr};
    if (has("tokens") || has("output")) return {&vocabulary, &hidden};
    if (has("positions")) return {nullptr, &hidden};
    if (has("o_proj")) return {&hidden, nullptr};
    if (has("down_proj")) return {&hidden, &inner};
    if (has("gate_proj") || has("up_proj")) return {&inner, &hidden};
    return {nullptr, &hidden};  // q, k, v
  }

  /// values of the tensor in the new numbering, or back in the old one.
  std::vector<double> apply(const LocalTensor& tensor, const std::vector<double>& values,
                            bool back) const {
    const auto [rows, columns] = of(tensor.name);
    const bool matrix = tensor.shape.rank() == 2;
    const auto width = static_cast<std::size_t>(matrix ? tensor.shape[1] : 1);
    std::vector<double> moved(values.size());
    for (std::size_t i = 0; i < values.size(); ++i) {
      const std::size_t row = rows ? (*rows)[i / width] : i / width;
      const std::size_t column = columns && matrix ? (*columns)[i % width] : i % width;
      const std::size_t old = row * width + column;
      moved[back ? old : i] = values[back ? i : old];
    }
    return moved;
  }
};

deck::ModelConfig model_of(bool llama) {
  deck::ModelConfig model = llama ? tiny_llama() : tiny_gpt();
  model.layers = 4;
  model.hidden = 48;
  model.head_dim = 12;
  model.ffn_hidden = 96;
  model.vocabulary = 96;
  model.context = 16;
  model.init.std = 0.08;  // x sqrt(hidden) = 0.55, as GPT-2's 0.02 x sqrt(768)
  return model;
}

nn::Placement placement_of(DType dtype, std::int64_t tensor = 1) {
  nn::Placement placement = tiny_placement(tensor, tensor > 1, dtype);
  placement.sequence = 16;
  return placement;
}

/// Loss and gradients in the old numbering. Without dropout, so that samples may change places.
StepOutcome run_numbered(const deck::ModelConfig& config, DType dtype, const Numbering* numbering,
                         std::vector<LocalBatch> batches) {
  const models::Model model = models::build_language_model(config, placement_of(dtype));
  LocalRun run(model);
  scramble(run);
  if (numbering) {
    for (const LocalTensor& tensor : run.tensors())
      run.set(tensor, numbering->apply(tensor, run.get(tensor), false));
    std::vector<std::int32_t> place(numbering->vocabulary.size());
    for (std::size_t i = 0; i < place.size(); ++i)
      place[numbering->vocabulary[i]] = static_cast<std::int32_t>(i);
    for (LocalBatch& batch : batches) {
      for (std::int32_t& token : batch.tokens)
        if (token >= 0) token = place[static_cast<std::size_t>(token)];
      const auto half = static_cast<std::ptrdiff_t>(batch.tokens.size() / 2);
      for (const auto first : {batch.tokens.begin(), batch.tokens.begin() + half})
        std::rotate(first, first + config.context, first + half);
    }
    std::reverse(batches.begin(), batches.end());
  }
  StepOutcome made = outcome(run, batches, tiny_scalars());
  if (numbering)
    for (std::size_t t = 0; t < made.tensors.size(); ++t)
      made.gradients[t] = numbering->apply(made.tensors[t], made.gradients[t], true);
  return made;
}

double norm(const std::vector<double>& values) {
  return std::sqrt(std::inner_product(values.begin(), values.end(), values.begin(), 0.0));
}

/// The smallest k with which bound() would allow what was seen.
double factor_seen(const StepOutcome& got, const StepOutcome& want, DType dtype, int layers) {
  double all = 0;
  for (const auto& gradient : want.gradients) all = std::hypot(all, norm(gradient));
  double worst = 0;
  for (std::size_t t = 0; t < want.tensors.size(); ++t) {
    const int layer = layer_of(want.tensors[t].name, layers);
    const double unit = bound(dtype, layer, layers) / bound_factor(dtype);
    const double size = norm(want.gradients[t]);
    const double cancellation =
        bound(dtype, layer, layers, all, size) - bound(dtype, layer, layers);
    const double error = relative_error(got.gradients[t], want.gradients[t]);
    worst = std::max(worst, (error - cancellation) / unit);
  }
  return worst;
}

TEST(ModelBound, FactorIsThreeTimesTheErrorOfAnotherOrder) {
  for (const DType dtype : {DType::f32, DType::bf16, DType::f16}) {
    double largest = 0;  // 0: the term for cancellation covers everything
    bool differ = false;
    for (const bool llama : {false, true}) {
      const auto config = model_of(llama);
      const auto batches = local_batches(placement_of(dtype), config.vocabulary, 4, 3);
      const StepOutcome plain = run_numbered(config, dtype, nullptr, batches);
      for (const std::uint64_t seed : {1, 2, 3, 4}) {
        const Numbering numbering{shuffled(config.hidden, seed),
                                  shuffled(config.ffn_hidden, seed + 10),
                                  shuffled(config.vocabulary, seed + 20)};
        const StepOutcome other = run_numbered(config, dtype, &numbering, batches);
        largest = std::max(largest, factor_seen(other, plain, dtype, 4));
        differ |= other.gradients != plain.gradients;
        EXPECT_LT(compare(other, plain, dtype, 4).over_bound, 1);
      }
    }
    std::printf("%s: largest error %.3f eps, k = %.3f\n", name_of(dtype).data(), largest,
                bound_factor(dtype));
    EXPECT_LT(largest, bound_factor(dtype) / 3 * 1.1);
    EXPECT_TRUE(differ);
  }
}

/// Each exceeds the bound tenfold, in every dtype.
TEST(ModelBound, FaultsExceedItTenfold) {
  for (const DType dtype : {DType::f32, DType::bf16, DType::f16})
    for (const bool llama : {false, true}) {
      const auto config = model_of(llama);
      auto batches = local_batches(placement_of(dtype), config.vocabulary, 2, 3);
      const StepOutcome right = run_numbered(config, dtype, nullptr, batches);
      const auto over_bound = [&](const StepOutcome& got) {
        return compare(got, right, dtype, 4).over_bound;
      };

      StepOutcome scaled = right;  // a factor 1/n forgotten, n = 2
      for (auto& gradient : scaled.gradients)
        for (double& value : gradient) value *= 2;
      EXPECT_GT(over_bound(scaled), 10);

      const models::Model halves = models::build_language_model(config, placement_of(dtype, 2));
      LocalRun run(halves);
      scramble(run);
      EXPECT_LT(over_bound(outcome(run, batches, tiny_scalars())), 1);
      for (const LocalTensor& tensor : run.tensors()) {  // shards of one matrix change places
        if (tensor.name != "layers.0.mlp.up_proj.weight") continue;
        auto values = run.get(tensor);
        std::rotate(values.begin(), values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2),
                    values.end());
        run.set(tensor, values);
      }
      EXPECT_GT(over_bound(outcome(run, batches, tiny_scalars())), 10);

      batches.pop_back();  // one of two micro-batches dropped
      EXPECT_GT(over_bound(run_numbered(config, dtype, nullptr, batches)), 10);
    }
}

}  // namespace
}  // namespace trireme::validation
