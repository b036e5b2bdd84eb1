#pragma once
// A machine, as jobs/machines/NAME.json describes it: what job scripts start programs with, what a
// node offers, and how fast its parts are. jobs/README.md lists the keys.

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

namespace trireme::plan {

/// What one node offers.
struct Node {
  std::int64_t cores = 1;  ///< that ranks may use
  std::int64_t gpus = 0;
  std::int64_t memory = 0;  ///< bytes
  double flops_fp32 = 0;    ///< flop/s of products, as a report's GEMM peak; 0: not known
  double flops_16bit = 0;   ///< the same of bf16 and fp16
  std::string nvme_path;    ///< node-local storage; empty: none
};

/// Rates in bytes a second, of one node; 0: not known.
struct Rates {
  double memory = 0;
  double network = 0;
  double nvme_read = 0;
  double nvme_write = 0;
  double file_system = 0;
};

struct Machine {
  std::string name;  ///< the file's, without its ending
  std::string description;
  std::string scheduler;  ///< "slurm", "pbs"
  std::vector<std::string> modules;
  /// The launcher's line, in which {ranks}, {ranks_per_node}, {nodes}, {threads}, {hostfile} (one
  /// line a rank) and {job} (the folder with the job's files) are filled in.
  std::string launcher;
  std::map<std::string, std::string> environment;  ///< network variables and the like
  std::int64_t nodes = 1;
  std::int64_t ranks_per_node = 1;
  Node node;
  Rates bandwidth;
  std::int64_t max_minutes = 0;          ///< longest job; 0: no limit is known
  std::int64_t end_margin_seconds = 60;  ///< a run is done so long before its job ends
  std::int64_t patience = 3;             ///< starts without a new checkpoint before a job gives up

  std::int64_t threads_per_rank() const { return node.cores / ranks_per_node; }
};

/// Reads and checks a machine file: JSON with comments. Exit::kFile: it can't be read;
/// Exit::kUsage: one error with all its mistakes.
Machine read_machine(const std::filesystem::path& file);

/// The machine as variables of a POSIX shell: what jobs/slurm and jobs/pbs source.
std::string shell_text(const Machine& machine);

/// `text` as one word of a POSIX shell.
std::string shell_word(std::string_view text);

}  // namespace trireme::plan
