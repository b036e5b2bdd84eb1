#pragma once
// The folder of a run: deck.resolved.json, log.jsonl, report.*, checkpoints/, a lock, and
// exit.json, the record of how the last process ended (a launcher may hide exit codes).

#include "lib/deck/deck.hpp"

#include <filesystem>
#include <optional>
#include <string>

namespace trireme::engine {

struct ResumeRequest {
  bool asked = false;  ///< --resume
  std::filesystem::path
      checkpoint;  ///< --resume=PATH; empty: the latest, and without one a fresh start
};

/// Rank 0's hold on the folder; other ranks have none.
class RunFolder {
 public:
  /// Creates and locks `path`, and removes the record of an earlier process. Exit::kUsage: it holds
  /// a run already and no resume was asked; Exit::kFile: it can't be written, or another process
  /// (named by host and pid) holds the lock.
  RunFolder(const std::filesystem::path& path, const ResumeRequest& resume);
  ~RunFolder();
  RunFolder(const RunFolder&) = delete;
  RunFolder& operator=(const RunFolder&) = delete;

  const std::filesystem::path& path() const { return path_; }
  void write_deck(const deck::Deck& deck) const;

 private:
  std::filesystem::path path_;
  int lock_ = -1;
};

inline constexpr char kExitName[] = "exit.json";

/// exit.json; any one rank may write it, since the rank that fails alone is not always rank 0.
void write_exit(const std::filesystem::path& folder, int code, const std::string& reason,
                std::int64_t step);
bool has_exit(const std::filesystem::path& folder);

/// Seconds of the slowest checkpoint in the folder's log; 0 without log or checkpoint.
double slowest_save(const std::filesystem::path& folder);

/// runs/<deck's name>-<UTC> beside the working directory: where a run without --run-dir goes.
std::filesystem::path default_run_folder(const std::filesystem::path& deck);

}  // namespace trireme::engine
