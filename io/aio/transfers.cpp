#include "io/aio/transfers.hpp"

#include "kernels/base/checked.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <string_view>

namespace trireme::io::aio {
namespace {

std::string_view advice(int error) {
  switch (error) {
    case ENOSPC:
    case EDQUOT: return "free space there, or name a folder on a larger disk";
    case EIO: return "the device fails (see the system's log); resume elsewhere";
    case EAGAIN: return "the kernel had no memory for the request; lower aio.queue_depth";
    case EINVAL: return "the device wants another alignment; try another folder";
    default: return "check the device; resume from the last checkpoint";
  }
}

/// Throws what `trouble` says, as an error of the file.
void throw_trouble(const File& file, Direction direction, const Trouble& trouble) {
  const std::string_view doing = direction == Direction::read ? "reading" : "writing";
  switch (trouble.kind) {
    case Trouble::Kind::none: return;
    case Trouble::Kind::refused:
      fail(Exit::kFile, "{}: {} {} bytes at offset {}: {}: {}", file.name(), doing, trouble.bytes,
           trouble.offset, std::strerror(trouble.error), advice(trouble.error));
    case Trouble::Kind::ended:
      fail(Exit::kFile,
           "{}: {} {} bytes at offset {}: nothing more could be moved: the file of {} bytes was "
           "changed by somebody else",
           file.name(), doing, trouble.bytes, trouble.offset, file.bytes());
    case Trouble::Kind::damaged:
      fail(Exit::kFile,
           "{}: the {} bytes at offset {} (unit {}) are not those that were written: expected "
           "another checksum: the device damaged them; resume from the last checkpoint on another",
           file.name(), trouble.bytes, trouble.offset, trouble.offset / kAlignment);
  }
}

void check_request(const File& file, std::int64_t offset, const std::byte* data,
                   std::int64_t bytes) {
  const auto address = reinterpret_cast<std::uintptr_t>(data);
  check(offset % kAlignment == 0 && bytes % kAlignment == 0 && address % kAlignment == 0,
        Exit::kUnexpected,
        "{}: expected multiples of {}, found {} bytes at offset {} and address 0x{:x}", file.name(),
        kAlignment, bytes, offset, address);
  check(bytes > 0 && offset >= 0 && offset <= file.bytes() - bytes, Exit::kUnexpected,
        "{}: {} bytes at offset {} do not lie in its {} bytes", file.name(), bytes, offset,
        file.bytes());
}

}  // namespace

Transfers::Transfers(const Settings& settings, std::function<void()> on_complete)
    : settings_(settings),
      on_complete_(std::move(on_complete)),
      slots_(static_cast<std::size_t>(settings.max_transfers)),
      queue_(slots_.size()) {
  for (std::size_t i = slots_.size(); i-- > 0;) free_.push_back(static_cast<std::uint32_t>(i));
}

Transfer Transfers::begin(Direction direction, File& file, std::int64_t offset, std::byte* data,
                          std::int64_t bytes) {
  check_request(file, offset, data, bytes);
  const std::lock_guard lock(mutex_);
  if (broken_) std::rethrow_exception(broken_);
  check(!free_.empty(), Exit::kUnexpected,
        "all {} transfers of the engine are in use: collect some, or raise max_transfers",
        slots_.size());
  const std::uint32_t index = free_.back();
  free_.pop_back();
  Slot& slot = slots_[index];
  slot.rest = {index, direction, &file, offset, data, bytes};
  slot.unfinished_blocks = divide_up(bytes, settings_.block_size);
  slot.turn = std::max(slot.turn + 1, 1u);  // 0 stays "no transfer" when the number wraps
  slot.taken = true;
  slot.trouble = {};
  queue_[(queue_front_ + queued_++) % queue_.size()] = index;
  blocks_to_start_ += slot.unfinished_blocks;
  const Clock::time_point now = Clock::now();
  active_.begin(now);
  active_by_direction_[static_cast<std::size_t>(direction)].begin(now);
  ++sums_.transfers;
  return {index, slot.turn};
}

bool Transfers::full() const {
  const std::lock_guard lock(mutex_);
  return free_.empty();
}

Transfers::Slot& Transfers::slot_of(Transfer transfer) {
  const bool known = transfer.turn != 0 && transfer.slot < slots_.size() &&
                     slots_[transfer.slot].taken && slots_[transfer.slot].turn == transfer.turn;
  check(known, Exit::kUnexpected, "transfer {}.{} was collected before, or never begun",
        transfer.slot, transfer.turn);
  return slots_[transfer.slot];
}

void Transfers::collect(Transfer transfer, std::unique_lock<std::mutex>& lock) {
  Slot& slot = slots_[transfer.slot];
  const Trouble trouble = slot.trouble;
  const Block last = slot.rest;
  slot.taken = false;
  free_.push_back(transfer.slot);
  lock.unlock();
  throw_trouble(*last.file, last.direction, trouble);
}

bool Transfers::test(Transfer transfer) {
  std::unique_lock lock(mutex_);
  if (slot_of(transfer).unfinished_blocks > 0) {
    if (broken_) std::rethrow_exception(broken_);
    return false;
  }
  collect(transfer, lock);
  return true;
}

void Transfers::wait(Transfer transfer) {
  std::unique_lock lock(mutex_);
  const Slot& slot = slot_of(transfer);
  completed_.wait(lock, [&] { return slot.unfinished_blocks == 0 || broken_; });
  if (slot.unfinished_blocks > 0) std::rethrow_exception(broken_);
  collect(transfer, lock);
}

std::size_t Transfers::wait_any(std::span<const Transfer> transfers) {
  std::unique_lock lock(mutex_);
  check(!transfers.empty(), Exit::kUnexpected, "waiting for any of no transfers never ends");
  for (;;) {
    for (std::size_t i = 0; i < transfers.size(); ++i)
      if (slot_of(transfers[i]).unfinished_blocks == 0) return i;
    if (broken_) std::rethrow_exception(broken_);
    completed_.wait(lock);
  }
}

void Transfers::forget_front() {
  queue_front_ = (queue_front_ + 1) % queue_.size();
  --queued_;
}

void Transfers::skip_front() {
  Slot& slot = slots_[queue_[queue_front_]];
  const std::int64_t blocks = divide_up(slot.rest.bytes, settings_.block_size);
  slot.rest.bytes = 0;
  slot.unfinished_blocks -= blocks;
  blocks_to_start_ -= blocks;
  forget_front();
}

std::size_t Transfers::take(std::span<Block> blocks) {
  const std::lock_guard lock(mutex_);
  const auto share = static_cast<std::size_t>(divide_up(blocks_to_start_, settings_.threads));
  const std::size_t most = std::min(blocks.size(), share);
  std::size_t count = 0;
  while (queued_ > 0 && count < most) {
    Block& rest = slots_[queue_[queue_front_]].rest;
    Block& block = blocks[count++];
    block = rest;
    block.bytes = std::min(rest.bytes, settings_.block_size);
    rest.offset += block.bytes;
    rest.data += block.bytes;
    rest.bytes -= block.bytes;
    --blocks_to_start_;
    if (rest.bytes == 0) forget_front();
  }
  in_flight_ += static_cast<std::int64_t>(count);
  sums_.most_in_flight = std::max(sums_.most_in_flight, in_flight_);
  return count;
}

void Transfers::finish(const Block& block, const Trouble& trouble) {
  {
    const std::lock_guard lock(mutex_);
    const auto way = static_cast<std::size_t>(block.direction);
    Sums::OneWay& sums = sums_.by_direction[way];
    Slot& slot = slots_[block.slot];
    --in_flight_;
    --slot.unfinished_blocks;
    if (trouble.kind != Trouble::Kind::none) {
      if (slot.trouble.kind == Trouble::Kind::none) slot.trouble = trouble;
      if (slot.rest.bytes > 0) skip_front();  // only the front has been given out in part
    } else {
      sums.bytes += block.bytes;
      sums.blocks += 1;
    }
    if (slot.unfinished_blocks > 0) return;
    const Clock::time_point now = Clock::now();
    active_.end(now, sums_.busy_seconds);
    active_by_direction_[way].end(now, sums.busy_seconds);
    completed_.notify_all();
  }
  if (on_complete_) on_complete_();
}

void Transfers::break_with(std::exception_ptr error) noexcept {
  {
    const std::lock_guard lock(mutex_);
    if (!broken_) broken_ = std::move(error);
    completed_.notify_all();
  }
  if (on_complete_) on_complete_();
}

void Transfers::close() {
  const std::lock_guard lock(mutex_);
  closed_ = true;
  while (queued_ > 0) skip_front();
}

bool Transfers::closed() const {
  const std::lock_guard lock(mutex_);
  return closed_;
}

Transfers::Sums Transfers::sums() const {
  const std::lock_guard lock(mutex_);
  Sums sums = sums_;
  const Clock::time_point now = Clock::now();
  sums.busy_seconds += active_.so_far(now);
  for (std::size_t way = 0; way < active_by_direction_.size(); ++way)
    sums.by_direction[way].busy_seconds += active_by_direction_[way].so_far(now);
  return sums;
}

}  // namespace trireme::io::aio
