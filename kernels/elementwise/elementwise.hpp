#pragma once
// Passes over memory that belong to no particular layer: conversion, sums, scaling, reductions.
//
// Views are host memory of f32, bf16 or f16 unless a function says otherwise, [rows, width] with
// an optional row stride (every rank of shape is read as rows() x width()). Arithmetic is fp32.
// Calls return when the work is done. Results are the same bits whatever the number of threads:
// sums run over parts whose bounds follow from the shape alone and are added in order.
// A shape, dtype or space that does not fit is a bug report (Exit::kUnexpected).

#include "kernels/base/tensor_view.hpp"

#include <cstdint>

namespace trireme::kernels {

/// target <- source, rounded to the target's dtype (to nearest, ties to even). Equal shapes; both
/// may be strided, so this is also the copy of 2-D slices. Equal dtypes of any kind (integers too)
/// are copied byte for byte. The views do not overlap.
void copy(const TensorView& source, const TensorView& target);

/// x <- value, floating dtypes. fill(x, 0) also clears integer views.
void fill(const TensorView& x, float value);

/// x <- factor * x.
void scale(const TensorView& x, float factor);

/// out <- a + b, equal shapes, any mix of floating dtypes; out may be a or b.
void add(const TensorView& a, const TensorView& b, const TensorView& out);

/// target <- target + factor * source (one rounding in fp32, then to the target's dtype).
void add_scaled(const TensorView& source, float factor, const TensorView& target);

/// Sum of x^2 in fp64, exact products, fixed order of summation.
double sum_of_squares(const TensorView& x);

/// How many elements are NaN or infinite.
std::int64_t count_non_finite(const TensorView& x);

/// out [width], f32: sum over rows of x, added to what is there when `accumulate`; the gradient of
/// a bias.
void column_sums(const TensorView& x, const TensorView& out, bool accumulate);

// Device memory that a call works in, bytes; on the host none, and the other calls none either.

/// sum_of_squares() and count_non_finite().
inline constexpr std::int64_t kSumWorkspace = 8192;
/// column_sums() of x [rows, width].
std::int64_t column_sums_workspace(std::int64_t rows, std::int64_t width);

}  // namespace trireme::kernels
