#include "lib/engine/executor.hpp"

#include "kernels/elementwise/elementwise.hpp"
#include "kernels/elementwise/exact_sum.hpp"
#include "lib/engine/comm_lane.hpp"
#include "lib/engine/compute_graphs.hpp"
#include "lib/engine/context.hpp"
#include "lib/engine/finite.hpp"
#include "lib/engine/storage_lane.hpp"
#include "lib/engine/stream_marks.hpp"
#include "lib/engine/unit_work.hpp"

#include <algorithm>
#include <mutex>
#include <optional>
#include <thread>

namespace trireme::engine {

using program::Instruction;
using program::Kind;
using program::Lane;

class Executor::Impl {
 public:
  Impl(const models::Model& model, const program::Compiled& compiled, state::Store& store,
       const comm::Communicators& communicators, const Place& place,
       const deck::OptimizerConfig& optimizer, LoadBatch load, Decide decide,
       const ExecutorOptions& options);
  ~Impl();

  StepResult run(const StepInput& input);

  const std::atomic<std::uint32_t>& heartbeat() const { return completion_.changes(); }
  const std::vector<Instruction>& list() const { return list_; }
  const std::vector<Interval>& intervals() const { return intervals_; }
  double seconds() const { return seconds_; }
  double started() const {
    return std::chrono::duration<double>(watch_.zero.time_since_epoch()).count();
  }
  const HighWater& high_water(program::Tier tier) const { return live_memory_.most(tier); }
  const GraphUse& graphs() const { return graphs_.use(); }
  void search_nonfinite() {
    search_nonfinite_ = true;
    graphs_.stop();  // a search waits for each result
  }

 private:
  void resolve(std::size_t index, const program::Compiled& compiled);
  void lane_thread(Lane lane);
  void compute_lane();
  bool advance(std::size_t place, bool runs);
  void execute(std::size_t place);
  void work(std::size_t index);
  void load(std::size_t index);
  void decide();
  void before_agreement();
  void behind_agreement();
  void end_streams();
  void caught() noexcept;
  void sleep_for_fault(Lane lane) const;
  double& scalar(Scalar which) { return store_.scalars()[static_cast<std::size_t>(which)]; }

  const models::Model& model_;
  const program::Compiled& compiled_;
  const std::vector<Instruction>& list_;
  state::Store& store_;
  const deck::OptimizerConfig& optimizer_;
  LoadBatch load_;
  Decide decide_;
  ExecutorOptions options_;
  RunState run_;
  Completion completion_;
  StreamMarks marks_;
  std::span<double>
      agreed_;  // what the world adds up: the store's scalars, or a copy of the device's
  std::atomic<bool> applied_{false};  // as decided; read by lanes behind the decision
  std::vector<Interval> intervals_;
  LiveMemory live_memory_;
  CommLane comm_lane_;
  StorageLane storage_lane_;
  std::function<void()> transferred_ = [this] { completion_.wake(); };
  std::vector<std::unique_ptr<SegmentContext>> contexts_;  // by instruction, null unless a segment
  std::vector<std::unique_ptr<UnitWork>> unit_work_;       // by instruction, null unless on a unit
  ComputeGraphs graphs_;
  std::vector<std::array<TensorView, 2>> batches_;  // by instruction: tokens, documents
  StepResult result_;
  std::int64_t counted_tokens_ = 0;  // storage lane, read before the world's agreement
  Stopwatch watch_;
  double seconds_ = 0;
  bool search_nonfinite_ = false;

