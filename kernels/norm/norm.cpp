#include "kernels/norm/norm.hpp"

#include "kernels/base/parallel.hpp"
#include "kernels/base/vector_math.hpp"
#include "kernels/device_kernels.hpp"
#include "kernels/elementwise/row_access.hpp"
#include "kernels/norm/norm_parts.hpp"

#include <algorithm>
#include <cmath>

namespace trireme::kernels {
namespace {

/// The arguments of a norm as the loops want them: parameters in fp32, statistics as pointers.
struct Plan {
  std::int64_t width;
  std::int64_t group;
  std::int64_t groups;
  bool centred;  ///< LayerNorm
  float epsilon;
  const float* gamma;
  const float* beta;
  float* mean;
  float* rstd;
};

void check_norm(const Norm& norm, const TensorView& x, const NormStatistics& saved) {
  expect_floating(x, "a norm's input");
  expect_floating(norm.gamma, "gamma");
  const std::int64_t group = norm.gamma.elements();
  check(group > 0 && x.width() % group == 0, Exit::kUnexpected,
        "gamma of {} elements does not fit a norm over {} columns", group, x.width());
  const std::int64_t groups = x.width() / group;
  expect_floats(saved.rstd, x.rows() * groups, "rstd");
  if (norm.kind != NormKind::layer) return;
  expect_floating(norm.beta, "beta");
  check(norm.beta.elements() == group, Exit::kUnexpected, "beta has {} elements, gamma {}",
        norm.beta.elements(), group);
  expect_floats(saved.mean, x.rows() * groups, "mean");
}

void check_residual(const Residual& residual, const TensorView& x, const TensorView& out) {
  expect_floating(x, "a residual stream");
  expect_like(residual.delta, x, "a residual's addend");
  expect_like(out, x, "a residual's sum");
  check_dropout(residual.dropout, x.rows());
  if (!residual.bias) return;
  expect_floating(residual.bias, "a residual's bias");
  check(residual.bias.elements() == x.width(), Exit::kUnexpected,
        "a bias of {} elements does not fit {} columns", residual.bias.elements(), x.width());
}

/// Converts gamma and beta into memory of `frame`.
Plan plan(const Norm& norm, const TensorView& x, const NormStatistics& saved, ScratchFrame& frame) {
  const bool centred = norm.kind == NormKind::layer;
  const std::int64_t group = norm.gamma.elements();
  Plan p{x.width(), group,        x.width() / group,
         centred,   norm.epsilon, nullptr,
         nullptr,   nullptr,      static_cast<float*>(saved.rstd.data)};
  p.gamma = read_row(norm.gamma, 0, 0, group, frame.take<float>(group));
  if (centred) {
    p.beta = read_row(norm.beta, 0, 0, group, frame.take<float>(group));
    p.mean = static_cast<float*>(saved.mean.data);
  }
  return p;
}

/// y <- norm(x) for one row, statistics saved; y may be x.
void norm_row(const Plan& p, std::int64_t row, const float* x, float* y) {
  const auto n = static_cast<float>(p.group);
  for (std::int64_t k = 0; k < p.groups; ++k, x += p.group, y += p.group) {
    float mean = 0;
    if (p.centred) mean = lane_sum<float>(p.group, [=](std::int64_t i) { return x[i]; }) / n;
    const float square = lane_sum<float>(p.group, [=](std::int64_t i) {
      const float centred = x[i] - mean;
      return centred * centred;
    });
    const float rstd = 1.0f / std::sqrt(square / n + p.epsilon);
    p.rstd[row * p.groups + k] = rstd;
    if (p.centred) {
      p.mean[row * p.groups + k] = mean;
#pragma omp simd
      for (std::int64_t i = 0; i < p.group; ++i)
        y[i] = std::fma((x[i] - mean) * rstd, p.gamma[i], p.beta[i]);
    } else {
#pragma omp simd
      for (std::int64_t i = 0; i < p.group; ++i) y[i] = x[i] * rstd * p.gamma[i];
    }
  }
}

/// dx <- (skip +) gradient of one row's groups; sums of gamma's and beta's gradients grow.
void backward_row(const Plan& p, std::int64_t row, const float* x, const float* dy,
                  const float* skip, float* dx, float* d_gamma, float* d_beta) {
  const auto n = static_cast<float>(p.group);
  const float* gamma = p.gamma;
  for (std::int64_t k = 0; k < p.groups; ++k) {
    const float rstd = p.rstd[row * p.groups + k];
    const float mean = p.centred ? p.mean[row * p.groups + k] : 0.0f;
    // Means of g and g n, with n = (x - mean) rstd; an RMSNorm has no mean to differentiate.
    const float first =
        p.centred ? lane_sum<float>(p.group, [=](std::int64_t i) { return dy[i] * gamma[i]; }) / n
                  : 0.0f;
    const float second =
        lane_sum<float>(p.group,
                        [=](std::int64_t i) { return dy[i] * gamma[i] * ((x[i] - mean) * rstd); }) /
        n;
    if (d_gamma) {
#pragma omp simd
      for (std::int64_t i = 0; i < p.group; ++i)
        d_gamma[i] = std::fma(dy[i], (x[i] - mean) * rstd, d_gamma[i]);
    }
    if (d_beta) {
#pragma omp simd
      for (std::int64_t i = 0; i < p.group; ++i) d_beta[i] += dy[i];
    }
    const auto slope = [=](std::int64_t i) {
      const float g = std::fma(dy[i], gamma[i], -first);
      return std::fma(-((x[i] - mean) * rstd), second, g) * rstd;
    };
    if (skip) {
#pragma omp simd
      for (std::int64_t i = 0; i < p.group; ++i) dx[i] = skip[i] + slope(i);
      skip += p.group;
    } else {
#pragma omp simd
      for (std::int64_t i = 0; i < p.group; ++i) dx[i] = slope(i);
    }
    x += p.group;
    dy += p.group;
    dx += p.group;
  }
}

/// Adds one row of a residual: out = x + dropout(delta + bias), rounded to out's dtype.
class ResidualRows {
 public:
  ResidualRows(const Residual& residual, const TensorView& x, const TensorView& out,
               ScratchFrame& frame)
      : residual_(residual), x_(x), out_(out) {
    if (!residual.bias) return;
    bias_ = read_row(residual.bias, 0, 0, x.width(), frame.take<float>(x.width()));
  }

