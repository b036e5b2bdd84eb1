#pragma once
// Checkpoints on disk as folders: names, the marker, which to keep. One rank at a time.

#include "lib/checkpoint/checkpoint.hpp"

#include <cstdint>
#include <map>

namespace trireme::checkpoint {

inline constexpr char kStateName[] = "state.h5";

std::filesystem::path folder_of_step(const std::filesystem::path& folder, std::int64_t step);

/// What the marker says: the run's state and a checksum by tensor name.
struct Marker {
  RunState run;
  std::map<std::string, std::uint64_t> checksums;
};

/// Appears whole or not at all; Exit::kFile.
void write_marker(const std::filesystem::path& checkpoint, const Marker& marker);
/// Read by rank 0 for all, so that ten thousand ranks do not open one file; collective.
/// Exit::kFile: no marker, torn, of a later version.
Marker read_marker(const comm::World& world, const std::filesystem::path& checkpoint);

/// An empty or incomplete folder for a checkpoint; a complete one loses its marker first.
/// Exit::kFile.
void make_folder(const std::filesystem::path& checkpoint);
/// As far as it can be; never throws. The marker goes first.
void remove_checkpoint(const std::filesystem::path& checkpoint) noexcept;

/// Allocates the blocks of a file that has its length already (Exit::kFile: the disk is full); does
/// nothing where the file system can't.
void reserve(const std::filesystem::path& file);
/// Returns when what this node wrote to a file, or a folder's entries, are on the disk;
/// Exit::kFile.
void sync_to_disk(const std::filesystem::path& path);

/// Exit::kFile, naming both numbers, unless the file system of `folder` has room for `bytes`.
void check_space(const std::filesystem::path& folder, std::int64_t bytes);

/// Removes all but the newest `keep` complete checkpoints (0 = none), and incomplete ones older
/// than the newest.
void prune(const std::filesystem::path& folder, std::int64_t keep);

}  // namespace trireme::checkpoint
