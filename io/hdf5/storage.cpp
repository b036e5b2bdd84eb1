#include "io/hdf5/storage.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace trireme::io {
namespace {

std::vector<FilePiece> chunks_of(hid_t dataset, std::int64_t elements, std::int64_t chunk,
                                 const std::string& where) {
  std::vector<FilePiece> pieces;
  for (std::int64_t first = 0; first < elements; first += chunk) {
    const auto coordinate = static_cast<hsize_t>(first);
    unsigned mask = 0;
    haddr_t offset = HADDR_UNDEF;
    hsize_t bytes = 0;
    check_hdf5(H5Dget_chunk_info_by_coord(dataset, &coordinate, &mask, &offset, &bytes), where);
    check(offset != HADDR_UNDEF, Exit::kFile,
          "{}: the chunk at element {} was never written: write the file again", where, first);
    pieces.push_back({first, std::min(chunk, elements - first), static_cast<std::int64_t>(offset)});
  }
  return pieces;
}

/// Of data in one piece.
std::int64_t begin_of(hid_t dataset, const std::string& where) {
  const haddr_t offset = H5Dget_offset(dataset);
  check(offset != HADDR_UNDEF, Exit::kFile, "{}: no data were ever written: write the file again",
        where);
  return static_cast<std::int64_t>(offset);
}

}  // namespace

std::vector<FilePiece> storage_of(const Hdf5File& file, std::string_view name) {
  const Hdf5Lock lock;
  const std::string where = fmt::format("file '{}': '{}'", file.path(), name);
  const DatasetInfo info = file.info(name);
  check(info.shape.rank() == 1 && !info.filtered, Exit::kFile,
        "{}: expected 1 dim and no filters (compression, checksums), found shape {}{}", where,
        info.shape.text(), info.filtered ? " with filters" : "");
  const std::int64_t elements = info.shape[0];
  if (elements == 0) return {};

  const Hdf5Handle dataset(
      check_hdf5(H5Dopen2(file.id(), std::string(name).c_str(), H5P_DEFAULT), where), &H5Dclose);
  const Hdf5Handle list(check_hdf5(H5Dget_create_plist(dataset.get()), where), &H5Pclose);
  if (H5Pget_layout(list.get()) == H5D_CHUNKED) {
    hsize_t chunk = 0;
    check_hdf5(H5Pget_chunk(list.get(), 1, &chunk), where);
    return chunks_of(dataset.get(), elements, static_cast<std::int64_t>(chunk), where);
  }
  return {{0, elements, begin_of(dataset.get(), where)}};
}

std::int64_t offset_of(const Hdf5File& file, std::string_view name) {
  const Hdf5Lock lock;
  const std::string where = fmt::format("file '{}': '{}'", file.path(), name);
  const Hdf5Handle dataset(
      check_hdf5(H5Dopen2(file.id(), std::string(name).c_str(), H5P_DEFAULT), where), &H5Dclose);
  const Hdf5Handle list(check_hdf5(H5Dget_create_plist(dataset.get()), where), &H5Pclose);
  check(H5Pget_layout(list.get()) == H5D_CONTIGUOUS, Exit::kFile,
        "{}: expected dense data, found chunks, as compression makes them; \"h5repack -f NONE -l "
        "CONTI\" undoes that",
        where);
  return begin_of(dataset.get(), where);
}

}  // namespace trireme::io
