#include "io/hdf5/file.hpp"

#include "io/hdf5/types.hpp"
#include "kernels/base/checked.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <filesystem>

namespace trireme::io {
namespace {

using Dims = std::array<hsize_t, Shape::kMaxRank>;

Dims dims_of(const Shape& shape) {
  Dims dims{};
  for (int i = 0; i < shape.rank(); ++i)
    dims[static_cast<std::size_t>(i)] = static_cast<hsize_t>(shape[i]);
  return dims;
}

Shape shape_of(int rank, const Dims& dims) {
  const auto at = [&](std::size_t i) { return static_cast<std::int64_t>(dims[i]); };
  switch (rank) {
    case 1: return {at(0)};
    case 2: return {at(0), at(1)};
    case 3: return {at(0), at(1), at(2)};
    case 4: return {at(0), at(1), at(2), at(3)};
    default: return {};
  }
}

Hdf5Handle property_list(hid_t kind) {
  return {check_hdf5(H5Pcreate(kind), "property list"), &H5Pclose};
}

/// Groups on the way to a new object are made.
Hdf5Handle make_parents() {
  Hdf5Handle list = property_list(H5P_LINK_CREATE);
  check_hdf5(H5Pset_create_intermediate_group(list.get(), 1), "property list");
  return list;
}

herr_t add_name(hid_t, const char* name, const H5L_info_t*, void* names) {
  static_cast<std::vector<std::string>*>(names)->emplace_back(name);
  return 0;
}

}  // namespace

Hdf5File::Hdf5File(std::string path, Mode mode) : path_(std::move(path)) { open(mode); }

Hdf5File::Hdf5File(std::string path, Mode mode, MPI_Comm comm) : path_(std::move(path)) {
  MPI_Comm_dup(comm, &comm_);
  try {
    open(mode);
  } catch (...) {
    MPI_Comm_free(&comm_);
    throw;
  }
}

Hdf5File::Hdf5File(Hdf5File&& other) noexcept
    : path_(std::move(other.path_)),
      comm_(std::exchange(other.comm_, MPI_COMM_NULL)),
      broken_(other.broken_),
      file_(std::move(other.file_)) {}

Hdf5File::~Hdf5File() {
  const Hdf5Lock lock;
  // After a failure the ranks' states may differ, and closing together could wait for ever.
  if (broken_ && parallel()) file_.release();
  file_ = {};
  if (comm_ != MPI_COMM_NULL) MPI_Comm_free(&comm_);
}

void Hdf5File::open(Mode mode) {
  const Hdf5Lock lock;
  Hdf5Handle access = property_list(H5P_FILE_ACCESS);
  if (parallel()) check_hdf5(H5Pset_fapl_mpio(access.get(), comm_, MPI_INFO_NULL), "MPI-IO access");
  // 1.8's format holds attributes beyond 64 KiB; readers of the last ten years know it.
  check_hdf5(H5Pset_libver_bounds(access.get(), H5F_LIBVER_V18, H5F_LIBVER_V110), "format");
  // Large data begin at blocks, for those who move them past the page cache.
  check_hdf5(H5Pset_alignment(access.get(), 64 << 10, 4096), "alignment");
  // Objects left open must not keep the file open behind close().
  check_hdf5(H5Pset_fclose_degree(access.get(), H5F_CLOSE_STRONG), "close degree");

  const bool making = mode == Mode::create || mode == Mode::replace;
  if (!making) {
    std::error_code ignored;
    check(std::filesystem::exists(path_, ignored), Exit::kFile,
          "expected an HDF5 file '{}', found nothing there: check the path", path_);
    check(H5Fis_hdf5(path_.c_str()) > 0, Exit::kFile,
          "'{}' is not an HDF5 file, or it was cut off: expected HDF5's signature at its start",
          path_);
  }
  const std::string what = fmt::format("{} '{}'", making ? "creating" : "opening", path_);
  const hid_t id =
      making ? H5Fcreate(path_.c_str(), mode == Mode::create ? H5F_ACC_EXCL : H5F_ACC_TRUNC,
                         H5P_DEFAULT, access.get())
             : H5Fopen(path_.c_str(), mode == Mode::read ? H5F_ACC_RDONLY : H5F_ACC_RDWR,
                       access.get());
  file_ = {check_hdf5(id, what), &H5Fclose};
}

std::string Hdf5File::place(std::string_view name) const {
  return fmt::format("file '{}': '{}'", path_, name);
}

void Hdf5File::agree(const std::string& what, std::string error, bool collective) const {
  int failed = error.empty() ? 0 : 1;
  if (collective) MPI_Allreduce(MPI_IN_PLACE, &failed, 1, MPI_INT, MPI_MAX, comm_);
  if (error.empty()) error = "another rank failed";
  broken_ = broken_ || failed != 0;
  check(failed == 0, Exit::kFile, "{}: HDF5: {}", what, error);
}

void Hdf5File::flush() {
  const Hdf5Lock lock;
  std::string error;
  if (H5Fflush(file_.get(), H5F_SCOPE_GLOBAL) < 0) error = take_hdf5_errors();
  agree(fmt::format("writing out '{}'", path_), std::move(error), parallel());
}

void Hdf5File::close() {
  const Hdf5Lock lock;
  if (!file_) return;
  std::string error;
  if (H5Fclose(file_.release()) < 0) error = take_hdf5_errors();
  agree(fmt::format("closing '{}'", path_), std::move(error), parallel());
  if (comm_ != MPI_COMM_NULL) MPI_Comm_free(&comm_);
}

bool Hdf5File::exists(std::string_view name) const {
  const Hdf5Lock lock;
  // H5Lexists wants every step of the path to exist, so it is asked step by step.
  for (std::size_t end = name.find('/', 1);; end = name.find('/', end + 1)) {
    const std::string step(name.substr(0, end));
    if (step != "/" &&
        check_hdf5(H5Lexists(file_.get(), step.c_str(), H5P_DEFAULT), place(step)) == 0)
      return false;
    if (end == std::string_view::npos) return true;
  }
}

std::vector<std::string> Hdf5File::names(std::string_view group) const {
  const Hdf5Lock lock;
  const Hdf5Handle object = open_object(group);
  std::vector<std::string> found;
  check_hdf5(H5Literate(object.get(), H5_INDEX_NAME, H5_ITER_NATIVE, nullptr, &add_name, &found),
             place(group));
  std::sort(found.begin(), found.end());
  return found;
}

void Hdf5File::create_group(std::string_view name) {
  const Hdf5Lock lock;
  const Hdf5Handle parents = make_parents();
  const std::string text(name);
  const Hdf5Handle group(
      check_hdf5(H5Gcreate2(file_.get(), text.c_str(), parents.get(), H5P_DEFAULT, H5P_DEFAULT),
                 place(name)),
      &H5Gclose);
}

void Hdf5File::create_dataset(std::string_view name, DType dtype, const Shape& shape,
                              const DatasetOptions& options) {
  const Hdf5Lock lock;
  const bool chunked = options.chunk.rank() > 0;
  check(shape.rank() >= 1 && (!chunked || options.chunk.rank() == shape.rank()), Exit::kUnexpected,
        "{}: a dataset of shape {} can't have chunks of shape {}", place(name), shape.text(),
        options.chunk.text());
  check(chunked || !(options.fletcher32 || options.extendable), Exit::kUnexpected,
        "{}: a checksum or an extendable dim needs chunks", place(name));

  const Dims dims = dims_of(shape);
  Dims most = dims;
  if (options.extendable) most[0] = H5S_UNLIMITED;
  const Hdf5Handle space(
      check_hdf5(H5Screate_simple(shape.rank(), dims.data(), most.data()), place(name)), &H5Sclose);
  const Hdf5Handle list = property_list(H5P_DATASET_CREATE);
  check_hdf5(H5Pset_fill_time(list.get(), H5D_FILL_TIME_NEVER), place(name));
  // Contiguous data have their place in the file from the start, so that ranks can open it together
  // and write without agreeing on anything.
  if (!chunked) check_hdf5(H5Pset_alloc_time(list.get(), H5D_ALLOC_TIME_EARLY), place(name));
  if (chunked)
    check_hdf5(H5Pset_chunk(list.get(), shape.rank(), dims_of(options.chunk).data()), place(name));
  if (options.fletcher32) check_hdf5(H5Pset_fletcher32(list.get()), place(name));
  const Hdf5Handle parents = make_parents();
  const Hdf5Handle type = hdf5_type(dtype);
  const std::string text(name);
  const Hdf5Handle dataset(check_hdf5(H5Dcreate2(file_.get(), text.c_str(), type.get(), space.get(),
                                                 parents.get(), list.get(), H5P_DEFAULT),
                                      place(name)),
                           &H5Dclose);
}

DatasetInfo Hdf5File::info(std::string_view name) const {
  const Hdf5Lock lock;
  const Hdf5Handle dataset = open_dataset(name);
  const Hdf5Handle type(check_hdf5(H5Dget_type(dataset.get()), place(name)), &H5Tclose);
  const Hdf5Handle space(check_hdf5(H5Dget_space(dataset.get()), place(name)), &H5Sclose);
  const Hdf5Handle list(check_hdf5(H5Dget_create_plist(dataset.get()), place(name)), &H5Pclose);
  const int rank = check_hdf5(H5Sget_simple_extent_ndims(space.get()), place(name));
  check(rank >= 1 && rank <= Shape::kMaxRank, Exit::kFile, "{}: expected 1 to {} dims, found {}",
        place(name), Shape::kMaxRank, rank);
  Dims dims{};
  check_hdf5(H5Sget_simple_extent_dims(space.get(), dims.data(), nullptr), place(name));
  const auto dtype = dtype_of_hdf5(type.get());
  check(dtype.has_value(), Exit::kFile,
        "{}: expected little-endian integers or floats, found another element type", place(name));
  return {*dtype, shape_of(rank, dims), check_hdf5(H5Pget_nfilters(list.get()), place(name)) > 0};
}

void Hdf5File::extend(std::string_view name, std::int64_t outermost) {
  const Hdf5Lock lock;
  const Dims dims = dims_of(info(name).shape.with(0, outermost));
  const Hdf5Handle dataset = open_dataset(name);
  check_hdf5(H5Dset_extent(dataset.get(), dims.data()), place(name));
}

Hdf5Handle Hdf5File::open_object(std::string_view name) const {
  const std::string text(name);
  return {check_hdf5(H5Oopen(file_.get(), text.c_str(), H5P_DEFAULT), place(name)), &H5Oclose};
}

Hdf5Handle Hdf5File::open_dataset(std::string_view name) const {
  const std::string text(name);
  return {check_hdf5(H5Dopen2(file_.get(), text.c_str(), H5P_DEFAULT), place(name)), &H5Dclose};
}

}  // namespace trireme::io
