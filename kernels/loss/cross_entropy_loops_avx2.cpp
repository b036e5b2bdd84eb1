#include "kernels/loss/cross_entropy_loops_any.hpp"

namespace trireme::kernels {

const CrossEntropyLoops& cross_entropy_loops_avx2() { return kLoops; }

}  // namespace trireme::kernels
