#include "lib/engine/executor.hpp"

#include "kernels/elementwise/elementwise.hpp"
#include "lib/engine/comm_lane.hpp"
#include "lib/engine/context.hpp"
#include "lib/program/print.hpp"

#include <cmath>
#include <mutex>
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
  const HighWater& high_water() const { return live_memory_.most(); }
  void search_nonfinite() { search_nonfinite_ = true; }

 private:
  /// What a compute instruction on a unit needs, resolved once.
  struct UnitWork {
    state::UnitState* state = nullptr;
    std::vector<Range> norm_ranges;
    std::vector<optim::UpdateSpan> spans;
    optim::UnitMemory memory;
    std::span<kernels::LambNorms> tensor_norms;
  };

  void resolve(std::size_t index, const program::Compiled& compiled);
  void lane_thread(Lane lane);
  void compute_lane();
  void storage_lane();
  void execute(std::size_t index);
  void load(std::size_t index);
  void norm(const UnitWork& work);
  void decide();
  void trust(const UnitWork& work);
  void update(const UnitWork& work);
  void check_finite(std::size_t index) const;
  void caught() noexcept;
  void sleep_for_fault(Lane lane) const;
  double& scalar(Scalar which) { return store_.scalars()[static_cast<std::size_t>(which)]; }

  const models::Model& model_;
  const std::vector<Instruction>& list_;
  state::Store& store_;
  const deck::OptimizerConfig& optimizer_;
  LoadBatch load_;
  Decide decide_;
  ExecutorOptions options_;
  RunState run_;
  Completion completion_;
  std::vector<Interval> intervals_;
  LiveMemory live_memory_;
  CommLane comm_lane_;
  std::vector<std::unique_ptr<SegmentContext>> contexts_;  // by instruction, null unless a segment
  std::vector<std::unique_ptr<UnitWork>> unit_work_;       // by instruction, null unless on a unit
  std::vector<std::array<TensorView, 2>> batches_;         // by instruction: tokens, documents
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
      list_(compiled.stages[static_cast<std::size_t>(place.at.pipeline)].instructions),
      store_(store),
      optimizer_(optimizer),
      load_(std::move(load)),
      decide_(std::move(decide)),
      options_(options),
      run_{nullptr, place},
      completion_(list_.size()),
      intervals_(list_.size()),
      live_memory_(compiled, place.at.pipeline),
      comm_lane_(model, compiled, store, communicators, place, completion_, intervals_,
                 live_memory_, options.delay_seconds[static_cast<std::size_t>(Lane::comm)]),
      contexts_(list_.size()),
      unit_work_(list_.size()),
      batches_(list_.size()) {
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
  if (instruction.lane != Lane::compute || instruction.unit < 0) return;

  auto work = std::make_unique<UnitWork>();
  work->state = &store_.unit(instruction.unit);
  const state::UnitState& unit = *work->state;
  const auto& at = run_.place.at;
  if (at.data == 0 && unit.primary) work->norm_ranges = optim::norm_ranges(*unit.unit, at.tensor);
  work->spans = optim::update_spans(*unit.unit, optimizer_);
  work->memory.master = unit.masters;
  if (unit.weights.dtype != DType::f32) work->memory.weights = unit.weights;
  work->memory.gradient = unit.gradients;
  for (std::size_t m = 0; m < unit.moments.size(); ++m) work->memory.states[m] = unit.moments[m];
  const auto& ids = instruction.kind == Kind::trust ? instruction.writes : instruction.reads;
  for (const program::BufferId id : ids) {
    const program::Buffer& buffer = compiled.buffers[static_cast<std::size_t>(id)];
    if (buffer.purpose == program::Purpose::optimizer)
      work->tensor_norms = {reinterpret_cast<kernels::LambNorms*>(store_.at(buffer)),
                            work->spans.size()};
  }
  unit_work_[index] = std::move(work);
}

StepResult Executor::Impl::run(const StepInput& input) {
  run_.input = &input;
  result_ = {};
  counted_tokens_ = 0;
  std::fill(store_.scalars().begin(), store_.scalars().end(), 0.0);
  scalar(Scalar::stop) = input.stop ? 1 : 0;
  completion_.begin();
  live_memory_.begin();
  finished_ = 0;
  watch_ = {};
  ++started_;
  started_.notify_all();

  try {
    compute_lane();
  } catch (...) {
    caught();
  }
  while (finished_.load() < threads_.size()) finished_.wait(finished_.load());
  seconds_ = watch_.now();
  if (error_) std::rethrow_exception(error_);

  result_.loss_sum = scalar(Scalar::loss);
  result_.tokens = scalar(Scalar::tokens);
  result_.stop = scalar(Scalar::stop) > 0;
  return result_;
}

