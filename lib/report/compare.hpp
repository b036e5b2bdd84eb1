#pragma once
// Several runs side by side: as text, CSV, JSON and one page.

#include "lib/report/runs.hpp"

namespace trireme::report {

/// What the table for people is sorted by, best first.
enum class SortBy { loss, speed, memory, time, name };

/// The table for people: runs that went well, best ones marked, and those that failed.
struct SideBySide {
  struct Cell {
    std::string text;
    bool best = false;  ///< of its column, where runs differ in it
  };
  struct Row {
    std::size_t run = 0;  ///< index into the runs
    std::vector<Cell> cells;
  };
  std::vector<std::string> head;
  std::size_t texts = 0;  ///< so many first columns hold texts, the others numbers
  std::vector<Row> rows;
  std::vector<std::string> failed_head;
  std::vector<Row> failed;  ///< in the order of their names; the last cell is the reason
};

/// By loss means by validation loss where all runs have one, else by the last training loss; runs
/// without the number come last.
SideBySide side_by_side(std::span<const Run> runs, SortBy by = SortBy::loss);

/// The same as text: aligned columns, "*" behind the best, failed runs below.
std::string runs_table(std::span<const Run> runs, SortBy by = SortBy::loss);

/// The same as one page with the curves of all runs in one figure.
std::string runs_page(std::span<const Run> runs, SortBy by = SortBy::loss);

/// The numbers and more at full precision, one line a run in the given order, RFC 4180; unknown
/// numbers are empty. Keys that differ between the decks are the last columns, "deck.<key>".
std::string runs_csv(std::span<const Run> runs);

/// An array of flat objects with the keys of runs_csv's head; unknown numbers are null.
std::string runs_json(std::span<const Run> runs);

/// Every step of every run, with "run" and the keys of log.jsonl.
std::string steps_csv(std::span<const Run> runs);

}  // namespace trireme::report
