// report.html: one self-contained page.

#include "lib/report/page/frame.hpp"
#include "lib/report/page/sections.hpp"
#include "lib/report/report.hpp"

#include <fmt/format.h>

namespace trireme::report {

std::string to_html(const RunReport& report, const io::LogContents& log) {
  return page_frame(
      report.title + " · Trireme run report",
      {header_section(report), tiles_section(report), learning_section(report, log),
       speed_section(report, log), step_section(report), regions_section(report),
       memory_section(report), traffic_section(report), parts_section(report),
       setting_section(report)},
      fmt::format("Trireme {} ({}). The numbers: {} (schema {}) and {} beside this page.",
                  report.version, report.git, kReportName, kSchemaVersion, io::kLogName));
}

}  // namespace trireme::report
