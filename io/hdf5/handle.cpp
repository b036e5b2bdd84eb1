#include "io/hdf5/handle.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace trireme::io {
namespace {

std::recursive_mutex& library_mutex() {
  static std::recursive_mutex mutex;
  return mutex;
}

herr_t append_error(unsigned level, const H5E_error2_t* error, void* text) {
  auto& line = *static_cast<std::string*>(text);
  if (level > 0) line += " <- ";
  line += fmt::format("{}: {}", error->func_name ? error->func_name : "?",
                      error->desc ? error->desc : "?");
  return 0;
}

}  // namespace

Hdf5Lock::Hdf5Lock() : lock_(library_mutex()) {
  // A thread-safe build keeps one error stack a thread, so each thread says it once.
  thread_local const bool silenced = [] {
    H5open();
    H5Eset_auto2(H5E_DEFAULT, nullptr, nullptr);
    return true;
  }();
  (void)silenced;
}

std::string take_hdf5_errors() {
  std::string line;
  H5Ewalk2(H5E_DEFAULT, H5E_WALK_UPWARD, &append_error, &line);
  H5Eclear2(H5E_DEFAULT);
  std::replace(line.begin(), line.end(), '\n', ' ');
  return line.empty() ? "no details" : line;
}

}  // namespace trireme::io
