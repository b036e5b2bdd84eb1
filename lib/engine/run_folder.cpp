#include "lib/engine/run_folder.hpp"

#include "io/metrics/log_file.hpp"
#include "io/metrics/write_file.hpp"
#include "kernels/base/error.hpp"

#include <fcntl.h>
#include <fmt/chrono.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <unistd.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <array>
#include <cstring>

namespace trireme::engine {
namespace {

namespace fs = std::filesystem;

std::string read_lock(int descriptor) {
  std::array<char, 256> text{};
  const ssize_t size = pread(descriptor, text.data(), text.size() - 1, 0);
  return size > 0 ? std::string(text.data(), static_cast<std::size_t>(size)) : "unknown";
}

std::string this_process() {
  std::array<char, 256> host{};
  gethostname(host.data(), host.size() - 1);
  return fmt::format("{} pid {}", host.data(), getpid());
}

}  // namespace

RunFolder::RunFolder(const fs::path& path, const ResumeRequest& resume)
    : path_(fs::absolute(path)) {
  std::error_code problem;
  fs::create_directories(path_, problem);
  check(!problem, Exit::kFile, "the run folder {} can't be made: {}", path_.string(),
        problem.message());
  const fs::path lock = path_ / "lock";
  lock_ = open(lock.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
  check(lock_ >= 0, Exit::kFile, "{} can't be opened: {}", lock.string(), std::strerror(errno));
  if (flock(lock_, LOCK_EX | LOCK_NB) != 0) {
    const std::string holder = read_lock(lock_);
    close(lock_);
    fail(Exit::kFile,
         "the run folder {} is in use by {}; stop that run or choose another --run-dir",
         path_.string(), holder);
  }
  check(resume.asked || !fs::exists(path_ / io::kLogName), Exit::kUsage,
        "{} holds a run already; continue it with --resume or choose another --run-dir",
        path_.string());
  std::error_code ignored;
  fs::remove(path_ / kExitName, ignored);  // a process that is killed must not seem to end well
  const std::string owner = this_process();
  [[maybe_unused]] const int cut = ftruncate(lock_, 0);
  [[maybe_unused]] const ssize_t written = pwrite(lock_, owner.data(), owner.size(), 0);
}

RunFolder::~RunFolder() {
  if (lock_ >= 0) close(lock_);
}

void RunFolder::write_deck(const deck::Deck& deck) const {
  io::write_file_atomically(path_ / "deck.resolved.json", deck.resolved_json);
}

void write_exit(const fs::path& folder, int code, const std::string& reason, std::int64_t step) {
  const nlohmann::ordered_json record{
      {"code", code}, {"reason", reason}, {"step", step}, {"time", io::utc_now()}};
  io::write_file_atomically(folder / kExitName, record.dump(2) + "\n");
}

bool has_exit(const fs::path& folder) { return fs::exists(folder / kExitName); }

double slowest_save(const fs::path& folder) {
  double slowest = 0;
  if (const fs::path log = folder / io::kLogName; fs::exists(log))
    for (const io::CheckpointEvent& save : io::read_log(log).checkpoints)
      slowest = std::max(slowest, save.seconds);
  return slowest;
}

fs::path default_run_folder(const fs::path& deck) {
  const std::time_t now = std::time(nullptr);
  return fs::path("runs") /
         fmt::format("{}-{:%Y%m%d-%H%M%S}", deck.stem().string(), fmt::gmtime(now));
}

}  // namespace trireme::engine
