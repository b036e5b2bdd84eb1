#include "validation/harness/comparison.hpp"

#include "validation/harness/bound.hpp"
#include "validation/harness/reference_math.hpp"

#include <cmath>
#include <limits>

namespace trireme::validation {
namespace {

double norm(const std::vector<double>& values) {
  double sum = 0;
  for (const double value : values) sum += value * value;
  return std::sqrt(sum);
}

}  // namespace

int layer_of(const std::string& name, int layers) {
  const std::string prefix = "layers.";
  if (name.starts_with(prefix)) return 1 + std::stoi(name.substr(prefix.size()));
  return name.starts_with("head") ? layers + 1 : 0;
}

StepOutcome outcome(LocalRun& run, const std::vector<LocalBatch>& batches,
                    const nn::StepScalars& scalars, const LocalOptions& options) {
  StepOutcome made;
  made.loss = run.run(batches, scalars, options);
  made.tensors = run.tensors();
  for (const LocalTensor& tensor : made.tensors) made.gradients.push_back(run.gradient(tensor));
  return made;
}

Deviation compare(const StepOutcome& got, const StepOutcome& want, DType dtype, int layers) {
  Deviation worst;
  const auto note = [&](double error, double allowed, const std::string& name) {
    const double ratio =
        std::isfinite(error) ? error / allowed : std::numeric_limits<double>::infinity();
    if (ratio > worst.over_bound) worst = {ratio, name};
  };
  note(relative_error({got.loss}, {want.loss}), bound(dtype, layers + 1, layers), "loss");
  double all = 0;
  for (const auto& gradient : want.gradients) all = std::hypot(all, norm(gradient));
  for (std::size_t i = 0; i < want.tensors.size(); ++i) {
    const std::string& name = want.tensors[i].name;
    check(got.tensors.at(i).name == name, Exit::kUnexpected, "{} is compared with {}",
          got.tensors[i].name, name);
    // A gradient that is zero may be off by the rounding of the others.
    if (const double size = norm(want.gradients[i]); size > 0) {
      note(relative_error(got.gradients[i], want.gradients[i]),
           bound(dtype, layer_of(name, layers), layers, all, size), name);
    } else {
      note(norm(got.gradients[i]), epsilon_of(dtype) * all, name);
    }
  }
  return worst;
}

}  // namespace trireme::validation
