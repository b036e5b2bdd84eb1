#pragma once
// Text that goes into HTML or SVG.

#include <string>
#include <string_view>

namespace trireme::report {

/// Safe between tags and inside double or single quotes; control characters and bytes that are no
/// UTF-8 become U+FFFD, so that any file name or deck text gives a well-formed page.
std::string escape(std::string_view text);

}  // namespace trireme::report
