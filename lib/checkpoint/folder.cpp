#include "lib/checkpoint/folder.hpp"

#include "io/checksum.hpp"
#include "io/metrics/write_file.hpp"
#include "io/version.hpp"
#include "kernels/base/error.hpp"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <vector>

namespace trireme::checkpoint {
namespace {

namespace fs = std::filesystem;
using nlohmann::ordered_json;

constexpr int kFormat = 1;
constexpr char kMarkerName[] = "complete";
constexpr char kPrefix[] = "step_";

/// Folders of checkpoints, complete or not, oldest first: names sort by step.
std::vector<fs::path> folders(const fs::path& folder) {
  std::vector<fs::path> found;
  std::error_code none;
  for (const auto& entry : fs::directory_iterator(folder, none))
    if (entry.is_directory() && entry.path().filename().string().starts_with(kPrefix))
      found.push_back(entry.path());
  std::sort(found.begin(), found.end());
  return found;
}

bool is_complete(const fs::path& checkpoint) { return fs::exists(checkpoint / kMarkerName); }

}  // namespace

fs::path folder_of_step(const fs::path& folder, std::int64_t step) {
  return folder / fmt::format("{}{:010}", kPrefix, step);
}

void write_marker(const fs::path& checkpoint, const Marker& marker) {
  ordered_json sums = ordered_json::object();
  for (const auto& [name, sum] : marker.checksums) sums[name] = io::checksum_text(sum);
  const RunState& run = marker.run;
  const ordered_json json{{"format", kFormat},         {"version", io::version()},
                          {"step", run.step},          {"tokens", run.tokens},
                          {"samples", run.samples},    {"fingerprint", run.fingerprint},
                          {"data", run.data},          {"optim", optim::to_json(run.optim)},
                          {"deck", run.resolved_deck}, {"checksums", sums}};
  io::write_file_atomically(checkpoint / kMarkerName, json.dump(1) + "\n");
}

Marker read_marker(const fs::path& checkpoint) {
  const fs::path file = checkpoint / kMarkerName;
  check(fs::exists(checkpoint), Exit::kFile, "there is no checkpoint {}", checkpoint.string());
  check(fs::exists(file), Exit::kFile,
        "{} is not a complete checkpoint: its marker \"{}\" is missing; the run that wrote it was "
        "stopped, use an "
        "earlier one",
        checkpoint.string(), kMarkerName);
  try {
    const ordered_json json =
        ordered_json::parse(io::read_file(file, "the marker of a checkpoint"));
    const int format = json.at("format");
    check(format <= kFormat, Exit::kFile,
          "{} has format {}, this program reads up to {}; use a newer Trireme", file.string(),
          format, kFormat);
    Marker marker;
    marker.run.step = json.at("step");
    marker.run.tokens = json.at("tokens");
    marker.run.samples = json.at("samples");
    marker.run.fingerprint = json.at("fingerprint");
    marker.run.data = json.at("data");
    marker.run.optim = optim::optim_state_from_json(json.at("optim").get<std::string>());
    marker.run.resolved_deck = json.at("deck");
    for (const auto& [name, text] : json.at("checksums").items())
      marker.checksums[name] = std::stoull(text.get<std::string>(), nullptr, 16);
    return marker;
  } catch (const nlohmann::json::exception& problem) {
    fail(Exit::kFile, "{} is damaged ({}); use an earlier checkpoint", file.string(),
         problem.what());
  }
}

RunState read_state(const fs::path& checkpoint) { return read_marker(checkpoint).run; }

std::optional<fs::path> latest(const fs::path& folder) {
  const std::vector<fs::path> found = folders(folder);
  const auto newest = std::find_if(found.rbegin(), found.rend(), is_complete);
  if (newest == found.rend()) return std::nullopt;
  return *newest;
}

void check_space(const fs::path& folder, std::int64_t bytes) {
  std::error_code problem;
  const fs::space_info space = fs::space(folder, problem);
  check(!problem, Exit::kFile, "the free space of {} can't be asked: {}", folder.string(),
        problem.message());
  check(space.available >= static_cast<std::uintmax_t>(bytes), Exit::kFile,
        "a checkpoint needs {:.1f} MB in {}, {:.1f} MB are free; make room or set checkpoint.path; "
        "earlier "
        "checkpoints are untouched",
        static_cast<double>(bytes) * 1e-6, folder.string(),
        static_cast<double>(space.available) * 1e-6);
}

void prune(const fs::path& folder, std::int64_t keep) {
  const std::vector<fs::path> found = folders(folder);
  std::int64_t complete = std::count_if(found.begin(), found.end(), is_complete);
  const auto newest = latest(folder);
  for (const fs::path& checkpoint : found) {
    const bool whole = is_complete(checkpoint);
    const bool surplus = whole && keep > 0 && complete > keep;
    const bool remains = !whole && newest && checkpoint < *newest;
    if (!surplus && !remains) continue;
    // The marker goes first: what is left of an interrupted removal is no checkpoint.
    std::error_code ignored;
    fs::remove(checkpoint / kMarkerName, ignored);
    fs::remove_all(checkpoint, ignored);
    if (whole) --complete;
  }
}

}  // namespace trireme::checkpoint
