// A libcuda.so.1 that answers what the environment says, for the CUDA runtime of a program whose
// LD_LIBRARY_PATH has it first: TRIREME_DRIVER_VERSION is the newest interface that it knows
// (13000), TRIREME_DRIVER_ANSWER the status with which it starts.

#include <cstdlib>
#include <cstring>

namespace {

int number(const char* name, int otherwise) {
  const char* text = std::getenv(name);
  return text ? std::atoi(text) : otherwise;
}

constexpr int kNotSupported = 801;  // CUDA_ERROR_NOT_SUPPORTED

int refuse() { return kNotSupported; }

}  // namespace

extern "C" {

int cuDriverGetVersion(int* version) {
  *version = number("TRIREME_DRIVER_VERSION", 13000);
  return 0;
}

int cuInit(unsigned) { return number("TRIREME_DRIVER_ANSWER", 0); }

/// Where the runtime asks for all other functions: there are none that work.
int cuGetProcAddress_v2(const char* name, void** function, int, unsigned long, int* found) {
  const auto is = [&](const char* other) { return std::strcmp(name, other) == 0; };
  *function = reinterpret_cast<void*>(&refuse);
  if (is("cuDriverGetVersion")) *function = reinterpret_cast<void*>(&cuDriverGetVersion);
  if (is("cuInit")) *function = reinterpret_cast<void*>(&cuInit);
  if (is("cuGetProcAddress")) *function = reinterpret_cast<void*>(&cuGetProcAddress_v2);
  if (found) *found = 0;
  return 0;
}

}  // extern "C"
