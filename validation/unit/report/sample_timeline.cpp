#include "validation/unit/report/sample_timeline.hpp"

#include "lib/report/report.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <map>

namespace trireme::report::sample {
namespace {

constexpr double kForward = 0.052;
constexpr double kBackward = 0.101;
constexpr double kTransfer = 0.006;

struct Pass {
  bool forward;
  int micro_batch;
};

/// Warm-up forwards, then one forward one backward, then the rest (Narayanan et al. 2021, fig. 4).
std::vector<Pass> one_f_one_b(int stage, int stages, int micro_batches) {
  std::vector<Pass> passes;
  int forward = 0;
  int backward = 0;
  const int warm_up = std::min(stages - 1 - stage, micro_batches);
  while (forward < warm_up) passes.push_back({true, forward++});
  while (forward < micro_batches) {
    passes.push_back({true, forward++});
    passes.push_back({false, backward++});
  }
  while (backward < micro_batches) passes.push_back({false, backward++});
  return passes;
}

/// End times of the passes of all stages, in any order that their waits allow.
struct Played {
  std::map<std::pair<int, int>, double> forward;   ///< (stage, micro-batch) -> end
  std::map<std::pair<int, int>, double> backward;  ///< (stage, micro-batch) -> end
};

Played play(int stages, int micro_batches) {
  Played played;
  std::vector<std::vector<Pass>> lists;
  std::vector<std::size_t> next(static_cast<std::size_t>(stages), 0);
  std::vector<double> free_at(static_cast<std::size_t>(stages), 0.01);
  for (int s = 0; s < stages; ++s) lists.push_back(one_f_one_b(s, stages, micro_batches));
  for (bool moved = true; moved;) {
    moved = false;
    for (int s = 0; s < stages; ++s) {
      const auto at = static_cast<std::size_t>(s);
      if (next[at] == lists[at].size()) continue;
      const Pass pass = lists[at][next[at]];
      const int from = pass.forward ? s - 1 : s + 1;
      auto& ends = pass.forward ? played.forward : played.backward;
      double ready = 0;
      if (from >= 0 && from < stages) {
        const auto input = ends.find({from, pass.micro_batch});
        if (input == ends.end()) continue;
        ready = input->second + kTransfer;
      }
      free_at[at] = std::max(free_at[at], ready) + (pass.forward ? kForward : kBackward);
      ends[{s, pass.micro_batch}] = free_at[at];
      ++next[at];
      moved = true;
    }
  }
  return played;
}

void add_rank(Timeline& timeline, const Played& played, const Grid& grid, int rank) {
  const int stage = rank / (grid.tensor * grid.data);
  auto& spans = timeline.spans;
  double last = 0;
  spans.push_back({rank, "storage", "load", "tokens", 0, 0.009});
  for (const auto& [who, end] : played.forward) {
    if (who.first != stage) continue;
    const std::string name = fmt::format("micro-batch {}", who.second);
    spans.push_back({rank, "compute", "forward", name, end - kForward, end});
    if (stage + 1 < grid.pipeline) {
      spans.push_back({rank, "comm", "send", name, end, end + kTransfer});
    }
    if (stage > 0) {
      spans.push_back({rank, "comm", "receive", name, end - kForward - kTransfer, end - kForward});
    }
  }
  for (const auto& [who, end] : played.backward) {
    if (who.first != stage) continue;
    const std::string name = fmt::format("micro-batch {}", who.second);
    spans.push_back({rank, "compute", "backward", name, end - kBackward, end});
    if (stage > 0) spans.push_back({rank, "comm", "send", name, end, end + kTransfer});
    last = std::max(last, end);
  }
  for (int block = 0; block < 3; ++block) {
    const double at = last - 0.03 + 0.025 * block;
    spans.push_back({rank, "comm", "reduce", fmt::format("gradient L{}", block), at, at + 0.022});
  }
  spans.push_back({rank, "comm", "all-reduce", "norm", last + 0.045, last + 0.05});
  spans.push_back({rank, "compute", "update", "all blocks", last + 0.05, last + 0.085});
}

}  // namespace

Timeline make_timeline(const Grid& grid, int world_size, std::int64_t step) {
  Timeline timeline{step, {}};
  const Played played = play(grid.pipeline, grid.micro_batches);
  for (const int rank : timeline_ranks(world_size)) add_rank(timeline, played, grid, rank);
  return timeline;
}

}  // namespace trireme::report::sample
