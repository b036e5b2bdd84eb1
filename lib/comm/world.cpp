#include "lib/comm/world.hpp"

#include "kernels/base/error.hpp"

#include <fmt/core.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <string>
#include <thread>
#include <vector>

namespace trireme::comm {
namespace {

bool mpi_runs() {
  int initialized = 0;
  int finalized = 0;
  MPI_Initialized(&initialized);
  MPI_Finalized(&finalized);
  return initialized && !finalized;
}

/// FNV-1a: equal texts have equal hashes, which is all that is asked of it.
unsigned long long hash_of(const std::string& text) {
  unsigned long long hash = 1469598103934665603ull;
  for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 1099511628211ull;
  return hash;
}

/// Ends this process some seconds from now, whatever its other threads wait for.
void leave_soon(int exit_code) {
  std::thread([exit_code] {
    std::this_thread::sleep_for(std::chrono::seconds(10));
    _exit(exit_code);
  }).detach();
}

MPI_Comm split_by_node(MPI_Comm world, int ranks_per_node) {
  MPI_Comm node = MPI_COMM_NULL;
  MPI_Comm_split_type(world, MPI_COMM_TYPE_SHARED, 0, MPI_INFO_NULL, &node);
  if (ranks_per_node <= 0) return node;
  int rank = 0;
  MPI_Comm_rank(node, &rank);
  MPI_Comm part = MPI_COMM_NULL;
  MPI_Comm_split(node, rank / ranks_per_node, rank, &part);
  MPI_Comm_free(&node);
  return part;
}

}  // namespace

World::World(WorldOptions options)
    : exceptions_at_start_(std::uncaught_exceptions()),
      watchdog_([this](const std::string& text) { expired(text); }) {
  const auto guard = watch({"starting MPI"});
  if (!mpi_runs()) {
    int granted = MPI_THREAD_SINGLE;
    const int rc = MPI_Init_thread(nullptr, nullptr, MPI_THREAD_MULTIPLE, &granted);
    check(rc == MPI_SUCCESS, Exit::kPeer, "MPI does not start (MPI_Init_thread returned {})", rc);
    owns_session_ = true;
    check(granted == MPI_THREAD_MULTIPLE, Exit::kPeer,
          "expected an MPI library with MPI_THREAD_MULTIPLE, found level {}: lanes call MPI from "
          "several threads; use an MPI built with thread support",
          granted);
  }
  MPI_Comm_dup(MPI_COMM_WORLD, &world_);
  MPI_Comm_dup(MPI_COMM_WORLD, &failures_);
  MPI_Comm_rank(world_, &rank_);
  MPI_Comm_size(world_, &size_);
  if (size_ > 1) set_error_rank(rank_);

  node_comm_ = split_by_node(world_, 0);
  MPI_Comm_size(node_comm_, &node_size_);
  crowded_ = node_size_ > sysconf(_SC_NPROCESSORS_ONLN);
  if (options.ranks_per_node > 0) {
    MPI_Comm_free(&node_comm_);
    node_comm_ = split_by_node(world_, options.ranks_per_node);
  }
  MPI_Comm_rank(node_comm_, &node_rank_);
  MPI_Comm_size(node_comm_, &node_size_);
  // Nodes are numbered by their first rank in world order.
  const int leads = node_rank_ == 0 ? 1 : 0;
  int leaders_up_to_here = 0;
  MPI_Scan(&leads, &leaders_up_to_here, 1, MPI_INT, MPI_SUM, world_);
  MPI_Allreduce(&leads, &nodes_, 1, MPI_INT, MPI_SUM, world_);
  node_ = leaders_up_to_here - 1;
  MPI_Bcast(&node_, 1, MPI_INT, 0, node_comm_);
}

World::~World() {
  if (std::uncaught_exceptions() > exceptions_at_start_) {
    // Peers may wait for us in an operation that will never come; nothing collective is possible.
    if (owns_session_ && size_ > 1) abort(static_cast<int>(Exit::kUnexpected));
    return;
  }
  const auto guard = watch({"waiting for all ranks at the end"});
  MPI_Barrier(world_);
  MPI_Comm_free(&node_comm_);
  MPI_Comm_free(&failures_);
  MPI_Comm_free(&world_);
  if (owns_session_) MPI_Finalize();
}

void World::barrier() const {
  const auto guard = watch({"a barrier of all ranks"});
  MPI_Barrier(world_);
}

void World::abort(int exit_code) const {
  leave_soon(exit_code);
  std::fflush(nullptr);
  if (mpi_runs()) MPI_Abort(MPI_COMM_WORLD, exit_code);  // peers would wait for us forever
  _exit(exit_code);                                      // MPI never started
}

void World::on_watch_expired(std::function<void(const std::string&)> record) const {
  const std::lock_guard lock(record_mutex_);
  record_ = std::move(record);
}

/// On the watchdog's thread. Whatever hangs may hang this too, so the way out is opened first.
void World::expired(const std::string& text) const {
  leave_soon(static_cast<int>(Exit::kPeer));
  // The first rank to speak ends the job: when it can be rank 0 it need not be all.
  if (rank_ > 0) std::this_thread::sleep_for(std::chrono::seconds(1));
  std::fputs(
      fmt::format("error: {}{}\n", text, size_ > 1 ? fmt::format(" [rank {}]", rank_) : "").c_str(),
      stderr);
  {
    const std::lock_guard lock(record_mutex_);
    if (record_) record_(text);
  }
  abort(static_cast<int>(Exit::kPeer));
}

bool World::all_failed(const std::string& text, const std::string& shown, double seconds) const {
  using Clock = std::chrono::steady_clock;
  const auto give_up = Clock::now() + std::chrono::duration<double>(seconds);
  MPI_Request everyone = MPI_REQUEST_NULL;
  MPI_Ibarrier(failures_, &everyone);
  int arrived = 0;
  MPI_Test(&everyone, &arrived, MPI_STATUS_IGNORE);
  while (!arrived && Clock::now() < give_up) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
    MPI_Test(&everyone, &arrived, MPI_STATUS_IGNORE);
  }
  bool first_to_say_it = true;
  if (arrived) {
    std::vector<unsigned long long> hashes(static_cast<std::size_t>(size_));
    const unsigned long long mine = hash_of(text);
    MPI_Allgather(&mine, 1, MPI_UNSIGNED_LONG_LONG, hashes.data(), 1, MPI_UNSIGNED_LONG_LONG,
                  failures_);
    for (int r = 0; r < rank_; ++r) first_to_say_it &= hashes[static_cast<std::size_t>(r)] != mine;
  }
  if (first_to_say_it) fmt::print(stderr, "error: {}\n", shown);
  std::fflush(nullptr);
  return arrived != 0;
}

namespace {

/// Called in a catch block of a rank whose body failed.
int leave_with_error(const World& world, const std::string& text, const std::string& shown,
                     int code) {
  if (world.size() == 1) {
    fmt::print(stderr, "error: {}\n", shown);
    return code;
  }
  if (!world.all_failed(text, shown)) world.abort(code);
  return code;
}

}  // namespace

int run_on_ranks(const std::function<int(World&)>& body, WorldOptions options) {
  try {
    World world(options);
    try {
      return body(world);
    } catch (const Error& error) {
      // Compared without the rank, which would make one mistake look like many.
      return leave_with_error(world, error.text(), error.what(), error.exit_code());
    } catch (const std::exception& error) {
      return leave_with_error(world, error.what(), error.what(),
                              static_cast<int>(Exit::kUnexpected));
    }
  } catch (const Error& error) {
    fmt::print(stderr, "error: {}\n", error.what());
    return error.exit_code();
  }
}

}  // namespace trireme::comm
