// One step, its regions, and what moved between ranks and to disk.

#include "lib/report/format.hpp"
#include "lib/report/page/gantt.hpp"
#include "lib/report/page/html.hpp"
#include "lib/report/page/sections.hpp"
#include "lib/report/page/table.hpp"
#include "lib/report/report.hpp"
#include "lib/report/usage.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <set>

namespace trireme::report {
namespace {

using enum Table::Align;

std::string bandwidth(std::int64_t bytes, double seconds) {
  return seconds > 0 ? format_rate(static_cast<double>(bytes) / seconds, "B/s") : "-";
}

std::string communication(const RunReport& report) {
  if (report.comm.empty()) return "";
  std::vector<Comm> comm = report.comm;
  std::stable_sort(comm.begin(), comm.end(),
                   [](const Comm& a, const Comm& b) { return a.seconds > b.seconds; });
  const double longest = std::max(comm.front().seconds, 1e-300);
  Table table({{"Operation", kText},
               {"Group", kText},
               {"Calls"},
               {"Bytes"},
               {"Time a rank"},
               {"Rate, all ranks"},
               {"", kBar}});
  for (const Comm& row : comm) {
    table.row({row.op, row.group, format_integer(row.calls),
               format_bytes(static_cast<double>(row.bytes)), format_seconds(row.seconds),
               bandwidth(row.bytes, row.seconds), bar(row.seconds / longest, kind_class(row.op))});
  }
  return "<h2>Communication</h2>" + table.take() +
         "<p class=\"note\">Bytes and calls of all ranks over the whole run, counted in the "
         "transport. Time from start to completion, waiting for the peer included.</p>";
}

std::string files(const RunReport& report) {
  if (report.checkpoints.empty() && report.io.empty()) return "";
  Table table(
      {{"File", kText}, {"Step"}, {"Calls"}, {"Bytes"}, {"Time a rank"}, {"Rate, all ranks"}});
  for (const Checkpoint& row : report.checkpoints) {
    table.row({row.path, format_integer(row.step), "", format_bytes(static_cast<double>(row.bytes)),
               format_seconds(row.seconds), bandwidth(row.bytes, row.seconds)});
  }
  for (const Io& row : report.io) {
    table.row({row.op + " " + row.what, "", format_integer(row.calls),
               format_bytes(static_cast<double>(row.bytes)), format_seconds(row.seconds),
               bandwidth(row.bytes, row.seconds)});
  }
  return "<h2>Checkpoints and files</h2>" + table.take();
}

/// Where the column "Used" comes from.
std::string usage_note(const RunReport& report) {
  std::set<std::string> sources;
  for (const Part& part : report.parts)
    if (!part.usage.empty()) sources.insert(part.usage);
  return sources.empty()
             ? ""
             : escape(fmt::format(" Used, by the scheduler: {}.", fmt::join(sources, "; ")));
}

}  // namespace

std::string step_section(const RunReport& report) {
  const GanttPicture picture = draw_gantt(report.timeline, report.grid);
  if (picture.svg.empty()) return "";
  std::string html =
      fmt::format("<section><h2>One step: {}</h2>", format_integer(report.timeline.step));
  const Bubble& bubble = report.bubble;
  if (std::isfinite(bubble.measured) || std::isfinite(bubble.predicted)) {
    html += fmt::format(
        "<p class=\"lead\">Compute waits <b>{}</b> of the time between the first forward and the "
        "last backward; the schedule alone predicts <b>{}</b>.</p>",
        format_share(bubble.measured), format_share(bubble.predicted));
  }
  html += picture.legend + "<div class=\"box gantt\">" + picture.svg + "</div>";
  html += fmt::format(
      "<p class=\"note\">For each rank: compute, communication and storage lane, top to bottom. "
      "Point at a bar for its name and time. {}</p></section>",
      picture.note);
  return html;
}

std::string regions_section(const RunReport& report) {
  if (report.regions.empty()) return "";
  std::vector<Region> regions = report.regions;
  std::stable_sort(regions.begin(), regions.end(),
                   [](const Region& a, const Region& b) { return a.avg > b.avg; });
  double longest = 1e-300;
  double sum = 0;
  for (const Region& region : regions) {
    longest = std::max(longest, region.max);
    sum += region.avg;
  }
  Table table(
      {{"Region", kText}, {"Calls"}, {"Min"}, {"Avg"}, {"Max"}, {"Share of step"}, {"", kBar}});
  const double step = report.step_seconds.mean;
  for (const Region& region : regions) {
    table.row({region.name, region.calls > 0 ? format_integer(region.calls) : "",
               format_seconds(region.min), format_seconds(region.avg), format_seconds(region.max),
               format_share(region.avg / step),
               range_bar(region.min / longest, region.avg / longest, region.max / longest,
                         region.name.starts_with("wait") ? "c0" : "c1")});
  }
  table.row({"sum", "", "", format_seconds(sum), "", format_share(sum / step), ""}, "total");
  const double gap = region_gap(report);
  const bool holds = std::abs(gap) <= kRegionTolerance;
  return fmt::format(
      "<section><h2>Where a step's time goes</h2>{}<p class=\"note{}\">Seconds a step, least, mean "
      "and largest of the ranks. {} the mean step time of {}.</p></section>",
      table.take(), holds ? "" : " bad",
      holds ? "The regions sum to" : fmt::format("The regions miss by {}", format_share(gap)),
      format_seconds(step));
}

std::string parts_section(const RunReport& report) {
  const bool batch = !report.parts.empty() && !report.parts.back().scheduler.empty();
  if (report.parts.size() < 2 && !batch) return "";
  Table table({{"Steps", kText},
               {"Ranks"},
               {"Nodes"},
               {"Job", kText},
               {"Queue", kText},
               {"Hosts", kText},
               {"Waited"},
               {"Used"},
               {"Started", kText},
               {"Ended", kText}});
  for (const Part& part : report.parts) {
    table.row({fmt::format("{} to {}", part.first_step, part.last_step), format_integer(part.ranks),
               format_integer(part.nodes),
               part.job.empty() ? "" : fmt::format("{} restart {}", part.job, part.restarts),
               part.queue, part.hosts, format_seconds(part.queue_seconds), usage_text(part),
               part.started, part.finished.empty() ? "no record" : part.reason});
  }
  return "<section><h2>Parts of the run</h2>" + table.take() +
         "<p class=\"note\">One row a process. Steps behind the checkpoint from which the next "
         "part resumed were done again and are counted there." +
         usage_note(report) + "</p></section>";
}

std::string traffic_section(const RunReport& report) {
  const std::string html = communication(report) + files(report);
  return html.empty() ? "" : "<section>" + html + "</section>";
}

}  // namespace trireme::report
