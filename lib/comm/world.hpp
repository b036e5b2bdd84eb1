#pragma once
// The MPI session of one program: start, who am I, and an end that neither hangs nor kills.

#include "lib/comm/watchdog.hpp"

#include <mpi.h>

#include <functional>
#include <memory>
#include <mutex>
#include <string>

namespace trireme::comm {

struct WorldOptions {
  /// Pretend that a node holds at most this many ranks (0 = as the machine is). Lets one machine
  /// test what happens between nodes.
  int ranks_per_node = 0;
};

/// RAII over MPI_Init_thread (MULTIPLE) and MPI_Finalize. Works without mpirun (one rank). Where
/// MPI runs already (a test's main started it) it only borrows the session and ends nothing.
/// Construction is collective over all ranks and sets the rank that error messages name. The
/// destructor waits for all ranks before MPI_Finalize, because mpirun kills slow ranks once another
/// has left with an error; with an exception in flight it ends the job (MPI_Abort) instead.
/// run_on_ranks() below is the usual way to hold one.
class World {
 public:
  explicit World(WorldOptions options = {});
  ~World();
  World(const World&) = delete;
  World& operator=(const World&) = delete;

  int rank() const { return rank_; }
  int size() const { return size_; }
  /// Position among the ranks of this node, their number, and this node's index among `nodes()`.
  int node_rank() const { return node_rank_; }
  int node_size() const { return node_size_; }
  int node() const { return node_; }
  int nodes() const { return nodes_; }
  /// Whether this machine holds more ranks than processors: then whoever waits must yield early.
  bool crowded() const { return crowded_; }

  /// Names what this rank is about to wait in, and ends the job with Exit::kPeer when that takes
  /// longer than its limit. For whatever may wait for a peer or a file system outside of
  /// communicators; for the thread that made the World.
  [[nodiscard]] Watchdog::Guard watch(
      const Watchdog::Work& work,
      std::source_location where = std::source_location::current()) const {
    return watchdog_.watch(work, where);
  }
  /// Seconds that work without a limit of its own may take without progress from now on.
  void set_watch_limit(double seconds) const { watchdog_.set_limit(seconds); }
  /// `record` gets the watchdog's message before the job ends, on another thread; it keeps what it
  /// needs alive.
  void on_watch_expired(std::function<void(const std::string&)> record) const;

  /// Blocking barrier over all ranks, for start and end of a run.
  void barrier() const;

  /// All ranks; for libraries that take an MPI communicator (HDF5): duplicate it before use.
  MPI_Comm comm() const { return world_; }
  /// The ranks of this node, in world order.
  MPI_Comm node_comm() const { return node_comm_; }

  /// Ends all ranks of the job with this code, at once, and this rank even when MPI hangs.
  [[noreturn]] void abort(int exit_code) const;

  /// Collective only in trouble: called on a rank that failed. Waits up to `seconds` for all other
  /// ranks to fail too. True: they all did, each distinct `text` was told once (as `shown` of the
  /// lowest rank that has it) and the caller may leave in good order. False: others still run; this
  /// rank's `shown` was told and the caller should abort().
  bool all_failed(const std::string& text, const std::string& shown, double seconds = 2.0) const;

 private:
  [[noreturn]] void expired(const std::string& text) const;

  bool owns_session_ = false;
  MPI_Comm world_ = MPI_COMM_NULL;     // a duplicate: our messages meet nobody else's
  MPI_Comm failures_ = MPI_COMM_NULL;  // used by all_failed() alone
  MPI_Comm node_comm_ = MPI_COMM_NULL;
  int rank_ = 0;
  int size_ = 1;
  int node_rank_ = 0;
  int node_size_ = 1;
  int node_ = 0;
  int nodes_ = 1;
  bool crowded_ = false;
  int exceptions_at_start_ = 0;
  mutable std::mutex record_mutex_;
  mutable std::function<void(const std::string&)> record_;
  mutable Watchdog watchdog_;  // the last to come, the first to go: it uses the others
};

/// What every main does: opens the World, runs `body`, prints what escapes from it and turns it
/// into an exit code. An error of all ranks (a bad deck) is printed once and ends in good order; an
/// error of some ranks aborts the job with its code, so that nobody waits for them.
int run_on_ranks(const std::function<int(World&)>& body, WorldOptions options = {});

}  // namespace trireme::comm
