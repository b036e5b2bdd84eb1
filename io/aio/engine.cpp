#include "io/aio/engine.hpp"

#include "io/aio/kernel.hpp"
#include "io/aio/worker.hpp"
#include "kernels/base/checked.hpp"

#include <utility>

namespace trireme::io::aio {
namespace {

const Settings& checked(const Settings& settings) {
  check_settings(settings);
  return settings;
}

}  // namespace

Engine::Engine(const Settings& settings, std::function<void()> on_complete)
    : Engine(settings, std::move(on_complete), system_kernel()) {}

Engine::Engine(const Settings& settings, std::function<void()> on_complete, Kernel& kernel)
    : settings_(checked(settings)), transfers_(settings_, std::move(on_complete)) {
  try {
    for (std::int64_t i = 0; i < settings_.threads; ++i)
      workers_.push_back(std::make_unique<Worker>(settings_, transfers_, kernel));
  } catch (...) {
    transfers_.close();  // the workers that are there end
    throw;
  }
}

Engine::~Engine() { transfers_.close(); }

Transfer Engine::read(File& file, std::int64_t offset, std::span<std::byte> to) {
  return begin(Direction::read, file, offset, to.data(), to.size());
}

Transfer Engine::write(File& file, std::int64_t offset, std::span<const std::byte> from) {
  // A write only reads these bytes; one kind of block for both directions is simpler than two.
  return begin(Direction::write, file, offset, const_cast<std::byte*>(from.data()), from.size());
}

Transfer Engine::begin(Direction direction, File& file, std::int64_t offset, std::byte* data,
                       std::size_t bytes) {
  const Transfer transfer =
      transfers_.begin(direction, file, offset, data, narrow<std::int64_t>(bytes));
  for (const auto& worker : workers_) worker->wake();
  return transfer;
}

Counters Engine::counters() const {
  const Transfers::Sums sums = transfers_.sums();
  Counters counters;
  counters.transfers = sums.transfers;
  const auto& read = sums.by_direction[static_cast<std::size_t>(Direction::read)];
  const auto& write = sums.by_direction[static_cast<std::size_t>(Direction::write)];
  counters.bytes_read = read.bytes;
  counters.bytes_written = write.bytes;
  counters.blocks_read = read.blocks;
  counters.blocks_written = write.blocks;
  counters.read_seconds = read.busy_seconds;
  counters.write_seconds = write.busy_seconds;
  counters.most_in_flight = sums.most_in_flight;
  counters.busy_seconds = sums.busy_seconds;
  for (const auto& worker : workers_) {
    counters.requests += worker->requests();
    counters.submits += worker->submits();
    counters.threads_used += worker->requests() > 0 ? 1 : 0;
  }
  return counters;
}

}  // namespace trireme::io::aio
