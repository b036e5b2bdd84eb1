// report.html: one self-contained page.

#include "lib/report/page/html.hpp"
#include "lib/report/page/sections.hpp"
#include "lib/report/page/style.hpp"
#include "lib/report/report.hpp"

#include <fmt/format.h>

namespace trireme::report {

std::string to_html(const RunReport& report, const io::LogContents& log) {
  std::string html = fmt::format(
      "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
      "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
      "<title>{} · Trireme run report</title>\n<style>{}</style>\n</head>\n<body>\n<main>\n",
      escape(report.title), style_sheet());
  for (const std::string& section :
       {header_section(report), tiles_section(report), learning_section(report, log),
        speed_section(report, log), step_section(report), regions_section(report),
        memory_section(report), traffic_section(report), setting_section(report)}) {
    if (!section.empty()) html += section + "\n";
  }
  html += fmt::format(
      "<footer>Trireme {} ({}). The numbers: {} (schema {}) and {} beside this page.</footer>\n"
      "</main>\n</body>\n</html>\n",
      escape(report.version), escape(report.git), kReportName, kSchemaVersion, io::kLogName);
  return html;
}

}  // namespace trireme::report
