// Sends and receives, deadlines, faults, counting: what surrounds the data.

#include "kernels/base/error.hpp"
#include "validation/unit/comm/collective_cases.hpp"

#include <atomic>
#include <chrono>
#include <thread>

namespace trireme::comm::test {
namespace {

using namespace std::chrono_literals;

class OnEveryWay : public testing::TestWithParam<Way> {};
INSTANTIATE_TEST_SUITE_P(Comm, OnEveryWay, testing::ValuesIn(ways()),
                         [](const auto& way) { return name_of(way.param); });

// ---- point to point -----------------------------------------------------------------------------

TEST_P(OnEveryWay, StagesPassMessagesForwardAndBackByTag) {
  World world;
  Setting setting(GetParam(), ProcessGrid(1, 1, world.size()));
  Communicator& stages = setting[GroupKind::pipeline];
  const int me = stages.index();
  constexpr std::int64_t kCount = 60007;  // more than one message
  constexpr int kMicroBatches = 3;
  std::vector<Request> requests;
  std::vector<std::pair<float*, int>> received;  // and its salt
  for (int m = 0; m < kMicroBatches; ++m)
    for (int direction : {+1, -1}) {
      const int tag = 10 * m + (direction > 0);
      const int to = me + direction;
      const int from = me - direction;
      if (from >= 0 && from < stages.size()) {
        received.emplace_back(setting.take<float>(kCount), 1000 * from + tag);
        requests.push_back(stages.receive(received.back().first, kCount, DType::f32, from, tag));
      }
      if (to >= 0 && to < stages.size()) {
        auto* data = setting.take<float>(kCount);
        fill(data, kCount, 0, 1000 * me + tag);
        requests.push_back(stages.send(data, kCount, DType::f32, to, tag));
      }
    }
  for (auto request = requests.rbegin(); request != requests.rend(); ++request)
    stages.wait(*request);
  for (const auto& [data, salt] : received) {
    std::int64_t wrong = 0;
    for (std::int64_t e = 0; e < kCount; ++e)
      wrong += !same_bits(data[e], contribution<float>(0, e, salt));
    EXPECT_EQ(wrong, 0);
  }
}

/// Whether, on rank 0, `send` to rank 1 returns before rank 1 calls `receive`, which it does late.
template <class Send, class Receive>
bool returns_before_receive(const World& world, Send&& send, Receive&& receive) {
  SharedArena flags(world, 64);
  auto* started = reinterpret_cast<std::atomic<int>*>(flags.at(1, 0));
  bool early = false;
  world.barrier();
  if (world.rank() == 0) {
    send();
    early = started->load() == 0;
  } else if (world.rank() == 1) {
    std::this_thread::sleep_for(100ms);
    started->store(1);
    receive();
  }
  world.barrier();
  return early;
}

TEST(PointToPoint, ASendIsCompleteOnlyOnceItsReceiveHasStarted) {
  World world;
  if (world.size() == 1) return;  // np 2 and up run it
  Setting setting(Way::arena, ProcessGrid(1, 1, world.size()));
  Communicator& stages = setting[GroupKind::pipeline];
  double data = 42;
  EXPECT_FALSE(returns_before_receive(
      world,
      [&] {
        Request request = stages.send(&data, 1, DType::f64, 1, 5);
        stages.wait(request);
      },
      [&] {
        Request request = stages.receive(&data, 1, DType::f64, 0, 5);
        stages.wait(request);
      }));
  // The planted fault, a standard send: so few bytes go eagerly, and the test sees it.
  const bool early = returns_before_receive(
      world, [&] { MPI_Send(&data, 1, MPI_DOUBLE, 1, 5, world.comm()); },
      [&] { MPI_Recv(&data, 1, MPI_DOUBLE, 0, 5, world.comm(), MPI_STATUS_IGNORE); });
  EXPECT_EQ(early, world.rank() == 0);
}

TEST(PointToPoint, AnotherLengthThanExpectedIsAnError) {
  World world;
  if (world.size() == 1) return;
  Setting setting(Way::messages, ProcessGrid(1, 1, world.size()));
  Communicator& stages = setting[GroupKind::pipeline];
  float data[8] = {};
  if (stages.index() == 0) {
    Request request = stages.send(data, 4, DType::f32, 1, 0);
    stages.wait(request);
  } else if (stages.index() == 1) {
    Request request = stages.receive(data, 8, DType::f32, 0, 0);
    try {
      stages.wait(request);
      ADD_FAILURE() << "no error";
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), Exit::kPeer);
      EXPECT_NE(error.text().find("expected 32 bytes from rank 0"), std::string::npos)
          << error.text();
    }
  }
  world.barrier();
}

// ---- waiting ------------------------------------------------------------------------------------

