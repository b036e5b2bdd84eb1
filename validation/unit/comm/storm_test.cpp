// Random operations of random groups, many in flight, completed in another order on each rank: they
// end, and every result has the bits of the plain loop. Each rank also chooses at random whether a
// buffer lies in the arena, so that members of one operation differ.

#include "validation/unit/comm/collective_cases.hpp"

#include <algorithm>
#include <deque>
#include <random>

namespace trireme::comm::test {
namespace {

/// One operation as all ranks agree on it.
struct Event {
  Operation operation;  // send stands for a transfer from member `from` to member `to`
  GroupKind kind;
  std::int64_t count;
  std::int64_t gap;  // between the parts of reduce-scatters and all-gathers; -1: dealt evenly
  int from;
  int to;
  int salt;
};

/// Elements of the whole buffer, and where the part of a member lies in it.
std::int64_t extent(const Event& event, int members) {
  return event.gap < 0 ? event.count : event.count / members * members + members * event.gap;
}
Range part_of(const Event& event, int members, int member) {
  if (event.gap < 0) return split_evenly(event.count, members, member);
  const std::int64_t part = event.count / members;
  const std::int64_t begin = member * (part + event.gap);
  return {begin, begin + part};
}

struct InFlight {
  Event event;
  Communicator* group;
  std::vector<float> memory;  // where the buffer is when it is not in the arena
  float* data = nullptr;
  Request request;
};

class Storm {
 public:
  Storm(Setting& setting, const ProcessGrid& grid, unsigned seed)
      : setting_(setting),
        grid_(grid),
        agreed_(seed),
        own_(seed * 1000 + static_cast<unsigned>(setting.world().rank())) {}

  void run(int events) {
    for (int i = 0; i < events; ++i) {
      start(draw(i));
      while (in_flight_.size() > 40 || (!in_flight_.empty() && own_() % 3 == 0)) progress_one();
    }
    while (!in_flight_.empty()) progress_one();
  }
  int checked() const { return checked_; }

 private:
  Event draw(int number) {
    // The same draws on all ranks, in the same order.
    constexpr Operation kOperations[] = {Operation::all_reduce, Operation::reduce_scatter,
                                         Operation::all_gather, Operation::broadcast,
                                         Operation::send,       Operation::barrier};
    Event event{};
    event.operation = kOperations[agreed_() % std::size(kOperations)];
    event.kind = static_cast<GroupKind>(agreed_() % kGroupKinds);
    event.count = static_cast<std::int64_t>(agreed_() % (agreed_() % 4 == 0 ? 20000 : 500));
    const int members = grid_.size(event.kind);
    const bool has_parts =
        event.operation == Operation::reduce_scatter || event.operation == Operation::all_gather;
    event.gap = has_parts && agreed_() % 2 ? static_cast<std::int64_t>(agreed_() % 50) : -1;
    event.from = static_cast<int>(agreed_() % static_cast<unsigned>(members));
    event.to = (event.from + 1) % members;
    event.salt = number;
    return event;
  }

  void start(const Event& event) {
    Communicator& group = setting_[event.kind];
    if (group.size() == 0) return;
    const bool transfer = event.operation == Operation::send;
    const int me = group.index();
    if (transfer && (group.size() == 1 || (me != event.from && me != event.to))) return;

    InFlight& made = in_flight_.emplace_back();
    made.event = event;
    made.group = &group;
    const std::int64_t size = extent(event, group.size());
    if (own_() % 4 == 0) {
      made.memory.resize(static_cast<std::size_t>(size + 1));
      made.data = made.memory.data();
    } else {
      made.data = setting_.take<float>(size);
    }
    fill(made.data, size, setting_.world().rank(), event.salt);
    made.request = call(made);
  }

  static Request call(InFlight& made) {
    Communicator& group = *made.group;
    const Event& event = made.event;
    const int tag = event.salt % 7;
    const Range mine = part_of(event, group.size(), group.index());
    const Parts parts{mine.size(), mine.size() + event.gap};
    float* part = made.data + mine.begin;
    switch (event.operation) {
      case Operation::all_reduce: return group.all_reduce(made.data, event.count, DType::f32);
      case Operation::reduce_scatter:
        return event.gap < 0 ? group.reduce_scatter(made.data, part, event.count, DType::f32)
                             : group.reduce_scatter(made.data, part, parts, DType::f32);
      case Operation::all_gather:
        return event.gap < 0 ? group.all_gather(part, made.data, event.count, DType::f32)
                             : group.all_gather(part, made.data, parts, DType::f32);
      case Operation::broadcast:
        return group.broadcast(made.data, event.count, DType::f32, event.from);
      case Operation::send:
        if (group.index() == event.from)
          return group.send(made.data, event.count, DType::f32, event.to, tag);
        return group.receive(made.data, event.count, DType::f32, event.from, tag);
      default: return group.barrier();
    }
  }

