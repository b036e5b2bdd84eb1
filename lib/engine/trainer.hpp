#pragma once
// A training run from a resolved deck: start or resume, steps, evaluations, checkpoints, log,
// report.

#include "io/metrics/log_file.hpp"
#include "kernels/base/process_memory.hpp"
#include "lib/checkpoint/checkpoint.hpp"
#include "lib/engine/batches.hpp"
#include "lib/engine/executor.hpp"
#include "lib/engine/monitors.hpp"
#include "lib/engine/peak.hpp"
#include "lib/engine/progress.hpp"
#include "lib/engine/regions.hpp"
#include "lib/engine/run_folder.hpp"
#include "lib/engine/setup.hpp"
#include "lib/engine/stop.hpp"
#include "lib/optim/step_control.hpp"

#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace trireme::engine {

struct TrainOptions {
  std::filesystem::path run_folder;
  ResumeRequest resume;
  std::optional<std::int64_t>
      max_steps;  ///< end this process after that many steps of it (exit 10)
  std::optional<double> max_minutes;
  std::optional<double> end_time;  ///< seconds since 1970: saved and done by then (exit 10)
  ExecutorOptions executor;
};

/// Resident bytes of this rank (PSS) at two moments of a run. Their difference is what the arena,
/// the executors and the first steps brought.
struct ResidentBytes {
  std::int64_t base = 0;    ///< right before the arena is made
  std::int64_t steady = 0;  ///< after this process's second step, or its only one; 0 without steps
};

/// How a run ended, and all that its report needs; on every rank.
struct Outcome {
  Exit code = Exit::kOk;
  std::string reason;
  std::string started;          ///< UTC
  std::int64_t first_step = 1;  ///< of this process
  std::int64_t last_step = 0;
  std::int64_t tokens = 0;
  double seconds = io::kUnknown;  ///< of this process so far
  double validation_loss = io::kUnknown;
  std::vector<checkpoint::Written> checkpoints;
  std::vector<std::string> warnings;
  ResidentBytes resident;
};

class Trainer {
 public:
  /// Collective. Builds everything that steps need and restores or initialises the state.
  Trainer(const comm::World& world, const Runtime& runtime, const Setup& setup,
          const TrainOptions& options);

  /// Steps to the run's length or a reason to stop; signals count where the caller holds
  /// StopSignals. Errors are exceptions; the run folder's
  /// exit.json is written on every way out.
  Outcome run();

  // For the report.
  const Setup& setup() const { return setup_; }
  state::Store& store() { return store_; }
  const comm::Communicators& communicators() const { return communicators_; }
  const Executor& executor() const { return training_; }
  const Executor& evaluation() const { return evaluation_; }
  /// Of the program that used more, training or evaluation; `end` of both.
  HighWater high_water(program::Tier tier = program::Tier::device) const;
  const RegionTotals& regions() const { return meter_.totals(); }
  const ReadCounts& reads() const { return batches_.counts(); }
  const PeakFlops& peak() const { return peak_; }
  const std::filesystem::path& folder() const { return folder_path_; }
  Progress& progress() { return progress_; }

 private:
  void start();
  void refresh_weights();
  void resume(const std::filesystem::path& checkpoint);
  bool train_step();
  double step_limit() const;
  optim::StepDecision decide(double loss_sum, double sum_of_squares);
  void record(const StepResult& result);
  void log(const auto& line) {
    log_->write(line);
    monitors_->write(line);
  }
  [[noreturn]] void explain_nonfinite(const StepInput& input, double loss);
  void evaluate();
  void save();
  void warn(const std::string& text);
  Outcome finish();
  void record_failure(const Error& error) noexcept;
  StepInput step_input() const;
  bool leads() const { return world_.rank() == 0; }

  const comm::World& world_;
  const Setup& setup_;
  const deck::Deck& deck_;
  TrainOptions options_;
  std::chrono::steady_clock::time_point began_ = std::chrono::steady_clock::now();
  std::filesystem::path folder_path_;
  std::unique_ptr<RunFolder> folder_;  // rank 0
  std::optional<io::LogFile> log_;     // rank 0
  std::optional<Monitors> monitors_;   // rank 0
  StopWatch stop_;
  Place place_;
  PeakFlops peak_;
  std::int64_t resident_base_ = proportional_set_bytes();  // asked before the arena is made
  state::Store store_;
  comm::Communicators communicators_;
  Batches batches_;
  optim::StepControl control_;
  Executor training_;
  Executor evaluation_;
  RegionMeter meter_;
  Progress progress_;

  std::int64_t step_ = 0;                                     // made so far
  std::shared_ptr<std::atomic<std::int64_t>> watched_step_ =  // for the watchdog's record
      std::make_shared<std::atomic<std::int64_t>>(0);
  std::int64_t tokens_ = 0;  // trained on so far
  std::int64_t saved_step_ = -1;
  std::int64_t evaluated_step_ = -1;
  std::string stop_reason_;
  Outcome outcome_;
};

}  // namespace trireme::engine
