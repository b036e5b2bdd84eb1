#include "kernels/attention/attention_loops_any.hpp"

namespace trireme::kernels::attention {

const RowLoops& row_loops_avx2() { return kLoops; }

}  // namespace trireme::kernels::attention
