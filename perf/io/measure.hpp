#pragma once
// Ways to move bytes between memory and a file, each timed over the same traffic.

#include "io/aio/pool.hpp"
#include "io/aio/settings.hpp"
#include "io/aio/swap_file.hpp"

#include <cstdint>
#include <string>

namespace trireme::perf {

enum class Traffic {
  write,
  read,
  mixed
};  ///< mixed: every other piece is read, the others written
const char* name_of(Traffic traffic);

/// Where and how much: every way moves `bytes` in total, front to back through a file of that size.
struct Job {
  std::string folder;
  std::int64_t bytes = std::int64_t{1} << 30;
  io::aio::Settings settings;
};

/// Three transfers in flight, as in the optimizer step: one is read, one computed on, one written.
inline constexpr std::int64_t kTransfersInFlight = 3;

/// A file that was written once, so that nobody pays for first writes, and buffers for it.
class Stage {
 public:
  Stage(const std::string& folder, std::int64_t bytes, std::int64_t transfer_bytes);

  /// Bytes a second of io::aio::Engine.
  double engine(Traffic traffic, const io::aio::Settings& settings);
  /// Of a loop over pread and pwrite, one block at a time, on the same file and through the same
  /// memory.
  double loop(Traffic traffic, std::int64_t block);

  const io::aio::SwapFile& file() const { return file_; }

 private:
  io::aio::SwapFile file_;
  io::aio::Pool pool_;
};

/// Whether fio is installed.
bool have_fio();
/// Memory of fio's buffers: its own choice, or huge pages (glibc's malloc gives them on request),
/// which matter: a request over scattered small pages is as many pieces for the device.
enum class Pages { small, huge };
/// Bytes a second of fio (libaio, O_DIRECT, one process, settings.threads jobs) over a file of its
/// own, "FOLDER/aio_bench.fio", which it writes first and keeps. Exit::kFile when fio fails.
double fio(Traffic traffic, const Job& job, Pages pages);
void remove_fio_file(const Job& job);

}  // namespace trireme::perf
