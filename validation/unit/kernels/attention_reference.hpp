#pragma once
// Attention as the textbook writes it, in float64 with the whole score matrix.

#include "kernels/attention/attention.hpp"

#include <cstdint>
#include <vector>

namespace trireme::kernels {

/// q, k, v, out: [batch, seq, heads or kv_heads, head_dim]; lse [batch, heads, seq].
struct ReferenceAttention {
  AttentionShape shape;
  double scale = 0;                  ///< 0 = 1 / sqrt(head_dim)
  std::vector<std::int32_t> starts;  ///< empty = one document
  DropoutKey dropout;
  bool causal = true;  ///< false plants a fault: everyone sees everything

  struct Forward {
    std::vector<double> out;
    std::vector<double> lse;
  };
  struct Backward {
    std::vector<double> dq, dk, dv;
  };
  Forward forward(const std::vector<double>& q, const std::vector<double>& k,
                  const std::vector<double>& v) const;
  Backward backward(const std::vector<double>& q, const std::vector<double>& k,
                    const std::vector<double>& v, const std::vector<double>& dout) const;

 private:
  template <class Row>
  void each_row(const std::vector<double>& q, const std::vector<double>& k, const Row& row) const;
};

}  // namespace trireme::kernels
