// Compiled for AVX-512: raw pointers and internal linkage only.

#include "kernels/attention/attention_loops_any.hpp"

namespace trireme::kernels::attention {

const RowLoops& row_loops_avx512() { return kLoops; }

}  // namespace trireme::kernels::attention
