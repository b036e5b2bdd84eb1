#include "validation/unit/report/command.hpp"

#include "trireme_paths.hpp"

#include <sys/wait.h>

#include <array>
#include <cstdio>

namespace trireme::report {

Answer trireme_report(const std::string& arguments) {
  const std::string command =
      std::string(trireme::kBinaryDir) + "/apps/trireme-report " + arguments + " 2>&1";
  Answer answer;
  std::FILE* pipe = ::popen(command.c_str(), "r");
  if (!pipe) return answer;
  std::array<char, 4096> buffer;
  for (std::size_t n; (n = std::fread(buffer.data(), 1, buffer.size(), pipe)) > 0;) {
    answer.text.append(buffer.data(), n);
  }
  answer.code = WEXITSTATUS(::pclose(pipe));
  return answer;
}

}  // namespace trireme::report
