#pragma once
// Two sets of runs judged against each other: has anything become worse?
//
// Runs are the same case when their titles, grids and devices agree and their decks differ in
// nothing that changes what is computed or how fast (folders, reports, limits of a process). All
// runs of a case in a set are pooled. A difference beyond the tolerance counts in both directions:
// worse is a regression, better asks for a new baseline.

#include "lib/report/runs.hpp"

namespace trireme::report {

enum class Quantity { loss, validation, throughput, memory };
std::string_view name_of(Quantity quantity);

/// Shares by which a quantity of the new runs may differ from that of the base.
struct Tolerances {
  double loss = 0.01;        ///< training and validation loss
  double throughput = 0.10;  ///< tokens/s
  double memory = 0.05;      ///< of the largest rank
};

/// What several runs of a case measured.
struct Pool {
  double best = kUnknown;
  double median = kUnknown;
  double worst = kUnknown;
  std::size_t runs = 0;  ///< that have the number
};

enum class Verdict {
  same,    ///< within the tolerance
  better,  ///< beyond it: take a new baseline
  worse,   ///< beyond it: a regression; or the new runs lack the number
  none,    ///< can't be judged, the note says why
};
std::string_view name_of(Verdict verdict);

/// Throughput and memory vary from process to process: they are worse (better) when best and median
/// both are. A loss does not (same deck, grid and build give the same bits): it is worse when
/// median or worst is, so that one bad run is found among many, and better when both are.
struct Finding {
  Quantity quantity = Quantity::loss;
  Pool base;
  Pool now;
  double change = kUnknown;     ///< what was judged, the larger of two: (new - base) / base
  double tolerance = kUnknown;  ///< share
  Verdict verdict = Verdict::none;
  std::string note;
};

/// All runs of one case, of both sets.
struct CaseResult {
  std::string title;
  std::string grid;  ///< "2x2x1 1f1b cpu"
  std::vector<const Run*> base;
  std::vector<const Run*> now;
  std::vector<Finding> findings;
  /// What is to be said of the case as a whole: failed runs, a case that only one set has.
  std::vector<std::string> failures;
  std::vector<std::string> notes;

  bool regressed() const;
  bool improved() const;
};

struct Comparison {
  std::string base_name;
  std::string new_name;
  Tolerances tolerances;
  std::vector<CaseResult> cases;

  bool regressed() const;
};

/// The runs must live as long as the result. Losses are means over the last tenth of the steps that
/// all runs of the case have. A failed run of the base is left out with a note, one of the new set
/// is a regression, and so is a case that the new set lacks; one that the base lacks is a note.
Comparison compare_sets(std::span<const Run> base, std::span<const Run> now,
                        const Tolerances& tolerances);

/// A line a finding, then the verdict in words.
std::string comparison_text(const Comparison& comparison);

/// JUnit's XML: a suite, a test case a finding and one a case as a whole.
std::string comparison_junit(const Comparison& comparison);

/// The same as a page, with the loss curves of both sets.
std::string comparison_page(const Comparison& comparison);

}  // namespace trireme::report
