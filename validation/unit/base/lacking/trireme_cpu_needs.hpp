#pragma once
// What the build writes, for a CPU that has never existed: Xeon Phi's instructions and Zen's.
static const char kBuiltFor[] = "a-test";
static const char* missing_instructions() {
  if (!__builtin_cpu_supports("avx512er") || !__builtin_cpu_supports("sse4a")) return "avx512er";
  return nullptr;
}
