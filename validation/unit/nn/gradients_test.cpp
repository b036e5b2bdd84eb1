// Every gradient of every form of model against finite differences of its own loss, whose forward
// pass the PyTorch goldens pin down.

#include "validation/harness/runtime_fixture.hpp"
#include "validation/harness/tiny_models.hpp"

#include <cmath>

namespace trireme::validation {
namespace {

const auto* const kRuntime = with_runtime(1);

using Values = std::vector<double>;

double dot(const Values& a, const Values& b) {
  double sum = 0;
  for (std::size_t i = 0; i < a.size(); ++i) sum += a[i] * b[i];
  return sum;
}

class Differences {
 public:
  Differences(const models::Model& model, const deck::ModelConfig& config)
      : run_(model), batches_(local_batches(model.placement, config.vocabulary, 1, 5)) {
    scramble(run_);
  }

  LocalRun& run() { return run_; }
  void backward() { run_.run(batches_, tiny_scalars()); }

  /// d loss along `direction` of one tensor, by five points: the error of the formula is O(h^4).
  double along(const LocalTensor& tensor, const Values& direction) {
    const Values base = run_.get(tensor);
    constexpr double kStep = 0.005;
    const auto loss = [&](double factor) {
      Values moved = base;
      for (std::size_t i = 0; i < moved.size(); ++i) moved[i] += factor * kStep * direction[i];
      run_.set(tensor, moved);
      LocalOptions forward;
      forward.backward = false;
      return run_.run(batches_, tiny_scalars(), forward);
    };
    const double slope = (8 * (loss(1) - loss(-1)) - (loss(2) - loss(-2))) / (12 * kStep);
    run_.set(tensor, base);
    return slope;
  }

 private:
  LocalRun run_;
  std::vector<LocalBatch> batches_;
};

/// Unit vectors: along the gradient itself, and two with pseudo-random signs.
std::vector<Values> directions(const Values& gradient) {
  std::vector<Values> made;
  const double norm = std::sqrt(dot(gradient, gradient));
  if (norm > 0) {
    made.push_back(gradient);
    for (double& value : made.back()) value /= norm;
  }
  std::uint32_t state = 1;
  for (int k = 0; k < 2; ++k) {
    made.emplace_back(gradient.size());
    for (double& value : made.back()) {
      state = state * 1664525u + 1013904223u;
      value = (state >> 31 ? 1.0 : -1.0) / std::sqrt(static_cast<double>(gradient.size()));
    }
  }
  return made;
}

/// Largest |finite difference - gradient . direction| of all tensors, relative to that tensor's
/// gradient; the noise of an f32 loss is some 1e-6 / step.
struct Worst {
  double error = 0;
  std::string name;
};

Worst worst_difference(Differences& d, const std::function<void(Values&)>& spoil = {}) {
  Worst worst;
  d.backward();
  std::vector<Values> gradients;
  for (const LocalTensor& tensor : d.run().tensors()) gradients.push_back(d.run().gradient(tensor));
  for (std::size_t t = 0; t < gradients.size(); ++t) {
    const LocalTensor& tensor = d.run().tensors()[t];
    Values& gradient = gradients[t];
    const double scale = std::sqrt(dot(gradient, gradient)) + 0.2;
    const std::vector<Values> ways = directions(gradient);
    if (spoil) spoil(gradient);
    for (const Values& way : ways) {
      const double error = std::abs(d.along(tensor, way) - dot(gradient, way)) / scale;
      if (!(error <= worst.error)) worst = {error, tensor.name};
    }
  }
  return worst;
}

constexpr double kTolerance = 3e-3;

TEST(Gradients, AreTheSlopesOfTheLoss) {
  for (const auto& [name, config] : tiny_models()) {
    SCOPED_TRACE(name);
    const models::Model model = models::build_language_model(config, tiny_placement());
    Differences differences(model, config);
    const Worst worst = worst_difference(differences);
    EXPECT_LT(worst.error, kTolerance) << worst.name;
    // The fault: 1 % too much.
    const Worst wrong = worst_difference(differences, [](Values& gradient) {
      for (double& value : gradient) value *= 1.01;
    });
    EXPECT_GT(wrong.error, kTolerance);
  }
}

/// One mask is one function: its slopes are the gradients that drop the same elements.
TEST(Gradients, KnowMasksOfDropoutAndDocuments) {
  for (const auto& [name, plain] : tiny_models()) {
    SCOPED_TRACE(name);
    auto config = plain;
    config.dropout = {0.1, 0.1, 0.1};
    auto placement = tiny_placement(2, true);
    placement.attention_across_documents = false;
    const models::Model model = models::build_language_model(config, placement);
    Differences differences(model, config);
    const Worst worst = worst_difference(differences);
    EXPECT_LT(worst.error, kTolerance) << worst.name;
  }
}

}  // namespace
}  // namespace trireme::validation
