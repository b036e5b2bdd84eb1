#pragma once
// HTML tables with aligned numbers.

#include <string>
#include <string_view>
#include <vector>

namespace trireme::report {

class Table {
 public:
  enum class Align { kText, kNumber, kBar };
  struct Column {
    std::string name;
    Align align = Align::kNumber;
  };

  explicit Table(std::vector<Column> columns);

  /// One cell a column. Text is escaped; cells of kBar columns are HTML (made by bar()).
  void row(const std::vector<std::string>& cells, std::string_view css = {});
  std::string take();

 private:
  std::vector<Column> columns_;
  std::string html_;
};

/// A bar for a table cell that fills `share` of it.
std::string bar(double share, std::string_view css);
/// The same to `avg`, with a line from `min` to `max`.
std::string range_bar(double min, double avg, double max, std::string_view css);

}  // namespace trireme::report
