// The end of a run on a terminal.

#include "lib/report/format.hpp"
#include "lib/report/report.hpp"
#include "lib/report/usage.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace trireme::report {
namespace {

/// "steps 1 to 9 on 2 nodes, job 12 (restart 1, 13 s in the queue): SIGTERM"
std::string part_text(const Part& part) {
  std::string text =
      fmt::format("steps {} to {}, {} ranks on {} node{}", part.first_step, part.last_step,
                  part.ranks, part.nodes, part.nodes == 1 ? "" : "s");
  if (!part.job.empty()) {
    text += fmt::format(", job {} restart {}", part.job, part.restarts);
    if (std::isfinite(part.queue_seconds))
      text += fmt::format(" after {} in the queue", format_seconds(part.queue_seconds));
  }
  if (const std::string usage = usage_text(part); !usage.empty() && usage != "-")
    text += fmt::format(" used {}", usage);
  return text + ": " + (part.finished.empty() ? "no record of its end" : part.reason);
}

std::string head(const RunReport& report) {
  std::string text;
  const auto line = [&](std::string_view name, const std::string& value) {
    text += fmt::format("  {:<12}{}\n", name, value);
  };
  const Grid& grid = report.grid;
  line("model",
       fmt::format("{}, {} parameters, {}", report.model.family,
                   format_count(static_cast<double>(report.model.parameters)), report.dtype));
  line("grid", fmt::format("data {} x tensor {} x pipeline {} = {} ranks on {} node{}", grid.data,
                           grid.tensor, grid.pipeline, report.world_size, report.nodes,
                           report.nodes == 1 ? "" : "s"));
  line("trained", fmt::format("{} steps, {} tokens, {}", format_integer(report.steps),
                              format_count(static_cast<double>(report.tokens)),
                              format_seconds(report.seconds)));
  line("loss",
       fmt::format("{} -> {}, validation {}", format_number(report.loss.first, 4),
                   format_number(report.loss.last, 4), format_number(report.loss.validation, 4)));
  line(
      "step",
      fmt::format("median {}, 5 % to 95 %: {} to {}", format_seconds(report.step_seconds.median),
                  format_seconds(report.step_seconds.p5), format_seconds(report.step_seconds.p95)));
  line("speed",
       fmt::format("{} tokens/s, {} of the GEMM peak {}", format_speed(report.tokens_per_second),
                   format_share(report.mfu), format_rate(report.peak.flops, "FLOP/s")));
  if (std::isfinite(report.bubble.measured) || std::isfinite(report.bubble.predicted)) {
    line("bubble", fmt::format("{} measured, {} predicted", format_share(report.bubble.measured),
                               format_share(report.bubble.predicted)));
  }
  if (const auto& expect = report.expect) {
    line("expected", fmt::format("{} {} to {}: {}, found {}", expect->quantity,
                                 format_number(expect->low, 4), format_number(expect->high, 4),
                                 expect->verdict, format_number(expect->found, 4)));
  }
  if (report.parts.size() > 1) {
    line("parts", fmt::format("{}", report.parts.size()));
    for (const Part& part : report.parts) line("", part_text(part));
  }
  line("stopped", fmt::format("{} (exit {})", report.exit.reason, report.exit.code));
  return text;
}

std::string region_table(const RunReport& report) {
  std::size_t width = 12;
  for (const Region& region : report.regions) width = std::max(width, region.name.size());
  const auto row = [&](std::string_view name, std::string_view calls, auto min, auto avg, auto max,
                       std::string_view share) {
    return fmt::format("  {:<{}} {:>7} {:>11} {:>11} {:>11} {:>8}\n", name, width, calls, min, avg,
                       max, share);
  };
  const std::string rule = "  " + std::string(width + 53, '-') + "\n";
  std::vector<Region> regions = report.regions;
  std::stable_sort(regions.begin(), regions.end(),
                   [](const Region& a, const Region& b) { return a.avg > b.avg; });
  std::string text = row("region", "calls", "min", "avg", "max", "share") + rule;
  double sum = 0;
  for (const Region& region : regions) {
    sum += region.avg;
    text += row(region.name, region.calls > 0 ? format_integer(region.calls) : "",
                format_seconds(region.min), format_seconds(region.avg), format_seconds(region.max),
                format_share(region.avg / report.step_seconds.mean));
  }
  text += rule +
          row("sum", "", "", format_seconds(sum), "", format_share(sum / report.step_seconds.mean));
  text += row("mean step", "", "", format_seconds(report.step_seconds.mean), "", "");
  return text;
}

}  // namespace

std::string summary_text(const RunReport& report) {
  std::string text = fmt::format("{} {} ({})\n", report.app, report.version, report.git);
  text += head(report);
  if (!report.regions.empty()) {
    text += '\n';
    text += region_table(report);
    if (const double gap = region_gap(report); !(std::abs(gap) <= kRegionTolerance)) {
      text += fmt::format("  the regions miss the step time by {}\n", format_share(gap));
    }
  }
  for (const std::string& warning : report.warnings) text += fmt::format("warning: {}\n", warning);
  return text;
}

void print_summary(const RunReport& report, std::FILE* out) {
  const std::string text = summary_text(report);
  std::fwrite(text.data(), 1, text.size(), out);
  std::fflush(out);
}

}  // namespace trireme::report
