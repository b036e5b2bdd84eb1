// What --compare found, for terminals and for CI.

#include "lib/report/format.hpp"
#include "lib/report/page/html.hpp"
#include "lib/report/regression_format.hpp"

#include <fmt/format.h>

namespace trireme::report {
namespace {

std::string row_of(std::string_view name, std::string_view base, std::string_view now,
                   std::string_view change, std::string_view tolerance, std::string_view verdict) {
  return fmt::format("  {:<16} {:>24} {:>24} {:>9} {:>10}  {}\n", name, base, now, change,
                     tolerance, verdict);
}

/// One <testcase>; empty `trouble` means that it passed.
std::string junit_case(const std::string& of, std::string_view name, const std::string& trouble) {
  const std::string head =
      fmt::format("  <testcase classname=\"{}\" name=\"{}\"", escape(of), escape(name));
  if (trouble.empty()) return head + "/>\n";
  return fmt::format("{}>\n    <failure message=\"{}\"/>\n  </testcase>\n", head, escape(trouble));
}

}  // namespace

std::string number_text(Quantity quantity, double value) {
  switch (quantity) {
    case Quantity::throughput: return format_speed(value);
    case Quantity::memory: return format_bytes(value);
    default: return format_number(value, 5);
  }
}

std::string pool_text(const Finding& finding, const Pool& pool) {
  const std::string best = number_text(finding.quantity, pool.best);
  if (pool.runs <= 1) return best;
  return fmt::format("{}, {} ({})", best, number_text(finding.quantity, pool.median), pool.runs);
}

std::string change_text(const Finding& finding) {
  return std::isnan(finding.change) ? "-" : fmt::format("{:+.2f} %", 100 * finding.change);
}

std::string finding_text(const CaseResult& one, const Finding& finding) {
  return fmt::format("{} {}: {} {} -> {}, {} (tolerance {:.3g} %){}{}", one.title, one.grid,
                     name_of(finding.quantity), pool_text(finding, finding.base),
                     pool_text(finding, finding.now), change_text(finding), 100 * finding.tolerance,
                     finding.note.empty() ? "" : "; ", finding.note);
}

Tally tally_of(const Comparison& comparison) {
  Tally tally;
  for (const CaseResult& one : comparison.cases) {
    tally.worse += one.failures.size();
    for (const Finding& finding : one.findings) {
      ++tally.judged;
      tally.worse += finding.verdict == Verdict::worse;
      tally.better += finding.verdict == Verdict::better;
    }
  }
  return tally;
}

std::string comparison_text(const Comparison& comparison) {
  std::string text = fmt::format("base {}\nnew  {}\n", comparison.base_name, comparison.new_name);
  for (const CaseResult& one : comparison.cases) {
    text += fmt::format("\n{} {}\n", one.title, one.grid);
    if (!one.findings.empty())
      text += row_of("quantity", "base: best, median (n)", "new: best, median (n)", "change",
                     "tolerance", "verdict");
    for (const Finding& finding : one.findings) {
      text += row_of(name_of(finding.quantity), pool_text(finding, finding.base),
                     pool_text(finding, finding.now), change_text(finding),
                     fmt::format("{:.3g} %", 100 * finding.tolerance), name_of(finding.verdict));
      if (!finding.note.empty()) text += fmt::format("    {}\n", finding.note);
    }
    for (const std::string& failure : one.failures) text += fmt::format("  WORSE: {}\n", failure);
    for (const std::string& note : one.notes) text += fmt::format("  note: {}\n", note);
  }
  text += '\n';
  for (const CaseResult& one : comparison.cases) {
    for (const Finding& finding : one.findings)
      if (finding.verdict == Verdict::worse)
        text += fmt::format("regression: {}\n", finding_text(one, finding));
    for (const std::string& failure : one.failures)
      text += fmt::format("regression: {} {}: {}\n", one.title, one.grid, failure);
  }
  for (const CaseResult& one : comparison.cases)
    for (const Finding& finding : one.findings)
      if (finding.verdict == Verdict::better)
        text += fmt::format("take a new baseline: {}\n", finding_text(one, finding));
  const Tally tally = tally_of(comparison);
  return text + fmt::format("{} judged, {} worse, {} better: {}\n", tally.judged, tally.worse,
                            tally.better, tally.worse > 0 ? "REGRESSION" : "no regression");
}

std::string comparison_junit(const Comparison& comparison) {
  std::string cases;
  std::size_t count = 0;
  std::size_t failures = 0;
  const auto add = [&](const std::string& of, std::string_view name, const std::string& trouble) {
    ++count;
    failures += !trouble.empty();
    cases += junit_case(of, name, trouble);
  };
  for (const CaseResult& one : comparison.cases) {
    const std::string of = one.title + " " + one.grid;
    std::string failed;
    for (const std::string& failure : one.failures)
      failed += (failed.empty() ? "" : "; ") + failure;
    add(of, "runs", failed);
    for (const Finding& finding : one.findings)
      add(of, name_of(finding.quantity),
          finding.verdict == Verdict::worse ? finding_text(one, finding) : "");
  }
  return fmt::format(
      "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
      "<testsuite name=\"trireme-report --compare\" tests=\"{}\" failures=\"{}\" errors=\"0\">\n"
      "{}</testsuite>\n",
      count, failures, cases);
}

}  // namespace trireme::report
