// Loaded before the C library into the ranks of the test stands_still: one of them stands still, or
// is slow, when it has opened the state of a checkpoint and is about to move its bytes (it asks for
// the file system then). STAND_STILL="WHEN RANK SECONDS": WHEN is save or load; without SECONDS it
// stops until it is killed.

#include <dlfcn.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <sstream>
#include <string>

extern "C" int fstatfs(int descriptor, struct statfs* about) noexcept {
  static const auto real = reinterpret_cast<decltype(&fstatfs)>(dlsym(RTLD_NEXT, "fstatfs"));
  const char* wish = std::getenv("STAND_STILL");
  const char* rank = std::getenv("OMPI_COMM_WORLD_RANK");
  std::string when;
  std::string who;
  unsigned seconds = 0;
  std::istringstream(wish ? wish : "") >> when >> who >> seconds;
  std::error_code ignored;
  const std::string file =
      std::filesystem::read_symlink("/proc/self/fd/" + std::to_string(descriptor), ignored);
  const bool saves = (fcntl(descriptor, F_GETFL) & O_ACCMODE) != O_RDONLY;
  const bool state = file.find("/checkpoints/") != std::string::npos;
  if (state && rank && who == rank && when == (saves ? "save" : "load")) {
    if (seconds > 0) {
      sleep(seconds);
    } else {
      raise(SIGSTOP);
    }
  }
  return real(descriptor, about);
}
