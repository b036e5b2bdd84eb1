#include "lib/report/regression.hpp"

#include "lib/deck/deck.hpp"
#include "lib/report/report.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

namespace trireme::report {
namespace {

/// Keys that change neither what is computed nor how fast: "x." is a whole section.
constexpr std::string_view kIncidental[] = {"report.",
                                            "tensorboard.",
                                            "csv_monitor.",
                                            "checkpoint.",
                                            "wandb.",
                                            "comet.",
                                            "run.max_minutes",
                                            "run.watchdog_seconds",
                                            "run.threads",
                                            "steps_per_print",
                                            "dump_state",
                                            "wall_clock_breakdown",
                                            "data.tokens",
                                            "data.validation_tokens",
                                            "zero_optimization.offload_param.nvme_path",
                                            "zero_optimization.offload_optimizer.nvme_path"};

/// Keys that only one of two versions of Trireme knows say nothing. Token files count by name.
bool matters(const deck::Change& change) {
  if (change.before == "absent" || change.after == "absent") return false;
  return change.in_fingerprint ||
         std::none_of(std::begin(kIncidental), std::end(kIncidental), [&](std::string_view key) {
           return key.back() == '.' ? change.key.starts_with(key) : change.key == key;
         });
}

std::vector<deck::Change> differences(const Run& a, const Run& b) {
  if (a.report.deck.empty() || b.report.deck.empty()) return {};
  std::vector<deck::Change> changes = deck::changes(a.report.deck, b.report.deck);
  std::erase_if(changes, [](const deck::Change& change) { return !matters(change); });
  return changes;
}

std::string grid_of(const RunReport& report) {
  return fmt::format("{}x{}x{}", report.grid.data, report.grid.tensor, report.grid.pipeline);
}

/// Same title and grid; a run that failed before its report has no title.
bool alike(const Run& a, const Run& b) {
  if (grid_of(a.report) != grid_of(b.report)) return false;
  if (!a.reported || !b.reported) return true;
  return a.report.title == b.report.title && a.report.device == b.report.device &&
         a.report.grid.schedule == b.report.grid.schedule;
}

bool same_case(const Run& a, const Run& b) { return alike(a, b) && differences(a, b).empty(); }

Pool pool_of(std::vector<double> values, bool low_is_good) {
  std::erase_if(values, [](double value) { return !std::isfinite(value); });
  if (values.empty()) return {};
  std::sort(values.begin(), values.end());
  const std::size_t n = values.size();
  const double median = 0.5 * (values[(n - 1) / 2] + values[n / 2]);
  return low_is_good ? Pool{values.front(), median, values.back(), n}
                     : Pool{values.back(), median, values.front(), n};
}

/// Mean loss over the last tenth of the steps up to `last`; NaN when one of them is.
double late_loss(const Run& run, std::int64_t last) {
  const std::int64_t first = last - std::max<std::int64_t>(1, last / 10) + 1;
  double sum = 0;
  std::int64_t count = 0;
  for (const io::StepRecord& step : run.log.steps) {
    if (step.step < first || step.step > last) continue;
    sum += step.loss;
    ++count;
  }
  return sum / static_cast<double>(count);
}

double value_of(const Run& run, Quantity quantity, std::int64_t last_step) {
  switch (quantity) {
    case Quantity::loss: return late_loss(run, last_step);
    case Quantity::validation: return run.report.loss.validation;
    case Quantity::throughput: return run.report.tokens_per_second;
    case Quantity::memory: return largest_rank(run.report).used;
  }
  return kUnknown;
}

double tolerance_of(Quantity quantity, const Tolerances& tolerances) {
  switch (quantity) {
    case Quantity::throughput: return tolerances.throughput;
    case Quantity::memory: return tolerances.memory;
    default: return tolerances.loss;
  }
}

/// Speed is compared on one kind of machine only.
std::string machine_of(const Run& run) {
  const Environment& environment = run.report.environment;
  return fmt::format("{}, {}, {} threads a rank, {} nodes", environment.cpu, environment.isa,
                     environment.threads, run.report.nodes);
}

bool varies(Quantity quantity) {
  return quantity == Quantity::throughput || quantity == Quantity::memory;
}

double relative(double base, double now) {
  return base == 0 ? (now == 0 ? 0 : std::copysign(INFINITY, now)) : (now - base) / std::abs(base);
}

void judge_pools(Finding& finding) {
  const Pool& base = finding.base;
  const Pool& now = finding.now;
  if (base.runs == 0) {
    finding.note = "the base has no such number";
    return;
  }
  if (now.runs == 0) {
    finding.verdict = Verdict::worse;
    finding.note = "the base has this number, the new runs have not";
    return;
  }
  const bool noisy = varies(finding.quantity);
  const double median = relative(base.median, now.median);
  const double end = noisy ? relative(base.best, now.best) : relative(base.worst, now.worst);
  const double sign = finding.quantity == Quantity::throughput ? -1 : 1;  // > 0 is worse
  const double better_of_both = std::min(sign * median, sign * end);
  const double worse_of_both = std::max(sign * median, sign * end);
  const double decisive = noisy ? better_of_both : worse_of_both;
  if (decisive > finding.tolerance)
    finding.verdict = Verdict::worse;
  else if (worse_of_both < -finding.tolerance)
    finding.verdict = Verdict::better;
  else
    finding.verdict = Verdict::same;
  finding.change = sign * (finding.verdict == Verdict::better ? worse_of_both : decisive);
}

std::vector<double> values_of(const std::vector<const Run*>& runs, Quantity quantity,
                              std::int64_t last_step) {
  std::vector<double> values;
  for (const Run* run : runs)
    if (!failed(*run)) values.push_back(value_of(*run, quantity, last_step));
  return values;
}

std::int64_t last_common_step(const CaseResult& one) {
  std::int64_t last = std::numeric_limits<std::int64_t>::max();
  for (const auto* side : {&one.base, &one.now})
    for (const Run* run : *side)
      if (!failed(*run))
        last = std::min(last, run->log.steps.empty() ? 0 : run->log.steps.back().step);
  return last;
}

/// The runs of `side` that went well.
std::vector<const Run*> sound(const std::vector<const Run*>& side) {
  std::vector<const Run*> runs;
  for (const Run* run : side)
    if (!failed(*run)) runs.push_back(run);
  return runs;
}

void judge_case(CaseResult& one, const Tolerances& tolerances) {
  for (const Run* run : one.base)
    if (failed(*run))
      one.notes.push_back(fmt::format("{} of the base failed and is left out", run->name));
  for (const Run* run : one.now)
    if (failed(*run))
      one.failures.push_back(fmt::format("{} failed (exit {}): {}", run->name,
                                         run->report.exit.code, run->report.exit.reason));
  const auto base = sound(one.base);
  const auto now = sound(one.now);
  if (base.empty()) one.notes.emplace_back("the base has no such run: a new case");
  if (now.empty() && one.failures.empty()) one.failures.emplace_back("the new set has no such run");
  if (base.empty() || now.empty()) return;
  const std::int64_t last = last_common_step(one);
  const bool one_machine = machine_of(*base.front()) == machine_of(*now.front());
  for (const Quantity quantity :
       {Quantity::loss, Quantity::validation, Quantity::throughput, Quantity::memory}) {
    const bool low_is_good = quantity != Quantity::throughput;
    Finding finding{quantity,
                    pool_of(values_of(base, quantity, last), low_is_good),
                    pool_of(values_of(now, quantity, last), low_is_good),
                    kUnknown,
                    tolerance_of(quantity, tolerances),
                    Verdict::none,
                    {}};
    if (quantity == Quantity::validation && finding.base.runs == 0 && finding.now.runs == 0)
      continue;
    if (quantity == Quantity::throughput && !one_machine)
      finding.note = fmt::format("not judged, another machine: {} | {}", machine_of(*base.front()),
                                 machine_of(*now.front()));
    else
      judge_pools(finding);
    if (finding.base.runs == base.size() && finding.now.runs > 0 && finding.now.runs < now.size()) {
      finding.verdict = Verdict::worse;
      finding.note = fmt::format("{} of {} new runs lack this number",
                                 now.size() - finding.now.runs, now.size());
    }
    one.findings.push_back(std::move(finding));
  }
}

/// Why a case stands alone: the deck keys that keep it from the nearest case of the other set.
void explain_alone(CaseResult& one, const std::vector<CaseResult>& cases) {
  const Run& own = one.base.empty() ? *one.now.front() : *one.base.front();
  for (const CaseResult& other : cases) {
    const auto& side = one.base.empty() ? other.base : other.now;
    if (side.empty() || !alike(own, *side.front())) continue;
    std::string text;
    for (const deck::Change& change : differences(own, *side.front()))
      text += fmt::format("{}{} {} here, {} there", text.empty() ? "" : "; ", change.key,
                          change.before, change.after);
    one.notes.push_back(
        fmt::format("the other set has {}, another deck: {}", side.front()->name, text));
    return;
  }
}

}  // namespace

std::string_view name_of(Quantity quantity) {
  switch (quantity) {
    case Quantity::loss: return "loss";
    case Quantity::validation: return "validation loss";
    case Quantity::throughput: return "tokens/s";
    case Quantity::memory: return "memory";
  }
  return "";
}

std::string_view name_of(Verdict verdict) {
  switch (verdict) {
    case Verdict::same: return "same";
    case Verdict::better: return "BETTER";
    case Verdict::worse: return "WORSE";
    case Verdict::none: return "-";
  }
  return "";
}

bool CaseResult::regressed() const {
  return !failures.empty() || std::any_of(findings.begin(), findings.end(), [](const Finding& f) {
    return f.verdict == Verdict::worse;
  });
}

bool CaseResult::improved() const {
  return std::any_of(findings.begin(), findings.end(),
                     [](const Finding& f) { return f.verdict == Verdict::better; });
}

bool Comparison::regressed() const {
  return std::any_of(cases.begin(), cases.end(),
                     [](const CaseResult& one) { return one.regressed(); });
}

Comparison compare_sets(std::span<const Run> base, std::span<const Run> now,
                        const Tolerances& tolerances) {
  Comparison comparison{{}, {}, tolerances, {}};
  std::vector<CaseResult>& cases = comparison.cases;
  const auto add = [&](const Run& run, std::vector<const Run*> CaseResult::*side) {
    for (CaseResult& one : cases) {
      const Run& first = one.base.empty() ? *one.now.front() : *one.base.front();
      if (!same_case(first, run)) continue;
      (one.*side).push_back(&run);
      if (one.title.empty()) one.title = run.report.title;  // of a run that failed: unknown
      return;
    }
    CaseResult one;
    one.title = run.report.title;
    one.grid = grid_of(run.report);
    (one.*side).push_back(&run);
    cases.push_back(std::move(one));
  };
  for (const Run& run : base) add(run, &CaseResult::base);
  for (const Run& run : now) add(run, &CaseResult::now);
  for (CaseResult& one : cases) {
    judge_case(one, tolerances);
    if (one.base.empty() || one.now.empty()) explain_alone(one, cases);
    if (one.title.empty()) one.title = one.now.empty() ? one.base[0]->name : one.now[0]->name;
  }
  return comparison;
}

}  // namespace trireme::report
