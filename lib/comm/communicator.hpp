#pragma once
// Non-blocking operations among the ranks of one group, the same bits on every path.
//
// Sums: element e of a result is ((x0[e] + x1[e]) + x2[e]) + ... over the members in group order,
// in f32 (f64 for f64 data); 16-bit data is widened to f32, summed so and rounded once at the end.
// Nothing else decides: not the nodes, the path, the size, who arrives first. MPI's own reductions
// are never used for data.
//
// Splitting: where an operation deals `count` elements to members, member i has
// split_evenly(count, size(), i) of kernels/base/checked.hpp; equal parts when size() divides
// count. Or parts lie apart, see Parts.
//
// Threads: all calls to the communicators of a rank come from one thread at a time (the
// communication lane). Order: all members start the operations of one communicator in the same
// order; sends and receives only match each other, by tag. Several may be in flight.
//
// Ownership: buffers belong to the operation from the call until progress() or wait() says that it
// is complete, on this rank. Then they may be read, written and freed at once. Buffers inside the
// attached SharedArena move without copies between ranks of a node; others work and are slower.

#include "kernels/base/device.hpp"
#include "kernels/base/dtype.hpp"
#include "lib/comm/arena.hpp"
#include "lib/comm/doorbell.hpp"
#include "lib/comm/grid.hpp"
#include "lib/comm/traffic.hpp"
#include "lib/comm/world.hpp"

#include <array>
#include <chrono>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <utility>

namespace trireme::comm {

/// Faults for tests; all off by default. Delays keep progress() non-blocking.
struct CommFaults {
  Operation operation = Operation::all_reduce;  ///< which operation the delays strike
  double start_delay_seconds = 0;               ///< this rank joins late
  double completion_delay_seconds = 0;          ///< this rank learns late that it is complete
  bool reversed_sums =
      false;  ///< this rank adds from the last member to the first: breaks the bits
  bool youngest_post = false;  ///< this rank receives the youngest of a pair's sends with a tag
};

/// Sizes of the message path; no influence on results. Same values on all ranks.
struct MessageLimits {
  std::int64_t message_bytes = 64ll << 20;  ///< longest single message
  std::int64_t staging_bytes = 2ll << 20;   ///< memory of one reduction in flight (two may hold it)
  int peers_at_a_time = 64;                 ///< members a rank exchanges messages with at once
};

struct CommOptions {
  /// An operation in flight for longer throws Error(kPeer) from progress() or wait(), naming
  /// operation, group and who has not arrived; 0 = never. Time in which this process was stopped
  /// counts for at most half of it.
  double deadline_seconds = 0;
  /// Longest sleep of a thread that will be rung when there is news; deadlines are looked at then.
  std::chrono::microseconds look{20'000};
  /// false: as if all members were on different nodes (messages only). Same value on all ranks.
  bool shared_memory = true;
  MessageLimits limits;
  CommFaults faults;
};

struct OperationState;
class NodeSeats;

/// Equal parts that lie apart in a whole buffer: member i's is elements [i stride, i stride + part)
/// of it (0 <= part <= stride), so that one call moves the same bucket of every member's shard.
/// What lies between parts and behind the last is neither read nor written and may not exist.
struct Parts {
  std::int64_t part = 0;
  std::int64_t stride = 0;
};

/// Ticket of an operation in flight; a default-made or completed one counts as complete. Valid
/// while its communicator lives.
class Request {
 public:
  Request() = default;
  Request(Request&& other) noexcept : state_(std::exchange(other.state_, nullptr)) {}
  Request& operator=(Request&& other) noexcept {
    state_ = std::exchange(other.state_, nullptr);
    return *this;
  }
  explicit operator bool() const { return state_ != nullptr; }

 private:
  friend class Communicator;
  OperationState* state_ = nullptr;
};

/// In falling order of haste.
enum class Awaits : std::uint8_t {
  nothing,  ///< it has work at hand and does a bounded piece of it at each call
  poll,     ///< something that tells nobody (a message): look again soon
  ring,     ///< a ring of this rank's doorbell
};

class Communicator {
 public:
  virtual ~Communicator();
  Communicator(const Communicator&) = delete;
  Communicator& operator=(const Communicator&) = delete;

  const Group& group() const { return group_; }
  int size() const { return group_.count; }
  int index() const { return index_; }  ///< this rank's position in group order

  // Each starts an operation and returns at once. At most kMaxInFlight may be in flight on one
  // communicator (a bug report otherwise). Reductions take f32, f64, bf16 and f16; the rest moves
  // any type.
  static constexpr int kMaxInFlight = 256;

  /// data[count] becomes the sum over members, in place, on all.
  Request all_reduce(void* data, std::int64_t count, DType dtype);
  /// whole[count] of all members is summed; shard receives this member's part. shard may be the
  /// part's own place inside whole (whole + begin); elsewhere it must not overlap whole. The rest
  /// of whole is left as it was.
  Request reduce_scatter(const void* whole, void* shard, std::int64_t count, DType dtype);
  /// The same over parts that lie apart; shard[part] may be whole + index() stride.
  Request reduce_scatter(const void* whole, void* shard, const Parts& parts, DType dtype);
  /// whole[count] receives everyone's shard, each at its part's place. shard may be that place.
  Request all_gather(const void* shard, void* whole, std::int64_t count, DType dtype);
  Request all_gather(const void* shard, void* whole, const Parts& parts, DType dtype);
  /// data[count] of member `root` is copied to all.
  Request broadcast(void* data, std::int64_t count, DType dtype, int root);
  /// Point to point with the member at position `to` / `from`. Synchronous: a send completes only
  /// once the receive has started. Messages of one pair and tag arrive in order. 0 <= tag <= 32767.
  Request send(const void* data, std::int64_t count, DType dtype, int to, int tag);
  Request receive(void* data, std::int64_t count, DType dtype, int from, int tag);
  /// Complete once all members have called it.
  Request barrier();

