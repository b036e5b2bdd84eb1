// A program with the CPU guard: prints what it was built for, if it gets so far.

#include "kernels/base/cpu_guard.hpp"

#include <cstdio>

int main() { std::printf("runs, built for %s\n", trireme::built_for()); }
