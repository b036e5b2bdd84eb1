#pragma once
// The error that host and device share. Private to kernels/loss.

#include <cstdint>

namespace trireme::kernels {

/// Throws Exit::kFile unless no target lies outside the vocabulary.
void expect_targets(std::int64_t outside, std::int64_t vocabulary);

}  // namespace trireme::kernels