  /// Writes the row and returns the sum as the next layer reads it, in out or in `sum`. The three
  /// buffers hold a row each.
  const float* add(std::int64_t row, float* sum, float* delta, float* factors) const {
    const std::int64_t width = x_.width();
    const float* d = read_row(residual_.delta, row, 0, width, delta);
    const float* a = read_row(x_, row, 0, width, sum);
    float* to = row_target(out_, row, 0, sum);
    const float* b = bias_;
    if (residual_.dropout.active()) {
      residual_.dropout.factors(row, width, factors);
      const auto biased = [=](std::int64_t i) { return b ? d[i] + b[i] : d[i]; };
#pragma omp simd
      for (std::int64_t i = 0; i < width; ++i) to[i] = std::fma(biased(i), factors[i], a[i]);
    } else if (b) {
#pragma omp simd
      for (std::int64_t i = 0; i < width; ++i) to[i] = a[i] + (d[i] + b[i]);
    } else {
#pragma omp simd
      for (std::int64_t i = 0; i < width; ++i) to[i] = a[i] + d[i];
    }
    finish_row(out_, row, 0, width, sum);
    return read_row(out_, row, 0, width, sum);
  }

 private:
  const Residual& residual_;
  const TensorView& x_;
  const TensorView& out_;
  const float* bias_ = nullptr;
};

}  // namespace

void norm_forward(const Norm& norm, const TensorView& x, const TensorView& y,
                  const NormStatistics& saved) {
  check_norm(norm, x, saved);
  expect_like(y, x, "a norm's output");
  if (on_device("norm_forward", {&norm.gamma, &norm.beta, &x, &y, &saved.mean, &saved.rstd}))
    return device_kernels().norm_forward(norm, x, y, saved);
  ScratchFrame frame;
  const Plan p = plan(norm, x, saved, frame);
  for_rows("norm_forward", x.rows(), row_grain(p.width), [&](std::int64_t begin, std::int64_t end) {
    ScratchFrame own;
    float* buffer = own.take<float>(p.width);
    for (std::int64_t row = begin; row < end; ++row) {
      const float* in = read_row(x, row, 0, p.width, buffer);
      norm_row(p, row, in, row_target(y, row, 0, buffer));
      finish_row(y, row, 0, p.width, buffer);
    }
  });
}

void residual_forward(const Residual& residual, const TensorView& x, const TensorView& out) {
  check_residual(residual, x, out);
  if (on_device("residual_forward", {&residual.delta, &residual.bias, &x, &out}))
    return device_kernels().residual_forward(residual, x, out);
  ScratchFrame frame;
  const ResidualRows rows(residual, x, out, frame);
  const std::int64_t width = x.width();
  for_rows("residual", x.rows(), row_grain(width), [&](std::int64_t begin, std::int64_t end) {
    ScratchFrame own;
    float* sum = own.take<float>(3 * width);
    for (std::int64_t row = begin; row < end; ++row)
      rows.add(row, sum, sum + width, sum + 2 * width);
  });
}

void residual_norm_forward(const Norm& norm, const Residual& residual, const TensorView& x,
                           const TensorView& out, const TensorView& y,
                           const NormStatistics& saved) {
  check_norm(norm, out, saved);
  check_residual(residual, x, out);
  expect_like(y, x, "a norm's output");
  if (on_device("residual_norm_forward", {&norm.gamma, &norm.beta, &residual.delta, &residual.bias,
                                          &x, &out, &y, &saved.mean, &saved.rstd}))
    return device_kernels().residual_norm_forward(norm, residual, x, out, y, saved);
  ScratchFrame frame;
  const Plan p = plan(norm, out, saved, frame);
  const ResidualRows rows(residual, x, out, frame);
  const auto run = [&](std::int64_t begin, std::int64_t end) {
    ScratchFrame own;
    float* sum = own.take<float>(3 * p.width);
    for (std::int64_t row = begin; row < end; ++row) {
      const float* in = rows.add(row, sum, sum + p.width, sum + 2 * p.width);
      norm_row(p, row, in, row_target(y, row, 0, sum));
      finish_row(y, row, 0, p.width, sum);
    }
  };
  for_rows("residual_norm", x.rows(), row_grain(p.width), run);
}

void norm_backward(const Norm& norm, const TensorView& x, const TensorView& dy,
                   const NormStatistics& saved, const TensorView& skip, const TensorView& dx,
                   const NormGradients& gradients) {
  check_norm(norm, x, saved);
  expect_like(dy, x, "the gradient of a norm's output");
  expect_like(dx, x, "the gradient of a norm's input");
  if (skip) expect_like(skip, x, "the gradient past a norm");
  const std::int64_t group = norm.gamma.elements();
  if (gradients.gamma) expect_floats(gradients.gamma, group, "the gradient of gamma");
  if (gradients.beta) expect_floats(gradients.beta, group, "the gradient of beta");
  if (on_device("norm_backward", {&norm.gamma, &norm.beta, &x, &dy, &saved.mean, &saved.rstd, &skip,
                                  &dx, &gradients.gamma, &gradients.beta}))
    return device_kernels().norm_backward(norm, x, dy, saved, skip, dx, gradients);
  ScratchFrame frame;
  const Plan p = plan(norm, x, saved, frame);
  const RowParts parts(x.rows());
  float* partial = frame.take<float>(parts.count * 2 * p.group);
  const auto run = [&](std::int64_t part, std::int64_t begin, std::int64_t end) {
    ScratchFrame own;
    float* buffer = own.take<float>(3 * p.width);
    float* d_gamma = partial + part * 2 * p.group;
    float* d_beta = d_gamma + p.group;
    std::fill(d_gamma, d_gamma + 2 * p.group, 0.0f);
    for (std::int64_t row = begin; row < end; ++row) {
      const float* in = read_row(x, row, 0, p.width, buffer);
      const float* d_out = read_row(dy, row, 0, p.width, buffer + p.width);
      const float* past = skip ? read_row(skip, row, 0, p.width, buffer + 2 * p.width) : nullptr;
      float* d_in = row_target(dx, row, 0, buffer);
      backward_row(p, row, in, d_out, past, d_in, gradients.gamma ? d_gamma : nullptr,
                   gradients.beta ? d_beta : nullptr);
      finish_row(dx, row, 0, p.width, buffer);
    }
  };
  for_chunks("norm_backward", x.rows(), parts.size, run);
  const auto join = [&](const TensorView& out, const float* from) {
    if (out)
      join_columns(from, parts.count, 2 * p.group, p.group, static_cast<float*>(out.data),
                   gradients.accumulate);
  };
  join(gradients.gamma, partial);
  join(gradients.beta, partial + p.group);
}

std::int64_t norm_backward_workspace(std::int64_t groups, std::int64_t group) {
  return DeviceNormParts(groups, group).count * 2 * group *
         static_cast<std::int64_t>(sizeof(float));
}

}  // namespace trireme::kernels
