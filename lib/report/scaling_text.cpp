// A scaling study for terminals and for spreadsheets.

#include "lib/report/csv.hpp"
#include "lib/report/format.hpp"
#include "lib/report/scaling.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace trireme::report {
namespace {

std::string row_of(const std::vector<std::string>& cells) {
  std::string text =
      fmt::format("  {:>5} {:>5} {:<22} {:>6}", cells[0], cells[1], cells[2], cells[3]);
  for (std::size_t i = 4; i < cells.size(); ++i) text += fmt::format(" {:>10}", cells[i]);
  return text + "\n";
}

std::string table_of(const Scaling& scaling, const std::string& kind) {
  std::string text = row_of({"ranks", "nodes", "grid", "batch", "step best", "median", "tokens/s",
                             "efficiency", "waiting", "bubble", "memory"});
  for (const ScalingPoint& point : scaling.points) {
    if (point.plan.kind != kind || point.state != PointState::measured) continue;
    text += row_of({fmt::format("{}{}", point.plan.ranks, point.oversubscribed ? "!" : ""),
                    fmt::format("{}", point.plan.nodes), grid_name(point.plan),
                    fmt::format("{}", point.plan.batch), format_seconds(point.step.min),
                    format_seconds(point.step.median), format_speed(point.tokens_per_second),
                    format_share(point.efficiency), format_share(point.communication),
                    format_share(point.bubble.measured), format_bytes(point.memory)});
  }
  for (const ScalingPoint& point : scaling.points)
    if (point.plan.kind == kind && point.state != PointState::measured)
      text +=
          fmt::format("  {:>5} {:>5} {:<22} {:>6}  {}: {}\n", point.plan.ranks, point.plan.nodes,
                      grid_name(point.plan), point.plan.batch, name_of(point.state), point.reason);
  return text;
}

}  // namespace

std::string scaling_text(const Scaling& scaling) {
  const Study& study = scaling.study;
  std::string text =
      fmt::format("scaling of {} on {}, {} steps a point, planned {}, programs {}\n", study.deck,
                  study.machine, study.steps, study.planned, fmt::join(scaling.commits, ", "));
  for (const std::string& line : where_measured(scaling)) text += fmt::format("  {}\n", line);
  for (const std::string& kind : scaling.kinds()) {
    text += fmt::format("\n{}: {}\n", kind,
                        kind == "strong" ? "the global batch stays" : "the samples a rank stay");
    text += table_of(scaling, kind);
    if (const ScalingPoint* base = scaling.base(kind))
      text += fmt::format("  efficiency against {} rank{}, {}\n", base->plan.ranks,
                          base->plan.ranks == 1 ? "" : "s", grid_name(base->plan));
  }
  return text;
}

std::string scaling_csv(const Scaling& scaling) {
  std::string text =
      "kind,run,state,reason,ranks,nodes,ranks_per_node,threads,machines,cores,oversubscribed,"
      "data,tensor,pipeline,batch,micro,steps,step_seconds_min,step_seconds_median,"
      "step_seconds_p95,tokens_per_second,efficiency,efficiency_by_ranks,communication_share,"
      "bubble_measured,bubble_predicted,memory_largest_rank,host,cpu,job\r\n";
  for (const ScalingPoint& point : scaling.points) {
    const StudyPoint& plan = point.plan;
    text += fmt::format("{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{}", plan.kind,
                        csv_text(plan.run), name_of(point.state), csv_text(point.reason),
                        plan.ranks, plan.nodes, plan.ranks_per_node, plan.threads, point.machines,
                        point.cores, point.oversubscribed, plan.data, plan.tensor, plan.pipeline,
                        plan.batch, plan.micro, point.step.count);
    for (const double value :
         {point.step.min, point.step.median, point.step.p95, point.tokens_per_second,
          point.efficiency, point.efficiency_by_ranks, point.communication, point.bubble.measured,
          point.bubble.predicted, point.memory})
      text += "," + csv_number(value);
    text += fmt::format(",{},{},{}\r\n", csv_text(point.host), csv_text(point.cpu),
                        csv_text(point.job));
  }
  return text;
}

}  // namespace trireme::report
