#pragma once
// Which of the files that are compiled for one instruction set each may run.

namespace trireme {

/// Whether loops for AVX-512 (F, BW, DQ, VL) run here: this CPU has it and ONEDNN_MAX_CPU_ISA,
/// which limits all dense products, does not exclude it. The same for the life of the process.
bool wide_loops();

}  // namespace trireme
