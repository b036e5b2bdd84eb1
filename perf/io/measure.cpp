#include "perf/io/measure.hpp"

#include "io/aio/engine.hpp"
#include "kernels/base/checked.hpp"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <vector>

#include <unistd.h>

namespace trireme::perf {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

bool reads(Traffic traffic, std::int64_t piece) {
  return traffic == Traffic::read || (traffic == Traffic::mixed && piece % 2 == 0);
}

struct Open {
  io::aio::Transfer transfer;
  std::span<std::byte> buffer;
};

}  // namespace

const char* name_of(Traffic traffic) {
  switch (traffic) {
    case Traffic::write: return "write";
    case Traffic::read: return "read";
    case Traffic::mixed: return "mixed";
  }
  return "?";
}

Stage::Stage(const std::string& folder, std::int64_t bytes, std::int64_t transfer_bytes)
    : file_(folder, bytes), pool_(kTransfersInFlight, transfer_bytes) {
  engine(Traffic::write, {});
}

double Stage::engine(Traffic traffic, const io::aio::Settings& settings) {
  io::aio::Engine engine(settings);
  std::vector<Open> open;
  const auto collect_oldest = [&] {
    engine.wait(open.front().transfer);
    pool_.give_back(open.front().buffer);
    open.erase(open.begin());
  };
  const auto start = Clock::now();
  std::int64_t piece = 0;
  for (std::int64_t at = 0; at < file_.bytes(); at += pool_.buffer_bytes(), ++piece) {
    if (pool_.free() == 0) collect_oldest();
    const auto bytes = std::min(pool_.buffer_bytes(), file_.bytes() - at);
    const auto buffer = pool_.take();
    const auto part = buffer.first(static_cast<std::size_t>(bytes));
    const io::aio::Transfer transfer =
        reads(traffic, piece) ? engine.read(file_, at, part) : engine.write(file_, at, part);
    open.push_back({transfer, buffer});
  }
  while (!open.empty()) collect_oldest();
  return static_cast<double>(file_.bytes()) / seconds_since(start);
}

double Stage::loop(Traffic traffic, std::int64_t block) {
  std::vector<std::span<std::byte>> buffers;
  while (pool_.free() > 0) buffers.push_back(pool_.take());
  const auto start = Clock::now();
  std::int64_t at = 0;
  for (std::int64_t piece = 0; at < file_.bytes(); ++piece) {
    const std::int64_t place = at % pool_.buffer_bytes();
    std::byte* const data =
        buffers[static_cast<std::size_t>(at / pool_.buffer_bytes() % std::ssize(buffers))].data() +
        place;
    const auto bytes = static_cast<std::size_t>(
        std::min({block, pool_.buffer_bytes() - place, file_.bytes() - at}));
    const ssize_t moved = reads(traffic, piece) ? ::pread(file_.descriptor(), data, bytes, at)
                                                : ::pwrite(file_.descriptor(), data, bytes, at);
    check(moved > 0, Exit::kFile, "{} at offset {}: {}", file_.name(), at, std::strerror(errno));
    at += moved;
  }
  const double seconds = seconds_since(start);
  for (const auto buffer : buffers) pool_.give_back(buffer);
  return static_cast<double>(file_.bytes()) / seconds;
}

}  // namespace trireme::perf