  std::mutex error_mutex_;
  std::exception_ptr error_;
  std::atomic<std::uint32_t> started_{0};
  std::atomic<std::uint32_t> finished_{0};
  std::atomic<bool> ending_{false};
  std::vector<std::thread> threads_;
};

Executor::Impl::Impl(const models::Model& model, const program::Compiled& compiled,
                     state::Store& store, const comm::Communicators& communicators,
                     const Place& place, const deck::OptimizerConfig& optimizer, LoadBatch load,
                     Decide decide, const ExecutorOptions& options)
    : model_(model),
      compiled_(compiled),
      list_(compiled.stages[static_cast<std::size_t>(place.at.pipeline)].instructions),
      store_(store),
      optimizer_(optimizer),
      load_(std::move(load)),
      decide_(std::move(decide)),
      options_(options),
      run_{nullptr, place},
      completion_(list_.size(), communicators.doorbell()),
      marks_(compiled, list_, store),
      intervals_(list_.size()),
      live_memory_(compiled, place.at.pipeline),
      comm_lane_(model, compiled, store, communicators, place, completion_, marks_, applied_,
                 intervals_, live_memory_,
                 options.delay_seconds[static_cast<std::size_t>(Lane::comm)],
                 {[this] { before_agreement(); }, [this] { behind_agreement(); }}),
      storage_lane_(compiled, store, place, completion_, marks_, applied_, intervals_, live_memory_,
                    options, [this](std::size_t index) { this->load(index); }),
      contexts_(list_.size()),
      unit_work_(list_.size()),
      graphs_(list_, marks_, contexts_, options, [this](std::size_t index) { work(index); }),
      batches_(list_.size()) {
  if (store.gpu()) {
    const StreamScope scope(store.gpu()->compute);
    for (const models::Block& block : model.blocks)
      for (const auto& place_table : block.plan->place_on_device) place_table();
  }
  for (std::size_t i = 0; i < list_.size(); ++i) resolve(i, compiled);
  for (const Lane lane : {Lane::comm, Lane::storage})
    threads_.emplace_back([this, lane] { lane_thread(lane); });
}

Executor::Impl::~Impl() {
  ending_ = true;
  completion_.abandon();
  ++started_;
  started_.notify_all();
  for (std::thread& thread : threads_) thread.join();
}

void Executor::Impl::resolve(std::size_t index, const program::Compiled& compiled) {
  const Instruction& instruction = list_[index];
  if (instruction.kind == Kind::segment) {
    contexts_[index] =
        std::make_unique<SegmentContext>(model_, compiled, instruction, store_, run_);
    return;
  }
  if (instruction.group == program::Group::world)
    agreed_ = {reinterpret_cast<double*>(
                   store_.at(compiled.buffers[static_cast<std::size_t>(instruction.reads[0])])),
               store_.scalars().size()};
  if (instruction.kind == Kind::load) {
    const nn::Placement& placement = model_.placement;
    for (const program::BufferId id : instruction.writes) {
      const program::Buffer& buffer = compiled.buffers[static_cast<std::size_t>(id)];
      const bool tokens = buffer.slot == static_cast<std::int32_t>(nn::Role::tokens);
      const Shape shape = tokens ? Shape{2, placement.tokens()} : Shape{placement.tokens()};
      batches_[index][tokens ? 0 : 1] = TensorView(store_.at(buffer), shape, DType::i32);
    }
    return;
  }
  if (instruction.lane == Lane::compute && instruction.unit >= 0)
    unit_work_[index] = std::make_unique<UnitWork>(compiled, instruction, store_, optimizer_,
                                                   model_.placement.compute, run_.place.at);
}

StepResult Executor::Impl::run(const StepInput& input) {
  run_.input = &input;
  result_ = {};
  result_.decision.scalars = input.update;
  counted_tokens_ = 0;
  std::fill(store_.scalars().begin(), store_.scalars().end(), 0.0);
  scalar(Scalar::stop) = input.stop ? 1 : 0;
  applied_ = false;
  store_.listen(&transferred_);
  completion_.begin();
  comm_lane_.begin();
  live_memory_.begin();
  finished_ = 0;
  watch_ = {};
  marks_.begin();
  ++started_;
  started_.notify_all();

  try {
    compute_lane();
  } catch (...) {
    caught();
  }
  for (auto seen = finished_.load(); seen < threads_.size(); seen = finished_.load())
    finished_.wait(seen);  // for what was compared: a second look might see the last lane's end
  end_streams();
  seconds_ = watch_.now();
  store_.listen(nullptr);
  if (error_) std::rethrow_exception(error_);
  marks_.settle(intervals_);

  result_.loss_sum = scalar(Scalar::loss);
  result_.tokens = scalar(Scalar::tokens);
  result_.stop = scalar(Scalar::stop) > 0;
  result_.warning = graphs_.warning();
  return result_;
}

/// Nothing of this run is on its way any more, failed or not.
void Executor::Impl::end_streams() {
  if (!store_.gpu()) return;
  try {
    for (const Stream* stream : {&store_.gpu()->compute, &store_.gpu()->copy_out,
                                 &store_.gpu()->copy_in, &store_.gpu()->comm})
      stream->wait();
  } catch (...) {
    caught();
  }
}

void Executor::Impl::lane_thread(Lane lane) {
  if (store_.gpu()) adopt_device();
  std::uint32_t seen = 0;
  for (;;) {
    started_.wait(seen);
    if (ending_) return;
    ++seen;
    try {
      if (lane == Lane::storage) {
        storage_lane_.run(watch_);
      } else {
        comm_lane_.run(watch_);
      }
    } catch (...) {
      caught();
    }
    ++finished_;
    finished_.notify_all();
  }
}

void Executor::Impl::caught() noexcept {
  {
    const std::lock_guard lock(error_mutex_);
    if (!error_) error_ = std::current_exception();
  }
  completion_.abandon();
  comm_lane_.abandon();
}

void Executor::Impl::sleep_for_fault(Lane lane) const {
  const double seconds = options_.delay_seconds[static_cast<std::size_t>(lane)];
  if (seconds > 0) std::this_thread::sleep_for(std::chrono::duration<double>(seconds));
}

/// Before the agreement of the world starts: what this rank brings, its host and its device.
void Executor::Impl::before_agreement() {
  const auto& place = run_.place;
  const bool counts = place.at.pipeline == place.grid.pipeline() - 1 && place.at.tensor == 0;
  scalar(Scalar::tokens) = counts ? static_cast<double>(counted_tokens_) : 0;
  if (!store_.gpu()) return;
  for (std::size_t k = 0; k < agreed_.size(); ++k) agreed_[k] += store_.scalars()[k];
}

void Executor::Impl::behind_agreement() {
  if (store_.gpu()) std::ranges::copy(agreed_, store_.scalars().begin());
}

void Executor::Impl::compute_lane() {
  std::optional<StreamScope> scope;
  if (store_.gpu()) {
    scope.emplace(store_.gpu()->compute);
    const std::span<double> sums = store_.device_scalars();
    kernels::fill({sums.data(), {2 * std::ssize(sums)}, DType::f32, 0, MemorySpace::device}, 0);
  }
  graphs_.begin(run_.input->scalars);
  bool wakes_comm = false;  // the last instructions are news for the communication lane
  std::size_t place = 0;    // in the lane's order
  while (place < graphs_.order().size()) {
    const std::span<const std::int32_t> together = graphs_.from(place);
    const Instruction& first = list_[static_cast<std::size_t>(together.front())];
    const Level needs = marks_.needs(static_cast<std::size_t>(together.front()));
    if (completion_.all_done(first.waits, needs)) {
      if (wakes_comm) comm_lane_.wake();
      if (completion_.abandoned()) return;
    } else if (!comm_lane_.help_until(first.waits, watch_, needs)) {
      return;
    }
    wakes_comm = advance(place, first.when == program::When::always || result_.decision.apply);
    place += together.size();
  }
  if (wakes_comm) comm_lane_.wake();
}

/// Instructions that are issued together, or are complete without effect; true when the
/// communication lane wants to know.
bool Executor::Impl::advance(std::size_t place, bool runs) {
  const std::span<const std::int32_t> together = graphs_.from(place);
  const auto first = static_cast<std::size_t>(together.front());
  for (std::size_t k = 0; k < together.size(); ++k) sleep_for_fault(Lane::compute);
  if (runs) live_memory_.start(first);
  const double start = watch_.now();
  if (runs) execute(place);
  const double end = runs ? watch_.now() : start;
  bool news = false;
  for (const std::int32_t instruction : together) {
    const auto i = static_cast<std::size_t>(instruction);
    if (runs && i != first) live_memory_.start(i);
    intervals_[i] = {start, end};
    live_memory_.finish(i);
    const bool issued = runs && marks_.in_stream(i);
    news |= completion_.mark_quietly(i, issued ? Level::issued : Level::done);
  }
  return news;
}

void Executor::Impl::load(std::size_t index) {
  const std::int64_t sample = first_sample_of(*run_.input, run_.place.at.data, list_[index].micro,
                                              model_.placement.micro_batch);
  counted_tokens_ += load_(sample, batches_[index][0], batches_[index][1]);
}

void Executor::Impl::execute(std::size_t place) {
  const std::span<const std::int32_t> together = graphs_.from(place);
  const auto first = static_cast<std::size_t>(together.front());
  if (!marks_.in_stream(first)) return work(first);
  marks_.order(first, completion_);
  together.size() > 1 ? graphs_.issue(place) : work(first);
  marks_.record(static_cast<std::size_t>(together.back()));
}

void Executor::Impl::work(std::size_t index) {
  const Instruction& instruction = list_[index];
  switch (instruction.kind) {
    case Kind::segment: {
      const nn::BlockPlan& plan = *model_.blocks[static_cast<std::size_t>(instruction.block)].plan;
      const bool backward = instruction.pass == program::Pass::backward;
      const auto& steps = backward ? plan.backward : plan.forward;
      steps[static_cast<std::size_t>(instruction.step)].body(*contexts_[index]);
      if (search_nonfinite_)
        expect_finite(model_, compiled_, instruction, *contexts_[index], run_.input->scalars.step);
      return;
    }
    case Kind::decide: return decide();
    default: break;
  }
  check(unit_work_[index] != nullptr, Exit::kUnexpected, "a {} instruction on the compute lane",
        program::name_of(instruction.kind));
  unit_work_[index]->run(result_.decision.scalars);
}

void Executor::Impl::decide() {
  const double sum =
      kernels::exact_total(store_.scalars().subspan(static_cast<std::size_t>(program::kScalars)));
  result_.decision = decide_(scalar(Scalar::loss), sum);
  applied_ = result_.decision.apply;
}

Executor::Executor(const models::Model& model, const program::Compiled& compiled,
                   state::Store& store, const comm::Communicators& communicators,
                   const Place& place, const deck::OptimizerConfig& optimizer, LoadBatch load,
                   Decide decide, const ExecutorOptions& options)
    : impl_(std::make_unique<Impl>(model, compiled, store, communicators, place, optimizer,
                                   std::move(load), std::move(decide), options)) {}

Executor::~Executor() = default;
StepResult Executor::run(const StepInput& input) { return impl_->run(input); }
const std::atomic<std::uint32_t>& Executor::heartbeat() const { return impl_->heartbeat(); }
const std::vector<Instruction>& Executor::instructions() const { return impl_->list(); }
const std::vector<Interval>& Executor::intervals() const { return impl_->intervals(); }
double Executor::seconds() const { return impl_->seconds(); }
double Executor::started() const { return impl_->started(); }
const GraphUse& Executor::graphs() const { return impl_->graphs(); }
const HighWater& Executor::high_water(program::Tier tier) const { return impl_->high_water(tier); }
void Executor::search_nonfinite() { impl_->search_nonfinite(); }

}  // namespace trireme::engine
