#include "kernels/embedding/embedding.hpp"

#include "kernels/base/parallel.hpp"
#include "kernels/device_kernels.hpp"
#include "kernels/elementwise/elementwise.hpp"
#include "kernels/elementwise/row_access.hpp"

#include <algorithm>
#include <cmath>

namespace trireme::kernels {

void embedding_forward(const TensorView& ids, const TensorView& table, std::int64_t first_row,
                       const TensorView& out) {
  const std::int64_t tokens = out.rows();
  const std::int64_t width = out.width();
  expect_ids(ids, tokens, "token ids");
  expect_floating(table, "an embedding table");
  expect_floating(out, "an embedding's output");
  check(table.width() == width, Exit::kUnexpected, "a table {} does not fit an output {}",
        table.shape.text(), out.shape.text());
  if (on_device("embedding_forward", {&ids, &table, &out}))
    return device_kernels().embedding_forward(ids, table, first_row, out);
  const auto* id = static_cast<const std::int32_t*>(ids.data);
  const std::int64_t rows = table.rows();
  for_rows("embedding", tokens, row_grain(width), [&](std::int64_t begin, std::int64_t end) {
    ScratchFrame frame;
    float* buffer = frame.take<float>(width);
    for (std::int64_t token = begin; token < end; ++token) {
      const std::int64_t row = id[token] - first_row;
      float* to = row_target(out, token, 0, buffer);
      if (row < 0 || row >= rows) {
        std::fill(to, to + width, 0.0f);
      } else {
        const float* from = read_row(table, row, 0, width, to);
        if (from != to) std::copy(from, from + width, to);
      }
      finish_row(out, token, 0, width, buffer);
    }
  });
}

void add_positions(const TensorView& x, const TensorView& positions, const TensorView& table,
                   const RowDropout& dropout, const TensorView& out) {
  if (!table) return apply_dropout(x, dropout, out);
  const std::int64_t tokens = x.rows();
  const std::int64_t width = x.width();
  expect_floating(x, "an embedding");
  expect_like(out, x, "the sum of embeddings");
  expect_floating(table, "a table of positions");
  expect_ids(positions, tokens, "positions");
  check_dropout(dropout, tokens);
  check(table.width() == width, Exit::kUnexpected, "a table {} does not fit activations {}",
        table.shape.text(), x.shape.text());
  if (on_device("add_positions", {&x, &positions, &table, &out}))
    return device_kernels().add_positions(x, positions, table, dropout, out);
  const auto* id = static_cast<const std::int32_t*>(positions.data);
  for (std::int64_t token = 0; token < tokens; ++token)
    check(id[token] >= 0 && id[token] < table.rows(), Exit::kUnexpected,
          "position {} of token {} lies outside the table's {} rows", id[token], token,
          table.rows());
  for_rows("add_positions", tokens, row_grain(width), [&](std::int64_t begin, std::int64_t end) {
    ScratchFrame frame;
    float* sum = frame.take<float>(3 * width);
    float* position = sum + width;
    float* factors = sum + 2 * width;
    std::fill(factors, factors + width, 1.0f);
    for (std::int64_t token = begin; token < end; ++token) {
      const float* a = read_row(x, token, 0, width, sum);
      const float* b = read_row(table, id[token], 0, width, position);
      float* to = row_target(out, token, 0, sum);
      if (dropout.active()) dropout.factors(token, width, factors);
#pragma omp simd
      for (std::int64_t c = 0; c < width; ++c) to[c] = (a[c] + b[c]) * factors[c];
      finish_row(out, token, 0, width, sum);
    }
  });
}

void embedding_backward(const TensorView& ids, const TensorView& d_out, std::int64_t first_row,
                        const TensorView& d_table, bool accumulate) {
  const std::int64_t tokens = d_out.rows();
  const std::int64_t width = d_out.width();
  const std::int64_t rows = d_table.rows();
  expect_ids(ids, tokens, "token ids");
  expect_floating(d_out, "the gradient of an embedding");
  expect_floats(d_table, rows * width, "the gradient of a table");
  if (on_device("embedding_backward", {&ids, &d_out, &d_table}))
    return device_kernels().embedding_backward(ids, d_out, first_row, d_table, accumulate);
  if (!accumulate) fill(d_table, 0);
  const auto* id = static_cast<const std::int32_t*>(ids.data);
  auto* table = static_cast<float*>(d_table.data);
  // A thread owns columns, not tokens: rows that many tokens share need no order between threads.
  for_rows("embedding_backward", width, 64, [&](std::int64_t begin, std::int64_t end) {
    alignas(64) float buffer[64];
    for (std::int64_t token = 0; token < tokens; ++token) {
      const std::int64_t row = id[token] - first_row;
      if (row < 0 || row >= rows) continue;
      const float* __restrict from = read_row(d_out, token, begin, end - begin, buffer);
      float* __restrict to = table + row * width + begin;
#pragma omp simd
      for (std::int64_t c = 0; c < end - begin; ++c) to[c] += from[c];
    }
  });
}

}  // namespace trireme::kernels
