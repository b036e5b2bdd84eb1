// Compiled for AVX-512: raw pointers and internal linkage only.

#include "kernels/elementwise/row_store.hpp"

#include "kernels/base/row_convert.hpp"

namespace trireme::kernels {

void store_row_avx512(const float* source, BFloat16* out, std::int64_t count) {
  store_row(source, out, count);
}

}  // namespace trireme::kernels
