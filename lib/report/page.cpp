// report.html: one self-contained page.

#include "lib/report/html.hpp"
#include "lib/report/report.hpp"

#include <fmt/format.h>

namespace trireme::report {

std::string to_html(const RunReport& report, const io::LogContents& log) {
  std::string curve;
  for (const auto& step : log.steps) curve += fmt::format("{} {}\n", step.step, step.loss);
  return fmt::format(
      "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>{}</title></head>"
      "<body><pre>{}</pre><h2>Loss by step</h2><pre>{}</pre></body></html>\n",
      escape(report.title), escape(summary_text(report)), curve);
}

}  // namespace trireme::report
