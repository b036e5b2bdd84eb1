#include "lib/engine/monitors.hpp"

#include "io/metrics/write_file.hpp"
#include "kernels/base/error.hpp"

#include <array>

namespace trireme::engine {
namespace {

namespace fs = std::filesystem;

constexpr char kOwnerName[] = "run-folder.txt";

fs::path folder_of(const deck::MonitorConfig& config, const fs::path& run_folder,
                   const char* otherwise) {
  const fs::path base = config.output_path.empty() ? run_folder / otherwise : config.output_path;
  return base / config.job_name;
}

/// Makes sure that a folder outside the run's holds nobody else's files.
void claim(const fs::path& folder, const fs::path& run_folder, bool resumes) {
  const std::string owner = fs::absolute(run_folder).lexically_normal().string();
  const fs::path note = folder / kOwnerName;
  if (resumes && fs::exists(note)) {
    const std::string found = io::read_file(note, "the run a folder belongs to");
    check(found == owner, Exit::kFile,
          "expected {} to belong to the run in {}, found {} in its file {}: take another job_name "
          "or, if that run was moved, write its place into the file",
          folder.string(), owner, found, kOwnerName);
    return;
  }
  std::error_code problem;
  fs::create_directories(folder, problem);
  check(!problem, Exit::kFile, "can't make the folder {}: {}", folder.string(), problem.message());
  check(fs::is_empty(folder), Exit::kFile,
        "expected an empty folder for the events of a run, found files in {}: take another "
        "output_path or job_name, or empty it",
        folder.string());
  io::write_file_atomically(note, owner);
}

/// The folder of a section, this run's own.
fs::path prepare(const deck::MonitorConfig& config, const fs::path& run_folder,
                 const char* otherwise, bool resumes) {
  fs::path folder = folder_of(config, run_folder, otherwise);
  if (!config.output_path.empty()) claim(folder, run_folder, resumes);
  return folder;
}

}  // namespace

Monitors::Monitors(const deck::Deck& deck, const fs::path& run_folder,
                   std::optional<std::int64_t> resume_step)
    : batch_(deck.batch.global), scales_(deck.precision.compute == DType::f16) {
  const std::int64_t last = resume_step.value_or(0) * batch_;
  if (deck.tensorboard.enabled) {
    const fs::path folder =
        prepare(deck.tensorboard, run_folder, "tensorboard", resume_step.has_value());
    if (resume_step) io::cut_events(folder, last);
    events_.emplace(folder, last + 1);
  }
  if (deck.csv_monitor.enabled) {
    const fs::path folder =
        prepare(deck.csv_monitor, run_folder, "csv_monitor", resume_step.has_value());
    if (resume_step) io::cut_csv(folder, last);
    csv_.emplace(folder);
  }
}

void Monitors::write(const io::StepRecord& record) {
  const std::array<io::Scalar, 7> scalars = {
      {{"Train/Samples/train_loss", record.loss},
       {"Train/Samples/lr", record.lr},
       {"Train/Samples/grad_norm", record.grad_norm},
       {"Train/Samples/tokens_per_second", record.tokens_per_second},
       {"Train/Samples/mfu", record.mfu},
       {"Train/Samples/step_seconds", record.seconds},
       {"Train/Samples/loss_scale", record.loss_scale}}};
  write(record.step, std::span(scalars).first(scales_ ? 7 : 6));
}

void Monitors::write(const io::EvaluationEvent& record) {
  const io::Scalar loss{"Train/Samples/validation_loss", record.loss};
  write(record.step, {&loss, 1});
}

void Monitors::write(std::int64_t step, std::span<const io::Scalar> scalars) {
  if (events_) events_->write(step * batch_, scalars);
  if (csv_) csv_->write(step * batch_, scalars);
}

void Monitors::sync() {
  if (events_) events_->sync();
  if (csv_) csv_->sync();
}

}  // namespace trireme::engine
