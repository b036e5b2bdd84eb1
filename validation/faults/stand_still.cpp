// Loaded before HDF5 into the ranks of the test stands_still: one of them stands still, or is slow,
// when it opens the state of a checkpoint. STAND_STILL="WHEN RANK SECONDS": WHEN is save or load;
// without SECONDS it stops until it is killed.

#include <dlfcn.h>
#include <signal.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <sstream>
#include <string>

// As HDF5 1.10 and later declare it; its header would make every program that loads this one need
// HDF5.
using hid_t = std::int64_t;
constexpr unsigned kReadWrite = 1;  // H5F_ACC_RDWR

extern "C" hid_t H5Fopen(const char* name, unsigned flags, hid_t access);

extern "C" hid_t H5Fopen(const char* name, unsigned flags, hid_t access) {
  static const auto real = reinterpret_cast<decltype(&H5Fopen)>(dlsym(RTLD_NEXT, "H5Fopen"));
  const char* wish = std::getenv("STAND_STILL");
  const char* rank = std::getenv("OMPI_COMM_WORLD_RANK");
  std::string when;
  std::string who;
  unsigned seconds = 0;
  std::istringstream(wish ? wish : "") >> when >> who >> seconds;
  const bool saves = (flags & kReadWrite) != 0;
  const bool state = std::string(name).find("/checkpoints/") != std::string::npos;
  if (state && rank && who == rank && when == (saves ? "save" : "load")) {
    if (seconds > 0) {
      sleep(seconds);
    } else {
      raise(SIGSTOP);
    }
  }
  return real(name, flags, access);
}
