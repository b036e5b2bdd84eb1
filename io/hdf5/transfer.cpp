// Reads and writes of hyperslabs, in calls that stay below 2 GiB.

#include "io/hdf5/file.hpp"
#include "io/hdf5/pieces.hpp"
#include "io/hdf5/types.hpp"
#include "kernels/base/checked.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>

namespace trireme::io {
namespace {

constexpr std::int64_t kBytesPerCall = std::int64_t{1} << 30;

void cut(const Piece& whole, std::int64_t most, std::vector<Piece>& pieces) {
  const Shape& count = whole.slab.count;
  if (count.elements() <= most) {
    pieces.push_back(whole);
    return;
  }
  int dim = 0;
  while (count[dim] == 1) ++dim;
  const std::int64_t half = count[dim] / 2;
  Piece first = whole;
  first.slab.count = count.with(dim, half);
  Piece second = whole;
  second.slab.start = whole.slab.start.with(dim, whole.slab.start[dim] + half);
  second.slab.count = count.with(dim, count[dim] - half);
  second.first_element += first.slab.count.elements();
  cut(first, most, pieces);
  cut(second, most, pieces);
}

void select(hid_t space, const Slab& slab, const std::string& place) {
  std::array<hsize_t, Shape::kMaxRank> start{};
  std::array<hsize_t, Shape::kMaxRank> count{};
  for (int i = 0; i < slab.count.rank(); ++i) {
    start[static_cast<std::size_t>(i)] = static_cast<hsize_t>(slab.start[i]);
    count[static_cast<std::size_t>(i)] = static_cast<hsize_t>(slab.count[i]);
  }
  check_hdf5(
      H5Sselect_hyperslab(space, H5S_SELECT_SET, start.data(), nullptr, count.data(), nullptr),
      place);
}

void expect_inside(const Slab& slab, const Shape& shape, const std::string& place) {
  bool inside = slab.start.rank() == shape.rank() && slab.count.rank() == shape.rank();
  for (int i = 0; inside && i < shape.rank(); ++i)
    inside = slab.start[i] >= 0 && slab.count[i] >= 0 && slab.start[i] + slab.count[i] <= shape[i];
  check(inside, Exit::kFile, "{}: a part of shape {} at {} does not lie inside {}", place,
        slab.count.text(), slab.start.text(), shape.text());
}

}  // namespace

std::vector<Piece> cut_into_pieces(const Slab& slab, std::int64_t most) {
  std::vector<Piece> pieces;
  if (slab.count.elements() > 0) cut({slab, 0}, most, pieces);
  return pieces;
}

template <class Io>
void Hdf5File::transfer(std::string_view name, const Slab& slab, DType memory, Transfer transfer,
                        bool writing, const Io& io) const {
  const Hdf5Lock lock;
  const std::string where = place(name);
  const DatasetInfo about = info(name);
  expect_inside(slab, about.shape, where);
  const bool collective = parallel() && transfer == Transfer::collective;
  check(!(writing && parallel() && about.filtered && !collective), Exit::kUnexpected,
        "{}: HDF5 writes a dataset with checksums only collectively: use Transfer::collective",
        where);

  const auto element_bytes =
      static_cast<std::int64_t>(std::max(size_of(memory), size_of(about.dtype)));
  const std::vector<Piece> pieces = cut_into_pieces(slab, kBytesPerCall / element_bytes);
  // Collective calls must match in number; ranks with fewer pieces join with empty selections.
  auto calls = static_cast<std::int64_t>(pieces.size());
  if (collective) MPI_Allreduce(MPI_IN_PLACE, &calls, 1, MPI_INT64_T, MPI_MAX, comm_);

  const Hdf5Handle dataset = open_dataset(name);
  const Hdf5Handle type = hdf5_type(memory);
  const Hdf5Handle space(check_hdf5(H5Dget_space(dataset.get()), where), &H5Sclose);
  const Hdf5Handle list(check_hdf5(H5Pcreate(H5P_DATASET_XFER), where), &H5Pclose);
  if (collective) {
    check_hdf5(H5Pset_dxpl_mpio(list.get(), H5FD_MPIO_COLLECTIVE), where);
    // Each rank writes its own box itself: boxes are large, and in MPI-IO's two-phase exchange a
    // rank whose disk is full leaves the others waiting for it. Filters need the exchange.
    if (!about.filtered)
      check_hdf5(H5Pset_dxpl_mpio_collective_opt(list.get(), H5FD_MPIO_INDIVIDUAL_IO), where);
  }
  // A rank whose call failed makes the others' calls match before it says so.
  std::string error;
  for (std::int64_t call = 0; call < calls; ++call) {
    const bool empty = call >= static_cast<std::int64_t>(pieces.size());
    const Piece piece = empty ? Piece{} : pieces[static_cast<std::size_t>(call)];
    const auto elements = static_cast<hsize_t>(empty ? 1 : piece.slab.count.elements());
    const Hdf5Handle dense(check_hdf5(H5Screate_simple(1, &elements, nullptr), where), &H5Sclose);
    if (empty) {
      check_hdf5(H5Sselect_none(dense.get()), where);
      check_hdf5(H5Sselect_none(space.get()), where);
    } else {
      select(space.get(), piece.slab, where);
    }
    const std::int64_t offset =
        empty ? 0 : piece.first_element * static_cast<std::int64_t>(size_of(memory));
    const herr_t done = io(dataset.get(), type.get(), dense.get(), space.get(), list.get(), offset);
    if (done < 0 && error.empty()) error = take_hdf5_errors();
    if (!error.empty() && !collective) break;
  }
  agree(where, std::move(error), collective);
}

void Hdf5File::write(std::string_view name, const Slab& slab, const void* data, DType memory,
                     Transfer mode) {
  transfer(
      name, slab, memory, mode, true,
      [data](hid_t dataset, hid_t type, hid_t dense, hid_t space, hid_t list, std::int64_t offset) {
        return H5Dwrite(dataset, type, dense, space, list,
                        static_cast<const std::byte*>(data) + offset);
      });
}

void Hdf5File::read(std::string_view name, const Slab& slab, void* data, DType memory,
                    Transfer mode) const {
  transfer(
      name, slab, memory, mode, false,
      [data](hid_t dataset, hid_t type, hid_t dense, hid_t space, hid_t list, std::int64_t offset) {
        return H5Dread(dataset, type, dense, space, list, static_cast<std::byte*>(data) + offset);
      });
}

}  // namespace trireme::io