/// Rank 1 holds back until every other rank has been told so, by a complaint that ends in
/// "rank 1" (a busy machine may make others late for a while, too). Returns that complaint.
std::string complaint_about_rank_1(Setting& setting, float* data, std::int64_t count) {
  const World world;  // the whole machine, whatever nodes the setting pretends
  SharedArena told(world, 64);
  const auto flag = [&](int rank) { return reinterpret_cast<std::atomic<int>*>(told.at(rank, 0)); };
  if (world.rank() == 1)
    for (int rank = 0; rank < world.size(); ++rank)
      while (rank != 1 && flag(rank)->load() == 0) std::this_thread::sleep_for(10ms);

  Communicator& all = setting.all();
  Request request = all.all_reduce(data, count, DType::f32);
  std::string complaint;
  while (request) {
    try {
      all.wait(request);
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), Exit::kPeer);
      if (!error.text().ends_with(" rank 1")) continue;
      complaint = error.text();
      flag(world.rank())->store(1);
    }
  }
  return complaint;
}

TEST_P(OnEveryWay, TheWatchdogNamesWhoHasNotArrived) {
  World world;
  if (world.size() == 1) return;
  CommOptions options;
  options.deadline_seconds = 0.1;
  constexpr int kAll = 64;  // others that a rank exchanges messages with: the test's have no more
  Setting setting(GetParam(), {}, options, kAll);
  for (std::int64_t count : {3, 20000}) {
    setting.forget_all();
    float* data = setting.take<float>(count);
    fill(data, count, world.rank(), 7);
    const std::string complaint = complaint_about_rank_1(setting, data, count);
    if (world.rank() != 1) {
      const std::string operation =
          "all_reduce of " + std::to_string(count) + " f32 in world group";
      EXPECT_NE(complaint.find(operation), std::string::npos) << complaint;
    }
    // Late is not wrong.
    EXPECT_EQ(wrong_sums(data, 0, count, setting.all().group(), 7), 0);
  }
}

// Where small buffers are passed on, a rank knows through whom the missing one would come.
TEST(Waiting, LargeGroupsNameWhoWouldPassItOn) {
  World world;
  if (world.size() < 4) return;  // np 4 runs it
  CommOptions options;
  options.deadline_seconds = 0.3;
  Setting setting(Way::messages, {}, options);
  SharedArena told(world, 64);
  const auto flag = [&](int rank) { return reinterpret_cast<std::atomic<int>*>(told.at(rank, 0)); };
  if (world.rank() == 1)
    for (int rank = 0; rank < world.size(); ++rank)
      while (rank != 1 && flag(rank)->load() == 0) std::this_thread::sleep_for(10ms);
  float data = 1;
  Request request = setting.all().all_reduce(&data, 1, DType::f32);
  while (request) {
    try {
      setting.all().wait(request);
    } catch (const Error& error) {
      // "nothing received yet from rank R, which passes on what K ranks ..." covers rank 1.
      constexpr std::string_view kFrom = "nothing received yet from rank ";
      constexpr std::string_view kWhat = ", which passes on what ";
      const std::size_t from = error.text().find(kFrom);
      const std::size_t what = error.text().find(kWhat);
      if (from == std::string::npos || what == std::string::npos) continue;  // a send is slow
      const int rank = std::stoi(error.text().substr(from + kFrom.size()));
      const int ranks = std::stoi(error.text().substr(what + kWhat.size()));
      const int away = (1 - rank + world.size()) % world.size();
      if (away < ranks) flag(world.rank())->store(1);
    }
  }
  EXPECT_EQ(data, static_cast<float>(world.size()));
}

TEST(Waiting, MembersThatDisagreeAreToldSo) {
  World world;
  if (world.size() == 1) return;
  Setting setting(Way::arena);
  float data[4] = {};
  Communicator& all = setting.all();
  try {
    Request request = world.rank() == 0 ? all.all_reduce(data, 4, DType::f32)
                                        : all.broadcast(data, 4, DType::f32, 0);
    all.wait(request);
    ADD_FAILURE() << "swapped collectives went unnoticed";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), Exit::kPeer);
    EXPECT_NE(error.text().find("all_reduce of 4 f32"), std::string::npos) << error.text();
    EXPECT_NE(error.text().find("broadcast of 4 f32"), std::string::npos) << error.text();
  }
  world.barrier();
}

TEST(Waiting, DelaysHoldAnOperationBackWithoutBlockingProgress) {
  World world;
  for (const bool at_start : {true, false}) {
    CommOptions options;
    options.faults.operation = Operation::all_reduce;
    (at_start ? options.faults.start_delay_seconds : options.faults.completion_delay_seconds) =
        0.15;
    Setting setting(Way::arena, {}, options);
    Communicator& all = setting.all();
    float data = 1;
    float other = 2;
    const auto start = std::chrono::steady_clock::now();
    Request delayed = all.all_reduce(&data, 1, DType::f32);
    Request quick = all.broadcast(&other, 1, DType::f32, 0);
    EXPECT_FALSE(all.progress(delayed));
    all.wait(quick);
    const bool still_held = static_cast<bool>(delayed);
    all.wait(delayed);
    EXPECT_GE(std::chrono::steady_clock::now() - start, 150ms);
    EXPECT_TRUE(still_held);
    EXPECT_EQ(data, static_cast<float>(world.size()));
  }
}

