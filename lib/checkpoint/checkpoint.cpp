#include "lib/checkpoint/checkpoint.hpp"

#include "io/checksum.hpp"
#include "io/hdf5/file.hpp"
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

/// The whole file with room for all of it, so that a full disk shows here, on one rank, and not in
/// the middle of what all ranks do together.
void lay_out(const fs::path& path, const std::vector<Tensor>& tensors) {
  io::Hdf5File file(path.string(), io::Hdf5File::Mode::replace);
  for (const Tensor& tensor : tensors) file.create_dataset(tensor.name, DType::f32, tensor.shape);
  file.close();
  reserve(path);
}

/// Writes what this rank is responsible for; the checksums of all tensors.
std::vector<std::uint64_t> write_slices(const comm::World& world, const comm::ProcessGrid& grid,
                                        const models::Model& model, std::size_t moments,
                                        state::Store& store, const std::vector<Tensor>& tensors,
                                        const fs::path& path) {
  std::vector<std::uint64_t> sums(tensors.size(), 0);
  io::Hdf5File file(path.string(), io::Hdf5File::Mode::read_write, world.comm());
  comm::on_all_ranks(world, [&] {
    for_each_slice(grid, world.rank(), model, moments, store, state::Store::Access::read,
                   [&](const Slice& slice) {
                     if (!slice.writes) return;
                     const Tensor& tensor = tensors[slice.tensor];
                     file.write(tensor.name, slice.slab, slice.memory, DType::f32);
                     sums[slice.tensor] += checksum_of(slice, tensor.shape);
                   });
  });
  file.close();
  // What a rank wrote lies in its own node's cache.
  comm::on_all_ranks(world, [&] {
    if (world.node_rank() == 0) sync_to_disk(path);
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
    comm::on_all_ranks(world, [&] {
      if (!leads) return;
      make_folder(path);
      check_space(path, bytes);
      lay_out(path / kStateName, tensors);
    });
    const std::vector<std::uint64_t> sums =
        write_slices(world, grid, model, moments.size(), store, tensors, path / kStateName);
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
  std::vector<std::uint64_t> sums(tensors.size(), 0);
  comm::on_all_ranks(world, [&] {
    const io::Hdf5File file((checkpoint / kStateName).string(), io::Hdf5File::Mode::read);
    if (world.rank() == 0) check_tensors(file, marker, tensors);
    for_each_slice(grid, world.rank(), model, moments.size(), store, state::Store::Access::update,
                   [&](const Slice& slice) {
                     const Tensor& tensor = tensors[slice.tensor];
                     file.read(tensor.name, slice.slab, slice.memory, DType::f32);
                     if (slice.writes) sums[slice.tensor] += checksum_of(slice, tensor.shape);
                   });
  });
  add_up(world, sums);
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
