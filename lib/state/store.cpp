#include "lib/state/store.hpp"

#include "kernels/base/checked.hpp"
#include "kernels/base/process_memory.hpp"
#include "lib/nn/initialise.hpp"
#include "lib/program/print.hpp"

#include <algorithm>

namespace trireme::state {
namespace {

using program::Buffer;
using program::Purpose;
using program::Tier;

constexpr std::array kAllTiers{Tier::device, Tier::host, Tier::nvme};

/// Elements of storage or device memory that visit() holds in host memory at once.
constexpr std::int64_t kVisited = std::int64_t{1} << 20;

/// In flight at most: a share dealt in turn moves chunk by chunk.
constexpr std::int64_t kTransfers = std::int64_t{1} << 14;

std::int64_t largest(const std::vector<const program::Compiled*>& programs, std::int32_t stage,
                     Tier tier) {
  std::int64_t bytes = 0;
  for (const program::Compiled* compiled : programs)
    bytes = std::max(bytes, compiled->memory.at(stage, tier));
  return bytes;
}

/// First stage with a replica of the unit.
std::int32_t first_holder(const models::Model& model, const program::Layout& layout,
                          std::int32_t unit) {
  for (std::int32_t stage = 0; stage < layout.stages; ++stage) {
    const auto units = program::units_of_stage(model, layout, stage);
    if (std::binary_search(units.begin(), units.end(), unit)) return stage;
  }
  fail(Exit::kUnexpected, "no stage holds unit {}", unit);
}

}  // namespace

Seat seat_of(const models::Model& model, const comm::Coordinates& at) {
  const std::int64_t ranks = model.placement.sharding.ranks;
  return {at.pipeline, at.data % ranks, at.data / ranks};
}

Store::Store(const comm::World& world, const models::Model& model, const program::Layout& layout,
             const program::ResidentTable& resident, const program::Options& options,
             const Seat& seat, const std::vector<const program::Compiled*>& programs)
    : arena_(world,
             largest(programs, seat.stage, options.device_apart ? Tier::host : Tier::device)),
      resident_(resident),
      seat_(seat) {
  take_memory(largest(programs, seat.stage, Tier::device),
              largest(programs, seat.stage, Tier::host), options.device_apart);
  for (const std::int32_t index : program::units_of_stage(model, layout, seat.stage))
    units_.push_back({&model.units[static_cast<std::size_t>(index)], index,
                      first_holder(model, layout, index) == seat.stage});
  for (const Buffer& buffer : resident.buffers())
    if (buffer.stage == seat.stage) state_.push_back(buffer);
  const Buffer& scalars = resident.at(resident.scalars(seat.stage));
  device_scalars_ = {reinterpret_cast<double*>(at(scalars)),
                     static_cast<std::size_t>(scalars.bytes) / sizeof(double)};
  if (gpu_) own_scalars_.resize(device_scalars_.size());
  scalars_ = gpu_ ? std::span(own_scalars_) : device_scalars_;
  for (const program::BufferId id : resident.workspace(seat.stage))
    gpu_->compute.reserve_scratch(at(resident.at(id)), resident.at(id).bytes);
  if (const std::int64_t bytes = largest(programs, seat.stage, Tier::nvme); bytes > 0)
    open_storage(options.zero, bytes);

  for (const Tier tier : kAllTiers) {
    program::PurposeBytes most;
    for (const program::Compiled* compiled : programs) {
      const program::PurposeBytes need = program::memory_by_purpose(*compiled, seat.stage, tier);
      if (need.total >= most.total) most = need;
    }
    for (int p = 0; p < program::kPurposes; ++p)
      if (const std::int64_t bytes = most.bytes[static_cast<std::size_t>(p)]; bytes > 0)
        planned_.push_back({tier, static_cast<Purpose>(p), bytes});
  }
}

void Store::take_memory(std::int64_t device_bytes, std::int64_t host_bytes, bool apart) {
  device_bytes_ = device_bytes;
  host_bytes_ = host_bytes;
  if (apart) {
    host_ = arena_.base();
    gpu_ = std::make_unique<DeviceTier>(device_bytes, host_, host_bytes);
    device_ = static_cast<std::byte*>(gpu_->memory.data());
    return;
  }
  device_ = arena_.base();
  if (host_bytes == 0) return;
  host_memory_ = std::make_unique<io::aio::Pool>(1, host_bytes);
  host_ = host_memory_->take().data();
}

void Store::open_storage(const deck::ZeroConfig& zero, std::int64_t bytes) {
  io::aio::Settings settings;
  settings.block_size = zero.aio.block_size;
  settings.queue_depth = zero.aio.queue_depth;
  settings.threads = zero.aio.threads;
  settings.single_submit = zero.aio.single_submit;
  settings.overlap_events = zero.aio.overlap_events;
  settings.max_transfers = kTransfers;
  try {
    swap_ = std::make_unique<io::aio::SwapFile>(
        zero.nvme_path.string(), round_up(bytes, program::kStorageAlignment),
        io::aio::SwapOptions{.checksums = zero.aio.checksum});
  } catch (const Error& error) {
    fail(error.code(), "zero_optimization.offload_optimizer.nvme_path: {}", error.text());
  }
  transfers_ = std::make_unique<io::aio::Engine>(settings, [this] {
    if (const std::function<void()>* listener = listener_.load()) (*listener)();
  });
}

std::int64_t Store::bytes(Tier tier) const {
  switch (tier) {
    case Tier::device: return device_bytes_;
    case Tier::host: return host_bytes_;
    case Tier::nvme: return swap_ ? swap_->bytes() : 0;
  }
  return 0;
}

std::int64_t Store::bytes_in_memory(Tier tier) const {
  if (!pages(tier)) return bytes(tier);  // allocated when it was made
  return trireme::bytes_in_memory(tier == Tier::host ? host_ : device_, bytes(tier));
}

std::array<std::int64_t, program::kPurposes> Store::state_in_memory(Tier tier) const {
  std::array<std::int64_t, program::kPurposes> found{};
  for (const Buffer& buffer : state_) {
    if (buffer.tier != tier) continue;
    if (buffer.purpose == Purpose::workspace) {
      found[static_cast<std::size_t>(buffer.purpose)] += gpu_->compute.scratch_used();
      continue;
    }
    const std::byte* base = tier == Tier::host ? host_ : device_;
    found[static_cast<std::size_t>(buffer.purpose)] +=
        pages(tier) ? trireme::bytes_in_memory(base + buffer.offset, buffer.bytes) : buffer.bytes;
  }
  return found;
}

UnitState& Store::unit(std::int32_t index) {
  const auto found =
      std::lower_bound(units_.begin(), units_.end(), index,
                       [](const UnitState& u, std::int32_t i) { return u.index < i; });
  check(found != units_.end() && found->index == index, Exit::kUnexpected,
        "unit {} is not on this rank", index);
  return *found;
}

void Store::visit(const UnitState& unit, Purpose purpose, std::int32_t number, Access access,
                  const std::function<void(const Held&)>& visit) {
  if (purpose == Purpose::masters) purpose = resident_.master_purpose(seat_.stage, unit.index);
  for (const program::BufferId id : resident_.homes(seat_.stage, unit.index, purpose, number)) {
    const Buffer& buffer = resident_.at(id);
    if (buffer.tier == Tier::nvme || space_of(buffer) == MemorySpace::device) {
      visit_copies(*unit.unit, buffer, access, visit);
      continue;
    }
    auto* values = reinterpret_cast<float*>(at(buffer));
    for_each_run(*unit.unit, buffer.part, buffer.elements, seat_.share, [&](const Run& run) {
      if (access == Access::list) return visit({run.flat, {}, buffer.part});
      visit({run.flat,
             {values + (run.in_part - buffer.elements.begin),
              static_cast<std::size_t>(run.flat.size())},
             buffer.part});
    });
  }
}

/// `bytes` from here on are a multiple of what transfers are aligned to; of device memory only what
/// the buffer has.
void Store::copy_here(const Buffer& buffer, std::int64_t offset, std::span<std::byte> bytes) {
  if (buffer.tier == Tier::nvme)
    return transfers_->wait(transfers_->read(*swap_, buffer.offset + offset, bytes));
  const StreamScope scope(gpu_->copy_out);
  copy_bytes(bytes.data(), at(buffer) + offset, std::min(std::ssize(bytes), buffer.bytes - offset));
  gpu_->copy_out.wait();
}

void Store::copy_back(const Buffer& buffer, std::int64_t offset, std::span<std::byte> bytes) {
  if (buffer.tier == Tier::nvme)
    return transfers_->wait(transfers_->write(*swap_, buffer.offset + offset, bytes));
  const StreamScope scope(gpu_->copy_in);
  copy_bytes(at(buffer) + offset, bytes.data(), std::min(std::ssize(bytes), buffer.bytes - offset));
  gpu_->copy_in.wait();
}

/// What memory of the host does not hold, in pieces.
void Store::visit_copies(const nn::Unit& unit, const Buffer& buffer, Access access,
                         const std::function<void(const Held&)>& visit) {
  constexpr std::int64_t kFloat = sizeof(float);
  const auto pieces = [&](const auto& each) {
    for (std::int64_t at = buffer.elements.begin; at < buffer.elements.end; at += kVisited)
      each(Range{at, std::min(at + kVisited, buffer.elements.end)});
  };
  if (access == Access::list)
    return pieces([&](const Range& piece) {
      for_each_run(unit, buffer.part, piece, seat_.share, [&](const Run& run) {
        visit({run.flat, {}, buffer.part});
      });
    });
  io::aio::Pool pool(1, kVisited * kFloat);
  const std::span<std::byte> bytes = pool.take();
  auto* values = reinterpret_cast<float*>(bytes.data());
  pieces([&](const Range& piece) {
    const std::span<std::byte> used =
        bytes.first(static_cast<std::size_t>(round_up(piece.size() * kFloat, io::aio::kAlignment)));
    const std::int64_t offset = (piece.begin - buffer.elements.begin) * kFloat;
    if (access != Access::write) copy_here(buffer, offset, used);
    for_each_run(unit, buffer.part, piece, seat_.share, [&](const Run& run) {
      visit({run.flat,
             {values + (run.in_part - piece.begin), static_cast<std::size_t>(run.flat.size())},
             buffer.part});
    });
    if (access != Access::read) copy_back(buffer, offset, used);
  });
  pool.give_back(bytes);
}

void Store::initialise(std::uint64_t seed, std::int64_t tensor_rank, std::int64_t tensor) {
  for (const UnitState& unit : units_)
    visit(unit, Purpose::masters, 0, Access::write, [&](const Held& held) {
      nn::initialise(*unit.unit, tensor, tensor_rank, seed, held.flat, held.values);
    });
}

}  // namespace trireme::state
