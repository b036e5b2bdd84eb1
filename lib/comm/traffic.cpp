#include "lib/comm/traffic.hpp"

#include "kernels/base/checked.hpp"

namespace trireme::comm {

std::string_view name_of(Operation operation) {
  switch (operation) {
    case Operation::all_reduce: return "all_reduce";
    case Operation::reduce_scatter: return "reduce_scatter";
    case Operation::all_gather: return "all_gather";
    case Operation::broadcast: return "broadcast";
    case Operation::send: return "send";
    case Operation::receive: return "receive";
    case Operation::barrier: return "barrier";
  }
  return "?";
}

std::int64_t payload_bytes(Operation operation, std::int64_t count, std::int64_t element_bytes,
                           int members, int index, int root) {
  const std::int64_t mine = split_evenly(count, members, index).size() * element_bytes;
  const std::int64_t whole = checked_multiply(count, element_bytes);
  switch (operation) {
    case Operation::all_reduce: return (members - 1) * mine + (whole - mine);
    case Operation::reduce_scatter: return (members - 1) * mine;
    case Operation::all_gather: return whole - mine;
    case Operation::broadcast: return index == root ? 0 : whole;
    case Operation::send:
    case Operation::receive: return whole;
    case Operation::barrier: return 0;
  }
  return 0;
}

}  // namespace trireme::comm
