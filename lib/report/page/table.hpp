#pragma once
// HTML tables with aligned numbers.

#include <string>
#include <string_view>
#include <vector>

namespace trireme::report {

class Table {
 public:
  enum class Align { kText, kNumber, kBar, kChip };
  struct Column {
    std::string name;
    Align align = Align::kNumber;
  };

  struct Cell {
    std::string text;
    std::string css = {};  ///< class of its own, beside the column's
  };

  explicit Table(std::vector<Column> columns);

  /// One cell a column. Text is escaped; cells of kBar and kChip columns are HTML
  /// (made by bar() and chip()).
  void row(const std::vector<std::string>& cells, std::string_view css = {});
  void styled_row(const std::vector<Cell>& cells, std::string_view css = {});
  std::string take();

 private:
  std::vector<Column> columns_;
  std::string html_;
};

/// A bar for a table cell that fills `share` of it.
std::string bar(double share, std::string_view css);
/// A patch of a curve's colour and a text.
std::string chip(std::string_view css, std::string_view text);
/// A link for a kChip cell; `target` is relative to the page.
std::string link(std::string_view target, std::string_view text);
/// The same as bar() to `avg`, with a line from `min` to `max`.
std::string range_bar(double min, double avg, double max, std::string_view css);

}  // namespace trireme::report
