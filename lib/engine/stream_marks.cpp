#include "lib/engine/stream_marks.hpp"

#include <algorithm>

namespace trireme::engine {

using program::Lane;

bool runs_in_stream(const program::Compiled& compiled, const program::Instruction& instruction) {
  switch (instruction.lane) {
    case Lane::compute: return !program::on_host(compiled.buffers, instruction);
    case Lane::copy_out:
    case Lane::copy_in: return true;
    case Lane::comm: return compiled.over_links(instruction);
    case Lane::storage: break;
  }
  return false;
}

StreamMarks::StreamMarks(const program::Compiled& compiled,
                         const std::vector<program::Instruction>& list, state::Store& store)
    : list_(list), gpu_(store.gpu()), marks_(list.size()) {
  if (!gpu_) return;
  zero_.emplace();
  for (std::size_t i = 0; i < list.size(); ++i)
    if (runs_in_stream(compiled, list[i])) marks_[i].emplace();
  std::vector<bool> awaited(list.size(), false);
  for (std::size_t i = 0; i < list.size(); ++i)
    for (const std::int32_t wait : list[i].waits)
      if (!in_stream(i)) awaited[static_cast<std::size_t>(wait)] = true;
  for (std::size_t i = 0; i < list.size(); ++i)
    if (awaited[i] && in_stream(i) && list[i].lane == Lane::compute) awaited_.push_back(i);
}

Stream& StreamMarks::stream(std::size_t instruction) {
  switch (list_[instruction].lane) {
    case Lane::copy_out: return gpu_->copy_out;
    case Lane::copy_in: return gpu_->copy_in;
    case Lane::comm: return gpu_->comm;
    default: return gpu_->compute;
  }
}

void StreamMarks::begin() {
  if (gpu_) zero_->record(gpu_->compute);
}

void StreamMarks::order(std::size_t instruction, const Completion& completion) {
  for (const std::int32_t wait : list_[instruction].waits) {
    const auto w = static_cast<std::size_t>(wait);
    if (in_stream(w) && list_[w].lane != list_[instruction].lane && !completion.is_done(wait))
      marks_[w]->order(stream(instruction));
  }
}

void StreamMarks::settle(std::vector<Interval>& intervals) const {
  if (!gpu_) return;
  double compute = 0;  // end of the lane's newest instruction
  for (std::size_t i = 0; i < list_.size(); ++i) {
    Interval& time = intervals[i];
    if (in_stream(i) && time.end > time.start) {
      time.end = std::max(0.0, Event::seconds(*zero_, *marks_[i]));
      time.start = std::min(time.start, time.end);
      for (const std::int32_t wait : list_[i].waits)
        time.start =
            std::max(time.start, std::min(time.end, intervals[static_cast<std::size_t>(wait)].end));
    }
    if (list_[i].lane != Lane::compute) continue;
    time.start = std::max(time.start, compute);
    time.end = compute = std::max(time.end, time.start);
  }
}

}  // namespace trireme::engine
