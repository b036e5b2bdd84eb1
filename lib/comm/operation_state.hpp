#pragma once
// One operation in flight: what was asked, and how far each path has come. Private to this folder.

#include "kernels/base/checked.hpp"
#include "kernels/base/device.hpp"
#include "kernels/base/dtype.hpp"
#include "lib/comm/traffic.hpp"

#include <mpi.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

namespace trireme::comm {

using Clock = std::chrono::steady_clock;

struct Post;

/// Steps of an operation on the message path.
enum class MessageStage : std::uint8_t {
  wait_for_area,  ///< for staging memory, in order of tickets
  collect,        ///< everyone's whole buffer to staging, then sum
  scatter,        ///< everyone's piece of my part to staging, then sum
  gather,         ///< everyone's reduced (or own) piece into place
  tree_receive,   ///< broadcast: from the parent
  tree_send,      ///< broadcast: to the children
  point_to_point,
};

/// How a collective of a group on one node moves; decided alike by all members.
enum class SharedMode : std::uint8_t {
  undecided,
  small,     ///< through the control block's own payload areas
  direct,    ///< in place, between the members' arenas
  messages,  ///< some buffer lies outside the arena: the message path
};

struct OperationState {
  // What was asked.
  Operation operation = Operation::barrier;
  const std::byte* source = nullptr;
  std::byte* target = nullptr;
  std::int64_t count = 0;  ///< elements; the sum of the parts where they lie apart
  std::int64_t gap = 0;    ///< elements between one member's part of the whole and the next one's
  DType dtype = DType::u8;
  int peer = 0;  ///< root, or the other end of a send or receive, as group index
  int tag = 0;
  std::uint64_t sequence = 0;  ///< among the collectives of this communicator

  // Life.
  bool in_use = false;
  bool begun = false;
  bool moved_all = false;  ///< all bytes are where they belong
  bool done = false;       ///< and the caller may know
  Clock::time_point started;
  Clock::time_point moved_at;
  Clock::time_point looked;  ///< when the deadline was last thought of
  double waited = 0;         ///< seconds up to then that this process could have used
  std::int64_t moved_bytes = 0;

  // Shared path.
  SharedMode mode = SharedMode::undecided;
  bool published = false;
  int owner = 0;           ///< whose region this member claims chunks of
  bool exhausted = false;  ///< no chunk is left to claim

  // Path of pairs.
  Post* post = nullptr;          ///< of a send; of a receive once it is found
  bool as_message = false;       ///< the bytes travel on the message path
  bool message_done = false;     ///< and are there, as far as the sender knows
  std::int64_t copied = 0;       ///< bytes
  std::uint64_t posts_seen = 0;  ///< of the sender's, among which is none for this receive

  // Message path.
  MessageStage stage = MessageStage::wait_for_area;
  bool posted = false;  ///< this batch's messages are under way
  std::int64_t round = 0;
  int batch = 0;
  std::uint64_t ticket = 0;
  int area = -1;
  std::vector<MPI_Request> requests;  ///< room for all was made with the communicator
  std::vector<int> peers;             ///< group index of each request; sends as -1 - index

  // Between devices.
  std::optional<Event> mark;  ///< behind its work; made with the communicator

  std::int64_t element_bytes() const { return static_cast<std::int64_t>(size_of(dtype)); }
  std::int64_t bytes() const { return count * element_bytes(); }
  /// Where a member's part lies in the whole buffer, in elements.
  Range part(int members, int member) const {
    const Range dealt = split_evenly(count, members, member);
    return {dealt.begin + member * gap, dealt.end + member * gap};
  }
  /// Bytes from the start of the whole buffer to the end of the last part.
  std::int64_t extent_bytes(int members) const {
    return count == 0 ? 0 : part(members, members - 1).end * element_bytes();
  }
  bool reduces() const {
    return operation == Operation::all_reduce || operation == Operation::reduce_scatter;
  }
  bool collective() const {
    return operation != Operation::send && operation != Operation::receive;
  }
};

}  // namespace trireme::comm
