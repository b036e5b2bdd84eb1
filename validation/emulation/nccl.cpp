// NCCL between emulated GPUs of several processes, over MPI. As the real one it is a lane that
// blocks: what a stream holds of it ends once the other members have come to their part, and then
// what lies behind it may begin. A send is a rendezvous. The host is never blocked: a call is in
// its stream only once the communicator was asked for its state often enough.

#include "kernels/base/error.hpp"
#include "kernels/base/nccl_functions.hpp"
#include "validation/emulation/emulation.hpp"

#include <mpi.h>

#include <array>
#include <atomic>
#include <memory>
#include <vector>

namespace emulation {
namespace {

constexpr std::size_t kMostMoves = 64;  // of one call or group of calls
constexpr int kSerials = 64;            // links that one rank starts before tags come again
constexpr int kFirstTag = 4096;         // in MPI's world, which the engine does not use
constexpr int kQuestions = 2;           // before an operation is in its stream

std::atomic<int> g_broken{0};
std::atomic<int> g_version{NCCL_VERSION_CODE};

struct Move {
  void* data = nullptr;
  std::size_t bytes = 0;
  int member = 0;
  bool sends = false;
};
struct Seat {
  int index = 0;
  int rank = 0;  // in MPI's world
  int device = 0;
};
/// What a communicator and its works in streams share: works outlive it.
struct Shared {
  int tag = 0;
  std::vector<Seat> seats;
  std::atomic<bool> ended = false;
};

/// The moves of one call or group of calls.
struct Moves {
  std::array<Move, kMostMoves> all;
  std::size_t count = 0;
  const void* own = nullptr;  // of an all-gather: goes to own_place
  void* own_place = nullptr;
  std::size_t own_bytes = 0;
  ncclComm_t communicator = nullptr;
  cudaStream_t stream = nullptr;
};
thread_local Moves t_moves;
thread_local bool t_grouping = false;

/// Moves in a stream: begun when they are first tried, done when MPI says so.
struct Exchange {
  std::shared_ptr<Shared> link;
  Moves moves;
  std::array<MPI_Request, kMostMoves> requests;
  bool begun = false;

  bool try_it() {
    if (link->ended) return cancel();
    if (!begun) begin();
    int done = 0;
    MPI_Testall(static_cast<int>(moves.count), requests.data(), &done, MPI_STATUSES_IGNORE);
    return done != 0;
  }

 private:
  void begin() {
    begun = true;
    if (moves.own != moves.own_place) std::memcpy(moves.own_place, moves.own, moves.own_bytes);
    for (std::size_t i = 0; i < moves.count; ++i) {
      const Move& m = moves.all[i];
      const int rank = link->seats[static_cast<std::size_t>(m.member)].rank;
      const auto bytes = static_cast<int>(m.bytes);
      if (m.sends)
        MPI_Issend(m.data, bytes, MPI_BYTE, rank, link->tag, MPI_COMM_WORLD, &requests[i]);
      else
        MPI_Irecv(m.data, bytes, MPI_BYTE, rank, link->tag, MPI_COMM_WORLD, &requests[i]);
    }
  }
  bool cancel() {
    for (std::size_t i = 0; begun && i < moves.count; ++i) {
      if (requests[i] == MPI_REQUEST_NULL) continue;
      if (!moves.all[i].sends) MPI_Cancel(&requests[i]);
      MPI_Request_free(&requests[i]);
    }
    return true;
  }
};

}  // namespace

void break_links(int status) { g_broken = status; }
void set_links_version(int version) { g_version = version; }

}  // namespace emulation

using namespace emulation;

struct ncclComm {
  std::shared_ptr<Shared> shared = std::make_shared<Shared>();
  int index = 0;
  Moves pending;
  int questions = kQuestions;  // until `pending` is in its stream
};

