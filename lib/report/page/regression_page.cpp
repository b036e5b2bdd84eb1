// Two sets of runs on one page: the verdict, a table a case, and the loss curves of both.

#include "lib/report/page/curves.hpp"
#include "lib/report/page/frame.hpp"
#include "lib/report/page/html.hpp"
#include "lib/report/page/table.hpp"
#include "lib/report/regression_format.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace trireme::report {
namespace {

std::string css_of(Verdict verdict) {
  switch (verdict) {
    case Verdict::same: return "good";
    case Verdict::better: return "fair";
    case Verdict::worse: return "bad";
    case Verdict::none: return "";
  }
  return "";
}

std::string header(const Comparison& comparison) {
  const Tally tally = tally_of(comparison);
  std::string pills = tally.worse > 0 ? pill("bad", "worse", fmt::format("{}", tally.worse))
                                      : pill("good", "no regression", "");
  if (tally.better > 0)
    pills += pill("fair", "better, take a new baseline", fmt::format("{}", tally.better));
  return page_header(
      "trireme-report --compare",
      fmt::format("{} against {}", comparison.new_name, comparison.base_name),
      fmt::format("{}, {} judged", counted(comparison.cases.size(), "case"), tally.judged), pills);
}

/// Curves of all runs of a case: the base's below, the new ones above.
std::string curves_of(const CaseResult& one) {
  Extent extent;
  double first = INFINITY;
  double last = 0;
  LineChart chart{.label = "Training loss of base and new runs",
                  .x = Scale::linear(0, 1),
                  .y = Scale::linear(0, 1)};
  for (const auto& [side, css, name] :
       {std::tuple{&one.base, "c2", "base"}, std::tuple{&one.now, "c1", "new"}}) {
    for (const Run* run : *side) {
      auto samples = samples_of(run->log.steps, &io::StepRecord::loss);
      if (samples.empty()) continue;
      samples = smoothed(samples, samples.size() / 100);
      extent.add(samples);
      first = std::min(first, static_cast<double>(samples.front().step));
      last = std::max(last, static_cast<double>(samples.back().step));
      const bool named = run == side->back();
      chart.curves.push_back({.name = named ? name : "", .css = css, .samples = samples});
    }
  }
  if (extent.empty()) return "";
  chart.x = Scale::linear(first, last);
  chart.y = Scale::rounded(extent.low, extent.high);
  return "<div class=\"box labelled\">" + draw(chart) + "</div>";
}

std::string list_of(const std::vector<std::string>& lines, std::string_view css) {
  std::string html;
  for (const std::string& line : lines)
    html += fmt::format("<p class=\"note {}\">{}</p>", css, escape(line));
  return html;
}

std::string case_section(const CaseResult& one) {
  using enum Table::Align;
  std::string html = fmt::format("<section><h2>{} · {}</h2>", escape(one.title), escape(one.grid));
  html += list_of(one.failures, "bad") + list_of(one.notes, "");
  if (one.findings.empty()) return html + "</section>";
  Table table({{"Quantity", kText},
               {"Base: best, median (runs)"},
               {"New: best, median (runs)"},
               {"Change"},
               {"Tolerance"},
               {"Verdict", kText}});
  std::vector<std::string> notes;
  for (const Finding& finding : one.findings) {
    const std::string name(name_of(finding.quantity));
    table.styled_row({{name},
                      {pool_text(finding, finding.base)},
                      {pool_text(finding, finding.now)},
                      {change_text(finding)},
                      {fmt::format("± {:.3g} %", 100 * finding.tolerance)},
                      {std::string(name_of(finding.verdict)), css_of(finding.verdict)}});
    if (!finding.note.empty()) notes.push_back(name + ": " + finding.note);
  }
  return html + table.take() + list_of(notes, "") + curves_of(one) + "</section>";
}

}  // namespace

std::string comparison_page(const Comparison& comparison) {
  std::string cases;
  for (const CaseResult& one : comparison.cases) cases += case_section(one);
  const std::string rule =
      "<section><h2>How it is judged</h2><p class=\"note\">Runs with the same title, grid and deck "
      "are one case, and all runs of a case in a set are pooled. Tokens a second and memory vary "
      "between processes: they are worse when best and median both differ by more than the "
      "tolerance. A loss does not vary: it is worse when the median or the worst run is. Better by "
      "more than the tolerance asks for a new baseline. Losses are means over the last tenth of "
      "the steps that all runs of the case have; curves are those of the training loss by step."
      "</p></section>";
  return page_frame("Comparison · Trireme", {header(comparison), cases, rule},
                    "Made by trireme-report from report.json and log.jsonl of the run folders.");
}

}  // namespace trireme::report
