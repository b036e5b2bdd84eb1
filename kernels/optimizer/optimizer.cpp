#include "kernels/optimizer/optimizer.hpp"

#include "kernels/base/parallel.hpp"
#include "kernels/base/vector_math.hpp"
#include "kernels/elementwise/row_access.hpp"

#include <algorithm>
#include <cmath>
#include <initializer_list>
#include <utility>

namespace trireme::kernels {
namespace {

constexpr std::int64_t kChunk = 16384;

/// Throws unless gradients (where they are read), moments and the 16-bit copy fit the weights.
void check_range(const UpdateRange& range, std::initializer_list<std::size_t> moments,
                 bool reads_gradient = true) {
  const std::size_t n = range.master.size();
  check(!reads_gradient || range.gradient.size() == n, Exit::kUnexpected,
        "{} gradients for {} weights", range.gradient.size(), n);
  for (const std::size_t size : moments)
    check(size == n, Exit::kUnexpected, "{} moments for {} weights", size, n);
  const TensorView& copy = range.weights;
  if (!copy) return;
  const bool dense = copy.rows() == 1 || copy.stride() == copy.width();
  check(dense && std::cmp_equal(copy.elements(), n) &&
            (copy.dtype == DType::bf16 || copy.dtype == DType::f16 || copy.dtype == DType::f32),
        Exit::kUnexpected, "the weights {} {} do not fit {} masters", copy.shape.text(),
        name_of(copy.dtype), n);
}

/// Runs update(begin, end) over all of the range in blocks that stay in the first cache, each
/// followed by the copy of its new weights in their own format.
template <class Update>
void for_range(const char* label, const UpdateRange& range, const Update& update) {
  constexpr std::int64_t kBlock = 1024;
  const auto n = static_cast<std::int64_t>(range.master.size());
  const float* master = range.master.data();
  const TensorView copy = range.weights;
  for_rows(label, n, kChunk, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t first = begin; first < end; first += kBlock) {
      const std::int64_t last = std::min(first + kBlock, end);
      update(first, last);
      if (copy && copy.dtype == DType::f32)
        std::copy(master + first, master + last, copy.as<float>() + first);
      else if (copy)
        finish_row(copy, 0, first, last - first, master + first);
    }
  });
}

/// 1 - beta^step.
double correction(double beta, std::int64_t step) {
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
  float first(float m, float g) const { return std::fma(beta1, m, rest1 * g); }
  float second(float v, float g) const { return std::fma(beta2, v, rest2 * g * g); }
};

/// LAMB's update before the trust ratio.
struct LambDirection {
  float epsilon, decay;
  float operator()(float p, float m, float v) const {
    return std::fma(decay, p, m / (std::sqrt(v) + epsilon));
  }
};

}  // namespace

void adam_update(const Adam& adam, std::int64_t step, const UpdateRange& range,
                 std::span<float> first_moment, std::span<float> second_moment) {
  check(step >= 1, Exit::kUnexpected, "steps count from 1, not {}", step);
  check_range(range, {first_moment.size(), second_moment.size()});
  const Moments average(adam.beta1, adam.beta2);
  const double c1 = adam.bias_correction ? correction(adam.beta1, step) : 1;
  const double c2 = adam.bias_correction ? correction(adam.beta2, step) : 1;
  const auto over_c1 = static_cast<float>(1 / c1);
  const auto over_root_c2 = static_cast<float>(1 / std::sqrt(c2));
  const auto epsilon = static_cast<float>(adam.epsilon);
  const auto minus_rate = static_cast<float>(-range.learning_rate);
  const auto decay = static_cast<float>(adam.decoupled ? range.weight_decay : 0);
  const auto l2 = static_cast<float>(adam.decoupled ? 0 : range.weight_decay);
  const float grad_scale = range.gradient_scale;
  float* __restrict p = range.master.data();
  const float* __restrict g = range.gradient.data();
  float* __restrict m = first_moment.data();
  float* __restrict v = second_moment.data();
  for_range("adam", range, [=](std::int64_t begin, std::int64_t end) {
#pragma omp simd
    for (std::int64_t i = begin; i < end; ++i) {
      const float gradient = std::fma(l2, p[i], g[i] * grad_scale);
      m[i] = average.first(m[i], gradient);
      v[i] = average.second(v[i], gradient);
      const float spread = std::fma(std::sqrt(v[i]), over_root_c2, epsilon);
      p[i] = std::fma(minus_rate, std::fma(decay, p[i], m[i] * over_c1 / spread), p[i]);
    }
  });
}

