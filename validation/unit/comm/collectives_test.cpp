// Every collective, on every way bytes can travel, gives the bits of one plain loop.

#include "validation/unit/comm/collective_cases.hpp"

#include <bit>

namespace {
int g_messages = 0;
}

// Takes the place of MPI's: a profiling interface is for that.
extern "C" int MPI_Isend(const void* data, int count, MPI_Datatype type, int to, int tag,
                         MPI_Comm comm, MPI_Request* request) {
  ++g_messages;
  return PMPI_Isend(data, count, type, to, tag, comm, request);
}

namespace trireme::comm::test {
namespace {

const auto* const kRuntime = validation::with_runtime_and_device(1);

// Smaller than a group, one below and above the small-message limit (4 KiB of f32 = 1024), parts
// that span chunks, more than one round of staging.
constexpr std::int64_t kCounts[] = {0, 1, 3, 5, 7, 1023, 1024, 1025, 4099, 20021};
constexpr std::int64_t kSeveralRounds = 300007;

class OnEveryWay : public testing::TestWithParam<Way> {};
INSTANTIATE_TEST_SUITE_P(Comm, OnEveryWay, testing::ValuesIn(ways()),
                         [](const auto& way) { return name_of(way.param); });

template <class T>
void expect_all_reduce(Setting& setting, Communicator& group, std::int64_t count, int salt) {
  setting.forget_all();
  T* data = setting.take<T>(count);
  fill(data, count, setting.world().rank(), salt);
  Request request = group.all_reduce(data, count, dtype_of<T>);
  group.wait(request);
  EXPECT_FALSE(request);
  EXPECT_EQ(wrong_sums(data, 0, count, group.group(), salt), 0)
      << count << " " << name_of(dtype_of<T>) << " in " << group.group().text();
}

template <class T>
void expect_reduce_scatter(Setting& setting, Communicator& group, std::int64_t count, int salt,
                           bool in_place) {
  setting.forget_all();
  T* whole = setting.take<T>(count);
  const Range part = split_evenly(count, group.size(), group.index());
  T* shard = in_place ? whole + part.begin : setting.take<T>(part.size());
  fill(whole, count, setting.world().rank(), salt);
  Request request = group.reduce_scatter(whole, shard, count, dtype_of<T>);
  group.wait(request);
  EXPECT_EQ(wrong_sums(shard, part.begin, part.size(), group.group(), salt), 0)
      << count << " " << name_of(dtype_of<T>);
  // The rest of the whole is untouched.
  std::int64_t changed = 0;
  for (std::int64_t e = 0; e < count; ++e)
    if (!in_place || e < part.begin || e >= part.end)
      changed += !same_bits(whole[e], contribution<T>(setting.world().rank(), e, salt));
  EXPECT_EQ(changed, 0);
}

template <class T>
void expect_all_gather(Setting& setting, Communicator& group, std::int64_t count, int salt,
                       bool in_place) {
  setting.forget_all();
  T* whole = setting.take<T>(count);
  const Range part = split_evenly(count, group.size(), group.index());
  T* shard = in_place ? whole + part.begin : setting.take<T>(part.size());
  std::memset(static_cast<void*>(whole), 0xff, static_cast<std::size_t>(count) * sizeof(T));
  for (std::int64_t e = 0; e < part.size(); ++e)
    shard[e] = contribution<T>(setting.world().rank(), part.begin + e, salt);
  Request request = group.all_gather(shard, whole, count, dtype_of<T>);
  group.wait(request);
  std::int64_t wrong = 0;
  for (int m = 0; m < group.size(); ++m) {
    const Range theirs = split_evenly(count, group.size(), m);
    for (std::int64_t e = theirs.begin; e < theirs.end; ++e)
      wrong += !same_bits(whole[e], contribution<T>(group.group().rank(m), e, salt));
  }
  EXPECT_EQ(wrong, 0) << count << " " << name_of(dtype_of<T>);
}

template <class T>
void expect_broadcast(Setting& setting, Communicator& group, std::int64_t count, int salt,
                      int root) {
  setting.forget_all();
  T* data = setting.take<T>(count);
  fill(data, count, setting.world().rank(), salt);
  Request request = group.broadcast(data, count, dtype_of<T>, root);
  group.wait(request);
  std::int64_t wrong = 0;
  for (std::int64_t e = 0; e < count; ++e)
    wrong += !same_bits(data[e], contribution<T>(group.group().rank(root), e, salt));
  EXPECT_EQ(wrong, 0) << count << " from " << root;
}

TEST_P(OnEveryWay, AllReduceIsTheOrderedSum) {
  Setting setting(GetParam());
  int salt = 1;
  for (std::int64_t count : kCounts) {
    expect_all_reduce<float>(setting, setting.all(), count, salt++);
    expect_all_reduce<double>(setting, setting.all(), count, salt++);
    expect_all_reduce<BFloat16>(setting, setting.all(), count, salt++);
    expect_all_reduce<Float16>(setting, setting.all(), count, salt++);
  }
  expect_all_reduce<float>(setting, setting.all(), kSeveralRounds, salt++);
}

TEST_P(OnEveryWay, ReduceScatterIsTheOrderedSumOfMyPart) {
  Setting setting(GetParam());
  int salt = 100;
  for (std::int64_t count : kCounts)
    for (bool in_place : {true, false}) {
      expect_reduce_scatter<float>(setting, setting.all(), count, salt++, in_place);
      expect_reduce_scatter<BFloat16>(setting, setting.all(), count, salt++, in_place);
    }
  expect_reduce_scatter<double>(setting, setting.all(), kSeveralRounds, salt++, false);
  expect_reduce_scatter<Float16>(setting, setting.all(), 20021, salt++, false);
}

TEST_P(OnEveryWay, AllGatherPutsEveryPartInPlace) {
  Setting setting(GetParam());
  int salt = 200;
  for (std::int64_t count : kCounts)
    for (bool in_place : {true, false}) {
      expect_all_gather<float>(setting, setting.all(), count, salt++, in_place);
      expect_all_gather<std::uint16_t>(setting, setting.all(), count, salt++, in_place);
    }
}

TEST_P(OnEveryWay, BroadcastCopiesTheRoot) {
  Setting setting(GetParam());
  int salt = 300;
  for (int root = 0; root < setting.all().size(); ++root)
    for (std::int64_t count : {0, 1, 5, 1025, 50003})
      expect_broadcast<float>(setting, setting.all(), count, salt++, root);
}

TEST_P(OnEveryWay, GroupsOfAGridSumOnTheirOwn) {
  World world;
  for (const ProcessGrid grid :
       {ProcessGrid(2, 2, 2), ProcessGrid(2, 2, 1), ProcessGrid(1, 2, 2), ProcessGrid(1, 1, 2),
        ProcessGrid(1, 1, 4), ProcessGrid(4, 2, 1), ProcessGrid(4, 1, 1).with_shard(2),
        ProcessGrid(4, 2, 1).with_shard(2), ProcessGrid(8, 1, 1).with_shard(4)}) {
    if (grid.size() != world.size()) continue;
    Setting setting(GetParam(), grid);
    int salt = 400;
    for (int kind = 0; kind < kGroupKinds; ++kind) {
      Communicator& group = setting[static_cast<GroupKind>(kind)];
      ++salt;
      if (group.size() > 0)
        for (std::int64_t count : {3, 2048, 20001})
          expect_all_reduce<float>(setting, group, count, salt);
    }
  }
}

TEST_P(OnEveryWay, ManyInFlightOnSeveralGroups) {
  World world;
  const int tensor = world.size() % 2 == 0 ? 2 : 1;
  Setting setting(GetParam(), ProcessGrid(world.size() / tensor, tensor, 1));
  Communicator& data = setting[GroupKind::data];
  Communicator& all = setting.all();
  constexpr int kMany = 100;  // more than the control block has slots
  struct Case {
    float* data;
    std::int64_t count;
    Request request;
  };
  std::vector<Case> cases;
  for (int i = 0; i < kMany; ++i) {
    const std::int64_t count = i % 7 == 0 ? 9001 + i : 1 + i;
    Case c{setting.take<float>(count), count, {}};
    fill(c.data, count, world.rank(), 500 + i);
    c.request = (i % 3 ? all : data).all_reduce(c.data, count, DType::f32);
    cases.push_back(std::move(c));
  }
  // Completed in another order than started, and another on each rank.
  for (int i = 0; i < kMany; ++i) {
    const int which = (i * 37 + world.rank() * 11) % kMany;
    Communicator& mine = which % 3 ? all : data;
    while (!mine.progress(cases[which].request)) {
      for (int k = 0; k < kMany; ++k)  // a lane keeps all its operations moving
        (k % 3 ? all : data).progress(cases[k].request);
    }
  }
  for (int i = 0; i < kMany; ++i)
    EXPECT_EQ(wrong_sums(cases[i].data, 0, cases[i].count, (i % 3 ? all : data).group(), 500 + i),
              0);
}

TEST_P(OnEveryWay, BarrierHoldsEveryoneBack) {
  Setting setting(GetParam());
  Communicator& all = setting.all();
  // After k barriers everyone has added k: a rank that passed early would see less.
  SharedArena counters(setting.world(), 64);
  auto* mine = reinterpret_cast<std::atomic<int>*>(counters.base());
  for (int k = 1; k <= 20; ++k) {
    mine->store(k);
    Request request = all.barrier();
    all.wait(request);
    for (int peer = 0; peer < setting.world().node_size(); ++peer)
      EXPECT_GE(reinterpret_cast<std::atomic<int>*>(counters.at(peer, 0))->load(), k);
  }
}

TEST_P(OnEveryWay, BuffersAreFreeTheMomentAnOperationCompletes) {
  Setting setting(GetParam());
  Communicator& all = setting.all();
  for (std::int64_t count : {100, 10007}) {
    setting.forget_all();
    float* data = setting.take<float>(count);
    for (int round = 0; round < 25; ++round) {
      fill(data, count, setting.world().rank(), round);
      Request request = all.all_reduce(data, count, DType::f32);
      all.wait(request);
      // Overwritten at once in the next turn; first this turn's bits.
      ASSERT_EQ(wrong_sums(data, 0, count, all.group(), round), 0) << "round " << round;
    }
  }
}

TEST(SmallSums, TakeFewMessagesInLargeGroups) {
  Setting setting(Way::messages);
  Communicator& all = setting.all();
  const int n = all.size();
  float* data = setting.take<float>(42000);
  const auto messages_of = [&](auto&& start) {
    const int before = g_messages;
    Request request = start();
    all.wait(request);
    return g_messages - before;
  };
  // Beyond peers_at_a_time, here 2, others: as often as the group doubles. Straight to all else.
  const int expected = n > 3 ? std::bit_width(static_cast<unsigned>(n - 1)) : n - 1;
  fill(data, 42, setting.world().rank(), 5);
  EXPECT_EQ(messages_of([&] { return all.all_reduce(data, 42, DType::f32); }), expected);
  EXPECT_EQ(wrong_sums(data, 0, 42, all.group(), 5), 0);
  EXPECT_EQ(messages_of([&] { return all.barrier(); }), expected);
  const int large = messages_of([&] { return all.all_reduce(data, 42000, DType::f32); });
  EXPECT_GE(large, n - 1) << "messages are not counted";
}

}  // namespace
}  // namespace trireme::comm::test
