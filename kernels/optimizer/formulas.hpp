#pragma once
// The updates of one element, for host and device kernels alike: multiply-adds are explicit, square
// roots and quotients correctly rounded, so both give the same bits. Private to kernels/.

#include "kernels/optimizer/optimizer.hpp"

#include <cmath>
#include <cstdint>

namespace trireme::kernels {

/// 1 - beta^step.
inline double correction(double beta, std::int64_t step) {
  return -std::expm1(static_cast<double>(step) * std::log(beta));
}

/// The moving averages of Adam and LAMB.
struct Moments {
  float beta1, rest1, beta2, rest2;

  Moments(double b1, double b2)
      : beta1(static_cast<float>(b1)),
        rest1(static_cast<float>(1 - b1)),
        beta2(static_cast<float>(b2)),
        rest2(static_cast<float>(1 - b2)) {}
  constexpr float first(float m, float g) const { return std::fma(beta1, m, rest1 * g); }
  constexpr float second(float v, float g) const { return std::fma(beta2, v, rest2 * g * g); }
};

struct AdamStep {
  Moments average;
  float over_c1, over_root_c2, epsilon, minus_rate, decay, l2, grad_scale;

  AdamStep(const Adam& adam, std::int64_t step, const UpdateRange& range)
      : average(adam.beta1, adam.beta2) {
    const double c1 = adam.bias_correction ? correction(adam.beta1, step) : 1;
    const double c2 = adam.bias_correction ? correction(adam.beta2, step) : 1;
    over_c1 = static_cast<float>(1 / c1);
    over_root_c2 = static_cast<float>(1 / std::sqrt(c2));
    epsilon = static_cast<float>(adam.epsilon);
    minus_rate = static_cast<float>(-range.learning_rate);
    decay = static_cast<float>(adam.decoupled ? range.weight_decay : 0);
    l2 = static_cast<float>(adam.decoupled ? 0 : range.weight_decay);
    grad_scale = range.gradient_scale;
  }
  AdamStep without_decay() const {
    AdamStep step = *this;
    step.decay = step.l2 = 0;
    return step;
  }
  constexpr void operator()(float& p, float g, float& m, float& v) const {
    const float gradient = std::fma(l2, p, g * grad_scale);
    m = average.first(m, gradient);
    v = average.second(v, gradient);
    const float spread = std::fma(std::sqrt(v), over_root_c2, epsilon);
    p = std::fma(minus_rate, std::fma(decay, p, m * over_c1 / spread), p);
  }
};

struct SgdStep {
  float decay, minus_rate, old, fresh, ahead, grad_scale;
  bool nesterov;

  SgdStep(const Sgd& sgd, std::int64_t step, const UpdateRange& range)
      : decay(static_cast<float>(range.weight_decay)),
        minus_rate(static_cast<float>(-range.learning_rate)),
        // At step 1 PyTorch's buffer is the gradient itself, without dampening.
        old(static_cast<float>(step == 1 ? 0 : sgd.momentum)),
        fresh(static_cast<float>(step == 1 ? 1 : 1 - sgd.dampening)),
        ahead(static_cast<float>(sgd.momentum)),
        grad_scale(range.gradient_scale),
        nesterov(sgd.nesterov) {}
  SgdStep without_decay() const {
    SgdStep step = *this;
    step.decay = 0;
    return step;
  }
  /// Without momentum.
  constexpr void operator()(float& p, float g) const {
    p = std::fma(minus_rate, std::fma(decay, p, g * grad_scale), p);
  }
  constexpr void operator()(float& p, float g, float& b) const {
    const float gradient = std::fma(decay, p, g * grad_scale);
    b = old == 0 ? fresh * gradient : std::fma(old, b, fresh * gradient);
    const float direction = nesterov ? std::fma(ahead, b, gradient) : b;
    p = std::fma(minus_rate, direction, p);
  }
};

struct LionStep {
  Moments average;
  float decay, minus_rate, grad_scale;

  LionStep(const Lion& lion, const UpdateRange& range)
      : average(lion.beta1, lion.beta2),
        decay(static_cast<float>(range.weight_decay)),
        minus_rate(static_cast<float>(-range.learning_rate)),
        grad_scale(range.gradient_scale) {}
  LionStep without_decay() const {
    LionStep step = *this;
    step.decay = 0;
    return step;
  }
  constexpr void operator()(float& p, float g, float& m) const {
    const float gradient = g * grad_scale;
    const float mixed = average.first(m, gradient);
    const float sign = mixed > 0 ? 1.0f : mixed < 0 ? -1.0f : mixed;  // 0 and NaN stay
    m = std::fma(average.beta2, m, average.rest2 * gradient);
    p = std::fma(minus_rate, std::fma(decay, p, sign), p);
  }
};

struct LambStep {
  Moments average;
  float epsilon, decay, grad_scale;

  LambStep(const Lamb& lamb, const UpdateRange& range)
      : average(lamb.beta1, lamb.beta2),
        epsilon(static_cast<float>(lamb.epsilon)),
        decay(static_cast<float>(range.weight_decay)),
        grad_scale(range.gradient_scale) {}
  /// The update before the trust ratio.
  constexpr float direction(float p, float m, float v) const {
    return std::fma(decay, p, m / (std::sqrt(v) + epsilon));
  }
  /// Phase 1; the direction.
  constexpr float operator()(float p, float g, float& m, float& v) const {
    const float gradient = g * grad_scale;
    m = average.first(m, gradient);
    v = average.second(v, gradient);
    return direction(p, m, v);
  }
};

/// The factor of LAMB's phase 2, p <- p + factor u, from the norms of the whole tensor.
struct LambFactor {
  double minus_rate, most, least;

  LambFactor(const Lamb& lamb, std::int64_t step, const UpdateRange& range)
      : minus_rate(-range.learning_rate), most(lamb.max_coefficient), least(lamb.min_coefficient) {
    if (lamb.bias_correction)
      minus_rate *= std::sqrt(correction(lamb.beta2, step)) / correction(lamb.beta1, step);
  }
  static constexpr double ratio(const LambNorms& norms, double least, double most) {
    if (norms.weights == 0 || norms.update == 0) return 1;
    const double free = std::sqrt(norms.weights / norms.update);
    return free < least ? least : most < free ? most : free;
  }
  constexpr float operator()(const LambNorms& norms) const {
    return static_cast<float>(minus_rate * ratio(norms, least, most));
  }
};

}  // namespace trireme::kernels
