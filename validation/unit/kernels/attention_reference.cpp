#include "validation/unit/kernels/attention_reference.hpp"

#include <algorithm>
#include <cmath>

namespace trireme::kernels {
namespace {

std::size_t at(std::int64_t i) { return static_cast<std::size_t>(i); }

}  // namespace

/// Calls row(query offset, kv offset of position 0, first key, probabilities, factors, lse index,
/// lse) for every sample, head and position; offsets are in elements, kv rows kv_heads*head_dim
/// apart.
template <class Row>
void ReferenceAttention::each_row(const std::vector<double>& q, const std::vector<double>& k,
                                  const Row& row) const {
  const auto& s = shape;
  const double factor = scale != 0 ? scale : 1 / std::sqrt(static_cast<double>(s.head_dim));
  for (std::int64_t b = 0; b < s.batch; ++b)
    for (std::int64_t h = 0; h < s.heads; ++h)
      for (std::int64_t i = 0; i < s.seq; ++i) {
        const std::int64_t query = ((b * s.seq + i) * s.heads + h) * s.head_dim;
        const std::int64_t kv = (b * s.seq * s.kv_heads + h / (s.heads / s.kv_heads)) * s.head_dim;
        const std::int64_t first = starts.empty() ? 0 : starts[at(b * s.seq + i)];
        const std::int64_t last = causal ? i + 1 : s.seq;
        std::vector<double> p(at(last - first));
        std::vector<double> factors(p.size(), 1.0);
        double largest = -1e300;
        for (std::int64_t j = first; j < last; ++j) {
          double score = 0;
          for (std::int64_t c = 0; c < s.head_dim; ++c)
            score += q[at(query + c)] * k[at(kv + j * s.kv_heads * s.head_dim + c)];
          p[at(j - first)] = factor * score;
          largest = std::max(largest, factor * score);
          if (dropout.active())
            factors[at(j - first)] = dropout_keep(dropout, b, (h * s.seq + i) * s.seq + j)
                                         ? static_cast<double>(dropout.scale())
                                         : 0.0;
        }
        double total = 0;
        for (double& value : p) total += value = std::exp(value - largest);
        for (double& value : p) value /= total;
        row(query, kv, first, p, factors, (b * s.heads + h) * s.seq + i, largest + std::log(total));
      }
}

ReferenceAttention::Forward ReferenceAttention::forward(const std::vector<double>& q,
                                                        const std::vector<double>& k,
                                                        const std::vector<double>& v) const {
  Forward result{std::vector<double>(q.size()),
                 std::vector<double>(at(shape.tokens() * shape.heads))};
  const std::int64_t stride = shape.kv_heads * shape.head_dim;
  each_row(
      q, k, [&](auto query, auto kv, auto first, auto& p, auto& factors, auto lse_at, double lse) {
        result.lse[at(lse_at)] = lse;
        for (std::size_t j = 0; j < p.size(); ++j)
          for (std::int64_t c = 0; c < shape.head_dim; ++c)
            result.out[at(query + c)] +=
                p[j] * factors[j] * v[at(kv + (first + static_cast<std::int64_t>(j)) * stride + c)];
      });
  return result;
}

ReferenceAttention::Backward ReferenceAttention::backward(const std::vector<double>& q,
                                                          const std::vector<double>& k,
                                                          const std::vector<double>& v,
                                                          const std::vector<double>& dout) const {
  Backward g{std::vector<double>(q.size()), std::vector<double>(k.size()),
             std::vector<double>(v.size())};
  const std::int64_t stride = shape.kv_heads * shape.head_dim;
  const double factor = scale != 0 ? scale : 1 / std::sqrt(static_cast<double>(shape.head_dim));
  each_row(q, k, [&](auto query, auto kv, auto first, auto& p, auto& factors, auto, double) {
    std::vector<double> dp(p.size());
    double mean = 0;
    for (std::size_t j = 0; j < p.size(); ++j) {
      const auto row = kv + (first + static_cast<std::int64_t>(j)) * stride;
      for (std::int64_t c = 0; c < shape.head_dim; ++c) {
        dp[j] += factors[j] * dout[at(query + c)] * v[at(row + c)];
        g.dv[at(row + c)] += p[j] * factors[j] * dout[at(query + c)];
      }
      mean += p[j] * dp[j];
    }
    for (std::size_t j = 0; j < p.size(); ++j) {
      const auto row = kv + (first + static_cast<std::int64_t>(j)) * stride;
      const double ds = factor * p[j] * (dp[j] - mean);
      for (std::int64_t c = 0; c < shape.head_dim; ++c) {
        g.dq[at(query + c)] += ds * k[at(row + c)];
        g.dk[at(row + c)] += ds * q[at(query + c)];
      }
    }
  });
  return g;
}

}  // namespace trireme::kernels
