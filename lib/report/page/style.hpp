#pragma once
// The look of the page.

#include <string>

namespace trireme::report {

/// One style sheet, light and dark by the reader's own setting, no fonts or pictures from outside.
std::string style_sheet();

}  // namespace trireme::report
