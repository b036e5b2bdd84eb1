#include "lib/report/page/table.hpp"

#include "kernels/base/error.hpp"
#include "lib/report/page/html.hpp"
#include "lib/report/page/svg.hpp"

#include <algorithm>
#include <cmath>

namespace trireme::report {
namespace {

std::string_view css_of(Table::Align align) {
  switch (align) {
    case Table::Align::kText: return "t";
    case Table::Align::kNumber: return "n";
    case Table::Align::kBar: return "b";
    case Table::Align::kChip: return "t chip";
  }
  return "";
}

double share_of(double value) { return std::isfinite(value) ? std::clamp(value, 0.0, 1.0) : 0.0; }

}  // namespace

Table::Table(std::vector<Column> columns)
    : columns_(std::move(columns)), html_("<div class=\"scroll\"><table><thead><tr>") {
  for (const Column& column : columns_) {
    html_ += fmt::format("<th class=\"{}\" scope=\"col\">{}</th>", css_of(column.align),
                         escape(column.name));
  }
  html_ += "</tr></thead><tbody>";
}

void Table::row(const std::vector<std::string>& cells, std::string_view css) {
  std::vector<Cell> plain;
  for (const std::string& cell : cells) plain.push_back({cell});
  styled_row(plain, css);
}

void Table::styled_row(const std::vector<Cell>& cells, std::string_view css) {
  check(cells.size() == columns_.size(), Exit::kUnexpected, "expected {} cells in a row, found {}",
        columns_.size(), cells.size());
  html_ += css.empty() ? "<tr>" : fmt::format("<tr class=\"{}\">", css);
  for (std::size_t i = 0; i < cells.size(); ++i) {
    const bool html = columns_[i].align == Align::kBar || columns_[i].align == Align::kChip;
    html_ += fmt::format("<td class=\"{}{}{}\">{}</td>", css_of(columns_[i].align),
                         cells[i].css.empty() ? "" : " ", cells[i].css,
                         html ? cells[i].text : escape(cells[i].text));
  }
  html_ += "</tr>";
}

std::string Table::take() { return std::move(html_) + "</tbody></table></div>"; }

std::string bar(double share, std::string_view css) {
  return fmt::format(
      "<svg class=\"cell\" height=\"12\" aria-hidden=\"true\"><rect class=\"{}\" y=\"1\" "
      "height=\"10\" width=\"{}\"></rect></svg>",
      css, percent(share_of(share)));
}

std::string chip(std::string_view css, std::string_view text) {
  return fmt::format("<i class=\"{}\"></i>{}", css, escape(text));
}

std::string link(std::string_view target, std::string_view text) {
  return fmt::format("<a href=\"{}\">{}</a>", escape(target), escape(text));
}

std::string range_bar(double min, double avg, double max, std::string_view css) {
  return fmt::format(
      "<svg class=\"cell\" height=\"12\" aria-hidden=\"true\"><rect class=\"{}\" y=\"1\" "
      "height=\"10\" width=\"{}\"></rect><line class=\"whisker\" x1=\"{}\" x2=\"{}\" y1=\"6\" "
      "y2=\"6\"/></svg>",
      css, percent(share_of(avg)), percent(share_of(min)), percent(share_of(max)));
}

}  // namespace trireme::report
