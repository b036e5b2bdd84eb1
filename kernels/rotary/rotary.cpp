#include "kernels/rotary/rotary.hpp"

#include "kernels/base/parallel.hpp"
#include "kernels/base/row_convert.hpp"
#include "kernels/device_kernels.hpp"

#include <cmath>
#include <utility>

namespace trireme::kernels {
namespace {

constexpr std::int64_t kRowsPerChunk = 16;

/// One head: (a, b) -> (a cos - b sin, b cos + a sin); sign -1 turns back.
template <class T>
void rotate_head(T* __restrict head, const float* __restrict cosine, const float* __restrict sine,
                 float sign, std::int64_t half) {
#pragma omp simd
  for (std::int64_t i = 0; i < half; ++i) {
    const auto a = static_cast<float>(head[i]);
    const auto b = static_cast<float>(head[i + half]);
    const float s = sign * sine[i];
    head[i] = T(a * cosine[i] - b * s);
    head[i + half] = T(b * cosine[i] + a * s);
  }
}

}  // namespace

RotaryTable::RotaryTable(std::int64_t max_positions, std::int64_t head_dim, double theta)
    : positions_(max_positions), head_dim_(head_dim) {
  check(max_positions > 0 && head_dim > 0 && head_dim % 2 == 0 && theta > 0, Exit::kUsage,
        "rotary embedding needs positions > 0, an even head_dim and theta > 0, found {}, {} and {}",
        max_positions, head_dim, theta);
  values_.resize(static_cast<std::size_t>(checked_multiply(max_positions, head_dim)));
  const std::int64_t half = head_dim / 2;
  for (std::int64_t i = 0; i < half; ++i) {
    const double frequency =
        std::pow(theta, -2.0 * static_cast<double>(i) / static_cast<double>(head_dim));
    for (std::int64_t p = 0; p < max_positions; ++p) {
      float* values = values_.data() + p * head_dim;
      values[i] = static_cast<float>(std::cos(static_cast<double>(p) * frequency));
      values[i + half] = static_cast<float>(std::sin(static_cast<double>(p) * frequency));
    }
  }
}

void RotaryTable::place_on_device() {
  auto memory = std::make_shared<DeviceMemory>(bytes());
  copy_bytes(memory->data(), values_.data(), bytes());
  current_stream().wait();
  device_ = std::move(memory);
}

void rotary(const TensorView& x, const RotaryTable& table, std::int64_t seq, Rotation rotation,
            const TensorView& positions) {
  const std::int64_t head_dim = table.head_dim();
  const std::int64_t heads = divide_exactly(x.width(), head_dim, "width of x", "head_dim");
  check(positions || (seq > 0 && seq <= table.max_positions()), Exit::kUnexpected,
        "a sequence of {} positions does not fit the rotary table of {}", seq,
        table.max_positions());
  if (positions) expect_shape(positions, {x.rows()}, "positions");
  if (on_device("rotary", {&x, &positions})) {
    check(table.device_values() != nullptr, Exit::kUnexpected,
          "rotary with device memory needs RotaryTable::place_on_device() first");
    return device_kernels().rotary(x, table, seq, rotation, positions);
  }
  const std::int32_t* position = positions ? positions.as<const std::int32_t>() : nullptr;
  const float sign = rotation == Rotation::forward ? 1.0f : -1.0f;
  with_storage_type(x.dtype, "x of rotary", [&]<class T>(T) {
    T* data = x.as<T>();
    for_rows("rotary", x.rows(), kRowsPerChunk, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t r = begin; r < end; ++r) {
        const float* cosine = table.row(position ? position[r] : r % seq);
        for (std::int64_t h = 0; h < heads; ++h)
          rotate_head(data + r * x.stride() + h * head_dim, cosine, cosine + head_dim / 2, sign,
                      head_dim / 2);
      }
    });
  });
}

}  // namespace trireme::kernels
