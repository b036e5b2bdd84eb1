#include "lib/engine/compute_graphs.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace trireme::engine {

using program::Instruction;
using program::Kind;
using program::Lane;

std::vector<std::vector<std::int32_t>> stretches_of(const std::vector<Instruction>& list,
                                                    const std::vector<bool>& in_stream,
                                                    const std::vector<bool>& fit,
                                                    const GraphFaults& faults) {
  std::vector<bool> awaited(list.size(), false);  // by others than the lane's stream
  for (std::size_t i = 0; i < list.size(); ++i)
    if (list[i].lane != Lane::compute || !in_stream[i])
      for (const std::int32_t wait : list[i].waits) awaited[static_cast<std::size_t>(wait)] = true;

  std::vector<bool> behind(list.size(), false);  // the lane's stream is behind it
  std::vector<std::vector<std::int32_t>> made;
  std::vector<std::int32_t> open;
  const auto close = [&] {
    if (open.size() >= 2) made.push_back(open);
    open.clear();
  };
  for (std::size_t i = 0; i < list.size(); ++i) {
    if (list[i].lane != Lane::compute) continue;
    const bool waits = std::ranges::any_of(list[i].waits, [&](std::int32_t wait) {
      const auto w = static_cast<std::size_t>(wait);
      return list[w].lane != Lane::compute && !behind[w];
    });
    if (!fit[i] || (waits && !faults.across_waits)) close();
    // An instruction whose condition is false orders nothing in the stream.
    if (list[i].when == program::When::always || !in_stream[i])
      for (const std::int32_t wait : list[i].waits) behind[static_cast<std::size_t>(wait)] = true;
    if (!fit[i]) continue;
    open.push_back(static_cast<std::int32_t>(i));
    if (awaited[i]) close();
  }
  close();
  return made;
}

ComputeGraphs::ComputeGraphs(const std::vector<Instruction>& list, StreamMarks& marks,
                             const std::vector<std::unique_ptr<SegmentContext>>& contexts,
                             const ExecutorOptions& options, Work work)
    : list_(list),
      marks_(marks),
      contexts_(contexts),
      choice_(options.graphs),
      faults_(options.graph_faults),
      work_(std::move(work)) {
  bool device = false;
  for (std::size_t i = 0; i < list.size(); ++i) {
    if (list[i].lane != Lane::compute) continue;
    order_.push_back(static_cast<std::int32_t>(i));
    device |= marks.in_stream(i);
  }
  length_.assign(order_.size(), 1);
  if (!device) choice_ = deck::CudaGraphs::off;
}

void ComputeGraphs::begin(const nn::StepScalars& scalars) {
  scalars_ = &scalars;
  if (choice_ != deck::CudaGraphs::off && runs_ > 0 && !formed_) form();
  ++runs_;
}

/// Of an instruction of the stream.
GraphUse::Why ComputeGraphs::why_plain(std::size_t index) const {
  const Instruction& instruction = list_[index];
  if (instruction.kind == Kind::trust || instruction.kind == Kind::update) return GraphUse::update;
  if (instruction.when != program::When::always) return GraphUse::conditional;
  if (contexts_[index] && contexts_[index]->asked().random) return GraphUse::random;
  return GraphUse::alone;
}

/// Between runs: from what bodies have asked for so far.
void ComputeGraphs::form() {
  std::vector<bool> in_stream(list_.size());
  std::vector<bool> fit(list_.size());
  use_ = {};
  for (const std::int32_t instruction : order_) {
    const auto i = static_cast<std::size_t>(instruction);
    in_stream[i] = marks_.in_stream(i);
    if (!in_stream[i]) continue;
    const GraphUse::Why why = why_plain(i);
    fit[i] = why == GraphUse::alone;
    ++use_.plain[why];
  }
  length_.assign(order_.size(), 1);
  stretches_.clear();
  stretches_.resize(order_.size());
  std::size_t place = 0;
  for (const auto& stretch : stretches_of(list_, in_stream, fit, faults_)) {
    while (order_[place] != stretch.front()) ++place;
    length_[place] = stretch.size();
    ++use_.graphs;
    use_.inside += std::ssize(stretch);
    use_.plain[GraphUse::alone] -= std::ssize(stretch);
  }
  formed_ = true;
  if (choice_ == deck::CudaGraphs::on && use_.graphs == 0)
    warning_ = "run.cuda_graphs \"on\": no two instructions of this rank can be in one graph";
}

void ComputeGraphs::stop() {
  choice_ = deck::CudaGraphs::off;
  length_.assign(order_.size(), 1);
  stretches_.clear();
  use_ = {.why_none = use_.why_none};
}

ComputeGraphs::Held ComputeGraphs::now() const {
  return {scalars_->training, scalars_->gradient_scale, current_stream().scratch_place()};
}

bool ComputeGraphs::is_current(std::size_t place) const {
  if (stretches_[place].graph.empty()) return false;
  const Held& held = stretches_[place].held;
  const Held today = now();
  if (held.scratch != today.scratch && !faults_.stale_scratch) return false;
  return std::ranges::all_of(from(place), [&](std::int32_t i) {
    const auto& context = contexts_[static_cast<std::size_t>(i)];
    if (!context || faults_.stale_scalars) return true;
    const Asked& asked = context->asked();
    return (!asked.training || held.training == today.training) &&
           (!asked.gradient_scale || held.gradient_scale == today.gradient_scale);
  });
}

/// False where no graph can be made of it, and none is tried again.
bool ComputeGraphs::record(std::size_t place) {
  Stretch& stretch = stretches_[place];
  const std::span<const std::int32_t> all = from(place);
  const Stream& stream = current_stream();
  try {
    Recording recording(stream);
    for (const std::int32_t i : all) {
      work_(static_cast<std::size_t>(i));
      if (i != all.back()) marks_.record_inside(static_cast<std::size_t>(i));
    }
    recording.into(stretch.graph);
    stretch.held = now();
    stretch.graph.launch(stream);
  } catch (const Error& error) {
    if (error.code() == Exit::kPeer) throw;  // the device is no more
    if (choice_ == deck::CudaGraphs::on)
      fail(Exit::kUsage, "run.cuda_graphs \"on\": {}; set it to \"auto\" or \"off\"", error.text());
    use_.why_none = error.text();
    warning_ = fmt::format("run.cuda_graphs \"auto\": steps run without graphs: {}", error.text());
    return false;
  }
  // In this step a body asked for what it never had asked for: no graph holds it from now on.
  formed_ = formed_ && std::ranges::all_of(all, [&](std::int32_t i) {
              return why_plain(static_cast<std::size_t>(i)) == GraphUse::alone;
            });
  return true;
}

void ComputeGraphs::issue(std::size_t place) {
  if (is_current(place)) return stretches_[place].graph.launch(current_stream());
  if (record(place)) return;
  for (const std::int32_t instruction : from(place)) {
    const auto i = static_cast<std::size_t>(instruction);
    work_(i);
    marks_.record(i);
  }
  stop();  // for good: what failed once would fail at every step
}

}  // namespace trireme::engine
