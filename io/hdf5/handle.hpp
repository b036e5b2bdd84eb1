#pragma once
// One owner for each HDF5 identifier, one check for each HDF5 call, one lock for the library.
//
// Debian's HDF5 is not built thread-safe: whoever calls a function of the library holds an
// Hdf5Lock. Everything in file.hpp does so itself; only code that calls HDF5 directly needs this.

#include "kernels/base/error.hpp"

#include <hdf5.h>

#include <mutex>
#include <source_location>
#include <string>
#include <string_view>
#include <utility>

namespace trireme::io {

/// Holds the library (one lock a process, recursive). The first one switches off HDF5's own
/// printing of errors. A collective call inside waits for other ranks with the lock held; that is
/// safe as long as one thread of a rank makes all collective HDF5 calls.
class Hdf5Lock {
 public:
  Hdf5Lock();

 private:
  std::scoped_lock<std::recursive_mutex> lock_;
};

/// HDF5's error stack as one line, innermost calls first; empties the stack. The lock is held.
std::string take_hdf5_errors();

/// Throws Exit::kFile "<what>: HDF5: <error stack>" when an HDF5 call returned a negative value.
template <class Result>
Result check_hdf5(Result result, std::string_view what,
                  std::source_location where = std::source_location::current()) {
  if (result < 0) [[unlikely]]
    throw_error(Exit::kFile, fmt::format("{}: HDF5: {}", what, take_hdf5_errors()), where);
  return result;
}

/// Owns an identifier and closes it with the function of its kind (H5Dclose, H5Sclose, ...).
/// The lock is held when one is destroyed.
class Hdf5Handle {
 public:
  using Close = herr_t (*)(hid_t);

  Hdf5Handle() = default;
  Hdf5Handle(hid_t id, Close close) : id_(id), close_(close) {}
  ~Hdf5Handle() { reset(); }
  Hdf5Handle(Hdf5Handle&& other) noexcept
      : id_(std::exchange(other.id_, -1)), close_(other.close_) {}
  Hdf5Handle& operator=(Hdf5Handle&& other) noexcept {
    if (this != &other) {
      reset();
      id_ = std::exchange(other.id_, -1);
      close_ = other.close_;
    }
    return *this;
  }

  hid_t get() const { return id_; }
  explicit operator bool() const { return id_ >= 0; }
  /// Gives the identifier up without closing it.
  hid_t release() { return std::exchange(id_, -1); }

 private:
  void reset() {
    if (id_ >= 0) close_(std::exchange(id_, -1));
  }

  hid_t id_ = -1;
  Close close_ = nullptr;
};

}  // namespace trireme::io