  /// Moves the operation on as far as it goes without waiting and does at most a bounded piece of
  /// work. True once it is complete on this rank; the request is then empty.
  bool progress(Request& request);
  /// Blocks until complete: spins briefly, then yields, then sleeps at the doorbell, and keeps all
  /// operations of this communicator moving.
  void wait(Request& request);
  /// What must happen before progress(), which has just returned false, can do more.
  Awaits awaits(const Request& request) const;

  /// Whether one more operation may start.
  bool has_room() const;

  /// "all_reduce of 1048576 f32 in data group {0, 2}, in flight for 1.2 s; not arrived: rank 2"
  std::string describe(const Request& request) const;

  /// Memory that peers may touch from now on; nullptr detaches. Only with nothing in flight; the
  /// same choice on all members; the arena outlives its use.
  virtual void attach(const SharedArena* arena) = 0;

  // Between device buffers (Communicators::on_device); nothing to do for others.
  /// Device memory that reductions which start from now on may work in, aligned to
  /// kLinkAlignment: the more, the fewer rounds. At least (size() - 1) x kLinkAlignment.
  virtual void lend(std::span<std::byte>) {}
  /// Ends what is in flight on the device, finished or not, so that nobody waits for it; nothing
  /// can be started any more.
  virtual void abandon() noexcept {}

  /// Counted since the last reset, by operation.
  const Traffic& traffic() const { return traffic_; }
  void reset_traffic() { traffic_ = {}; }

 protected:
  /// `crowded` as World::crowded(). `doorbell` is this rank's own; null where nothing ever waits.
  Communicator(const Group& group, int index, const CommOptions& options, bool crowded,
               Doorbell* doorbell);

  /// The first and the following steps of an operation; advance() returns true when complete.
  virtual void begin(OperationState& operation) = 0;
  virtual bool advance(OperationState& operation) = 0;
  /// What an operation awaits that has begun and is not complete.
  virtual Awaits awaited(const OperationState& operation) const = 0;
  /// What this operation waits for, as text for people: "not arrived: rank 2".
  virtual std::string waiting_for(const OperationState& operation) const = 0;

  const CommOptions& options() const { return options_; }
  /// Room for that many messages in every operation, so that none allocates later, however many
  /// operations are ever in flight together.
  void reserve_messages(int most);
  /// An event for every operation.
  void make_marks();
  std::string describe(const OperationState& operation) const;

 private:
  struct Pool;
  OperationState& prepare(Operation operation, const void* source, void* target, std::int64_t count,
                          DType dtype);
  OperationState& prepare(Operation operation, const void* source, void* target, const Parts& parts,
                          DType dtype);
  Request start(OperationState& operation);
  void begin_in_order();
  bool step(OperationState& operation);
  bool progress_all(Request& request);
  Awaits awaits(const OperationState& operation) const;
  Awaits all_await() const;
  void sleep_until_news(Request& request);
  void count(const OperationState& operation);

  Group group_;
  int index_ = 0;
  CommOptions options_;
  bool crowded_;
  Doorbell* doorbell_;
  Traffic traffic_;
  std::unique_ptr<Pool> pool_;
};

/// One communicator for each kind of group of this rank. Collective over the world. Groups of one
/// rank complete everything at once and use no MPI. A rank in the middle of a pipeline has an empty
/// `tied` group (size 0): starting an operation on it is a bug report.
/// Groups of the same ranks (data and shard, where state is divided over the whole data axis) have
/// a communicator each: two channels, whose operations need no common order.
class Communicators {
 public:
  /// `world` outlives this. With `devices`, open_devices() in that stream.
  Communicators(const World& world, const ProcessGrid& grid, const CommOptions& options = {},
                Stream* devices = nullptr);
  ~Communicators();

  Communicator& operator[](GroupKind kind) const { return *all_[static_cast<std::size_t>(kind)]; }
  /// Where this rank sleeps until its peers or other threads of its own have news.
  Doorbell& doorbell() const;
  /// As World::crowded() and CommOptions::look.
  bool crowded() const { return world_.crowded(); }
  std::chrono::microseconds look() const { return options_.look; }

  /// Attaches the arena (or nullptr) to all.
  void attach(const SharedArena* arena);

  /// Collective over the world, where every rank selected a device that no other has (device.hpp).
  /// From now on on_device() communicates: between device buffers, as work in `stream`, which
  /// outlives this. The host never waits for it; whoever needs results on the device orders its
  /// stream behind (Event), on the host waits as for any operation. The world's group has none:
  /// what the world agrees on is the host's. Errors: as device_links.hpp says; from progress() and
  /// wait() Exit::kPeer too for what a member's device reports.
  void open_devices(Stream& stream, bool world_too = false);
  bool has_devices() const { return devices_[0] != nullptr; }
  Communicator& on_device(GroupKind kind) const;
  /// abandon() of all of them.
  void abandon_devices() const noexcept;

  /// Of a kind of group, through hosts and between devices.
  OperationTraffic traffic(GroupKind kind, Operation operation) const;
  void reset_traffic();

 private:
  using All = std::array<std::unique_ptr<Communicator>, kGroupKinds>;

  const World& world_;
  ProcessGrid grid_;
  CommOptions options_;
  std::unique_ptr<NodeSeats> seats_;
  All all_;
  All devices_;  // null unless opened, and of the world
};

/// A communicator of this rank alone.
std::unique_ptr<Communicator> make_self_communicator(int rank = 0, const CommOptions& options = {});

}  // namespace trireme::comm
