#include "lib/engine/open_store.hpp"

#include "kernels/base/error.hpp"
#include "lib/engine/run_folder.hpp"

#include <cerrno>
#include <cstring>

#include <unistd.h>

namespace trireme::engine {

void check_swap_folder(const deck::Deck& deck) {
  const std::filesystem::path& folder = deck.parallel.zero.nvme_path;
  if (folder.empty()) return;
  std::error_code none;
  const bool there = std::filesystem::is_directory(folder, none);
  if (there && ::access(folder.c_str(), W_OK | X_OK) == 0) return;
  const std::string why = there ? std::strerror(errno) : "there is none";
  fail(Exit::kFile,
       "zero_optimization.offload_optimizer.nvme_path: expected a folder that is there and may be "
       "written, found {}: {}; create it, name another, or give \"auto\" for the run's folder",
       folder.string(), why);
}

state::Store open_store(const comm::World& world, const Setup& setup, const state::Seat& seat,
                        const std::filesystem::path& run_folder) {
  program::Options options = setup.options;
  if (options.zero.nvme_path.empty()) options.zero.nvme_path = run_folder;
  try {
    return {world,
            setup.model,
            setup.layout,
            setup.resident,
            options,
            seat,
            {&setup.training, &setup.evaluation, &setup.refresh}};
  } catch (const Error& error) {
    if (!has_exit(run_folder)) write_exit(run_folder, error.exit_code(), error.text(), 0);
    throw;
  }
}

}  // namespace trireme::engine