TEST(Waiting, TooManyInFlightIsABugReport) {
  Setting setting(Way::arena);
  std::vector<Request> requests;
  for (int i = 0; i < Communicator::kMaxInFlight; ++i) requests.push_back(setting.all().barrier());
  EXPECT_THROW(setting.all().barrier(), Error);
  for (Request& request : requests) setting.all().wait(request);
}

// ---- the bits' planted fault --------------------------------------------------------------------

TEST_P(OnEveryWay, SummingInAnotherOrderIsSeen) {
  World world;
  CommOptions options;
  options.faults.reversed_sums = true;
  Setting setting(GetParam(), {}, options);
  Communicator& all = setting.all();
  for (std::int64_t count : {1000, 20000}) {
    setting.forget_all();
    float* data = setting.take<float>(count);
    fill(data, count, world.rank(), 3);
    Request request = all.all_reduce(data, count, DType::f32);
    all.wait(request);
    // Of two numbers the sum does not know the order; of more it does.
    const std::int64_t wrong = wrong_sums(data, 0, count, all.group(), 3);
    if (world.size() > 2) {
      EXPECT_GT(wrong, count / 10);
    } else {
      EXPECT_EQ(wrong, 0);
    }
  }
}

// ---- counting -----------------------------------------------------------------------------------

TEST_P(OnEveryWay, PayloadIsTheoryAndMovedBytesAddUpToIt) {
  World world;
  Setting setting(GetParam());
  Communicator& all = setting.all();
  const int n = all.size();
  constexpr std::int64_t kCount = 30011;  // large enough that no small-message form is used
  float* whole = setting.take<float>(kCount);
  const Range part = split_evenly(kCount, n, all.index());
  all.reset_traffic();
  constexpr int kCalls = 2;
  for (int i = 0; i < kCalls; ++i) {
    Request requests[] = {
        all.all_reduce(whole, kCount, DType::f32),
        all.reduce_scatter(whole, whole + part.begin, kCount, DType::f32),
        all.all_gather(whole + part.begin, whole, kCount, DType::f32),
        all.broadcast(whole, kCount, DType::f32, 0),
    };
    for (Request& request : requests) all.wait(request);
  }
  const std::pair<Operation, std::int64_t> theory[] = {
      {Operation::all_reduce, 2 * (n - 1) * kCount * 4},
      {Operation::reduce_scatter, (n - 1) * kCount * 4},
      {Operation::all_gather, (n - 1) * kCount * 4},
      {Operation::broadcast, (n - 1) * kCount * 4},
  };
  for (const auto& [operation, total] : theory) {
    const OperationTraffic& mine = all.traffic()[operation];
    EXPECT_EQ(mine.calls, kCalls);
    EXPECT_GT(mine.seconds, 0);
    EXPECT_EQ(mine.payload_bytes, kCalls * payload_bytes(operation, kCount, 4, n, all.index(), 0));
    std::int64_t sums[2] = {mine.payload_bytes, mine.moved_bytes};
    MPI_Allreduce(MPI_IN_PLACE, sums, 2, MPI_INT64_T, MPI_SUM, world.comm());
    EXPECT_EQ(sums[0], kCalls * total) << name_of(operation);
    EXPECT_EQ(sums[1], kCalls * total) << name_of(operation);
  }
  all.reset_traffic();
  EXPECT_EQ(all.traffic()[Operation::all_reduce].calls, 0);
}

TEST(Self, CompletesEverythingAtOnce) {
  const auto self = make_self_communicator();
  float data[3] = {1, 2, 3};
  float other[3] = {};
  Request request = self->all_reduce(data, 3, DType::f32);
  EXPECT_TRUE(self->progress(request));
  request = self->all_gather(data, other, 3, DType::f32);
  EXPECT_TRUE(self->progress(request));
  EXPECT_EQ(other[2], 3);
  request = self->barrier();
  EXPECT_TRUE(self->progress(request));
  EXPECT_TRUE(self->progress(request));  // an empty request is complete
  EXPECT_EQ(self->traffic()[Operation::all_reduce].payload_bytes, 0);
  EXPECT_THROW(self->send(data, 3, DType::f32, 0, 0), Error);
  EXPECT_THROW(self->broadcast(data, 3, DType::f32, 1), Error);
  EXPECT_THROW(self->all_reduce(data, 3, DType::i32), Error);
}

}  // namespace
}  // namespace trireme::comm::test
