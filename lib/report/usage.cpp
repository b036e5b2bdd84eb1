#include "lib/report/usage.hpp"

#include "io/metrics/log_file.hpp"
#include "io/metrics/write_file.hpp"
#include "lib/report/format.hpp"
#include "lib/report/report.hpp"

#include <fmt/format.h>

#include <cmath>
#include <nlohmann/json.hpp>
#include <sstream>

namespace trireme::report {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;

/// The line's numbers for its part; a line that is torn or something else changes nothing.
void take_line(RunReport& report, const std::string& line) {
  const Json json = Json::parse(line, nullptr, false);
  if (!json.is_object()) return;
  try {
    for (Part& part : report.parts) {
      if (part.job != json.at("job") || part.restarts != json.at("restarts")) continue;
      if (const Json& memory = json.at("memory"); memory.is_number())
        part.memory = memory.get<std::int64_t>();
      if (const Json& energy = json.at("energy"); energy.is_number())
        part.energy = energy.get<double>();
      part.usage = json.at("source").get<std::string>();
    }
  } catch (const Json::exception&) {
    return;
  }
}

}  // namespace

void add_usage(RunReport& report, const fs::path& run_dir) {
  if (!fs::exists(run_dir / kUsageName)) return;
  std::istringstream lines(io::read_file(run_dir / kUsageName, "what the scheduler measured"));
  for (std::string line; std::getline(lines, line);) take_line(report, line);
}

void refresh_report(const fs::path& run_dir) {
  RunReport report = read_report(run_dir);
  add_usage(report, run_dir);
  write_report(run_dir, report, fs::exists(run_dir / kPageName));
}

std::string usage_text(const Part& part) {
  std::string text;
  if (part.memory) text = format_bytes(static_cast<double>(*part.memory));
  if (std::isfinite(part.energy))
    text += fmt::format("{}{}", text.empty() ? "" : ", ", format_rate(part.energy, "J"));
  return text.empty() && !part.usage.empty() ? "-" : text;
}

}  // namespace trireme::report
