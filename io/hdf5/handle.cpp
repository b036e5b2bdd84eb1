#include "io/hdf5/handle.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <vector>

namespace trireme::io {
namespace {

std::recursive_mutex& library_mutex() {
  static std::recursive_mutex mutex;
  return mutex;
}

herr_t append_error(unsigned, const H5E_error2_t* error, void* lines) {
  static_cast<std::vector<std::string>*>(lines)->push_back(fmt::format(
      "{}: {}", error->func_name ? error->func_name : "?", error->desc ? error->desc : "?"));
  return 0;
}

/// Keeps HDF5 from tidying up at the end of the process: a file whose close failed (a full disk)
/// stays in its tables as a dangling entry, and the tidying would crash on it instead of letting
/// the program end with its exit code. HDF5 hooks itself into MPI_Finalize when it starts after
/// MPI_Init, so it is started before main. All our files are closed by their owners.
const bool g_no_tidying = [] {
  H5dont_atexit();
  H5open();
  return true;
}();

}  // namespace

Hdf5Lock::Hdf5Lock() : lock_(library_mutex()) {
  // A thread-safe build keeps one error stack a thread, so each thread says it once.
  thread_local const bool silenced = [] {
    H5Eset_auto2(H5E_DEFAULT, nullptr, nullptr);
    return true;
  }();
  (void)silenced;
}

std::string take_hdf5_errors() {
  std::vector<std::string> lines;
  H5Ewalk2(H5E_DEFAULT, H5E_WALK_UPWARD, &append_error, &lines);
  H5Eclear2(H5E_DEFAULT);
  if (lines.empty()) return "no details";
  // The cause stands in the innermost calls; of those above it, the outermost is enough.
  constexpr std::size_t kInnermost = 3;
  if (lines.size() > kInnermost + 1) lines.erase(lines.begin() + kInnermost, lines.end() - 1);
  std::string text = fmt::format("{}", fmt::join(lines, " <- "));
  std::replace(text.begin(), text.end(), '\n', ' ');
  return text;
}

}  // namespace trireme::io
