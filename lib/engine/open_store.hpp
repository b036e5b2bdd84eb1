#pragma once
// The store of a run, and the folder where its swap files lie.

#include "lib/engine/setup.hpp"
#include "lib/state/store.hpp"

#include <filesystem>

namespace trireme::engine {

/// Exit::kFile, naming key and path, unless the folder that the deck names for NVMe is there and
/// may be written; nothing where it names none. Whether it has room only the swap file tells.
void check_swap_folder(const deck::Deck& deck);

/// Collective. Swap files lie in `run_folder` where the deck's nvme_path is "auto". An Error is
/// recorded in the folder's exit.json: nobody runs yet who would do that.
state::Store open_store(const comm::World& world, const Setup& setup, const state::Seat& seat,
                        const std::filesystem::path& run_folder);

}  // namespace trireme::engine
