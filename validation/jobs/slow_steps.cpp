// Loaded before the C library and HDF5 into the ranks of a job, so that tests can act at a known
// moment of a run on any machine: SLOW_STEPS=MILLISECONDS is added to each step (where rank 0
// writes its line), SLOW_SAVES=MILLISECONDS to each checkpoint (where ranks open its state),
// SLOW_SENDS=MILLISECONDS to each message between nodes.

#include <dlfcn.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <string>

using hid_t = std::int64_t;         // as HDF5 declares it
constexpr unsigned kReadWrite = 1;  // H5F_ACC_RDWR

namespace {
void wait_for(const char* name) {
  if (const char* milliseconds = std::getenv(name))
    usleep(1000u * static_cast<unsigned>(std::atoi(milliseconds)));
}
}  // namespace

extern "C" ssize_t write(int file, const void* bytes, std::size_t size) {
  static const auto real = reinterpret_cast<decltype(&write)>(dlsym(RTLD_NEXT, "write"));
  constexpr char kStep[] = "{\"step\":";
  if (size > sizeof(kStep) && std::memcmp(bytes, kStep, sizeof(kStep) - 1) == 0)
    wait_for("SLOW_STEPS");
  return real(file, bytes, size);
}

// Open MPI's handles are pointers.
extern "C" int MPI_Isend(const void* data, int count, void* type, int to, int tag, void* comm,
                         void** request);
extern "C" int MPI_Isend(const void* data, int count, void* type, int to, int tag, void* comm,
                         void** request) {
  static const auto real = reinterpret_cast<decltype(&MPI_Isend)>(dlsym(RTLD_NEXT, "MPI_Isend"));
  wait_for("SLOW_SENDS");
  return real(data, count, type, to, tag, comm, request);
}

extern "C" hid_t H5Fopen(const char* name, unsigned flags, hid_t access);
extern "C" hid_t H5Fopen(const char* name, unsigned flags, hid_t access) {
  static const auto real = reinterpret_cast<decltype(&H5Fopen)>(dlsym(RTLD_NEXT, "H5Fopen"));
  const bool saves = (flags & kReadWrite) != 0;
  if (saves && std::string(name).find("/checkpoints/") != std::string::npos) wait_for("SLOW_SAVES");
  return real(name, flags, access);
}
