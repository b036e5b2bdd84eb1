// Loaded before the C library into the ranks of a job, so that tests can act at a known
// moment of a run on any machine: SLOW_STEPS=MILLISECONDS is added to each step (where rank 0
// writes its line), SLOW_SAVES=MILLISECONDS to each checkpoint (where a rank has opened its state
// and asks for the file system), SLOW_SENDS=MILLISECONDS to each message between nodes.

#include <dlfcn.h>
#include <fcntl.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <string>

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

extern "C" int fstatfs(int descriptor, struct statfs* about) noexcept {
  static const auto real = reinterpret_cast<decltype(&fstatfs)>(dlsym(RTLD_NEXT, "fstatfs"));
  std::error_code ignored;
  const std::string file =
      std::filesystem::read_symlink("/proc/self/fd/" + std::to_string(descriptor), ignored);
  const bool saves = (fcntl(descriptor, F_GETFL) & O_ACCMODE) != O_RDONLY;
  if (saves && file.find("/checkpoints/") != std::string::npos) wait_for("SLOW_SAVES");
  return real(descriptor, about);
}