void Executor::Impl::lane_thread(Lane lane) {
  std::uint32_t seen = 0;
  for (;;) {
    started_.wait(seen);
    if (ending_) return;
    ++seen;
    try {
      if (lane == Lane::storage) {
        storage_lane();
      } else {
        comm_lane_.run(watch_, [this] {
          const auto& place = run_.place;
          const bool counts =
              place.at.pipeline == place.grid.pipeline() - 1 && place.at.tensor == 0;
          scalar(Scalar::tokens) = counts ? static_cast<double>(counted_tokens_) : 0;
        });
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
}

void Executor::Impl::sleep_for_fault(Lane lane) const {
  const double seconds = options_.delay_seconds[static_cast<std::size_t>(lane)];
  if (seconds > 0) std::this_thread::sleep_for(std::chrono::duration<double>(seconds));
}

void Executor::Impl::compute_lane() {
  for (std::size_t i = 0; i < list_.size(); ++i) {
    if (list_[i].lane != Lane::compute) continue;
    if (!completion_.wait(list_[i].waits)) return;
    sleep_for_fault(Lane::compute);
    const bool runs = list_[i].when == program::When::always || result_.decision.apply;
    if (runs) live_memory_.start(i);
    intervals_[i].start = watch_.now();
    if (runs) execute(i);
    intervals_[i].end = watch_.now();
    live_memory_.finish(i);
    completion_.mark(i);
  }
}

void Executor::Impl::storage_lane() {
  for (std::size_t i = 0; i < list_.size(); ++i) {
    if (list_[i].lane != Lane::storage) continue;
    if (!completion_.wait(list_[i].waits)) return;
    sleep_for_fault(Lane::storage);
    live_memory_.start(i);
    intervals_[i].start = watch_.now();
    load(i);
    intervals_[i].end = watch_.now();
    live_memory_.finish(i);
    completion_.mark(i);
  }
}

void Executor::Impl::load(std::size_t index) {
  const std::int64_t sample = first_sample_of(*run_.input, run_.place.at.data, list_[index].micro,
                                              model_.placement.micro_batch);
  counted_tokens_ += load_(sample, batches_[index][0], batches_[index][1]);
}

void Executor::Impl::execute(std::size_t index) {
  const Instruction& instruction = list_[index];
  switch (instruction.kind) {
    case Kind::segment: {
      const nn::BlockPlan& plan = *model_.blocks[static_cast<std::size_t>(instruction.block)].plan;
      const bool backward = instruction.pass == program::Pass::backward;
      const auto& steps = backward ? plan.backward : plan.forward;
      steps[static_cast<std::size_t>(instruction.step)].body(*contexts_[index]);
      if (search_nonfinite_) check_finite(index);
      return;
    }
    case Kind::norm: return norm(*unit_work_[index]);
    case Kind::decide: return decide();
    case Kind::trust: return trust(*unit_work_[index]);
    case Kind::update: return update(*unit_work_[index]);
    default: break;
  }
  fail(Exit::kUnexpected, "a {} instruction on the compute lane",
       program::name_of(instruction.kind));
}

void Executor::Impl::check_finite(std::size_t index) const {
  const Instruction& instruction = list_[index];
  const nn::BlockPlan& plan = *model_.blocks[static_cast<std::size_t>(instruction.block)].plan;
  const bool backward = instruction.pass == program::Pass::backward;
  const nn::Step& step =
      (backward ? plan.backward : plan.forward)[static_cast<std::size_t>(instruction.step)];
  for (const nn::Slot slot : step.writes) {
    const TensorView view = contexts_[index]->view(slot);
    const bool loss = view.dtype == DType::f64;
    const std::int64_t bad =
        loss ? !std::isfinite(*view.as<double>()) : kernels::count_non_finite(view);
    check(bad == 0, Exit::kNumbers,
          "step {}: {} values of \"{}\" ({}) are NaN or infinite, first in {}",
          run_.input->scalars.step + 1, bad, plan.buffers[static_cast<std::size_t>(slot)].name,
          view.shape.text(), program::describe(model_, instruction));
  }
}

void Executor::Impl::norm(const UnitWork& work) {
  double sum = 0;
  for (const Range& range : work.norm_ranges)
    sum += kernels::sum_of_squares(
        TensorView::of(work.state->gradients.data() + range.begin, {range.size()}));
  store_.scalars()[static_cast<std::size_t>(program::kScalars + work.state->index)] = sum;
}

void Executor::Impl::decide() {
  double sum = 0;
  for (const double partial : store_.scalars().subspan(static_cast<std::size_t>(program::kScalars)))
    sum += partial;
  result_.decision = decide_(scalar(Scalar::loss), sum);
}

void Executor::Impl::trust(const UnitWork& work) {
  optim::lamb_begin(optimizer_, result_.decision.scalars, work.spans, work.memory,
                    work.tensor_norms);
  // The tensor group adds the norms up; what each rank holds whole must count once.
  for (std::size_t i = 0; i < work.spans.size(); ++i)
    if (!work.spans[i].divided && run_.place.at.tensor > 0) work.tensor_norms[i] = {};
}

void Executor::Impl::update(const UnitWork& work) {
  const optim::StepScalars& scalars = result_.decision.scalars;
  if (work.tensor_norms.empty()) {
    optim::update_unit(optimizer_, scalars, work.spans, work.memory);
  } else {
    optim::lamb_finish(optimizer_, scalars, work.spans, work.tensor_norms, work.memory);
  }
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
const HighWater& Executor::high_water() const { return impl_->high_water(); }
void Executor::search_nonfinite() { impl_->search_nonfinite(); }

}  // namespace trireme::engine
