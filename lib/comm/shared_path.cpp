#include "lib/comm/shared_path.hpp"

#include "kernels/base/checked.hpp"
#include "kernels/base/error.hpp"

#include <fmt/format.h>

#include <cstring>
#include <exception>
#include <new>

namespace trireme::comm {
namespace {

constexpr std::size_t kPending = static_cast<std::size_t>(Communicator::kMaxInFlight);

}  // namespace

SharedPath::SharedPath(MPI_Comm members, std::vector<int> node_ranks, const Group& group, int index,
                       const CommFaults& faults, const NodeSeats& seats)
    : group_(group),
      index_(index),
      reversed_(faults.reversed_sums),
      node_ranks_(std::move(node_ranks)),
      seats_(seats) {
  const auto n = static_cast<std::size_t>(group.count);
  const std::size_t slots_bytes = sizeof(Slot) * kSlots;
  const std::size_t arrivals_bytes = sizeof(Arrival) * kSlots * n;
  const std::size_t claims_bytes = sizeof(Claims) * kSlots * n;
  const std::size_t payloads_bytes = static_cast<std::size_t>(kSmallBytes) * kSlots * n;
  const std::size_t total =
      slots_bytes + arrivals_bytes + claims_bytes + payloads_bytes + alignof(Slot);

  // Member 0 provides the block, all others map it.
  void* own = nullptr;
  const int rc = MPI_Win_allocate_shared(index == 0 ? narrow<MPI_Aint>(total) : 0, 1, MPI_INFO_NULL,
                                         members, &own, &window_);
  check(rc == MPI_SUCCESS, Exit::kPeer, "MPI_Win_allocate_shared of {} bytes returned {}", total,
        rc);
  MPI_Aint bytes = 0;
  int unit = 0;
  void* block = nullptr;
  MPI_Win_shared_query(window_, 0, &bytes, &unit, &block);
  std::size_t space = total;
  auto* memory = static_cast<std::byte*>(std::align(alignof(Slot), 1, block, space));
  slots_ = reinterpret_cast<Slot*>(memory);
  arrivals_ = reinterpret_cast<Arrival*>(memory + slots_bytes);
  claims_ = reinterpret_cast<Claims*>(memory + slots_bytes + arrivals_bytes);
  payloads_ = memory + slots_bytes + arrivals_bytes + claims_bytes;
  if (index == 0) {
    for (std::size_t i = 0; i < kSlots; ++i) new (&slots_[i]) Slot{i, false, 0, 0, 0};
    for (std::size_t i = 0; i < kSlots * n; ++i) new (&arrivals_[i]) Arrival{};
    for (std::size_t i = 0; i < kSlots * n; ++i) new (&claims_[i]) Claims{0};
    std::memset(payloads_, 0, payloads_bytes);
  }
  MPI_Barrier(members);
  sources_.resize(n);
  targets_.resize(n);
}

SharedPath::~SharedPath() {
  if (std::uncaught_exceptions() == 0) MPI_Win_free(&window_);
}

std::byte* SharedPath::payload(const OperationState& op, int member) const {
  const std::uint64_t place = op.sequence % kSlots * static_cast<std::uint64_t>(group_.count) +
                              static_cast<std::uint64_t>(member);
  return payloads_ + place * static_cast<std::uint64_t>(kSmallBytes);
}

bool SharedPath::has_arrived(const OperationState& op, int member) const {
  return arrival(op, member).arrived.load(std::memory_order_acquire) == op.sequence + 1;
}

void SharedPath::begin(OperationState& op) {
  op.mode = SharedMode::undecided;
  op.published = false;
  op.owner = index_;
  op.exhausted = false;
  pending_[op.sequence % kPending] = &op;
  ++begun_;
}

bool SharedPath::announce_next() {
  if (announced_ == begun_) return false;
  OperationState& op = *pending_[announced_ % kPending];
  Slot& s = slot(op);
  if (s.open_for.load(std::memory_order_acquire) != op.sequence) {
    // Said before the next look, which is what comes before sleep.
    s.wanted.store(true, std::memory_order_seq_cst);
    if (s.open_for.load(std::memory_order_seq_cst) != op.sequence) return false;
  }

  Arrival& mine = arrival(op, index_);
  mine.operation = op.operation;
  mine.dtype = op.dtype;
  mine.count = op.count;
  mine.gap = op.gap;
  mine.root = op.peer;
  mine.source = mine.target = -1;
  if (op.bytes() <= kSmallBytes) {
    write_payload(op);
  } else if (arena_) {
    const std::int64_t part = op.part(group_.count, index_).size() * op.element_bytes();
    const std::int64_t whole = op.extent_bytes(group_.count);
    const bool source_is_part = op.operation == Operation::all_gather;
    const bool target_is_part = op.operation == Operation::reduce_scatter;
    mine.source = arena_->offset_of(op.source, source_is_part ? part : whole);
    mine.target = arena_->offset_of(op.target, target_is_part ? part : whole);
  }
  mine.arrived.store(op.sequence + 1, std::memory_order_release);
  op.published = true;
  ++announced_;
  if (s.arrived.fetch_add(1, std::memory_order_acq_rel) == group_.count - 1) ring_others();
  return true;
}

OperationState* SharedPath::decide_next() {
  if (decided_ == announced_) return nullptr;
  OperationState& op = *pending_[decided_ % kPending];
  if (slot(op).arrived.load(std::memory_order_acquire) != group_.count) return nullptr;

  bool all_in_arenas = true;
  for (int m = 0; m < group_.count; ++m) {
    const Arrival& other = arrival(op, m);
    check_agreement(op, other, m);
    all_in_arenas &= other.source >= 0 && other.target >= 0;
  }
  op.mode = op.bytes() <= kSmallBytes ? SharedMode::small
            : all_in_arenas           ? SharedMode::direct
                                      : SharedMode::messages;
  if (op.mode == SharedMode::messages) leave(op);
  ++decided_;
  return &op;
}

void SharedPath::check_agreement(const OperationState& op, const Arrival& other, int member) const {
  const bool same = other.operation == op.operation && other.count == op.count &&
                    other.gap == op.gap && other.dtype == op.dtype && other.root == op.peer;
  if (same) return;
  fail(
      Exit::kPeer,
      "members of {} disagree about operation {}: this rank started {} of {} {} (root {}, gap {}), "
      "rank {} started {} of {} {} (root {}, gap {}); their programs differ",
      group_.text(), op.sequence, name_of(op.operation), op.count, name_of(op.dtype), op.peer,
      op.gap, group_.rank(member), name_of(other.operation), other.count, name_of(other.dtype),
      other.root, other.gap);
}

void SharedPath::leave(const OperationState& op) {
  Slot& s = slot(op);
  if (s.left.fetch_add(1, std::memory_order_acq_rel) != group_.count - 1) return;
  for (int m = 0; m < group_.count; ++m) claims(op, m).chunks.store(0, std::memory_order_relaxed);
  s.arrived.store(0, std::memory_order_relaxed);
  s.chunks_done.store(0, std::memory_order_relaxed);
  s.left.store(0, std::memory_order_relaxed);
  s.open_for.store(op.sequence + kSlots, std::memory_order_seq_cst);
  if (s.wanted.exchange(false, std::memory_order_seq_cst)) ring_others();
}

void SharedPath::ring_others() const {
  for (int m = 0; m < group_.count; ++m)
    if (m != index_) seats_.doorbell(node_ranks_[static_cast<std::size_t>(m)]).ring();
}

bool SharedPath::advance(OperationState& op) {
  switch (op.mode) {
    case SharedMode::small:
      do_small(op);
      leave(op);
      return true;
    case SharedMode::direct: return advance_direct(op);
    case SharedMode::undecided:
    case SharedMode::messages: break;
  }
  return false;
}

std::string SharedPath::waiting_for(const OperationState& op) const {
  if (!op.published) return "behind earlier operations, the control block's slots are taken";
  std::string missing;
  for (int m = 0; m < group_.count; ++m)
    if (!has_arrived(op, m))
      missing += fmt::format("{}{}", missing.empty() ? "" : ", ", group_.rank(m));
  if (!missing.empty()) return "not arrived: rank " + missing;
  return "all ranks arrived, some chunks are still being worked on";
}

}  // namespace trireme::comm
