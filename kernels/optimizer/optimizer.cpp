#include "kernels/optimizer/optimizer.hpp"

#include "kernels/base/parallel.hpp"
#include "kernels/base/vector_math.hpp"
#include "kernels/device_kernels.hpp"
#include "kernels/elementwise/row_access.hpp"
#include "kernels/optimizer/formulas.hpp"

#include <algorithm>
#include <cmath>
#include <initializer_list>
#include <utility>

namespace trireme::kernels {
namespace {

constexpr std::int64_t kChunk = 16384;

/// Throws unless the ranges without decay lie in the range, in order and apart.
void check_undecayed(const UpdateRange& range) {
  std::int64_t end = 0;
  for (const Range& one : range.undecayed) {
    check(one.begin >= end && one.size() > 0, Exit::kUnexpected,
          "expected ranges without weight decay in order, found [{}, {}) behind {}", one.begin,
          one.end, end);
    end = one.end;
  }
  check(std::cmp_less_equal(end, range.master.size()), Exit::kUnexpected,
        "a range without weight decay ends at {} of {} weights", end, range.master.size());
}

/// Throws unless gradients (where they are read), moments and the 16-bit copy fit the weights.
void check_range(const UpdateRange& range, std::initializer_list<std::size_t> moments,
                 bool reads_gradient = true) {
  const std::size_t n = range.master.size();
  check(!reads_gradient || range.gradient.size() == n, Exit::kUnexpected,
        "{} gradients for {} weights", range.gradient.size(), n);
  for (const std::size_t size : moments)
    check(size == n, Exit::kUnexpected, "{} moments for {} weights", size, n);
  check_undecayed(range);
  const TensorView& copy = range.weights;
  if (!copy) return;
  check(copy.space == range.space, Exit::kUnexpected,
        "an update was called with host and device memory");
  const bool dense = copy.rows() == 1 || copy.stride() == copy.width();
  check(dense && std::cmp_equal(copy.elements(), n) &&
            (copy.dtype == DType::bf16 || copy.dtype == DType::f16 || copy.dtype == DType::f32),
        Exit::kUnexpected, "the weights {} {} do not fit {} masters", copy.shape.text(),
        name_of(copy.dtype), n);
}

/// LAMB's ranges are of one tensor, which decays or does not.
void expect_one_tensor(const UpdateRange& range) {
  check(range.undecayed.empty(), Exit::kUnexpected,
        "LAMB was called with {} ranges without weight decay", range.undecayed.size());
}

/// Runs update(begin, end) over `part` of the range in blocks that stay in the first cache, each
/// followed by the copy of its new weights in their own format.
template <class Update>
void for_part(const char* label, const UpdateRange& range, const Range& part,
              const Update& update) {
  constexpr std::int64_t kBlock = 1024;
  const float* master = range.master.data();
  const TensorView copy = range.weights;
  for_rows(label, part.size(), kChunk, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t first = part.begin + begin; first < part.begin + end; first += kBlock) {
      const std::int64_t last = std::min(first + kBlock, part.begin + end);
      update(first, last);
      if (copy && copy.dtype == DType::f32)
        std::copy(master + first, master + last, copy.as<float>() + first);
      else if (copy)
        finish_row(copy, 0, first, last - first, master + first);
    }
  });
}

Range all_of(const UpdateRange& range) { return {0, std::ssize(range.master)}; }

/// The same with update(step, begin, end): `step` itself, or without decay where none applies.
template <class Step, class Update>
void for_range(const char* label, const UpdateRange& range, const Step& step,
               const Update& update) {
  const Step plain = step.without_decay();
  const auto run = [&](const Range& part, const Step& its) {
    if (part.size() > 0)
      for_part(label, range, part,
               [&](std::int64_t begin, std::int64_t end) { update(its, begin, end); });
  };
  std::int64_t done = 0;
  for (const Range& undecayed : range.undecayed) {
    run({done, undecayed.begin}, step);
    run(undecayed, plain);
    done = undecayed.end;
  }
  run({done, all_of(range).end}, step);
}

}  // namespace

void adam_update(const Adam& adam, std::int64_t step, const UpdateRange& range,
                 std::span<float> first_moment, std::span<float> second_moment) {
  check(step >= 1, Exit::kUnexpected, "steps count from 1, not {}", step);
  check_range(range, {first_moment.size(), second_moment.size()});
  if (range.space == MemorySpace::device)
    return device_kernels().adam_update(adam, step, range, first_moment, second_moment);
  float* __restrict p = range.master.data();
  const float* __restrict g = range.gradient.data();
  float* __restrict m = first_moment.data();
  float* __restrict v = second_moment.data();
  for_range("adam", range, AdamStep(adam, step, range),
            [=](AdamStep update, std::int64_t begin, std::int64_t end) {
#pragma omp simd
              for (std::int64_t i = begin; i < end; ++i) update(p[i], g[i], m[i], v[i]);
            });
}

