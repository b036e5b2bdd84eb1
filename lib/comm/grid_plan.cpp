// The printed plan: which rank holds what.

#include "lib/comm/grid.hpp"

#include <fmt/core.h>

namespace trireme::comm {
namespace {

constexpr int kRanksListed = 64;  // larger grids are told by rule, not rank by rank
constexpr int kStagesShown = 16;

/// "0-3" or "5"
std::string rank_range(int first, int last) {
  return first == last ? std::to_string(first) : fmt::format("{}-{}", first, last);
}

std::string stage_line(const ProcessGrid& grid, int stage, const std::string& holds) {
  const int first = grid.rank({0, 0, stage});
  const int last = grid.rank({grid.data() - 1, grid.tensor() - 1, stage});
  std::string line = fmt::format("  stage {:<3} ranks {:<12}", stage, rank_range(first, last));
  if (!holds.empty()) line += fmt::format(" {}", holds);
  line += "\n";
  if (grid.data() * grid.tensor() == 1 || grid.size() > kRanksListed) return line;
  for (int d = 0; d < grid.data(); ++d)
    line +=
        fmt::format("    replica {:<4} ranks {}\n", d,
                    rank_range(grid.rank({d, 0, stage}), grid.rank({d, grid.tensor() - 1, stage})));
  return line;
}

}  // namespace

std::string grid_plan(const ProcessGrid& grid,
                      const std::function<std::string(int stage)>& stage_holds) {
  std::string plan = fmt::format("grid: {}\n", grid.text());
  if (grid.tensor() > 1)
    plan +=
        fmt::format("  each block is split over {} neighbouring ranks (tensor)\n", grid.tensor());
  if (grid.replicas() > 1)
    plan += fmt::format(
        "  state is divided over {} neighbouring data ranks (shard) and held {} times (replica)\n",
        grid.shard(), grid.replicas());
  if (grid.size() > kRanksListed)
    plan += fmt::format("  stage s, replica d: the {} rank(s) from {} s + {} d on\n", grid.tensor(),
                        grid.data() * grid.tensor(), grid.tensor());
  for (int stage = 0; stage < grid.pipeline(); ++stage) {
    const bool shown =
        stage < kStagesShown - 1 || stage == grid.pipeline() - 1 || grid.pipeline() <= kStagesShown;
    if (shown) {
      plan += stage_line(grid, stage, stage_holds ? stage_holds(stage) : "");
    } else if (stage == kStagesShown - 1) {
      plan += "  ...\n";
    }
  }
  return plan;
}

}  // namespace trireme::comm
