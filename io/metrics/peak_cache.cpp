#include "io/metrics/peak_cache.hpp"

#include "io/metrics/log_records.hpp"
#include "io/metrics/write_file.hpp"
#include "kernels/base/error.hpp"

#include <unistd.h>
#include <xxhash.h>

#include <array>
#include <cmath>
#include <cstdlib>
#include <fstream>
#include <nlohmann/json.hpp>
#include <optional>

namespace trireme::io {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

Json json_of(const PeakKey& key) {
  return {{"host", key.host},       {"cpu", key.cpu},     {"flags", key.flags},
          {"library", key.library}, {"dtype", key.dtype}, {"threads", key.threads},
          {"ranks", key.ranks}};
}

fs::path file_of(const PeakKey& key, const fs::path& folder) {
  const std::string text = json_of(key).dump(-1, ' ', false, Json::error_handler_t::replace);
  return folder / fmt::format("gemm-peak-{:016x}.json", XXH3_64bits(text.data(), text.size()));
}

/// Nothing for a file that is missing, torn, or of another key (two keys with one hash).
std::optional<PeakMeasurement> kept_peak(const fs::path& file, const PeakKey& key) {
  std::ifstream in(file);
  if (!in) return std::nullopt;
  const Json kept = Json::parse(in, nullptr, false);
  if (!kept.is_object() || kept.value("key", Json()) != json_of(key)) return std::nullopt;
  const Json flops = kept.value("flops", Json());
  const Json measured = kept.value("measured", Json());
  if (!flops.is_number() || !measured.is_string() || flops.get<double>() <= 0) return std::nullopt;
  return PeakMeasurement{flops.get<double>(), measured.get<std::string>(), true, file};
}

std::string environment(const char* name) {
  const char* value = std::getenv(name);
  return value ? value : "";
}

/// The value of the first "name : value" line of /proc/cpuinfo.
std::string cpuinfo(std::string_view name) {
  std::ifstream in("/proc/cpuinfo");
  for (std::string line; std::getline(in, line);) {
    const std::size_t colon = line.find(':');
    if (colon == std::string::npos || line.compare(0, name.size(), name) != 0) continue;
    if (line.find_first_not_of(" \t", name.size()) != colon) continue;
    const std::size_t begin = line.find_first_not_of(' ', colon + 1);
    return begin == std::string::npos ? "" : line.substr(begin);
  }
  return "";
}

}  // namespace

PeakKey this_machine() {
  PeakKey key;
  std::array<char, 256> host{};
  if (::gethostname(host.data(), host.size() - 1) == 0) key.host = host.data();
  key.cpu = cpuinfo("model name");
  key.flags = cpuinfo("flags");
  return key;
}

fs::path cache_folder() {
  if (const std::string xdg = environment("XDG_CACHE_HOME"); !xdg.empty()) {
    return fs::path(xdg) / "trireme";
  }
  const std::string home = environment("HOME");
  return home.empty() ? fs::path() : fs::path(home) / ".cache" / "trireme";
}

PeakMeasurement cached_peak(const PeakKey& key, const std::function<double()>& measure,
                            const fs::path& folder, double at_least) {
  const fs::path file = folder.empty() ? fs::path() : file_of(key, folder);
  if (!file.empty()) {
    const auto kept = kept_peak(file, key);
    if (kept && kept->flops >= at_least) return *kept;
  }
  const double flops = measure();
  check(std::isfinite(flops) && flops > 0, Exit::kUnexpected,
        "expected a GEMM peak above zero, measured {} flop/s", flops);
  PeakMeasurement result{flops, utc_now(), false, file};
  if (file.empty()) return result;
  try {
    std::error_code ignored;  // the write tells
    fs::create_directories(folder, ignored);
    const Json kept = {{"flops", flops}, {"measured", result.measured}, {"key", json_of(key)}};
    write_file_atomically(file, kept.dump(2, ' ', false, Json::error_handler_t::replace) + "\n");
  } catch (const Error&) {
    result.file.clear();
  }
  return result;
}

}  // namespace trireme::io
