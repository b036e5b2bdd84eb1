#pragma once
// What all pages have in common.

#include <initializer_list>
#include <string>
#include <string_view>

namespace trireme::report {

/// A whole page: one file with its style, nothing from outside. `title` and `footer` are text,
/// `sections` HTML; empty ones are left out.
std::string page_frame(std::string_view title, std::initializer_list<std::string> sections,
                       std::string_view footer);

/// A rounded label; `css` is good, fair or bad.
std::string pill(std::string_view css, std::string_view head, std::string_view text);

/// The head of a page: what made it, what it is about, a line below, and pills (HTML).
std::string page_header(std::string_view eyebrow, std::string_view title, std::string_view sub,
                        std::string_view pills);

/// "1 run", "2 runs"
std::string counted(std::size_t count, std::string_view noun);

}  // namespace trireme::report
