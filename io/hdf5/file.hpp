#pragma once
// An HDF5 file, opened by one rank or by all ranks of a communicator together.
//
// - Names are absolute paths inside the file ("/step/weights/embedding"); groups on the way to a
//   new dataset are made. Every error is Exit::kFile, names the file and the object, and carries
//   HDF5's own error stack. All calls are synchronous and may come from any thread.
// - A file opened with a communicator: open, create, close, flush, create_*, extend, set_attribute
//   are collective (all ranks, same order, same arguments), and so are write/read with
//   Transfer::collective. Reads of attributes and lists need no partner. When the data of a
//   collective transfer, a flush or a close fail on one rank (its disk is full), all ranks throw.
// - Memory is host memory, row-major and dense in the shape of the slab; element types convert
//   between integers of different width and between floating-point types, as HDF5 does.
// - Datasets are little-endian and never filled before they are written (FILL_TIME_NEVER): what
//   was not written is undefined when read.

#include "io/hdf5/handle.hpp"
#include "kernels/base/checked.hpp"
#include "kernels/base/dtype.hpp"
#include "kernels/base/tensor_view.hpp"

#include <mpi.h>

#include <concepts>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace trireme::io {

enum class Transfer : std::uint8_t { independent, collective };

/// Box [start, start + count) of a dataset, dim by dim. A count of 0 in any dim selects nothing
/// (a rank without a part of a collective transfer).
struct Slab {
  Shape start;
  Shape count;
};

struct DatasetOptions {
  /// Chunk shape; rank 0 (the default) = contiguous. Needed by the two options below.
  Shape chunk{};
  /// HDF5's own checksum of each chunk. In a file with a communicator such a dataset can only be
  /// written with Transfer::collective.
  bool fletcher32 = false;
  /// The outermost dim may grow with extend().
  bool extendable = false;
};

struct DatasetInfo {
  DType dtype = DType::f32;
  Shape shape;
  bool filtered = false;
};

class Hdf5File {
 public:
  enum class Mode : std::uint8_t {
    read,        ///< must exist and be HDF5
    read_write,  ///< must exist and be HDF5
    create,      ///< must not exist
    replace,     ///< an existing file is overwritten
  };

  /// Opened by this process alone.
  Hdf5File(std::string path, Mode mode);
  /// Opened by all ranks of `comm` (collective; the communicator is duplicated).
  Hdf5File(std::string path, Mode mode, MPI_Comm comm);
  /// Closes without a check when close() was not called (then it is an error path).
  ~Hdf5File();
  Hdf5File(Hdf5File&&) noexcept;
  Hdf5File& operator=(Hdf5File&&) = delete;

  const std::string& path() const { return path_; }
  bool parallel() const { return comm_ != MPI_COMM_NULL; }
  /// For code that calls HDF5 itself, with an Hdf5Lock held.
  hid_t id() const { return file_.get(); }

  /// Everything written is with the operating system afterwards; with a communicator MPI-IO also
  /// syncs it to disk. A full disk often shows here or in close() first.
  void flush();
  /// Flushes and closes; further calls are errors.
  void close();

  bool exists(std::string_view name) const;
  /// Names of the members of a group, sorted; not their paths.
  std::vector<std::string> names(std::string_view group) const;
  void create_group(std::string_view name);

  /// One to four dims; fails when it exists.
  void create_dataset(std::string_view name, DType dtype, const Shape& shape,
                      const DatasetOptions& options = {});
  DatasetInfo info(std::string_view name) const;
  /// Grows (or shrinks) the outermost dim of an extendable dataset.
  void extend(std::string_view name, std::int64_t outermost);

  /// Transfers of any size: split below 2 GiB a call, which is what MPI-IO in HDF5 1.10 can do.
  void write(std::string_view name, const Slab& slab, const void* data, DType memory,
             Transfer transfer = Transfer::independent);
  void read(std::string_view name, const Slab& slab, void* data, DType memory,
            Transfer transfer = Transfer::independent) const;

  /// Attributes of a group or dataset ("/" is the file's own). An existing one is replaced.
  /// Strings may be longer than 64 KiB.
  void set_attribute(std::string_view object, std::string_view name, std::string_view value);
  void set_attribute(std::string_view object, std::string_view name, double value);
  /// Stored as int64; an unsigned value beyond that is an error (store checksums as text).
  void set_attribute(std::string_view object, std::string_view name, std::integral auto value) {
    set_int_attribute(object, name, narrow<std::int64_t>(value));
  }
  /// A literal is text, not a pointer that became a number.
  void set_attribute(std::string_view object, std::string_view name, const char* value) {
    set_attribute(object, name, std::string_view(value));
  }

  bool has_attribute(std::string_view object, std::string_view name) const;
  std::string string_attribute(std::string_view object, std::string_view name) const;
  std::int64_t int_attribute(std::string_view object, std::string_view name) const;
  double double_attribute(std::string_view object, std::string_view name) const;

 private:
  void open(Mode mode);
  Hdf5Handle open_object(std::string_view name) const;
  Hdf5Handle open_dataset(std::string_view name) const;
  Hdf5Handle open_attribute(std::string_view object, std::string_view name) const;
  void set_int_attribute(std::string_view object, std::string_view name, std::int64_t value);
  void replace_attribute(std::string_view object, std::string_view name, hid_t file_type,
                         hid_t memory_type, const void* value);
  template <class Io>
  void transfer(std::string_view name, const Slab& slab, DType memory, Transfer transfer,
                bool writing, const Io& io) const;
  /// Throws when `error` is not empty, with `collective` on all ranks when it is not on any.
  void agree(const std::string& what, std::string error, bool collective) const;
  /// "file 'x.h5': '/tokens'"
  std::string place(std::string_view name) const;

  std::string path_;
  MPI_Comm comm_ = MPI_COMM_NULL;
  mutable bool broken_ = false;  ///< something failed, so a parallel file is not closed
  Hdf5Handle file_;
};

}  // namespace trireme::io
