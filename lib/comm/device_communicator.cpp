#include "lib/comm/device_communicator.hpp"

#include "kernels/elementwise/ordered_sum.hpp"

#include <algorithm>
#include <cstring>

namespace trireme::comm {
namespace {

LinkKey shared_key(MPI_Comm members, int index) {
  LinkKey key{};
  if (index == 0) key = make_link_key();
  MPI_Bcast(key.data(), static_cast<int>(key.size()), MPI_BYTE, 0, members);
  return key;
}

}  // namespace

DeviceCommunicator::DeviceCommunicator(MPI_Comm members, const Group& group, int index,
                                       const CommOptions& options, bool crowded, Doorbell& doorbell,
                                       Stream& stream)
    : Communicator(group, index, options, crowded, &doorbell),
      stream_(stream),
      tokens_(group.count) {
  make_marks();
  if (group.count == 1) return;
  link_ = std::make_unique<DeviceLink>(shared_key(members, index), group.count, index,
                                       options.deadline_seconds);
  moves_.reserve(2 * static_cast<std::size_t>(group.count));
}

void DeviceCommunicator::begin(OperationState& op) {
  const StreamScope scope(stream_);
  try {
    give(op);
  } catch (const Error& error) {
    fail(error.code(), "{}: {}", describe(op), error.text());
  }
  op.mark->record(stream_);
}

bool DeviceCommunicator::advance(OperationState& op) {
  if (link_)
    if (const std::string wrong = link_->wrong(); !wrong.empty())
      fail(Exit::kPeer, "{}; {}", describe(op), wrong);
  return op.mark->done();
}

std::string DeviceCommunicator::waiting_for(const OperationState&) const {
  return "given to this rank's device and not done there: it, an operation before it or a member's "
         "device is stuck";
}

void DeviceCommunicator::abandon() noexcept {
  if (link_) link_->abandon();
}

void DeviceCommunicator::give(OperationState& op) {
  if (op.operation == Operation::barrier) return meet();
  if (op.count == 0) return;
  switch (op.operation) {
    case Operation::all_reduce:
      if (size() == 1) return;
      sum_parts(op, op.target + bytes_of(op, index()).begin);
      return gather_parts(op, op.target + bytes_of(op, index()).begin);
    case Operation::reduce_scatter:
      if (size() > 1) return sum_parts(op, op.target);
      return copy_here(op.target, op.source, op.bytes());
    case Operation::all_gather: return gather_parts(op, op.source);
    case Operation::broadcast:
      if (size() == 1) return;
      if (index() != op.peer) op.moved_bytes += op.bytes();
      return link_->broadcast(op.target, op.bytes(), op.peer, stream_);
    case Operation::send:
    case Operation::receive: return transfer(op);
    case Operation::barrier: break;
  }
}

Range DeviceCommunicator::bytes_of(const OperationState& op, int member) const {
  const Range part = op.part(size(), member);
  return {part.begin * op.element_bytes(), part.end * op.element_bytes()};
}

void DeviceCommunicator::copy_here(std::byte* to, const std::byte* from, std::int64_t bytes) {
  if (to != from) copy_bytes(to, from, bytes);
}

/// Bytes of a part that staging holds of every other member at once.
std::int64_t DeviceCommunicator::piece_of(const OperationState& op, std::int64_t longest) const {
  const std::int64_t whole = round_up(longest, kLinkAlignment);
  const std::int64_t room = std::ssize(staging_) / (size() - 1) / kLinkAlignment * kLinkAlignment;
  if (room == 0)
    fail(Exit::kUnexpected, "{} with {} bytes of staging memory: expected {} at least",
         describe(op), staging_.size(), (size() - 1) * kLinkAlignment);
  return std::min(whole, room);
}

/// `target` receives the sum of this member's part of everyone's source.
void DeviceCommunicator::sum_parts(OperationState& op, std::byte* target) {
  const bool reversed = options().faults.reversed_sums;
  const std::int64_t piece = piece_of(op, bytes_of(op, 0).size());  // no part is longer
  const Range mine = bytes_of(op, index());
  std::byte* whole = const_cast<std::byte*>(op.source);  // only read
  for (std::int64_t at = 0; at < bytes_of(op, 0).size(); at += piece) {
    const std::int64_t here = std::clamp<std::int64_t>(mine.size() - at, 0, piece);
    moves_.clear();
    std::int64_t place = 0;
    for (int k = 0; k < size(); ++k) {
      const int member = reversed ? size() - 1 - k : k;
      if (member == index()) continue;
      const Range theirs = bytes_of(op, member);
      const std::int64_t there = std::clamp<std::int64_t>(theirs.size() - at, 0, piece);
      if (there > 0) moves_.push_back({whole + theirs.begin + at, there, member, true});
      if (here > 0) moves_.push_back({staging_.data() + place, here, member, false});
      place += piece;
    }
    link_->exchange(moves_, stream_);
    op.moved_bytes += here * (size() - 1);
    kernels::ordered_sum({.own = whole + mine.begin + at,
                          .others = staging_.data(),
                          .stride = piece / op.element_bytes(),
                          .members = size(),
                          .index = reversed ? size() - 1 - index() : index()},
                         target + at, here / op.element_bytes(), op.dtype);
  }
}

/// The whole receives everyone's part; `part` is this member's.
void DeviceCommunicator::gather_parts(OperationState& op, const std::byte* part) {
  const Range mine = bytes_of(op, index());
  op.moved_bytes += op.bytes() - mine.size();
  if (size() == 1) return copy_here(op.target, part, mine.size());
  if (op.gap == 0 && op.count % size() == 0)
    return link_->all_gather(part, op.target, mine.size(), stream_);
  copy_here(op.target + mine.begin, part, mine.size());
  moves_.clear();
  for (int member = 0; member < size(); ++member) {
    const Range theirs = bytes_of(op, member);
    if (member == index()) continue;
    if (mine.size() > 0)
      moves_.push_back({const_cast<std::byte*>(part), mine.size(), member, true});
    if (theirs.size() > 0)
      moves_.push_back({op.target + theirs.begin, theirs.size(), member, false});
  }
  link_->exchange(moves_, stream_);
}

void DeviceCommunicator::transfer(OperationState& op) {
  if (op.peer == index()) fail(Exit::kUnexpected, "{} with itself", describe(op));
  const bool sends = op.operation == Operation::send;
  moves_.clear();
  moves_.push_back(
      {sends ? const_cast<std::byte*>(op.source) : op.target, op.bytes(), op.peer, sends});
  link_->exchange(moves_, stream_);
  if (!sends) op.moved_bytes += op.bytes();
}

void DeviceCommunicator::meet() {
  auto* tokens = static_cast<std::byte*>(tokens_.data());
  if (link_) link_->all_gather(tokens + index(), tokens, 1, stream_);
}

}  // namespace trireme::comm
