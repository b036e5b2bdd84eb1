#include "lib/engine/trainer.hpp"

#include "lib/comm/on_all_ranks.hpp"
#include "lib/engine/agree.hpp"
#include "lib/engine/batch_job.hpp"
#include "lib/engine/open_store.hpp"
#include "lib/program/print.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cmath>

namespace trireme::engine {
namespace {

namespace fs = std::filesystem;

constexpr char kStopName[] = "STOP";  // a file in the run folder: stop after the running step

comm::CommOptions comm_options(const deck::Deck& deck) {
  comm::CommOptions options;
  options.deadline_seconds = deck.run.watchdog_seconds;
  return options;
}

StopLimits limits_of(const deck::Deck& deck, const TrainOptions& options) {
  return {options.max_minutes ? options.max_minutes : deck.run.max_minutes,
          options.run_folder / kStopName, options.end_time};
}

fs::path checkpoints_of(const deck::Deck& deck, const fs::path& folder) {
  return deck.checkpoint.path.empty() ? folder / "checkpoints" : deck.checkpoint.path;
}

/// On rank 0, and an error of any rank on all. Nothing is made where state has no place to go.
std::unique_ptr<RunFolder> open_folder(const comm::World& world, const deck::Deck& deck,
                                       const TrainOptions& options) {
  std::unique_ptr<RunFolder> folder;
  comm::on_all_ranks(world, [&] { check_swap_folder(deck); });
  comm::on_all_ranks(world, [&] {
    if (world.rank() == 0) folder = std::make_unique<RunFolder>(options.run_folder, options.resume);
  });
  return folder;
}

double seconds_since(std::chrono::steady_clock::time_point begin) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

bool due(std::int64_t step, std::int64_t every) { return every > 0 && step % every == 0; }

}  // namespace

Trainer::Trainer(const comm::World& world, const Runtime& runtime, const Setup& setup,
                 const TrainOptions& options)
    : world_(world),
      setup_(setup),
      deck_(setup.deck),
      options_(options),
      folder_path_(options.run_folder),
      folder_(open_folder(world, setup.deck, options)),
      stop_(limits_of(setup.deck, options), began_),
      place_{setup.grid, setup.grid.coordinates(world.rank())},
      peak_(peak_flops(world, setup.deck, runtime)),
      store_(open_store(world, setup, state::seat_of(setup.model, place_.at), options.run_folder)),
      communicators_(world, setup.grid, comm_options(setup.deck),
                     setup.options.device_links ? &store_.gpu()->comm : nullptr),
      batches_(setup.deck),
      control_(setup.deck),
      training_(
          setup.model, setup.training, store_, communicators_, place_, setup.deck.optimizer,
          batches_.training(),
          [this](double loss, double squares) { return decide(loss, squares); },
          with_graphs(options.executor, setup.deck)),
      evaluation_(setup.model, setup.evaluation, store_, communicators_, place_,
                  setup.deck.optimizer, batches_.validation(), nullptr,
                  with_graphs({}, setup.deck)),
      meter_(setup.model, training_.instructions()),
      progress_(leads(), setup.deck.run.max_steps, setup.deck.run.steps_per_print) {
  outcome_.started = io::utc_now();
  outcome_.resident.base = resident_base_;
  communicators_.attach(&store_.arena());
  check_agreement(world, place_.at.pipeline,
                  program::fingerprint(setup.training, place_.at.pipeline),
                  "the step program of their stage");
  for (const deck::Warning& warning : deck_.warnings) outcome_.warnings.push_back(warning.text);
  world.on_watch_expired([folder = folder_path_, step = watched_step_](const std::string& text) {
    if (!has_exit(folder)) write_exit(folder, static_cast<int>(Exit::kPeer), text, *step);
  });
  try {
    start();
  } catch (const Error& error) {
    record_failure(error);
    throw;
  }
}

/// Fresh weights, or those of a checkpoint; then the log and the resolved deck.
void Trainer::start() {
  std::string from;
  if (leads() && options_.resume.asked) {
    from = options_.resume.checkpoint.string();
    if (from.empty())
      if (const auto newest = checkpoint::latest(checkpoints_of(deck_, folder_path_)))
        from = newest->string();
  }
  from = comm::broadcast_text(world_, from);
  const bool resumes = !from.empty();
  if (resumes) {
    resume(from);
  } else {
    store_.initialise(deck_.run.seed, place_.at.tensor, setup_.grid.tensor());
  }
  refresh_weights();
  outcome_.first_step = step_ + 1;
  saved_step_ = resumes ? step_ : -1;
  if (options_.end_time && resumes)  // on all ranks, which decide alike on a trial save
    stop_.pace().saved(sum_over_ranks(world_, leads() ? slowest_save(folder_path_) : 0));
  if (!leads()) return;
  const bool continues = options_.resume.asked;
  log_.emplace(io::LogFile::open(folder_path_, continues ? std::optional(step_) : std::nullopt));
  log_->write(part_of_run(step_, world_.size(), world_.nodes()));
  monitors_.emplace(deck_, folder_path_, continues ? std::optional(step_) : std::nullopt);
  folder_->write_deck(deck_);
  if (continues && !resumes) warn("--resume found no checkpoint: starting afresh");
  if (const std::string why = store_.why_buffered(); !why.empty())
    warn(fmt::format("zero_optimization: transfers go through the page cache: {}", why));
  for (const deck::Warning& warning : deck_.warnings)
    log_->write(io::WarningEvent{step_, warning.text, {}});
}

/// Weights from the masters, on whatever tier and rank either live.
void Trainer::refresh_weights() {
  Executor refresh(setup_.model, setup_.refresh, store_, communicators_, place_, deck_.optimizer,
                   nullptr, nullptr);
  refresh.run({});
  communicators_.reset_traffic();
}

void Trainer::resume(const fs::path& from) {
  const auto guard =
      world_.watch({"resuming from a checkpoint", -1, deck_.checkpoint.watchdog_seconds});
  const checkpoint::RunState state = checkpoint::read_state(world_, from);
  std::string changed;
  for (const deck::Change& change : deck::changes(state.resolved_deck, deck_.resolved_json)) {
    check(!change.in_fingerprint, Exit::kUsage,
          "{} belongs to another run: {} was {} and is {}; resume with the old value or start a "
          "new run folder",
          from.string(), change.key, change.before, change.after);
    changed += fmt::format("{}{}: {} -> {}", changed.empty() ? "" : "; ", change.key, change.before,
                           change.after);
  }
  check(state.data == batches_.stream().fingerprint(), Exit::kUsage,
        "{} was trained on other token files (data fingerprint {}, found {}); restore them or "
        "start a new run folder",
        from.string(), state.data, batches_.stream().fingerprint());
  check(
      state.samples == state.step * deck_.batch.global, Exit::kFile,
      "{} says that {} samples were used in {} steps of {}: its marker is damaged, use an earlier "
      "checkpoint",
      from.string(), state.samples, state.step, deck_.batch.global);
  const auto start = std::chrono::steady_clock::now();
  checkpoint::load(world_, setup_.grid, setup_.model, from, optim::state_names(deck_.optimizer),
                   store_);
  const double loaded = seconds_since(start);
  control_.restore(state.optim);
  step_ = state.step;
  *watched_step_ = step_;
  tokens_ = state.tokens;
  if (!leads()) return;
  const std::int64_t later =
      checkpoint::set_aside_after(checkpoints_of(deck_, folder_path_), step_);
  log_.emplace(io::LogFile::open(folder_path_, step_));
  log_->write(io::ResumeEvent{step_, from.string(), changed, {}});
  log_.reset();
  progress_.say(fmt::format("resumed from {} at step {}, loaded in {:.3f} s{}", from.string(),
                            step_, loaded, changed.empty() ? "" : "; changed: " + changed));
  if (later > 0)
    progress_.say(fmt::format("{} later checkpoints were moved to a folder superseded.N", later));
}

StepInput Trainer::step_input() const {
  StepInput input;
  input.scalars.seed = deck_.run.seed;
  input.scalars.step = step_;
  input.scalars.gradient_scale =
      control_.loss_scale() / static_cast<double>(setup_.tokens_per_step());
  input.first_sample = step_ * deck_.batch.global;
  input.samples_per_replica = deck_.batch.micro * deck_.batch.accumulation;
  input.update = control_.ahead();
  return input;
}

/// Seconds without a completed instruction. A communicator that waits for a peer speaks before, it
/// knows whom it waits for.
double Trainer::step_limit() const { return 1.25 * deck_.run.watchdog_seconds + 2; }

/// One step; false when the ranks agreed to stop behind it.
bool Trainer::train_step() {
  const auto guard =
      world_.watch({"training step", step_ + 1, step_limit(), &training_.heartbeat()});
  StepInput input = step_input();
  const std::int64_t made = step_ + 1 - (outcome_.first_step - 1);
  std::string reason = stop_.reason(leads());
  if (options_.max_steps && made >= *options_.max_steps && reason.empty())
    reason = fmt::format("--max-steps {} reached", *options_.max_steps);
  input.stop = !reason.empty();

  const StepResult result = training_.run(input);
  if (!std::isfinite(result.loss_sum)) explain_nonfinite(input, result.loss_sum);
  if (made == 2) meter_.restart();
  if (made <= 2) outcome_.resident.steady = proportional_set_bytes();
  meter_.add(training_.intervals(), training_.seconds());
  *watched_step_ = ++step_;
  tokens_ += setup_.tokens_per_step();
  record(result);
  if (result.stop && step_ < deck_.run.max_steps) {
    if (reason.empty()) reason = stop_.reason(leads());  // a signal reaches ranks one by one
    stop_reason_ = reason.empty() ? "another rank asked to stop" : reason;
  }
  return stop_reason_.empty();
}

HighWater Trainer::high_water(program::Tier tier) const {
  const HighWater& training = training_.high_water(tier);
  const HighWater& evaluation = evaluation_.high_water(tier);
  HighWater most = training.total >= evaluation.total ? training : evaluation;
  most.end = std::max(training.end, evaluation.end);
  return most;
}

optim::StepDecision Trainer::decide(double loss_sum, double sum_of_squares) {
  if (!std::isfinite(loss_sum)) return {};  // nothing is applied; explain_nonfinite() finds out why
  return control_.decide({sum_of_squares, !std::isfinite(sum_of_squares), 1.0});
}

void Trainer::record(const StepResult& result) {
  const optim::StepDecision& decision = result.decision;
  for (const std::string& text : {decision.warning, result.warning})
    if (!text.empty()) warn(text);
  if (!leads()) return;
  io::StepRecord line;
  line.step = step_;
  line.tokens = tokens_;
  line.loss = result.loss_sum / result.tokens;
  line.grad_norm = decision.gradient.norm;
  line.lr = decision.apply ? decision.scalars.learning_rate : 0;
  line.loss_scale = decision.loss_scale;
  line.seconds = training_.seconds();
  line.tokens_per_second = static_cast<double>(setup_.tokens_per_step()) / line.seconds;
  line.mfu = setup_.flops_per_token() * line.tokens_per_second / peak_.flops;
  log(line);
  progress_.step(line, deck_.run.wall_clock_breakdown ? text_of(meter_.totals()) : "");
}

void Trainer::explain_nonfinite(const StepInput& input, double loss) {
  check(deck_.parallel.zero.update_per == deck::UpdatePer::step, Exit::kNumbers,
        "step {}: the loss is {}, and with parallel.zero.update_per \"unit\" weights were updated "
        "before all ranks knew; the last checkpoint is from before. To see where it begins, resume "
        "from there with --set parallel.zero.update_per=step",
        step_ + 1, loss);
  training_.search_nonfinite();
  training_.run(input);  // throws with the block where it first appears
  fail(Exit::kNumbers,
       "step {}: the loss is {}, and a checked replay of the step found every value finite: the "
       "machine computes the same step in two ways",
       step_ + 1, loss);
}

void Trainer::evaluate() {
  if (batches_.validation_samples() == 0 || evaluated_step_ == step_) return;
  const auto guard =
      world_.watch({"evaluation after step", step_, step_limit(), &evaluation_.heartbeat()});
  const std::int64_t wanted =
      deck_.run.eval_samples > 0 ? deck_.run.eval_samples : batches_.validation_samples();
  const std::int64_t samples = std::min(wanted, batches_.validation_samples());
  batches_.set_validation_limit(samples);
  const auto begin = std::chrono::steady_clock::now();
  double loss = 0;
  double tokens = 0;
  for (std::int64_t first = 0; first < samples; first += deck_.batch.global) {
    StepInput input = step_input();
    input.scalars.training = false;
    input.first_sample = first;
    const StepResult result = evaluation_.run(input);
    loss += result.loss_sum;
    tokens += result.tokens;
    if (!result.warning.empty()) warn(result.warning);
  }
  outcome_.validation_loss = loss / tokens;
  evaluated_step_ = step_;
  check(std::isfinite(loss), Exit::kNumbers, "step {}: the validation loss is {}", step_,
        loss / tokens);
  if (!leads()) return;
  const io::EvaluationEvent line{
      step_, tokens_, loss / tokens, static_cast<std::int64_t>(tokens), seconds_since(begin), {}};
  log(line);
  progress_.say(fmt::format("step {}  validation loss {:.4f} over {:.0f} tokens", step_,
                            loss / tokens, tokens));
}

void Trainer::save() {
  if (saved_step_ == step_) return;
  const auto guard =
      world_.watch({"saving the checkpoint of step", step_, deck_.checkpoint.watchdog_seconds});
  checkpoint::RunState state;
  state.step = step_;
  state.tokens = tokens_;
  state.samples = step_ * deck_.batch.global;
  state.optim = control_.state();
  state.fingerprint = deck_.fingerprint;
  state.data = batches_.stream().fingerprint();
  state.resolved_deck = deck_.resolved_json;
  const checkpoint::Written written = checkpoint::save(
      world_, setup_.grid, setup_.model, store_, optim::state_names(deck_.optimizer), state,
      checkpoints_of(deck_, folder_path_), deck_.checkpoint.keep);
  saved_step_ = step_;
  outcome_.checkpoints.push_back(written);
  stop_.pace().saved(written.seconds);
  if (!leads()) return;
  const fs::path relative = written.path.lexically_relative(folder_path_);
  log_->write(io::CheckpointEvent{step_, relative.string(), written.bytes, written.seconds, {}});
  progress_.say(fmt::format("step {}  checkpoint {} ({:.1f} MB in {:.2f} s)", step_,
                            relative.string(), static_cast<double>(written.bytes) * 1e-6,
                            written.seconds));
}

void Trainer::warn(const std::string& text) {
  outcome_.warnings.push_back(text);
  if (!leads()) return;
  log_->write(io::WarningEvent{step_, text, {}});
  progress_.say("warning: " + text);
}

Outcome Trainer::run() {
  try {
    bool on = true;
    while (on && step_ < deck_.run.max_steps) {
      const auto begin = std::chrono::steady_clock::now();
      on = train_step();
      if (on && due(step_, deck_.run.eval_every)) evaluate();
      const bool first = step_ == outcome_.first_step;
      if (!first) stop_.pace().stepped(seconds_since(begin));  // the first one warms up
      const bool trial = !first && stop_.wants_trial_save();
      if (on && (trial || due(step_, deck_.checkpoint.every_steps))) save();
    }
    return finish();
  } catch (const Error& error) {
    record_failure(error);
    throw;
  }
}

/// Rank 0 records every failure, another rank its own when it is the first: then the others wait
/// for it and will be ended. What goes wrong here must not hide the error itself.
void Trainer::record_failure(const Error& error) noexcept {
  try {
    if (leads() || !has_exit(folder_path_))
      write_exit(folder_path_, error.exit_code(), error.text(), step_);
    if (leads() && log_) log_->write(io::StopEvent{step_, error.text(), error.exit_code(), {}});
  } catch (const std::exception&) {
  }
}

Outcome Trainer::finish() {
  const bool reached = step_ >= deck_.run.max_steps;
  if (reached) evaluate();
  if (!reached || deck_.checkpoint.at_end) save();
  outcome_.seconds = seconds_since(began_);
  outcome_.last_step = step_;
  outcome_.tokens = tokens_;
  outcome_.code = reached ? Exit::kOk : Exit::kStopped;
  outcome_.reason =
      reached ? fmt::format("reached run.max_steps = {}", deck_.run.max_steps) : stop_reason_;
  if (const auto& band = deck_.report.expected_validation_loss; reached && band) {
    const double found = outcome_.validation_loss;
    if (!(found >= band->low && found <= band->high)) {
      outcome_.code = Exit::kUnexpected;
      outcome_.reason =
          fmt::format("the validation loss {:.4f} lies outside the deck's band [{}, {}]", found,
                      band->low, band->high);
    }
  }
  progress_.finish();
  if (leads()) {
    // The request is granted; left there it would stop the resumed run again.
    std::error_code none;
    fs::remove(folder_path_ / kStopName, none);
    log_->write(io::StopEvent{step_, outcome_.reason, static_cast<int>(outcome_.code), {}});
    log_->sync();
    monitors_->sync();
    write_exit(folder_path_, static_cast<int>(outcome_.code), outcome_.reason, step_);
  }
  return outcome_;
}

}  // namespace trireme::engine
