// The kinds of communicators: alone, and a group over messages with shared memory inside a node.

#include "kernels/base/checked.hpp"
#include "kernels/base/error.hpp"
#include "lib/comm/communicator.hpp"
#include "lib/comm/device_communicator.hpp"
#include "lib/comm/message_path.hpp"
#include "lib/comm/node_seats.hpp"
#include "lib/comm/operation_state.hpp"
#include "lib/comm/pair_path.hpp"
#include "lib/comm/shared_path.hpp"

#include <algorithm>
#include <cstring>
#include <exception>
#include <numeric>

namespace trireme::comm {
namespace {

/// Groups of one rank, and the empty tied group of a stage in the middle (index -1).
class SelfCommunicator final : public Communicator {
 public:
  SelfCommunicator(const Group& group, const CommOptions& options)
      : Communicator(group, group.count == 1 ? 0 : -1, options, false, nullptr) {}
  void attach(const SharedArena*) override {}

 protected:
  void begin(OperationState& op) override {
    check(op.collective(), Exit::kUnexpected, "{} in a group of one rank", name_of(op.operation));
    if (op.target != op.source && op.bytes() > 0)
      std::memcpy(op.target, op.source, static_cast<std::size_t>(op.bytes()));
  }
  bool advance(OperationState&) override { return true; }
  Awaits awaited(const OperationState&) const override { return Awaits::nothing; }
  std::string waiting_for(const OperationState&) const override { return "nothing"; }
};

class GroupCommunicator final : public Communicator {
 public:
  /// `node_ranks` by group index, negative for members on other nodes.
  GroupCommunicator(MPI_Comm members, const Group& group, int index, std::vector<int> node_ranks,
                    const CommOptions& options, bool crowded, const NodeSeats& seats)
      : Communicator(group, index, options, crowded, &seats.own_doorbell()),
        messages_(members, group, index, options),
        pairs_(group, node_ranks, options.faults, seats, messages_) {
    reserve_messages(messages_.most_messages());
    if (std::ranges::min(node_ranks) >= 0)
      shared_ = std::make_unique<SharedPath>(members, std::move(node_ranks), group, index,
                                             options.faults, seats);
  }
  void attach(const SharedArena* arena) override {
    pairs_.attach(arena);
    if (shared_) shared_->attach(arena);
  }

 protected:
  void begin(OperationState& op) override {
    if (op.collective()) op.sequence = next_sequence_++;
    if (uses_pairs(op)) return pairs_.begin(op);
    if (!uses_shared(op)) return messages_.begin(op);
    shared_->begin(op);
    pump();
  }
  bool advance(OperationState& op) override {
    if (uses_pairs(op)) return pairs_.advance(op);
    if (!uses_shared(op)) return messages_.advance(op);
    pump();
    return op.mode == SharedMode::messages ? messages_.advance(op) : shared_->advance(op);
  }
  Awaits awaited(const OperationState& op) const override {
    if (uses_pairs(op)) return pairs_.awaited(op);
    if (!uses_shared(op) || op.mode == SharedMode::messages) return Awaits::poll;
    return shared_->has_work(op) ? Awaits::nothing : Awaits::ring;
  }
  std::string waiting_for(const OperationState& op) const override {
    if (uses_pairs(op)) return pairs_.waiting_for(op);
    if (uses_shared(op) && op.mode != SharedMode::messages) return shared_->waiting_for(op);
    return messages_.waiting_for(op);
  }

 private:
  bool uses_pairs(const OperationState& op) const { return !op.collective() && pairs_.reaches(op); }
  bool uses_shared(const OperationState& op) const { return shared_ && op.collective(); }
  void pump() {
    shared_->pump([this](OperationState& op) { messages_.begin(op); });
  }

  std::uint64_t next_sequence_ = 0;
  MessagePath messages_;
  PairPath pairs_;
  std::unique_ptr<SharedPath> shared_;
};

/// Node ranks of all members by group index; -1 for those on other nodes.
std::vector<int> node_ranks_of(MPI_Comm members, MPI_Comm node, int count) {
  MPI_Group member_group = MPI_GROUP_NULL;
  MPI_Group node_group = MPI_GROUP_NULL;
  MPI_Comm_group(members, &member_group);
  MPI_Comm_group(node, &node_group);
  std::vector<int> indices(static_cast<std::size_t>(count));
  std::iota(indices.begin(), indices.end(), 0);
  std::vector<int> node_ranks(indices.size());
  MPI_Group_translate_ranks(member_group, count, indices.data(), node_group, node_ranks.data());
  MPI_Group_free(&member_group);
  MPI_Group_free(&node_group);
  std::ranges::replace(node_ranks, MPI_UNDEFINED, -1);
  return node_ranks;
}

/// The ranks of this rank's group of a kind, in group order; MPI_COMM_NULL where it is in none. All
/// ranks of the world take part, also those without a group.
class Members {
 public:
  Members(const World& world, const ProcessGrid& grid, GroupKind kind) {
    const int id = grid.group_id(kind, world.rank());
    const int index = grid.group(kind, world.rank()).index_of(world.rank());
    MPI_Comm_split(world.comm(), id < 0 ? MPI_UNDEFINED : id, std::max(index, 0), &comm_);
  }
  ~Members() {
    if (comm_ != MPI_COMM_NULL) MPI_Comm_free(&comm_);
  }
  Members(const Members&) = delete;
  Members& operator=(const Members&) = delete;