void sgd_update(const Sgd& sgd, std::int64_t step, const UpdateRange& range,
                std::span<float> momentum) {
  check(!sgd.nesterov || (sgd.momentum > 0 && sgd.dampening == 0), Exit::kUsage,
        "Nesterov momentum needs momentum > 0 and dampening 0, found {} and {}", sgd.momentum,
        sgd.dampening);
  const bool moving = sgd.momentum != 0;
  check_range(range, {moving ? momentum.size() : range.master.size()});
  if (range.space == MemorySpace::device)
    return device_kernels().sgd_update(sgd, step, range, momentum);
  float* __restrict p = range.master.data();
  const float* __restrict g = range.gradient.data();
  float* __restrict b = momentum.data();
  for_range("sgd", range, SgdStep(sgd, step, range),
            [=](SgdStep update, std::int64_t begin, std::int64_t end) {
              if (!moving) {
#pragma omp simd
                for (std::int64_t i = begin; i < end; ++i) update(p[i], g[i]);
                return;
              }
#pragma omp simd
              for (std::int64_t i = begin; i < end; ++i) update(p[i], g[i], b[i]);
            });
}

void lion_update(const Lion& lion, const UpdateRange& range, std::span<float> first_moment) {
  check_range(range, {first_moment.size()});
  if (range.space == MemorySpace::device)
    return device_kernels().lion_update(lion, range, first_moment);
  float* __restrict p = range.master.data();
  const float* __restrict g = range.gradient.data();
  float* __restrict m = first_moment.data();
  for_range("lion", range, LionStep(lion, range),
            [=](LionStep update, std::int64_t begin, std::int64_t end) {
#pragma omp simd
              for (std::int64_t i = begin; i < end; ++i) update(p[i], g[i], m[i]);
            });
}

void lamb_moments(const Lamb& lamb, const UpdateRange& range, std::span<float> first_moment,
                  std::span<float> second_moment, LambNorms* norms) {
  check_range(range, {first_moment.size(), second_moment.size()});
  expect_one_tensor(range);
  if (range.space == MemorySpace::device)
    return device_kernels().lamb_moments(lamb, range, first_moment, second_moment, norms);
  const LambStep update(lamb, range);
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
  const auto move = [=](std::int64_t begin, std::int64_t end) {
    constexpr std::int64_t kBlock = 1024;
    alignas(64) float u[kBlock];
    Sums sums;
    for (std::int64_t first = begin; first < end; first += kBlock) {
      const std::int64_t count = std::min(kBlock, end - first);
#pragma omp simd
      for (std::int64_t k = 0; k < count; ++k) {
        const std::int64_t i = first + k;
        u[k] = update(p[i], g[i], m[i], v[i]);
      }
      const auto square = [](double x) { return x * x; };
      sums.weights += lane_sum<double>(count, [&](std::int64_t k) { return square(p[first + k]); });
      sums.update += lane_sum<double>(count, [&](std::int64_t k) { return square(u[k]); });
    }
    return sums;
  };
  const Sums sums = sum_chunks<Sums>("lamb_moments", n, kChunk, move);
  if (!norms) return;
  norms->weights += sums.weights;
  norms->update += sums.update;
}

double lamb_ratio(const Lamb& lamb, const LambNorms& norms) {
  return LambFactor::ratio(norms, lamb.min_coefficient, lamb.max_coefficient);
}

void lamb_apply(const Lamb& lamb, std::int64_t step, const LambNorms* norms,
                const UpdateRange& range, std::span<const float> first_moment,
                std::span<const float> second_moment) {
  check(step >= 1, Exit::kUnexpected, "steps count from 1, not {}", step);
  check_range(range, {first_moment.size(), second_moment.size()}, false);
  expect_one_tensor(range);
  if (range.space == MemorySpace::device)
    return device_kernels().lamb_apply(lamb, step, norms, range, first_moment, second_moment);
  const LambStep update(lamb, range);
  const float factor = LambFactor(lamb, step, range)(*norms);
  float* __restrict p = range.master.data();
  const float* __restrict m = first_moment.data();
  const float* __restrict v = second_moment.data();
  for_part("lamb_apply", range, all_of(range), [=](std::int64_t begin, std::int64_t end) {
#pragma omp simd
    for (std::int64_t i = begin; i < end; ++i)
      p[i] = std::fma(factor, update.direction(p[i], m[i], v[i]), p[i]);
  });
}

}  // namespace trireme::kernels
