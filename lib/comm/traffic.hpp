#pragma once
// What a communicator counts: calls, bytes, seconds, by operation.

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace trireme::comm {

enum class Operation : std::uint8_t {
  all_reduce,
  reduce_scatter,
  all_gather,
  broadcast,
  send,
  receive,
  barrier,
};
inline constexpr int kOperations = 7;
std::string_view name_of(Operation operation);

/// Payload of one operation on one member: the bytes this member receives from others in the
/// bandwidth-optimal algorithm (what it sends, for send). `bytes` is the size of the whole buffer
/// in elements of `element_bytes`. Over all members of n: all_reduce 2 (n-1) bytes, reduce_scatter,
/// all_gather and broadcast (n-1) bytes.
std::int64_t payload_bytes(Operation operation, std::int64_t count, std::int64_t element_bytes,
                           int members, int index, int root = 0);

struct OperationTraffic {
  std::int64_t calls = 0;          ///< completed
  std::int64_t payload_bytes = 0;  ///< by the formula above
  std::int64_t moved_bytes = 0;    ///< counted where bytes cross between ranks: handed to MPI for a
                                   ///< peer, or read from / written to a peer's memory
  double seconds = 0;              ///< sum over calls of start to completion
};

struct Traffic {
  std::array<OperationTraffic, kOperations> by_operation;

  OperationTraffic& operator[](Operation operation) {
    return by_operation[static_cast<std::size_t>(operation)];
  }
  const OperationTraffic& operator[](Operation operation) const {
    return by_operation[static_cast<std::size_t>(operation)];
  }
};

}  // namespace trireme::comm