  MPI_Comm comm() const { return comm_; }
  bool empty() const { return comm_ == MPI_COMM_NULL; }

 private:
  MPI_Comm comm_ = MPI_COMM_NULL;
};

std::unique_ptr<Communicator> make_group_communicator(const World& world, const ProcessGrid& grid,
                                                      GroupKind kind, const CommOptions& options,
                                                      const NodeSeats& seats) {
  const Group group = grid.group(kind, world.rank());
  if (grid.size(kind) == 1) return std::make_unique<SelfCommunicator>(group, options);
  const Members members(world, grid, kind);
  if (members.empty()) return std::make_unique<SelfCommunicator>(group, options);
  std::vector<int> node_ranks(static_cast<std::size_t>(group.count), -1);
  if (options.shared_memory)
    node_ranks = node_ranks_of(members.comm(), world.node_comm(), group.count);
  return std::make_unique<GroupCommunicator>(members.comm(), group, group.index_of(world.rank()),
                                             std::move(node_ranks), options, world.crowded(),
                                             seats);
}

}  // namespace

Communicators::Communicators(const World& world, const ProcessGrid& grid,
                             const CommOptions& options, Stream* devices)
    : world_(world), grid_(grid), options_(options), seats_(std::make_unique<NodeSeats>(world)) {
  check(grid.size() == world.size(), Exit::kUsage,
        "expected {} ranks for the grid {}, found {}: start with mpirun -n {}", grid.size(),
        grid.text(), world.size(), grid.size());
  for (int kind = 0; kind < kGroupKinds; ++kind)
    all_[static_cast<std::size_t>(kind)] =
        make_group_communicator(world, grid, static_cast<GroupKind>(kind), options, *seats_);
  if (devices) open_devices(*devices);
}

Communicators::~Communicators() = default;

Doorbell& Communicators::doorbell() const { return seats_->own_doorbell(); }

void Communicators::attach(const SharedArena* arena) {
  for (auto& communicator : all_) communicator->attach(arena);
}

void Communicators::open_devices(Stream& stream, bool world_too) {
  for (int k = 0; k < kGroupKinds; ++k) {
    const auto kind = static_cast<GroupKind>(k);
    if (kind == GroupKind::world && !world_too) continue;
    const auto guard = world_.watch({"joining the GPUs of a group"});
    const Group group = grid_.group(kind, world_.rank());
    const Members members(world_, grid_, kind);
    auto& made = devices_[static_cast<std::size_t>(k)];
    if (members.empty())
      made = std::make_unique<SelfCommunicator>(group, options_);
    else
      made =
          std::make_unique<DeviceCommunicator>(members.comm(), group, group.index_of(world_.rank()),
                                               options_, world_.crowded(), doorbell(), stream);
  }
}

Communicator& Communicators::on_device(GroupKind kind) const {
  const auto& found = devices_[static_cast<std::size_t>(kind)];
  check(found != nullptr, Exit::kUnexpected, "no communicator between devices for {} groups",
        name_of(kind));
  return *found;
}

void Communicators::abandon_devices() const noexcept {
  for (const auto& communicator : devices_)
    if (communicator) communicator->abandon();
}

OperationTraffic Communicators::traffic(GroupKind kind, Operation operation) const {
  OperationTraffic sum;
  for (const All* all : {&all_, &devices_})
    if (const auto& communicator = (*all)[static_cast<std::size_t>(kind)]) {
      const OperationTraffic& one = communicator->traffic()[operation];
      sum.calls += one.calls;
      sum.payload_bytes += one.payload_bytes;
      sum.moved_bytes += one.moved_bytes;
      sum.seconds += one.seconds;
    }
  return sum;
}

void Communicators::reset_traffic() {
  for (All* all : {&all_, &devices_})
    for (const auto& communicator : *all)
      if (communicator) communicator->reset_traffic();
}

std::unique_ptr<Communicator> make_self_communicator(int rank, const CommOptions& options) {
  return std::make_unique<SelfCommunicator>(Group{GroupKind::world, rank, 1, 1}, options);
}

}  // namespace trireme::comm
