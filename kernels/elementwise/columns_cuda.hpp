#pragma once
// Sums over rows in device memory, as join_columns of row_access.hpp. Private to kernels/.

#include <cstdint>

namespace trireme::kernels {

/// The parts in which device kernels sum over `rows` rows: at most 256, none shorter than 16 rows
/// (but the last), bounds that follow from `rows` alone.
struct DeviceRowParts {
  explicit DeviceRowParts(std::int64_t rows)
      : size((rows + 255) / 256 > 16 ? (rows + 255) / 256 : 16), count((rows + size - 1) / size) {}
  std::int64_t size;
  std::int64_t count;
};

/// out[c] (+)= sum over parts of partial[part * stride + c], c in [0, width), in order of parts.
/// All in device memory, in the current stream.
void join_device_columns(const float* partial, std::int64_t parts, std::int64_t stride,
                         std::int64_t width, float* out, bool accumulate);

}  // namespace trireme::kernels
