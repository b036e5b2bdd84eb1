// Compiled for AVX-512: raw pointers and internal linkage only.

#include "kernels/loss/cross_entropy_loops_any.hpp"

namespace trireme::kernels {

const CrossEntropyLoops& cross_entropy_loops_avx512() { return kLoops; }

}  // namespace trireme::kernels
