#include "lib/report/scaling.hpp"

#include "kernels/base/error.hpp"
#include "lib/engine/regions.hpp"
#include "lib/engine/run_folder.hpp"
#include "lib/report/report.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <map>
#include <tuple>

namespace trireme::report {
namespace {

namespace fs = std::filesystem;

/// In which a rank's compute waits for other ranks.
constexpr std::array kCommunication{engine::Region::wait_weights, engine::Region::wait_tensor,
                                    engine::Region::wait_pipeline, engine::Region::wait_gradients,
                                    engine::Region::wait_agreement};

double communication_share(const RunReport& report) {
  if (report.regions.empty()) return kUnknown;
  double seconds = 0;
  for (const engine::Region waits : kCommunication)
    for (const Region& region : report.regions)
      if (region.name == engine::name_of(waits)) seconds += region.avg;
  return seconds / report.step_seconds.mean;
}

/// Empty where the run is what was planned.
std::string other_than_planned(const StudyPoint& plan, const RunReport& report) {
  const Grid& grid = report.grid;
  if (grid.data == plan.data && grid.tensor == plan.tensor && grid.pipeline == plan.pipeline &&
      grid.micro_batches * plan.micro * plan.data == plan.batch)
    return "";
  return fmt::format(
      "expected a grid of {}x{}x{} and a batch of {}, found {}x{}x{} with {} micro-batches: "
      "another run lies in {}",
      plan.data, plan.tensor, plan.pipeline, plan.batch, grid.data, grid.tensor, grid.pipeline,
      grid.micro_batches, plan.run);
}

std::string job_of(const RunReport& report) {
  if (report.parts.empty() || report.parts.back().job.empty()) return "";
  const Part& part = report.parts.back();
  return fmt::format("{} job {} on {}", part.scheduler, part.job, part.hosts);
}

void take_numbers(ScalingPoint& point, const RunReport& report) {
  point.state = PointState::measured;
  point.step = report.step_seconds;
  point.tokens_per_second = report.tokens_per_second;
  point.machines = report.environment.machines;
  point.cores = report.environment.cores;
  point.oversubscribed = oversubscribed(report);
  point.host = report.environment.host;
  point.cpu = report.environment.cpu;
  point.job = job_of(report);
  point.communication = communication_share(report);
  point.bubble = report.bubble;
  point.memory = largest_rank(report).used;
}

/// Reads what the point's run left; returns the commit of its program.
std::string measure(ScalingPoint& point, const fs::path& run_dir) {
  const auto is = [&](PointState state, std::string reason) {
    point.state = state;
    point.reason = std::move(reason);
    return std::string();
  };
  if (!point.plan.refused.empty()) return is(PointState::refused, point.plan.refused);
  if (!is_run(run_dir)) return is(PointState::missing, "not run yet");
  if (!fs::exists(run_dir / kReportName) && !fs::exists(run_dir / engine::kExitName))
    return is(PointState::missing, "running, or killed without a word");
  try {
    const Run run = read_run(run_dir);
    const ExitRecord& end = run.report.exit;
    if (!run.reported || end.code != 0)
      return is(PointState::failed, fmt::format("exit code {}: {}", end.code, end.reason));
    if (std::string other = other_than_planned(point.plan, run.report); !other.empty())
      return is(PointState::failed, std::move(other));
    if (run.report.step_seconds.count < 2)
      return is(PointState::failed, "no steady steps: a run has to make at least three");
    take_numbers(point, run.report);
    return run.report.git;
  } catch (const Error& error) {
    return is(PointState::failed, error.text());
  }
}

std::int64_t wanted_cores(const ScalingPoint& point) {
  return point.plan.ranks * point.plan.threads;
}

std::int64_t used_cores(const ScalingPoint& point) {
  return point.cores > 0 ? std::min(wanted_cores(point), point.cores) : wanted_cores(point);
}

void compare_with_base(Scaling& scaling) {
  for (const std::string& kind : scaling.kinds()) {
    const ScalingPoint* found = scaling.base(kind);
    if (found == nullptr) continue;
    const ScalingPoint base = *found;
    for (ScalingPoint& point : scaling.points) {
      if (point.plan.kind != kind || point.state != PointState::measured) continue;
      const auto share = [](std::int64_t a, std::int64_t b) {
        return static_cast<double>(a) / static_cast<double>(b);
      };
      const double speedup = point.tokens_per_second / base.tokens_per_second;
      point.efficiency = speedup / share(used_cores(point), used_cores(base));
      point.efficiency_by_ranks = speedup / share(wanted_cores(point), wanted_cores(base));
      point.ideal_step = point.step.median * point.efficiency;
    }
  }
}

}  // namespace

std::string_view name_of(PointState state) {
  switch (state) {
    case PointState::measured: return "measured";
    case PointState::failed: return "failed";
    case PointState::refused: return "refused";
    case PointState::missing: return "missing";
  }
  return "";
}

const ScalingPoint* Scaling::base(std::string_view kind) const {
  const ScalingPoint* best = nullptr;
  const auto key = [](const ScalingPoint& point) {
    return std::tuple(point.oversubscribed, point.plan.ranks, -point.tokens_per_second);
  };
  for (const ScalingPoint& point : points) {
    if (point.plan.kind != kind || point.state != PointState::measured) continue;
    if (best == nullptr || key(point) < key(*best)) best = &point;
  }
  return best;
}

std::vector<std::string> Scaling::kinds() const {
  std::vector<std::string> found;
  for (const char* kind : {"strong", "weak"})
    if (std::any_of(points.begin(), points.end(),
                    [&](const ScalingPoint& point) { return point.plan.kind == kind; }))
      found.emplace_back(kind);
  return found;
}

Scaling read_scaling(const fs::path& folder) {
  Scaling scaling;
  scaling.study = read_study(folder);
  for (const StudyPoint& plan : scaling.study.points) {
    ScalingPoint& point = scaling.points.emplace_back();
    point.plan = plan;
    if (std::string commit = measure(point, folder / plan.run); !commit.empty())
      scaling.commits.insert(std::move(commit));
  }
  compare_with_base(scaling);
  return scaling;
}

std::string grid_name(const StudyPoint& point) {
  return fmt::format("tensor {} x pipeline {}", point.tensor, point.pipeline);
}

std::vector<std::string> where_measured(const Scaling& scaling) {
  // Points that ran alike share a line.
  std::map<std::tuple<std::string, std::string, std::int64_t>, std::set<std::int64_t>> places;
  std::set<std::int64_t> oversubscribed;
  std::set<std::string> unknown;
  std::int64_t most_nodes = 0;
  std::int64_t most_machines = 0;
  for (const ScalingPoint& point : scaling.points) {
    if (point.state != PointState::measured) continue;
    const std::string where = point.job.empty() ? point.host : point.job;
    places[{where, point.cpu, point.cores}].insert(point.plan.ranks);
    if (point.oversubscribed) oversubscribed.insert(point.plan.ranks);
    if (point.cores == 0) unknown.insert(point.plan.run);
    if (point.plan.nodes > most_nodes) {
      most_nodes = point.plan.nodes;
      most_machines = point.machines;
    }
  }
  std::vector<std::string> lines;
  for (const auto& [place, ranks] : places)
    lines.push_back(fmt::format("{}, {}: {} cores for {} ranks", std::get<0>(place),
                                std::get<1>(place), std::get<2>(place), fmt::join(ranks, ", ")));
  if (most_machines > 0 && most_machines < most_nodes)
    lines.push_back(
        fmt::format("the {} nodes are {} machine{}: nodes that share one say nothing of networks",
                    most_nodes, most_machines, most_machines == 1 ? "" : "s"));
  if (!oversubscribed.empty())
    lines.push_back(
        fmt::format("oversubscribed, more threads than cores: points of {} ranks; their ideal is "
                    "what the cores give, and waiting is also waiting for a core",
                    fmt::join(oversubscribed, ", ")));
  if (!unknown.empty())
    lines.push_back(fmt::format("not known whether oversubscribed: {}", fmt::join(unknown, ", ")));
  return lines;
}

}  // namespace trireme::report
