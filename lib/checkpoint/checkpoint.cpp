#include "lib/checkpoint/checkpoint.hpp"

#include "io/checksum.hpp"
#include "io/hdf5/file.hpp"
#include "io/hdf5/storage.hpp"
#include "lib/checkpoint/folder.hpp"
#include "lib/checkpoint/slices.hpp"
#include "lib/comm/on_all_ranks.hpp"

#include <chrono>
#include <set>

namespace trireme::checkpoint {
namespace {

namespace fs = std::filesystem;

std::int64_t bytes_of(const std::vector<Tensor>& tensors) {
  std::int64_t elements = 0;
  for (const Tensor& tensor : tensors) elements += tensor.shape.elements();
  return elements * std::int64_t{sizeof(float)};
}

/// Checksums of all tensors from those of the slices that ranks are responsible for.
void add_up(const comm::World& world, std::vector<std::uint64_t>& sums) {
  MPI_Allreduce(MPI_IN_PLACE, sums.data(), narrow<int>(sums.size()), MPI_UINT64_T, MPI_SUM,
                world.comm());
}

/// The file of the state holds what this model and optimizer have, no less and no more.
void check_tensors(const io::Hdf5File& file, const Marker& marker,
                   const std::vector<Tensor>& tensors) {
  std::set<std::string_view> strangers;
  for (const auto& [name, sum] : marker.checksums) strangers.insert(name);
  for (const Tensor& tensor : tensors) strangers.erase(tensor.name);
  check(strangers.empty(), Exit::kFile,
        "{} has {} tensors that this model and optimizer have not, the first is {}: it belongs to "
        "another model or optimizer",
        file.path(), strangers.size(), strangers.empty() ? "" : *strangers.begin());
  for (const Tensor& tensor : tensors) {
    check(file.exists(tensor.name), Exit::kFile,
          "{} has no {}: it belongs to another model or optimizer", file.path(), tensor.name);
    const io::DatasetInfo info = file.info(tensor.name);
    check(info.shape == tensor.shape && info.dtype == DType::f32, Exit::kFile,
          "{}: {} is {} {}, this model expects {} {}", file.path(), tensor.name,
          name_of(info.dtype), info.shape.text(), name_of(DType::f32), tensor.shape.text());
  }
}

/// Where the tensors' bytes begin in their file, by tensor.
using Offsets = std::vector<std::int64_t>;

Offsets offsets_in(const io::Hdf5File& file, const std::vector<Tensor>& tensors) {
  Offsets offsets;
  for (const Tensor& tensor : tensors) offsets.push_back(io::offset_of(file, tensor.name));
  return offsets;
}

/// What rank 0 found out, on all ranks: HDF5 is asked once, and all ranks move bytes.
Offsets from_first(const comm::World& world, Offsets offsets, std::size_t tensors) {
  offsets.resize(tensors);
  MPI_Bcast(offsets.data(), narrow<int>(tensors), MPI_INT64_T, 0, world.comm());
  return offsets;
}

/// The whole file with room for all of it, so that a full disk shows here, on one rank, and not in
/// the middle of what all ranks do together.
Offsets lay_out(const fs::path& path, const std::vector<Tensor>& tensors) {
  io::Hdf5File file(path.string(), io::Hdf5File::Mode::replace);
  for (const Tensor& tensor : tensors) file.create_dataset(tensor.name, DType::f32, tensor.shape);
  Offsets offsets = offsets_in(file, tensors);
  file.close();
  reserve(path);
  return offsets;
}

/// Writes what this rank is responsible for; the checksums of all tensors.
std::vector<std::uint64_t> write_slices(const comm::World& world, const comm::ProcessGrid& grid,
                                        const models::Model& model, std::size_t moments,
                                        state::Store& store, const std::vector<Tensor>& tensors,
                                        const Offsets& offsets, const fs::path& path) {
  std::vector<std::uint64_t> sums(tensors.size(), 0);
  comm::on_all_ranks(world, [&] {
    io::aio::NamedFile file(path, io::aio::NamedFile::Mode::write);
    io::aio::PartsWriter writer(file);
    for_each_slice(grid, world.rank(), model, moments, store, state::Store::Access::read,
                   [&](const Slice& slice) {
                     if (!slice.writes) return;
                     for_each_block(slice, tensors[slice.tensor].shape, offsets[slice.tensor],
                                    [&](const Block& block) {
                                      writer.write(block.part,
                                                   reinterpret_cast<std::byte*>(block.memory));
                                      sums[slice.tensor] += block.checksum();
                                    });
                   });
    writer.finish();
  });
  // What a rank wrote through the page cache lies in its own node's.
  comm::on_all_ranks(world, [&] {
    if (world.node_rank() == 0) sync_to_disk(path);
  });
  add_up(world, sums);
  return sums;
}

/// Fills what this rank holds; the checksums of all tensors.
std::vector<std::uint64_t> read_slices(const comm::World& world, const comm::ProcessGrid& grid,
                                       const models::Model& model, std::size_t moments,
                                       state::Store& store, const std::vector<Tensor>& tensors,
                                       const Offsets& offsets, const fs::path& path) {
  const auto for_each = [&](state::Store::Access access, const auto& visit) {
    for_each_slice(grid, world.rank(), model, moments, store, access, [&](const Slice& slice) {
      for_each_block(slice, tensors[slice.tensor].shape, offsets[slice.tensor],
                     [&](const Block& block) { visit(slice, block); });
    });
  };
  // Ranks of a node that hold the same read it from the disk once, through the page cache.
  const bool shared = world.node_size() > 1 && grid.data() > model.placement.sharding.ranks;
  std::vector<std::uint64_t> sums(tensors.size(), 0);
  comm::on_all_ranks(world, [&] {
    io::aio::NamedFile file(path, io::aio::NamedFile::Mode::read, !shared);
    std::vector<io::aio::FilePart> parts;
    for_each(state::Store::Access::list,
             [&](const Slice&, const Block& block) { parts.push_back(block.part); });
    io::aio::PartsReader reader(file, std::move(parts));
    for_each(state::Store::Access::update, [&](const Slice& slice, const Block& block) {
      reader.read(reinterpret_cast<std::byte*>(block.memory));
      if (slice.writes) sums[slice.tensor] += block.checksum();
    });
  });
  add_up(world, sums);
  return sums;
}

}  // namespace

Written save(const comm::World& world, const comm::ProcessGrid& grid, const models::Model& model,
             state::Store& store, std::span<const std::string_view> moments, const RunState& run,
             const fs::path& folder, std::int64_t keep) {
  const auto begin = std::chrono::steady_clock::now();
  const std::vector<Tensor> tensors = all_tensors(model, moments);
  const fs::path path = folder_of_step(folder, run.step);
  const std::int64_t bytes = bytes_of(tensors);
  const bool leads = world.rank() == 0;
  try {
    Offsets offsets;
    comm::on_all_ranks(world, [&] {
      if (!leads) return;
      make_folder(path);
      check_space(path, bytes);
      offsets = lay_out(path / kStateName, tensors);
    });
    offsets = from_first(world, std::move(offsets), tensors.size());
    const std::vector<std::uint64_t> sums = write_slices(world, grid, model, moments.size(), store,
                                                         tensors, offsets, path / kStateName);
    comm::on_all_ranks(world, [&] {
      if (!leads) return;
      Marker marker{run, {}};
      for (std::size_t i = 0; i < tensors.size(); ++i) marker.checksums[tensors[i].name] = sums[i];
      write_marker(path, marker);
    });
  } catch (const Error&) {
    if (leads) remove_checkpoint(path);  // what is left of it must not take a full disk's last room
    throw;
  }
  if (leads) prune(folder, keep);
  const double seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  return {path, bytes, seconds};
}

void load(const comm::World& world, const comm::ProcessGrid& grid, const models::Model& model,
          const fs::path& checkpoint, std::span<const std::string_view> moments,
          state::Store& store) {
  const std::vector<Tensor> tensors = all_tensors(model, moments);
  const Marker marker = read_marker(world, checkpoint);
  const fs::path path = checkpoint / kStateName;
  Offsets offsets;
  comm::on_all_ranks(world, [&] {
    if (world.rank() != 0) return;
    const io::Hdf5File file(path.string(), io::Hdf5File::Mode::read);
    check_tensors(file, marker, tensors);
    offsets = offsets_in(file, tensors);
  });
  offsets = from_first(world, std::move(offsets), tensors.size());
  const std::vector<std::uint64_t> sums =
      read_slices(world, grid, model, moments.size(), store, tensors, offsets, path);
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    const auto known = marker.checksums.find(tensors[i].name);
    check(
        known != marker.checksums.end() && known->second == sums[i], Exit::kFile,
        "{}: the checksum of {} is {}, expected {}: the file is damaged, use an earlier checkpoint",
        checkpoint.string(), tensors[i].name, io::checksum_text(sums[i]),
        known == marker.checksums.end() ? "one in the marker" : io::checksum_text(known->second));
  }
}

}  // namespace trireme::checkpoint