namespace {

/// Notes a move; outside of groups it is given at once. What a communicator met it says again.
ncclResult_t add(ncclComm_t c, cudaStream_t stream, const Move& move) {
  if (g_broken != 0) return static_cast<ncclResult_t>(g_broken.load());
  const bool other = t_moves.communicator && t_moves.communicator != c;
  if (other || t_moves.count == kMostMoves || c->pending.communicator) return ncclInvalidUsage;
  t_moves.communicator = c;
  t_moves.stream = stream;
  t_moves.all[t_moves.count++] = move;
  return t_grouping ? ncclSuccess : ncclGroupEnd();
}

/// The members tell the first one who they are, and it tells all.
void meet(const ncclComm& c, int root) {
  std::vector<Seat>& seats = c.shared->seats;
  Seat own{c.index, 0, 0};
  MPI_Comm_rank(MPI_COMM_WORLD, &own.rank);
  cudaGetDevice(&own.device);
  const auto members = static_cast<int>(seats.size());
  const int bytes = members * static_cast<int>(sizeof(Seat));
  const int tag = c.shared->tag;
  if (c.index != 0) {
    MPI_Send(&own, sizeof(own), MPI_BYTE, root, tag, MPI_COMM_WORLD);
    MPI_Recv(seats.data(), bytes, MPI_BYTE, root, tag, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
    return;
  }
  seats[0] = own;
  for (int i = 1; i < members; ++i) {
    Seat other;
    MPI_Recv(&other, sizeof(other), MPI_BYTE, MPI_ANY_SOURCE, tag, MPI_COMM_WORLD,
             MPI_STATUS_IGNORE);
    seats[static_cast<std::size_t>(other.index)] = other;
  }
  for (int i = 1; i < members; ++i)
    MPI_Send(seats.data(), bytes, MPI_BYTE, seats[static_cast<std::size_t>(i)].rank, tag,
             MPI_COMM_WORLD);
}

}  // namespace

ncclResult_t ncclGetVersion(int* version) {
  *version = g_version;
  return ncclSuccess;
}

ncclResult_t ncclGetUniqueId(ncclUniqueId* id) {
  static std::atomic<int> serial{0};
  int numbers[2] = {0, serial++ % kSerials};
  MPI_Comm_rank(MPI_COMM_WORLD, &numbers[0]);
  std::memcpy(id->internal, numbers, sizeof(numbers));
  return ncclSuccess;
}

ncclResult_t ncclCommInitRankConfig(ncclComm_t* made, int members, ncclUniqueId id, int index,
                                    ncclConfig_t* config) {
  if (config->blocking != 0 || 2 * static_cast<std::size_t>(members) > kMostMoves)
    return ncclInvalidArgument;
  int numbers[2];
  std::memcpy(numbers, id.internal, sizeof(numbers));
  auto c = std::make_unique<ncclComm>();
  c->index = index;
  c->shared->tag = kFirstTag + numbers[0] * kSerials + numbers[1];
  c->shared->seats.resize(static_cast<std::size_t>(members));
  meet(*c, numbers[0]);
  for (const Seat& a : c->shared->seats)  // NCCL refuses two members on one device
    for (const Seat& b : c->shared->seats)
      if (a.index != b.index && a.device == b.device) return ncclInvalidUsage;
  *made = c.release();
  return ncclInProgress;
}

ncclResult_t ncclCommGetAsyncError(ncclComm_t c, ncclResult_t* state) {
  *state = static_cast<ncclResult_t>(g_broken.load());
  if (*state != ncclSuccess) return ncclSuccess;
  if (c->questions > 0 && --c->questions > 0) {
    *state = ncclInProgress;
  } else if (c->pending.communicator) {
    Exchange exchange{c->shared, c->pending, {}};
    c->pending.communicator = nullptr;
    give(exchange.moves.stream, make_trial([exchange]() mutable { return exchange.try_it(); }));
  }
  return ncclSuccess;
}

ncclResult_t ncclCommFinalize(ncclComm_t) { return ncclSuccess; }
ncclResult_t ncclCommDestroy(ncclComm_t c) {
  delete c;
  return ncclSuccess;
}
ncclResult_t ncclCommAbort(ncclComm_t c) {
  if (!c) return ncclInvalidArgument;
  c->shared->ended = true;
  return ncclCommDestroy(c);
}

ncclResult_t ncclGroupStart() {
  t_grouping = true;
  t_moves.communicator = nullptr;  // a group that failed never ended
  t_moves.count = 0;
  return ncclSuccess;
}
ncclResult_t ncclGroupEnd() {
  t_grouping = false;
  const ncclComm_t c = t_moves.communicator;
  if (!c) return ncclSuccess;
  c->pending = t_moves;
  c->questions = kQuestions;
  t_moves = {};
  return ncclInProgress;
}

ncclResult_t ncclSend(const void* data, std::size_t count, ncclDataType_t, int to, ncclComm_t c,
                      cudaStream_t stream) {
  return add(c, stream, {const_cast<void*>(data), count, to, true});
}
ncclResult_t ncclRecv(void* data, std::size_t count, ncclDataType_t, int from, ncclComm_t c,
                      cudaStream_t stream) {
  return add(c, stream, {data, count, from, false});
}

ncclResult_t ncclAllGather(const void* part, void* whole, std::size_t count, ncclDataType_t,
                           ncclComm_t c, cudaStream_t stream) {
  ncclGroupStart();
  t_moves.communicator = c;
  t_moves.stream = stream;
  for (const Seat& seat : c->shared->seats) {
    std::byte* place =
        static_cast<std::byte*>(whole) + static_cast<std::size_t>(seat.index) * count;
    if (seat.index == c->index) {
      t_moves.own = part;
      t_moves.own_place = place;
      t_moves.own_bytes = count;
      continue;
    }
    for (const Move& move : {Move{const_cast<void*>(part), count, seat.index, true},
                             Move{place, count, seat.index, false}})
      if (const ncclResult_t status = add(c, stream, move); status != ncclSuccess) return status;
  }
  return ncclGroupEnd();
}

ncclResult_t ncclBroadcast(const void*, void* to, std::size_t count, ncclDataType_t, int root,
                           ncclComm_t c, cudaStream_t stream) {
  ncclGroupStart();
  for (const Seat& seat : c->shared->seats) {
    const bool sends = c->index == root;
    if (seat.index == c->index || (!sends && seat.index != root)) continue;
    if (const ncclResult_t status = add(c, stream, {to, count, seat.index, sends});
        status != ncclSuccess)
      return status;
  }
  return ncclGroupEnd();
}

const char* ncclGetErrorString(ncclResult_t status) {
  return status == ncclRemoteError    ? "remote process exited or there was a network error"
         : status == ncclInvalidUsage ? "invalid usage"
                                      : "emulated";
}
const char* ncclGetLastError(ncclComm_t) { return ""; }

namespace trireme {

NcclFunctions load_nccl() {
  if (g_version == 0)
    fail(Exit::kUsage, "libnccl.so.2 was not found: set parallel.transport \"host\"");
  return {ncclGetVersion,
          ncclGetUniqueId,
          ncclCommInitRankConfig,
          ncclCommGetAsyncError,
          ncclCommFinalize,
          ncclCommDestroy,
          ncclCommAbort,
          ncclGroupStart,
          ncclGroupEnd,
          ncclSend,
          ncclRecv,
          ncclAllGather,
          ncclBroadcast,
          ncclGetErrorString,
          ncclGetLastError};
}

}  // namespace trireme