void sgd_update(const Sgd& sgd, std::int64_t step, const UpdateRange& range,
                std::span<float> momentum) {
  check(!sgd.nesterov || (sgd.momentum > 0 && sgd.dampening == 0), Exit::kUsage,
        "Nesterov momentum needs momentum > 0 and dampening 0, found {} and {}", sgd.momentum,
        sgd.dampening);
  const bool moving = sgd.momentum != 0;
  check_range(range, {moving ? momentum.size() : range.master.size()});
  const auto decay = static_cast<float>(range.weight_decay);
  const auto minus_rate = static_cast<float>(-range.learning_rate);
  // At step 1 PyTorch's buffer is the gradient itself, without dampening.
  const auto old = static_cast<float>(step == 1 ? 0 : sgd.momentum);
  const auto fresh = static_cast<float>(step == 1 ? 1 : 1 - sgd.dampening);
  const auto ahead = static_cast<float>(sgd.momentum);
  const bool nesterov = sgd.nesterov;
  const float grad_scale = range.gradient_scale;
  float* __restrict p = range.master.data();
  const float* __restrict g = range.gradient.data();
  float* __restrict b = momentum.data();
  for_range("sgd", range, [=](std::int64_t begin, std::int64_t end) {
    if (!moving) {
#pragma omp simd
      for (std::int64_t i = begin; i < end; ++i) {
        p[i] = std::fma(minus_rate, std::fma(decay, p[i], g[i] * grad_scale), p[i]);
      }
      return;
    }
#pragma omp simd
    for (std::int64_t i = begin; i < end; ++i) {
      const float gradient = std::fma(decay, p[i], g[i] * grad_scale);
      b[i] = old == 0 ? fresh * gradient : std::fma(old, b[i], fresh * gradient);
      const float direction = nesterov ? std::fma(ahead, b[i], gradient) : b[i];
      p[i] = std::fma(minus_rate, direction, p[i]);
    }
  });
}

void lion_update(const Lion& lion, const UpdateRange& range, std::span<float> first_moment) {
  check_range(range, {first_moment.size()});
  const Moments average(lion.beta1, lion.beta2);
  const auto decay = static_cast<float>(range.weight_decay);
  const auto minus_rate = static_cast<float>(-range.learning_rate);
  const float grad_scale = range.gradient_scale;
  float* __restrict p = range.master.data();
  const float* __restrict g = range.gradient.data();
  float* __restrict m = first_moment.data();
  for_range("lion", range, [=](std::int64_t begin, std::int64_t end) {
#pragma omp simd
    for (std::int64_t i = begin; i < end; ++i) {
      const float gradient = g[i] * grad_scale;
      const float mixed = average.first(m[i], gradient);
      const float sign = mixed > 0 ? 1.0f : mixed < 0 ? -1.0f : mixed;  // 0 and NaN stay
      m[i] = std::fma(average.beta2, m[i], average.rest2 * gradient);
      p[i] = std::fma(minus_rate, std::fma(decay, p[i], sign), p[i]);
    }
  });
}

LambNorms lamb_moments(const Lamb& lamb, const UpdateRange& range, std::span<float> first_moment,
                       std::span<float> second_moment) {
  check_range(range, {first_moment.size(), second_moment.size()});
  const Moments average(lamb.beta1, lamb.beta2);
  const LambDirection direction{static_cast<float>(lamb.epsilon),
                                static_cast<float>(range.weight_decay)};
  const float grad_scale = range.gradient_scale;
  const float* __restrict p = range.master.data();
  const float* __restrict g = range.gradient.data();
  float* __restrict m = first_moment.data();
  float* __restrict v = second_moment.data();
  struct Sums : LambNorms {
    Sums& operator+=(const Sums& other) {
      weights += other.weights;
      update += other.update;
      return *this;
    }
  };
  const auto n = static_cast<std::int64_t>(range.master.size());
  return sum_chunks<Sums>("lamb_moments", n, kChunk, [=](std::int64_t begin, std::int64_t end) {
    constexpr std::int64_t kBlock = 1024;
    alignas(64) float u[kBlock];
    Sums sums;
    for (std::int64_t first = begin; first < end; first += kBlock) {
      const std::int64_t count = std::min(kBlock, end - first);
#pragma omp simd
      for (std::int64_t k = 0; k < count; ++k) {
        const std::int64_t i = first + k;
        const float gradient = g[i] * grad_scale;
        m[i] = average.first(m[i], gradient);
        v[i] = average.second(v[i], gradient);
        u[k] = direction(p[i], m[i], v[i]);
      }
      const auto square = [](double x) { return x * x; };
      sums.weights += lane_sum<double>(count, [&](std::int64_t k) { return square(p[first + k]); });
      sums.update += lane_sum<double>(count, [&](std::int64_t k) { return square(u[k]); });
    }
    return sums;
  });
}

double lamb_ratio(const Lamb& lamb, const LambNorms& norms) {
  if (norms.weights == 0 || norms.update == 0) return 1;
  return std::clamp(std::sqrt(norms.weights / norms.update), lamb.min_coefficient,
                    lamb.max_coefficient);
}

void lamb_apply(const Lamb& lamb, std::int64_t step, double ratio, const UpdateRange& range,
                std::span<const float> first_moment, std::span<const float> second_moment) {
  check(step >= 1, Exit::kUnexpected, "steps count from 1, not {}", step);
  check_range(range, {first_moment.size(), second_moment.size()}, false);
  const LambDirection direction{static_cast<float>(lamb.epsilon),
                                static_cast<float>(range.weight_decay)};
  const double corrected =
      lamb.bias_correction ? std::sqrt(correction(lamb.beta2, step)) / correction(lamb.beta1, step)
                           : 1;
  const auto minus_rate = static_cast<float>(-range.learning_rate * corrected * ratio);
  float* __restrict p = range.master.data();
  const float* __restrict m = first_moment.data();
  const float* __restrict v = second_moment.data();
  for_range("lamb_apply", range, [=](std::int64_t begin, std::int64_t end) {
#pragma omp simd
    for (std::int64_t i = begin; i < end; ++i) {
      p[i] = std::fma(minus_rate, direction(p[i], m[i], v[i]), p[i]);
    }
  });
}

}  // namespace trireme::kernels
