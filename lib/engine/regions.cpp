#include "lib/engine/regions.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace trireme::engine {
namespace {

using program::Group;
using program::Instruction;
using program::Kind;
using program::Pass;

Region region_of_work(const models::Model& model, const Instruction& i) {
  if (i.kind == Kind::norm || i.kind == Kind::decide) return Region::norm;
  if (i.kind == Kind::trust || i.kind == Kind::update) return Region::update;
  if (i.kind == Kind::clear || i.kind == Kind::accumulate) return Region::accumulate;
  if (i.pass == Pass::recompute) return Region::recompute;
  const bool forward = i.pass == Pass::forward;
  const auto last = static_cast<std::int32_t>(model.blocks.size()) - 1;
  if (i.block == 0) return forward ? Region::forward_embedding : Region::backward_embedding;
  if (i.block == last) return forward ? Region::forward_head : Region::backward_head;
  return forward ? Region::forward_layers : Region::backward_layers;
}

Region region_of_wait(const Instruction& i) {
  if (i.kind == Kind::load) return Region::wait_tokens;
  if (i.lane == program::Lane::storage) return Region::wait_storage;
  if (i.group == Group::world) return Region::wait_agreement;
  if (i.kind == Kind::all_gather && i.group == Group::shard) return Region::wait_weights;
  if (i.unit >= 0) return Region::wait_gradients;
  if (i.kind == Kind::send || i.kind == Kind::receive) return Region::wait_pipeline;
  return Region::wait_tensor;
}

}  // namespace

std::string_view name_of(Region region) {
  switch (region) {
    case Region::forward_embedding: return "forward embedding";
    case Region::forward_layers: return "forward layers";
    case Region::forward_head: return "forward head and loss";
    case Region::recompute: return "recompute";
    case Region::backward_head: return "backward head";
    case Region::backward_layers: return "backward layers";
    case Region::backward_embedding: return "backward embedding";
    case Region::norm: return "gradient norm";
    case Region::accumulate: return "gradient accumulation";
    case Region::update: return "update";
    case Region::wait_tokens: return "wait for tokens";
    case Region::wait_storage: return "wait for storage";
    case Region::wait_weights: return "wait for gathered weights";
    case Region::wait_tensor: return "wait for tensor group";
    case Region::wait_pipeline: return "wait for pipeline";
    case Region::wait_gradients: return "wait for gradient sums";
    case Region::wait_agreement: return "wait for all ranks";
    case Region::start_and_end: return "start and end";
  }
  return "?";
}

RegionMeter::RegionMeter(const models::Model& model, const std::vector<Instruction>& list)
    : list_(list) {
  for (const Instruction& instruction : list)
    work_.push_back(instruction.lane == program::Lane::compute ? region_of_work(model, instruction)
                                                               : region_of_wait(instruction));
}

Region RegionMeter::waited_for(std::size_t instruction,
                               const std::vector<Interval>& intervals) const {
  Region region = Region::start_and_end;
  double latest = -1;
  for (const std::int32_t wait : list_[instruction].waits) {
    const auto w = static_cast<std::size_t>(wait);
    if (intervals[w].end <= latest) continue;
    latest = intervals[w].end;
    region = work_[w];
  }
  return region;
}

std::string text_of(const RegionTotals& totals) {
  std::string text = "time of a step so far:";
  for (std::size_t r = 0; r < kRegions; ++r)
    if (totals.seconds[r] > 0)
      text += fmt::format(" {} {:.1f} ms,", name_of(static_cast<Region>(r)),
                          1e3 * totals.seconds[r] / static_cast<double>(totals.steps));
  text.pop_back();
  return text;
}

void RegionMeter::add(const std::vector<Interval>& intervals, double step_seconds) {
  double now = 0;
  const auto count = [&](Region region, double seconds, std::int64_t calls) {
    totals_.seconds[static_cast<std::size_t>(region)] += seconds;
    totals_.calls[static_cast<std::size_t>(region)] += calls;
  };
  for (std::size_t i = 0; i < list_.size(); ++i) {
    if (list_[i].lane != program::Lane::compute) continue;
    count(waited_for(i, intervals), intervals[i].start - now, 0);
    count(work_[i], intervals[i].end - intervals[i].start, 1);
    now = intervals[i].end;
  }
  count(Region::start_and_end, step_seconds - now, 1);
  ++totals_.steps;
}

}  // namespace trireme::engine