  /// Some operation, then all of them: a lane keeps everything moving.
  void progress_one() {
    const std::size_t first = own_() % in_flight_.size();
    for (std::size_t i = 0; i < in_flight_.size(); ++i) {
      InFlight& some = in_flight_[(first + i) % in_flight_.size()];
      if (!some.group->progress(some.request)) continue;
      expect_result(some);
      ++checked_;
      in_flight_.erase(in_flight_.begin() +
                       static_cast<std::ptrdiff_t>((first + i) % in_flight_.size()));
      return;
    }
  }

  void expect_result(const InFlight& done) const {
    const Group& members = done.group->group();
    const Event& event = done.event;
    std::int64_t wrong = 0;
    const auto brought_by = [&](int member, std::int64_t begin, std::int64_t end) {
      for (std::int64_t e = begin; e < end; ++e)
        wrong += !same_bits(done.data[e], contribution<float>(members.rank(member), e, event.salt));
    };
    const int me = done.group->index();
    const Range mine = part_of(event, members.count, me);
    switch (event.operation) {
      case Operation::all_reduce:
        wrong = wrong_sums(done.data, 0, event.count, members, event.salt);
        break;
      case Operation::reduce_scatter:
        wrong = wrong_sums(done.data + mine.begin, mine.begin, mine.size(), members, event.salt);
        break;
      case Operation::all_gather:
        for (int m = 0; m < members.count; ++m) {
          const Range part = part_of(event, members.count, m);
          brought_by(m, part.begin, part.end);
          if (event.gap > 0) brought_by(me, part.end, part.end + event.gap);  // untouched
        }
        break;
      case Operation::broadcast:
      case Operation::send: brought_by(event.from, 0, event.count); break;
      default: break;
    }
    EXPECT_EQ(wrong, 0) << name_of(event.operation) << " of " << event.count << " in "
                        << members.text() << ", event " << event.salt;
  }

  Setting& setting_;
  ProcessGrid grid_;
  std::mt19937 agreed_;
  std::mt19937 own_;
  std::deque<InFlight> in_flight_;
  int checked_ = 0;
};

class OnEveryWay : public testing::TestWithParam<Way> {};
INSTANTIATE_TEST_SUITE_P(Comm, OnEveryWay, testing::ValuesIn(ways()),
                         [](const auto& way) { return name_of(way.param); });

TEST_P(OnEveryWay, RandomOperationsEndWithTheRightBits) {
  const int ranks = World().size();
  for (const ProcessGrid& grid : {ProcessGrid(ranks, 1, 1), ProcessGrid(1, 1, ranks),
                                  ProcessGrid(ranks % 4 ? 1 : ranks / 4, ranks % 2 ? 1 : 2,
                                              ranks % 4 ? ranks / (ranks % 2 ? 1 : 2) : 2),
                                  ProcessGrid(ranks, 1, 1).with_shard(ranks % 2 ? 1 : 2)}) {
    Setting setting(GetParam(), grid);
    Storm storm(setting, grid, static_cast<unsigned>(17 + grid.data()));
    storm.run(200);
    EXPECT_GT(storm.checked(), 50);
    setting.world().barrier();
  }
}

/// Late starts on one rank, late news on the others, of the operations that move parts.
TEST_P(OnEveryWay, DelayedOperationsEndWithTheRightBits) {
  const World world;
  const int shards = world.size() % 4 ? world.size() : world.size() / 2;
  const ProcessGrid grid = ProcessGrid(world.size(), 1, 1).with_shard(shards);
  for (const Operation operation : {Operation::reduce_scatter, Operation::all_gather}) {
    CommOptions options;
    options.faults.operation = operation;
    (world.rank() == 1 ? options.faults.start_delay_seconds
                       : options.faults.completion_delay_seconds) = 2e-3;
    Setting setting(GetParam(), grid, options);
    Storm storm(setting, grid, 99);
    storm.run(120);
    EXPECT_GT(storm.checked(), 50);
    setting.world().barrier();
  }
}

}  // namespace
}  // namespace trireme::comm::test
