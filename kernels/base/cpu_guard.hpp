#pragma once
// Ends a program before main, with words and Exit::kUsage, on a CPU that lacks instructions the
// program was compiled for; without it the program would die of SIGILL somewhere later. A program
// that refers to built_for() has the guard.

namespace trireme {

/// The build's TRIREME_ARCH: "x86-64-v3", "native".
const char* built_for();

}  // namespace trireme
