#include "lib/comm/pair_path.hpp"

#include "kernels/base/error.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

namespace trireme::comm {
namespace {

constexpr std::int64_t kPieceBytes = 256 << 10;  // copied at a time

}  // namespace

PairPath::PairPath(const Group& group, std::vector<int> node_ranks, const CommFaults& faults,
                   const NodeSeats& seats, MessagePath& messages)
    : group_(group),
      node_ranks_(std::move(node_ranks)),
      youngest_(faults.youngest_post),
      seats_(seats),
      messages_(messages) {
  unposted_.reserve(static_cast<std::size_t>(Communicator::kMaxInFlight));
  unmatched_.reserve(static_cast<std::size_t>(Communicator::kMaxInFlight));
}

void PairPath::begin(OperationState& op) {
  op.post = nullptr;
  op.as_message = op.message_done = false;
  op.copied = 0;
  op.posts_seen = 0;
  if (op.operation == Operation::send) {
    unposted_.push_back(&op);
    post_waiting();
  } else {
    unmatched_.push_back(&op);
    match_waiting();
  }
}

bool PairPath::advance(OperationState& op) {
  return op.operation == Operation::send ? advance_send(op) : advance_receive(op);
}

/// In order: a later send of the same pair and tag must not be found first.
void PairPath::post_waiting() {
  const auto stays = std::find_if(unposted_.begin(), unposted_.end(),
                                  [this](OperationState* op) { return !post(*op); });
  unposted_.erase(unposted_.begin(), stays);
}

bool PairPath::post(OperationState& op) {
  Outbox& box = seats_.own_outbox();
  Post* const end = box.posts + Outbox::kPosts;
  Post* const free = std::find_if(box.posts, end, [](const Post& p) {
    return p.state.load(std::memory_order_relaxed) == PostState::free;
  });
  if (free == end) return false;  // only beyond the limit of one communicator
  free->to = node_rank_of(op);
  free->group = static_cast<std::int32_t>(group_.kind);
  free->tag = op.tag;
  free->order = box.made.load(std::memory_order_relaxed);
  free->offset = arena_ ? arena_->offset_of(op.source, op.bytes()) : -1;
  free->bytes = op.bytes();
  op.post = free;
  op.as_message = free->offset < 0;
  const auto used = static_cast<std::int32_t>(free - box.posts) + 1;
  if (used > box.used.load(std::memory_order_relaxed))
    box.used.store(used, std::memory_order_release);
  free->state.store(PostState::posted, std::memory_order_release);
  box.made.fetch_add(1, std::memory_order_release);
  if (op.as_message) messages_.begin(op);
  seats_.doorbell(free->to).ring();
  return true;
}

bool PairPath::advance_send(OperationState& op) {
  if (!op.post) post_waiting();
  if (!op.post) return false;
  const PostState state = op.post->state.load(std::memory_order_acquire);
  if (op.as_message) {
    // Its receive may be complete before this rank sees the post taken.
    if (!op.message_done) op.message_done = messages_.advance(op);
    if (!op.message_done || state != PostState::taken) return false;
  } else {
    if (state != PostState::copied) return false;
    op.moved_bytes += op.bytes();
  }
  op.post->state.store(PostState::free, std::memory_order_release);
  return true;
}

/// In order, so that the oldest post of a pair and tag meets the oldest receive.
void PairPath::match_waiting() {
  for (auto op = unmatched_.begin(); op != unmatched_.end();) {
    const bool behind = std::any_of(unmatched_.begin(), op, [&](const OperationState* earlier) {
      return earlier->peer == (*op)->peer && earlier->tag == (*op)->tag;
    });
    const std::uint64_t made = posts_of(**op);
    if (!behind && made != (*op)->posts_seen && match(**op)) {
      op = unmatched_.erase(op);
    } else {
      (*op)->posts_seen = made;
      ++op;
    }
  }
}

/// So far, of the rank that this receive waits for.
std::uint64_t PairPath::posts_of(const OperationState& op) const {
  return seats_.outbox(node_rank_of(op)).made.load(std::memory_order_acquire);
}

bool PairPath::match(OperationState& op) {
  Outbox& box = seats_.outbox(node_rank_of(op));
  Post* oldest = nullptr;
  Post* const end = box.posts + box.used.load(std::memory_order_acquire);
  for (Post* p = box.posts; p != end; ++p) {
    if (p->state.load(std::memory_order_acquire) != PostState::posted) continue;
    if (p->to != seats_.own_node_rank() || p->tag != op.tag ||
        p->group != static_cast<std::int32_t>(group_.kind))
      continue;
    if (!oldest || (p->order < oldest->order) != youngest_) oldest = p;
  }
  if (!oldest) return false;
  op.post = oldest;
  op.as_message = oldest->offset < 0;
  if (oldest->bytes != op.bytes())
    fail(Exit::kPeer,
         "expected {} bytes from rank {} (tag {} in {}), found {}: the programs of the two ranks "
         "differ",
         op.bytes(), group_.rank(op.peer), op.tag, group_.text(), oldest->bytes);
  oldest->state.store(PostState::taken, std::memory_order_release);
  if (op.as_message) messages_.begin(op);
  return true;
}

bool PairPath::advance_receive(OperationState& op) {
  if (!op.post && posts_of(op) != op.posts_seen) match_waiting();
  if (!op.post) return false;
  if (op.as_message) return messages_.advance(op);
  const std::int64_t bytes = std::min(kPieceBytes, op.bytes() - op.copied);
  std::memcpy(op.target + op.copied, arena_->at(node_rank_of(op), op.post->offset) + op.copied,
              static_cast<std::size_t>(bytes));
  op.copied += bytes;
  if (op.copied < op.bytes()) return false;
  op.moved_bytes += op.bytes();
  op.post->state.store(PostState::copied, std::memory_order_release);
  seats_.doorbell(node_rank_of(op)).ring();
  return true;
}

Awaits PairPath::awaited(const OperationState& op) const {
  if (op.as_message) return Awaits::poll;
  if (op.operation == Operation::send) return op.post ? Awaits::ring : Awaits::poll;
  return op.post ? Awaits::nothing : Awaits::ring;
}

std::string PairPath::waiting_for(const OperationState& op) const {
  if (op.as_message) return messages_.waiting_for(op);
  return fmt::format(
      "{} rank {}",
      op.operation == Operation::send ? "not taken yet by" : "nothing received yet from",
      group_.rank(op.peer));
}

}  // namespace trireme::comm
