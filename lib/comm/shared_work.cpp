// The shared path's data movement: what a small operation and a chunk of a direct one do.

#include "kernels/base/checked.hpp"
#include "lib/comm/ordered_sum.hpp"
#include "lib/comm/shared_path.hpp"

#include <algorithm>
#include <cstring>
#include <span>

namespace trireme::comm {
namespace {

constexpr std::int64_t kSmallestChunkBytes = 16 << 10;
constexpr std::int64_t kLargestChunkBytes = 128 << 10;

void copy_bytes(std::byte* to, const std::byte* from, std::int64_t bytes) {
  if (bytes > 0 && to != from) std::memcpy(to, from, static_cast<std::size_t>(bytes));
}

}  // namespace

/// What the others need of this member: its part, or its whole buffer with the gaps left out.
void SharedPath::write_payload(const OperationState& op) {
  const std::int64_t element = op.element_bytes();
  std::byte* to = payload(op, index_);
  if (op.operation == Operation::all_gather)
    return copy_bytes(to, op.source, op.part(group_.count, index_).size() * element);
  if (op.gap == 0) return copy_bytes(to, op.source, op.bytes());
  for (int m = 0; m < group_.count; ++m) {
    const Range part = op.part(group_.count, m);
    copy_bytes(to, op.source + part.begin * element, part.size() * element);
    to += part.size() * element;
  }
}

/// A member's share of the work, in elements of the operation as if no gaps were: it sums its part
/// for all who want it, or fills its own whole buffer.
Range SharedPath::region(const OperationState& op, int member) const {
  if (op.reduces()) return split_evenly(op.count, group_.count, member);
  const bool is_root = op.operation == Operation::broadcast && member == op.peer;
  return {0, is_root ? 0 : op.count};
}

/// Same on all members: depends on the operation and the group's size alone.
std::int64_t SharedPath::chunk_elements(const OperationState& op) const {
  const std::int64_t share = (op.reduces() ? op.bytes() / group_.count : op.bytes()) / 2;
  return std::clamp(share, kSmallestChunkBytes, kLargestChunkBytes) / op.element_bytes();
}

std::int64_t SharedPath::all_chunks(const OperationState& op) const {
  std::int64_t chunks = 0;
  for (int m = 0; m < group_.count; ++m)
    chunks += divide_up(region(op, m).size(), chunk_elements(op));
  return chunks;
}

const std::byte* SharedPath::source_of(const OperationState& op, int member) const {
  return arena_->at(node_ranks_[static_cast<std::size_t>(member)], arrival(op, member).source);
}

std::byte* SharedPath::target_of(const OperationState& op, int member) const {
  return arena_->at(node_ranks_[static_cast<std::size_t>(member)], arrival(op, member).target);
}

bool SharedPath::advance_direct(OperationState& op) {
  Slot& s = slot(op);
  const std::int64_t chunks = all_chunks(op);
  if (!op.exhausted && do_next_chunk(op)) {
    if (s.chunks_done.fetch_add(1, std::memory_order_acq_rel) == chunks - 1) ring_others();
  }
  if (s.chunks_done.load(std::memory_order_acquire) != chunks) return false;
  leave(op);
  return true;
}

/// Of the own region, then of the others'; false when nothing is left to claim.
bool SharedPath::do_next_chunk(OperationState& op) {
  const std::int64_t elements = chunk_elements(op);
  do {
    const Range work = region(op, op.owner);
    const std::int64_t chunk = claims(op, op.owner).chunks.fetch_add(1, std::memory_order_relaxed);
    const std::int64_t begin = work.begin + chunk * elements;
    if (begin < work.end) {
      do_chunk(op, op.owner, begin, std::min(work.end, begin + elements));
      return true;
    }
    op.owner = (op.owner + 1) % group_.count;
  } while (op.owner != index_);
  op.exhausted = true;
  return false;
}

void SharedPath::do_chunk(OperationState& op, int owner, std::int64_t begin, std::int64_t end) {
  switch (op.operation) {
    case Operation::all_reduce:
    case Operation::reduce_scatter: return sum_chunk(op, owner, begin, end);
    case Operation::all_gather: return gather_chunk(op, owner, begin, end);
    default: return broadcast_chunk(op, owner, begin, end);
  }
}

/// Elements [begin, end) of everyone's buffer to all, or of `owner`'s part to its shard.
void SharedPath::sum_chunk(OperationState& op, int owner, std::int64_t begin, std::int64_t end) {
  const std::int64_t element = op.element_bytes();
  const int n = group_.count;
  const bool scatters = op.operation == Operation::reduce_scatter;
  const std::int64_t place = begin + (scatters ? owner * op.gap : 0);  // in the whole buffers
  for (int m = 0; m < n; ++m) {
    sources_[static_cast<std::size_t>(m)] = source_of(op, m) + place * element;
    targets_[static_cast<std::size_t>(m)] = target_of(op, m) + begin * element;
  }
  if (reversed_) std::reverse(sources_.begin(), sources_.end());
  void* shard =
      scatters ? target_of(op, owner) + (begin - region(op, owner).begin) * element : nullptr;
  const auto targets =
      scatters ? std::span<void* const>(&shard, 1) : std::span<void* const>(targets_);
  ordered_sum(sources_, targets, end - begin, op.dtype);
  op.moved_bytes += (scatters ? 1 : 2) * (n - 1) * (end - begin) * element;
}

/// Elements [begin, end) of the gathered buffer into member `to`'s.
void SharedPath::gather_chunk(OperationState& op, int to, std::int64_t begin, std::int64_t end) {
  const std::int64_t element = op.element_bytes();
  const int n = group_.count;
  for (int from = 0; from < n; ++from) {
    const Range part = split_evenly(op.count, n, from);
    const std::int64_t first = std::max(begin, part.begin);
    const std::int64_t bytes = (std::min(end, part.end) - first) * element;
    if (bytes <= 0) continue;
    const std::byte* source = source_of(op, from) + (first - part.begin) * element;
    copy_bytes(target_of(op, to) + (first + from * op.gap) * element, source, bytes);
    if (from != to) op.moved_bytes += bytes;
  }
}

void SharedPath::broadcast_chunk(OperationState& op, int to, std::int64_t begin, std::int64_t end) {
  const std::int64_t offset = begin * op.element_bytes();
  const std::int64_t bytes = (end - begin) * op.element_bytes();
  copy_bytes(target_of(op, to) + offset, source_of(op, op.peer) + offset, bytes);
  op.moved_bytes += bytes;
}

void SharedPath::do_small(OperationState& op) {
  const int n = group_.count;
  const std::int64_t element = op.element_bytes();
  const Range mine = split_evenly(op.count, n, index_);
  switch (op.operation) {
    case Operation::all_reduce:
    case Operation::reduce_scatter: {
      const bool scatters = op.operation == Operation::reduce_scatter;
      const Range wanted = scatters ? mine : Range{0, op.count};
      for (int m = 0; m < n; ++m)
        sources_[static_cast<std::size_t>(m)] = payload(op, m) + wanted.begin * element;
      if (reversed_) std::reverse(sources_.begin(), sources_.end());
      void* target = op.target;
      ordered_sum(sources_, {&target, 1}, wanted.size(), op.dtype);
      op.moved_bytes += (n - 1) * wanted.size() * element;
      break;
    }
    case Operation::all_gather:
      for (int m = 0; m < n; ++m) {
        const Range part = op.part(n, m);
        copy_bytes(op.target + part.begin * element, payload(op, m), part.size() * element);
      }
      op.moved_bytes += (op.count - mine.size()) * element;
      break;
    case Operation::broadcast:
      if (index_ != op.peer) {
        copy_bytes(op.target, payload(op, op.peer), op.bytes());
        op.moved_bytes += op.bytes();
      }
      break;
    default: break;  // a barrier: everyone is here
  }
}

}  // namespace trireme::comm
