// Compiled for AVX-512: raw pointers and internal linkage only.

#include "kernels/activation/activation_loops_any.hpp"

namespace trireme::kernels {

ActivationLoops activation_loops_avx512(Activation kind) { return loops_of(kind); }
SwigluLoops swiglu_loops_avx512() { return {swiglu, swiglu_slopes}; }

}  // namespace trireme::kernels
