// Numbers that are made from other numbers of the run.

#include "kernels/base/checked.hpp"
#include "lib/report/report.hpp"

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>
#include <set>

namespace trireme::report {
namespace {

/// Value below which the share `p` of `sorted` lies, by linear interpolation.
double percentile(const std::vector<double>& sorted, double p) {
  const double at = p * static_cast<double>(sorted.size() - 1);
  const auto below = static_cast<std::size_t>(at);
  const std::size_t above = std::min(below + 1, sorted.size() - 1);
  return sorted[below] + (at - static_cast<double>(below)) * (sorted[above] - sorted[below]);
}

/// The finite ones of one member of the records, sorted.
std::vector<double> sorted_values(std::span<const io::StepRecord> records,
                                  double io::StepRecord::*member) {
  std::vector<double> values;
  for (const auto& record : records) {
    if (std::isfinite(record.*member)) values.push_back(record.*member);
  }
  std::sort(values.begin(), values.end());
  return values;
}

double median(std::span<const io::StepRecord> records, double io::StepRecord::*member) {
  const auto values = sorted_values(records, member);
  return values.empty() ? kUnknown : percentile(values, 0.5);
}

StepSeconds step_seconds(std::span<const io::StepRecord> records) {
  const auto values = sorted_values(records, &io::StepRecord::seconds);
  if (values.empty()) return {};
  StepSeconds result;
  result.median = percentile(values, 0.5);
  result.p5 = percentile(values, 0.05);
  result.p95 = percentile(values, 0.95);
  result.min = values.front();
  result.count = static_cast<std::int64_t>(values.size());
  result.mean =
      std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
  return result;
}

/// A part's steps count up to where the next one resumed; what came later was done again.
std::vector<Part> parts_of(const io::LogContents& log) {
  std::vector<Part> parts;
  for (const io::StartEvent& start : log.starts) {
    if (!parts.empty()) parts.back().last_step = start.step;
    parts.push_back({start.step + 1,
                     start.step,
                     narrow<int>(start.ranks),
                     narrow<int>(start.nodes),
                     start.scheduler,
                     start.job,
                     start.queue,
                     start.hosts,
                     start.restarts,
                     start.queue_seconds,
                     start.time,
                     "",
                     "",
                     {},
                     {},
                     kUnknown,
                     ""});
  }
  if (!parts.empty() && !log.steps.empty()) parts.back().last_step = log.steps.back().step;
  for (std::size_t i = 0; i < log.stops.size(); ++i) {
    if (log.starts_before_stop[i] == 0) continue;
    Part& part = parts[log.starts_before_stop[i] - 1];
    part.finished = log.stops[i].time;
    part.reason = log.stops[i].reason;
    part.code = log.stops[i].code;
  }
  return parts;
}

}  // namespace

void fill_from_log(RunReport& report, const io::LogContents& log, std::int64_t first_step) {
  if (!log.evaluations.empty()) report.loss.validation = log.evaluations.back().loss;
  report.parts = parts_of(log);
  report.checkpoints.clear();
  for (const auto& event : log.checkpoints) {
    if (event.step < first_step) continue;
    report.checkpoints.push_back({event.step, event.path, event.bytes, event.seconds});
  }
  if (log.steps.empty()) return;
  report.loss.first = log.steps.front().loss;
  report.loss.last = log.steps.back().loss;
  report.steps = log.steps.back().step;
  report.tokens = log.steps.back().tokens;

  const auto begin =
      std::find_if(log.steps.begin(), log.steps.end(),
                   [&](const io::StepRecord& record) { return record.step >= first_step; });
  std::span<const io::StepRecord> part(begin, log.steps.end());
  if (part.size() > 1) part = part.subspan(1);  // the first one warms up
  report.step_seconds = step_seconds(part);
  report.tokens_per_second = median(part, &io::StepRecord::tokens_per_second);
  report.mfu = median(part, &io::StepRecord::mfu);
}

Expect judge(std::string quantity, double low, double high, double found) {
  Expect expect{std::move(quantity), low, high, found, "not reached"};
  if (!std::isnan(found)) expect.verdict = low <= found && found <= high ? "met" : "missed";
  return expect;
}

double region_gap(const RunReport& report) {
  if (report.regions.empty()) return kUnknown;
  double sum = 0;
  for (const Region& region : report.regions) sum += region.avg;
  return (sum - report.step_seconds.mean) / report.step_seconds.mean;
}

double measured_bubble(const Timeline& timeline) {
  double busy = 0;
  double begin = INFINITY;
  double end = -INFINITY;
  std::set<int> ranks;
  for (const Span& span : timeline.spans) {
    ranks.insert(span.rank);
    const bool pass = span.kind == "forward" || span.kind == "recompute" || span.kind == "backward";
    if (span.lane != "compute" || !pass) continue;
    busy += span.end - span.start;
    begin = std::min(begin, span.start);
    end = std::max(end, span.end);
  }
  if (!(begin < end)) return kUnknown;
  return 1 - busy / ((end - begin) * static_cast<double>(ranks.size()));
}

LargestRank largest_rank(const RunReport& report) {
  std::map<int, LargestRank> ranks;
  for (const Memory& entry : report.memory) {
    if (entry.tier == "nvme") continue;
    const double used = entry.used ? static_cast<double>(*entry.used) : kUnknown;
    auto [rank, fresh] = ranks.try_emplace(entry.rank, LargestRank{0, 0});
    rank->second.planned += static_cast<double>(entry.planned);
    rank->second.used += used;  // one that is not known makes the sum unknown
  }
  for (std::size_t rank = 0; rank < report.resident.size(); ++rank) {
    ranks[static_cast<int>(rank)].used = static_cast<double>(report.resident[rank]);
  }
  LargestRank largest;
  for (const auto& [rank, memory] : ranks) {
    const bool more = std::isnan(memory.used) || std::isnan(largest.used)
                          ? memory.planned > largest.planned
                          : memory.used > largest.used;
    if (more) largest = memory;
  }
  return largest;
}

bool oversubscribed(const RunReport& report) {
  const Environment& environment = report.environment;
  return environment.cores > 0 &&
         std::int64_t{report.world_size} * environment.threads > environment.cores;
}

std::vector<int> timeline_ranks(int world_size, int most) {
  check(world_size >= 1 && most >= 2, Exit::kUnexpected,
        "expected a world of at least one rank and room for two, found {} and {}", world_size,
        most);
  const int count = std::min(world_size, most);
  std::vector<int> ranks;
  for (int i = 0; i < count; ++i) {
    ranks.push_back(count == 1 ? 0 : narrow<int>(std::int64_t{i} * (world_size - 1) / (count - 1)));
  }
  return ranks;
}

}  // namespace trireme::report
