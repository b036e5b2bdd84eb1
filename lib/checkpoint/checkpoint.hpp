#pragma once
// Checkpoints: logical tensors in one parallel HDF5 file, independent of the grid that wrote them.
// Any data x tensor x pipeline in, any out.
//
// A checkpoint is a folder "step_00000123" with state.h5 and, written last, the file "complete",
// which holds the checksums. Without the marker it does not exist for latest() and load().

#include "lib/comm/grid.hpp"
#include "lib/comm/world.hpp"
#include "lib/optim/optim_state.hpp"
#include "lib/state/store.hpp"

#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace trireme::checkpoint {

/// What a run needs besides tensors to go on as if it had not stopped.
struct RunState {
  std::int64_t step = 0;     ///< steps made
  std::int64_t tokens = 0;   ///< trained on so far
  std::int64_t samples = 0;  ///< global index of the next sample: the data position
  optim::OptimState optim;   ///< schedule, skipped steps, loss scale
  std::string fingerprint;   ///< deck::Deck::fingerprint, a record; decks are compared to resume
  std::string data;          ///< io::SampleStream::fingerprint
  std::string resolved_deck;
};

struct Written {
  std::filesystem::path path;
  std::int64_t bytes = 0;
  double seconds = 0;
};

/// Writes folder/step_N, collective over the world, from the masters and moments where they lie:
/// every rank writes its own slices, replicas share the work over the data axis, nothing is
/// gathered. Free space is checked first; the file is synced before the marker; then all but the
/// newest `keep` complete checkpoints are removed (0 = none). `moments` names the optimizer's state
/// tensors. An error (Exit::kFile: disk full, no folder) is thrown on all ranks and leaves earlier
/// checkpoints alone.
Written save(const comm::World& world, const comm::ProcessGrid& grid, const models::Model& model,
             state::Store& store, std::span<const std::string_view> moments, const RunState& run,
             const std::filesystem::path& folder, std::int64_t keep);

/// Newest complete checkpoint of a folder; nullopt when it has none.
std::optional<std::filesystem::path> latest(const std::filesystem::path& folder);

/// Moves the complete checkpoints beyond `step` into a folder superseded.N beside them and returns
/// how many: a run that goes on from an earlier one would meet them as its own. One rank;
/// Exit::kFile.
std::int64_t set_aside_after(const std::filesystem::path& folder, std::int64_t step);

/// The part without tensors, read by rank 0 for all; collective. Exit::kFile: no marker, torn, not
/// a checkpoint.
RunState read_state(const comm::World& world, const std::filesystem::path& checkpoint);

/// Fills masters and moments of this rank, not its weights; collective over the world.
/// Exit::kFile: a checksum that differs, a tensor that is missing or of another shape or dtype
/// (named, with both).
void load(const comm::World& world, const comm::ProcessGrid& grid, const models::Model& model,
          const std::filesystem::path& checkpoint, std::span<const std::string_view> moments,
          state::Store& store);

}  // namespace trireme::checkpoint
