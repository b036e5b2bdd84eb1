#pragma once
// trireme-report as a user runs it.

#include <string>

namespace trireme::report {

struct Answer {
  int code = -1;
  std::string text;  ///< standard output and error
};

Answer trireme_report(const std::string& arguments);

}  // namespace trireme::report
