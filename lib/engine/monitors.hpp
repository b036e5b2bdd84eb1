#pragma once
// What the deck's `tensorboard` and `csv_monitor` sections ask for: DeepSpeed's events
// Train/Samples/train_loss, lr and (with fp16) loss_scale over the samples trained on, and beside
// them ours: Train/Samples/grad_norm, tokens_per_second, mfu, step_seconds and validation_loss.

#include "io/metrics/csv_monitor.hpp"
#include "io/metrics/event_file.hpp"
#include "io/metrics/log_records.hpp"
#include "lib/deck/deck.hpp"

#include <filesystem>
#include <optional>

namespace trireme::engine {

/// On rank 0.
class Monitors {
 public:
  /// Files lie in output_path/job_name of their section, or without an output_path in tensorboard/
  /// and csv_monitor/ below the run folder.
  ///
  /// With `resume_step` what was written of later steps is removed first, so that each event stands
  /// there once. A folder outside the run's must be empty for a new run and belong to this run for
  /// a resumed one (the file run-folder.txt in it says whose it is): no run cuts another one's
  /// files. Errors: Error(kFile).
  Monitors(const deck::Deck& deck, const std::filesystem::path& run_folder,
           std::optional<std::int64_t> resume_step);

  /// Steps after the first one allocate nothing.
  void write(const io::StepRecord& record);
  void write(const io::EvaluationEvent& record);

  /// Returns when everything is on the disk.
  void sync();

 private:
  void write(std::int64_t step, std::span<const io::Scalar> scalars);

  std::int64_t batch_;  // samples a step
  bool scales_;         // whether the loss is scaled
  std::optional<io::EventFile> events_;
  std::optional<io::CsvMonitor> csv_;
};

}  // namespace trireme::engine
