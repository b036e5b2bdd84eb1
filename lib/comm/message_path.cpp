#include "lib/comm/message_path.hpp"

#include "kernels/base/checked.hpp"
#include "kernels/base/error.hpp"
#include "lib/comm/ordered_sum.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <exception>

namespace trireme::comm {
namespace {

constexpr std::int64_t kSmallBytes = 4096;  // all-reduces up to here take one exchange

void expect_success(int rc, const char* call) {
  check(rc == MPI_SUCCESS, Exit::kPeer, "{} returned MPI error {}", call, rc);
}

}  // namespace

MessagePath::MessagePath(MPI_Comm members, const Group& group, int index,
                         const CommOptions& options)
    : group_(group),
      index_(index),
      reversed_(options.faults.reversed_sums),
      limits_(options.limits) {
  MPI_Comm_dup(members, &collectives_);
  MPI_Comm_dup(members, &point_to_point_);
  MPI_Comm_set_errhandler(collectives_, MPI_ERRORS_RETURN);
  MPI_Comm_set_errhandler(point_to_point_, MPI_ERRORS_RETURN);
  sources_.resize(static_cast<std::size_t>(group.count));
  unposted_.reserve(static_cast<std::size_t>(Communicator::kMaxInFlight));
}

MessagePath::~MessagePath() {
  if (std::uncaught_exceptions() > 0) return;  // freeing is collective, and peers may be elsewhere
  MPI_Comm_free(&collectives_);
  MPI_Comm_free(&point_to_point_);
}

int MessagePath::most_messages() const {
  const int pairs = std::min(members() - 1, limits_.peers_at_a_time);
  const int children = std::bit_width(static_cast<unsigned>(members()));
  return std::max(2 * pairs, children);
}

void MessagePath::begin(OperationState& op) {
  op.round = 0;
  op.batch = 0;
  op.area = -1;
  op.posted = false;
  switch (op.operation) {
    case Operation::all_reduce:
    case Operation::reduce_scatter:
    case Operation::barrier:
      op.ticket = next_ticket_++;
      op.stage = MessageStage::wait_for_area;
      break;
    case Operation::all_gather: op.stage = MessageStage::gather; break;
    case Operation::broadcast: op.stage = MessageStage::tree_receive; break;
    case Operation::send:
    case Operation::receive:
      op.stage = MessageStage::point_to_point;
      unposted_.push_back(&op);
      break;
  }
  if (may_move(op)) post(op);
}

/// False while a reduction or barrier has no staging memory yet, and while it is not a send's or
/// receive's turn.
bool MessagePath::may_move(OperationState& op) {
  if (op.stage == MessageStage::point_to_point) return !behind_another(op);
  if (op.stage != MessageStage::wait_for_area) return true;
  if (op.ticket != serving_) return false;
  const auto free = std::find(area_taken_.begin(), area_taken_.end(), false);
  if (free == area_taken_.end()) return false;
  *free = true;
  ++serving_;
  op.area = static_cast<int>(free - area_taken_.begin());
  // Both at the first use: whether two are needed at once depends on who arrives when.
  if (areas_.front().empty())
    for (auto& area : areas_) area.resize(static_cast<std::size_t>(staged_bytes() * members()));
  const bool small = op.operation == Operation::barrier ||
                     (op.operation == Operation::all_reduce && op.bytes() <= kSmallBytes);
  op.stage = small ? MessageStage::collect : MessageStage::scatter;
  return true;
}

/// Whether an earlier send (receive) of this pair and tag has messages to post that must go first.
bool MessagePath::behind_another(const OperationState& op) const {
  const auto own = std::ranges::find(unposted_, &op);
  if (own == unposted_.end()) return false;  // all of it is under way
  return std::any_of(unposted_.begin(), own, [&](const OperationState* earlier) {
    return earlier->operation == op.operation && earlier->peer == op.peer && earlier->tag == op.tag;
  });
}

/// Bytes of staging memory for one member.
std::int64_t MessagePath::staged_bytes() const {
  constexpr std::int64_t kCacheLine = 64;
  const std::int64_t each = std::max(limits_.staging_bytes / members(), kSmallBytes);
  return each / kCacheLine * kCacheLine;
}

/// Elements of one member's piece in one round.
std::int64_t MessagePath::piece_capacity(const OperationState& op) const {
  if (op.operation == Operation::all_gather) return limits_.message_bytes / op.element_bytes();
  return staged_bytes() / op.element_bytes();
}

std::int64_t MessagePath::rounds(const OperationState& op) const {
  if (op.operation == Operation::broadcast || !op.collective())
    return std::max<std::int64_t>(1, divide_up(op.bytes(), limits_.message_bytes));
  // Member 0 has the longest part.
  return std::max<std::int64_t>(1, divide_up(op.part(members(), 0).size(), piece_capacity(op)));
}

MessagePath::Piece MessagePath::piece(const OperationState& op, int member) const {
  const Range part = op.part(members(), member);
  const std::int64_t capacity = piece_capacity(op);
  const std::int64_t begin = std::min(part.end, part.begin + op.round * capacity);
  return {begin, std::min(capacity, part.end - begin)};
}

std::byte* MessagePath::staged(const OperationState& op, int member) {
  std::byte* area = areas_[static_cast<std::size_t>(op.area)].data();
  if (doubles(op)) return area + (member - index_ + members()) % members() * op.bytes();
  return area + member * staged_bytes();
}

/// Whether a small buffer is passed on from member to member. Then the staging memory holds the
/// buffers of this member and those that follow it, one behind the other.
bool MessagePath::doubles(const OperationState& op) const {
  return op.stage == MessageStage::collect && members() - 1 > limits_.peers_at_a_time;
}

/// Messages of one pair and tag stay in order, so rounds and stages may share the tag.
int MessagePath::tag_of(const OperationState& op) const {
  constexpr std::uint64_t kTags = 16384;  // MPI promises 32767
  return op.collective() ? static_cast<int>(op.sequence % kTags) : op.tag;
}

void MessagePath::send_to(OperationState& op, int member, const std::byte* data,
                          std::int64_t bytes) {
  MPI_Request request = MPI_REQUEST_NULL;
  // Synchronous between stages: an eager message would hide a schedule that deadlocks.
  const int rc = op.collective() ? MPI_Isend(data, narrow<int>(bytes), MPI_BYTE, member, tag_of(op),
                                             collectives_, &request)
                                 : MPI_Issend(data, narrow<int>(bytes), MPI_BYTE, member,
                                              tag_of(op), point_to_point_, &request);
  expect_success(rc, "MPI_Isend");
  op.requests.push_back(request);
  op.peers.push_back(-1 - member);
  if (op.operation == Operation::send) op.moved_bytes += bytes;
}

void MessagePath::receive_from(OperationState& op, int member, std::byte* data,
                               std::int64_t bytes) {
  MPI_Request request = MPI_REQUEST_NULL;
  const int rc = MPI_Irecv(data, narrow<int>(bytes), MPI_BYTE, member, tag_of(op),
                           op.collective() ? collectives_ : point_to_point_, &request);
  expect_success(rc, "MPI_Irecv");
  op.requests.push_back(request);
  op.peers.push_back(member);
  op.moved_bytes += bytes;
}

int MessagePath::batches(const OperationState& op) const {
  if (doubles(op)) return std::bit_width(static_cast<unsigned>(members() - 1));
  switch (op.stage) {
    case MessageStage::collect:
    case MessageStage::scatter:
    case MessageStage::gather:
      return static_cast<int>(divide_up(members() - 1, limits_.peers_at_a_time));
    default: return 1;
  }
}

void MessagePath::post(OperationState& op) {
  op.requests.clear();
  op.peers.clear();
  switch (op.stage) {
    case MessageStage::wait_for_area: break;
    case MessageStage::collect:
    case MessageStage::scatter:
    case MessageStage::gather: doubles(op) ? post_doubling(op) : post_pairs(op); break;
    case MessageStage::tree_receive:
    case MessageStage::tree_send: post_tree(op); break;
    case MessageStage::point_to_point: post_point_to_point(op); break;
  }
  op.posted = true;
}

/// In step s everyone sends to the member s further on and receives from the one s further back, so
/// that a batch of steps concerns the same pairs on both sides.
void MessagePath::post_pairs(OperationState& op) {
  const int n = members();
  const int first = 1 + op.batch * limits_.peers_at_a_time;
  const int last = std::min(n - 1, first + limits_.peers_at_a_time - 1);
  for (int s = first; s <= last; ++s) post_pair(op, (index_ + s) % n, (index_ - s + n) % n);
}

void MessagePath::post_pair(OperationState& op, int to, int from) {
  const std::int64_t element = op.element_bytes();
  const std::byte* outgoing = nullptr;
  std::byte* incoming = nullptr;
  std::int64_t outgoing_bytes = 0;
  std::int64_t incoming_bytes = 0;
  const Piece mine = piece(op, index_);
  if (op.stage == MessageStage::collect) {
    // A barrier sends empty messages: their arrival is the news.
    outgoing = op.source;
    incoming = staged(op, from);
    outgoing_bytes = incoming_bytes = op.bytes();
  } else if (op.stage == MessageStage::scatter) {
    const Piece theirs = piece(op, to);
    outgoing = op.source + theirs.begin * element;
    outgoing_bytes = theirs.count * element;
    incoming = staged(op, from);
    incoming_bytes = mine.count * element;
  } else {
    const Piece theirs = piece(op, from);
    const std::int64_t origin =
        op.operation == Operation::all_gather ? op.part(members(), index_).begin : 0;
    outgoing = op.source + (mine.begin - origin) * element;
    outgoing_bytes = mine.count * element;
    incoming = op.target + theirs.begin * element;
    incoming_bytes = theirs.count * element;
  }
  const bool empty_matters = op.operation == Operation::barrier;
  if (incoming_bytes > 0 || empty_matters) receive_from(op, from, incoming, incoming_bytes);
  if (outgoing_bytes > 0 || empty_matters) send_to(op, to, outgoing, outgoing_bytes);
}

/// Step s: the first 2^s buffers, as far as they are wanted, go to the member 2^s further back; as
/// many arrive from the one 2^s further on.
void MessagePath::post_doubling(OperationState& op) {
  const int n = members();
  const int distance = 1 << op.batch;
  const std::int64_t bytes = std::min(distance, n - distance) * op.bytes();
  std::byte* own = staged(op, index_);
  if (op.batch == 0 && bytes > 0) std::memcpy(own, op.source, static_cast<std::size_t>(op.bytes()));
  const int ahead = (index_ + distance) % n;
  receive_from(op, ahead, staged(op, ahead), bytes);
  send_to(op, (index_ - distance + n) % n, own, bytes);
}

/// Binomial tree over positions relative to the root: the parent of v is v without its lowest bit.
void MessagePath::post_tree(OperationState& op) {
  const int n = members();
  const int v = (index_ - op.peer + n) % n;
  const std::int64_t begin = op.round * limits_.message_bytes;
  const std::int64_t bytes = std::min(limits_.message_bytes, op.bytes() - begin);
  if (bytes == 0) return;
  const int lowest = v == 0 ? n : v & -v;
  if (op.stage == MessageStage::tree_receive) {
    if (v != 0) receive_from(op, ((v & (v - 1)) + op.peer) % n, op.target + begin, bytes);
    return;
  }
  for (int step = 1; step < lowest && v + step < n; step *= 2)
    send_to(op, (v + step + op.peer) % n, op.target + begin, bytes);
}

void MessagePath::post_point_to_point(OperationState& op) {
  const std::int64_t begin = op.round * limits_.message_bytes;
  const std::int64_t bytes = std::min(limits_.message_bytes, op.bytes() - begin);
  if (op.operation == Operation::send) {
    send_to(op, op.peer, op.source + begin, bytes);
  } else {
    receive_from(op, op.peer, op.target + begin, bytes);
  }
  if (op.round + 1 == rounds(op)) std::erase(unposted_, &op);
}

bool MessagePath::all_arrived(OperationState& op) {
  if (op.requests.empty()) return true;
  int arrived = 0;
  if (op.operation == Operation::receive) {
    MPI_Status status;
    expect_success(MPI_Test(&op.requests[0], &arrived, &status), "MPI_Test of a receive");
    if (!arrived) return false;
    int bytes = 0;
    MPI_Get_count(&status, MPI_BYTE, &bytes);
    const std::int64_t expected =
        std::min(limits_.message_bytes, op.bytes() - op.round * limits_.message_bytes);
    if (bytes != expected)
      fail(Exit::kPeer,
           "expected {} bytes from rank {} (tag {} in {}), found {}: the programs of the two ranks "
           "differ",
           expected, group_.rank(op.peer), op.tag, group_.text(), bytes);
    return true;
  }
  expect_success(MPI_Testall(static_cast<int>(op.requests.size()), op.requests.data(), &arrived,
                             MPI_STATUSES_IGNORE),
                 "MPI_Testall");
  return arrived != 0;
}

bool MessagePath::advance(OperationState& op) {
  if (!may_move(op)) return false;
  while (true) {
    if (!op.posted) post(op);
    if (!all_arrived(op)) return false;
    op.posted = false;
    if (++op.batch < batches(op)) continue;
    op.batch = 0;
    if (next_stage(op)) break;
  }
  if (op.area >= 0) area_taken_[static_cast<std::size_t>(op.area)] = false;
  op.requests.clear();
  return true;
}

/// After the last batch of a stage. True when the operation is complete.
bool MessagePath::next_stage(OperationState& op) {
  switch (op.stage) {
    case MessageStage::wait_for_area: return false;
    case MessageStage::collect:
      if (op.operation == Operation::all_reduce) sum_staged(op, {0, op.count});
      return true;
    case MessageStage::scatter:
      sum_staged(op, piece(op, index_));
      if (op.operation == Operation::reduce_scatter) return next_round(op, MessageStage::scatter);
      op.stage = MessageStage::gather;
      return false;
    case MessageStage::gather:
      if (op.operation == Operation::all_reduce) return next_round(op, MessageStage::scatter);
      if (op.round == 0) {
        const Range part = op.part(members(), index_);
        std::byte* place = op.target + part.begin * op.element_bytes();
        const std::int64_t bytes = part.size() * op.element_bytes();
        if (place != op.source && bytes > 0)
          std::memcpy(place, op.source, static_cast<std::size_t>(bytes));
      }
      return next_round(op, MessageStage::gather);
    case MessageStage::tree_receive: op.stage = MessageStage::tree_send; return false;
    case MessageStage::tree_send: return next_round(op, MessageStage::tree_receive);
    case MessageStage::point_to_point: return next_round(op, MessageStage::point_to_point);
  }
  return true;
}

bool MessagePath::next_round(OperationState& op, MessageStage first) {
  op.stage = first;
  return ++op.round >= rounds(op);
}

void MessagePath::sum_staged(OperationState& op, const Piece& mine) {
  const std::int64_t element = op.element_bytes();
  const std::byte* own = op.source + mine.begin * element;
  for (int m = 0; m < members(); ++m)
    sources_[static_cast<std::size_t>(m)] = m == index_ ? own : staged(op, m);
  if (reversed_) std::reverse(sources_.begin(), sources_.end());
  const std::int64_t origin =
      op.operation == Operation::reduce_scatter ? op.part(members(), index_).begin : 0;
  void* target = op.target + (mine.begin - origin) * element;
  ordered_sum(sources_, {&target, 1}, mine.count, op.dtype);
}

std::string MessagePath::waiting_for(const OperationState& op) const {
  if (!op.posted) return "behind earlier operations on this rank";
  std::string senders;
  std::string receivers;
  for (std::size_t i = 0; i < op.requests.size(); ++i) {
    int complete = 0;
    MPI_Request_get_status(op.requests[i], &complete, MPI_STATUS_IGNORE);
    if (complete) continue;
    const bool sends = op.peers[i] < 0;
    const int rank = group_.rank(sends ? -1 - op.peers[i] : op.peers[i]);
    std::string& list = sends ? receivers : senders;
    list += fmt::format("{}{}", list.empty() ? "" : ", ", rank);
  }
  if (!senders.empty() && doubles(op)) {
    const int distance = 1 << op.batch;
    return fmt::format(
        "nothing received yet from rank {}, which passes on what {} ranks from there on in the "
        "group bring: one of them has not arrived",
        senders, std::min(distance, members() - distance));
  }
  if (!senders.empty()) return "nothing received yet from rank " + senders;
  return "not taken yet by rank " + receivers;
}

}  // namespace trireme::comm
