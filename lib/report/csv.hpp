#pragma once
// Cells of RFC 4180.

#include <string>

namespace trireme::report {

/// Quotes around what holds a comma, a quote or a line's end.
std::string csv_text(const std::string& text);

/// Shortest text with the same bits; empty for what is not finite.
std::string csv_number(double value);

}  // namespace trireme::report
