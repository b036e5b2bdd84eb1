#include "lib/checkpoint/folder.hpp"

#include "io/checksum.hpp"
#include "io/metrics/write_file.hpp"
#include "io/version.hpp"
#include "kernels/base/error.hpp"
#include "lib/comm/on_all_ranks.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <functional>
#include <map>
#include <vector>

namespace trireme::checkpoint {
namespace {

namespace fs = std::filesystem;
using nlohmann::ordered_json;

constexpr int kFormat = 1;
constexpr char kMarkerName[] = "complete";
constexpr char kPrefix[] = "step_";

/// The step in a checkpoint's name; a copy that someone named differently is not ours to judge.
std::optional<std::int64_t> step_in(const fs::path& checkpoint) {
  const std::string name = checkpoint.filename().string();
  if (!name.starts_with(kPrefix)) return std::nullopt;
  const std::string digits = name.substr(std::string_view(kPrefix).size());
  std::int64_t step = 0;
  const auto [end, problem] = std::from_chars(digits.data(), digits.data() + digits.size(), step);
  const bool whole = problem == std::errc() && end == digits.data() + digits.size();
  if (!whole || folder_of_step(checkpoint.parent_path(), step) != checkpoint) return std::nullopt;
  return step;
}

/// Folders of checkpoints, complete or not, oldest first.
std::vector<fs::path> folders(const fs::path& folder) {
  std::map<std::int64_t, fs::path> by_step;
  std::error_code none;
  for (const auto& entry : fs::directory_iterator(folder, none))
    if (const auto step = step_in(entry.path()); step && entry.is_directory(none))
      by_step[*step] = entry.path();
  std::vector<fs::path> found;
  for (const auto& [step, path] : by_step) found.push_back(path);
  return found;
}

/// 0, or the errno of what went wrong.
int with_file(const fs::path& path, int flags, const std::function<int(int)>& work) {
  const int fd = ::open(path.c_str(), flags | O_CLOEXEC);
  if (fd < 0) return errno;
  const int why = work(fd) == 0 ? 0 : errno;
  ::close(fd);
  return why;
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
  sync_to_disk(checkpoint);
  io::write_file_atomically(checkpoint / kMarkerName, json.dump(1) + "\n");
  sync_to_disk(checkpoint);
}

namespace {

std::string marker_text(const fs::path& checkpoint) {
  const fs::path file = checkpoint / kMarkerName;
  check(fs::exists(checkpoint), Exit::kFile, "there is no checkpoint {}", checkpoint.string());
  check(fs::exists(file), Exit::kFile,
        "{} is not a complete checkpoint: its marker \"{}\" is missing; the run that wrote it was "
        "stopped, use an "
        "earlier one",
        checkpoint.string(), kMarkerName);
  return io::read_file(file, "the marker of a checkpoint");
}

Marker parse_marker(const fs::path& checkpoint, const std::string& text) {
  const fs::path file = checkpoint / kMarkerName;
  try {
    const ordered_json json = ordered_json::parse(text);
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
    for (const auto& [name, sum] : json.at("checksums").items())
      marker.checksums[name] = std::stoull(sum.get<std::string>(), nullptr, 16);
    return marker;
  } catch (const Error&) {
    throw;
  } catch (const std::exception& problem) {
    fail(Exit::kFile, "{} is damaged ({}); use an earlier checkpoint", file.string(),
         problem.what());
  }
}

}  // namespace

Marker read_marker(const comm::World& world, const fs::path& checkpoint) {
  std::string text;
  comm::on_all_ranks(world, [&] {
    if (world.rank() == 0) text = marker_text(checkpoint);
  });
  return parse_marker(checkpoint, comm::broadcast_text(world, std::move(text)));
}

RunState read_state(const comm::World& world, const fs::path& checkpoint) {
  return read_marker(world, checkpoint).run;
}

std::optional<fs::path> latest(const fs::path& folder) {
  const std::vector<fs::path> found = folders(folder);
  const auto newest = std::find_if(found.rbegin(), found.rend(), is_complete);
  if (newest == found.rend()) return std::nullopt;
  return *newest;
}

std::int64_t set_aside_after(const fs::path& folder, std::int64_t step) {
  std::vector<fs::path> later;
  for (const fs::path& checkpoint : folders(folder))
    if (*step_in(checkpoint) > step && is_complete(checkpoint)) later.push_back(checkpoint);
  if (later.empty()) return 0;
  int number = 1;
  while (fs::exists(folder / fmt::format("superseded.{}", number))) ++number;
  const fs::path aside = folder / fmt::format("superseded.{}", number);
  std::error_code problem;
  fs::create_directory(aside, problem);
  for (const fs::path& checkpoint : later)
    if (!problem) fs::rename(checkpoint, aside / checkpoint.filename(), problem);
  check(!problem, Exit::kFile, "checkpoints beyond step {} can't be moved to {}: {}", step,
        aside.string(), problem.message());
  return static_cast<std::int64_t>(later.size());
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
  for (const fs::path& checkpoint : found) {
    if (complete == 0) break;  // only incomplete ones from here, newer than all complete ones
    const bool whole = is_complete(checkpoint);
    if (!whole || (keep > 0 && complete > keep)) remove_checkpoint(checkpoint);
    if (whole) --complete;
  }
}

void make_folder(const fs::path& checkpoint) {
  std::error_code problem;
  fs::create_directories(checkpoint, problem);
  if (!problem) fs::remove(checkpoint / kMarkerName, problem);
  check(!problem, Exit::kFile, "the checkpoint folder {} can't be made: {}", checkpoint.string(),
        problem.message());
}

void remove_checkpoint(const fs::path& checkpoint) noexcept {
  // What is left of an interrupted removal is no checkpoint.
  std::error_code ignored;
  fs::remove(checkpoint / kMarkerName, ignored);
  fs::remove_all(checkpoint, ignored);
}

void reserve(const fs::path& file) {
  const int why = with_file(file, O_RDWR, [](int fd) {
    struct stat about {};
    return ::fstat(fd, &about) != 0 ? -1 : ::fallocate(fd, 0, 0, about.st_size);
  });
  const bool unknown_here = why == EOPNOTSUPP || why == ENOSYS || why == EINVAL;
  check(why == 0 || unknown_here, Exit::kFile,
        "{} can't get its room on the disk: {}; earlier checkpoints are untouched", file.string(),
        std::strerror(why));
}

void sync_to_disk(const fs::path& path) {
  const int why = with_file(path, O_RDONLY, [](int fd) { return ::fsync(fd); });
  check(why == 0, Exit::kFile, "{} can't be written to disk: {}; earlier checkpoints are untouched",
        path.string(), std::strerror(why));
}

}  // namespace trireme::checkpoint
