#include "lib/report/number_field.hpp"

#include "kernels/base/error.hpp"
#include "lib/report/fields.hpp"
#include "lib/report/report.hpp"

#include <functional>

namespace trireme::report {
namespace {

using Visit = std::function<void(const std::string& path, double value)>;

/// Calls visit for every number at or below `part`; lists and texts are passed over.
template <class Part>
void walk(const Part& part, const std::string& path, const Visit& visit) {
  if constexpr (std::is_arithmetic_v<Part> && !std::is_same_v<Part, bool>) {
    visit(path, static_cast<double>(part));
  } else if constexpr (requires { fields([](const char*, const auto&) {}, part); }) {
    fields(
        [&](const char* key, const auto& member) {
          walk(member, path.empty() ? std::string(key) : path + "." + key, visit);
        },
        part);
  }
}

void walk_report(const RunReport& report, const Visit& visit) {
  walk(report, "", visit);
  const LargestRank largest = largest_rank(report);
  visit("largest_rank.planned", largest.planned);
  visit("largest_rank.used", largest.used);
}

}  // namespace

std::vector<std::string> number_fields() {
  std::vector<std::string> paths;
  walk_report({}, [&](const std::string& path, double) { paths.push_back(path); });
  return paths;
}

double number_field(const RunReport& report, std::string_view path) {
  double found = kUnknown;
  bool known = false;
  walk_report(report, [&](const std::string& one, double value) {
    if (one != path) return;
    found = value;
    known = true;
  });
  check(known, Exit::kUsage, "expected a number of report.json, found \"{}\"", path);
  return found;
}

}  // namespace trireme::report
