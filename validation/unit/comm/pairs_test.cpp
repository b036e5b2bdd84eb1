// Sends and receives inside a node: order, sleep, and room for all that may wait.

#include "validation/unit/comm/collective_cases.hpp"

#include <algorithm>
#include <random>

namespace trireme::comm::test {
namespace {

using namespace std::chrono_literals;

/// Nobody wakes without a ring before the test's time is over.
CommOptions sound_sleep() {
  CommOptions options;
  options.look = 120s;
  return options;
}

class OnEveryWay : public testing::TestWithParam<Way> {};
INSTANTIATE_TEST_SUITE_P(Comm, OnEveryWay, testing::ValuesIn(ways()),
                         [](const auto& way) { return name_of(way.param); });

std::int64_t wrong_elements(const float* data, std::int64_t count, int from, int salt) {
  std::int64_t wrong = 0;
  for (std::int64_t e = 0; e < count; ++e)
    wrong += !same_bits(data[e], contribution<float>(from, e, salt));
  return wrong;
}

/// Each rank sends `messages` to the next with tags of `tags` kinds, some of them from memory
/// outside the arena, and starts its receives tag by tag. Returns the number of wrong elements.
std::int64_t send_round(Setting& setting, int messages, int tags, std::int64_t large) {
  Communicator& all = setting.all();
  const int n = all.size();
  const int next = (all.index() + 1) % n;
  const int before = (all.index() + n - 1) % n;
  // Where no message carries it, one is several pieces of a copy.
  const auto count_of = [large](int m) { return m % 15 == 0 ? large : 100 + m * 700; };
  std::vector<std::vector<float>> outside;
  std::vector<Request> requests;
  for (int m = 0; m < messages; ++m) {
    float* data = nullptr;
    if (m % 3 == 1) {
      data = outside.emplace_back(static_cast<std::size_t>(count_of(m))).data();
    } else {
      data = setting.take<float>(count_of(m));
    }
    fill(data, count_of(m), setting.world().rank(), m);
    requests.push_back(all.send(data, count_of(m), DType::f32, next, m % tags));
  }
  std::vector<std::pair<int, float*>> received;
  for (int tag = tags - 1; tag >= 0; --tag)
    for (int m = tag; m < messages; m += tags) {
      received.emplace_back(m, setting.take<float>(count_of(m)));
      requests.push_back(all.receive(received.back().second, count_of(m), DType::f32, before, tag));
    }
  std::mt19937 order(static_cast<unsigned>(setting.world().rank()));
  std::ranges::shuffle(requests, order);
  for (Request& request : requests) all.wait(request);
  std::int64_t wrong = 0;
  for (const auto& [m, data] : received)
    wrong += wrong_elements(data, count_of(m), all.group().rank(before), m);
  return wrong;
}

TEST_P(OnEveryWay, MessagesOfAPairAndTagArriveInOrderWhateverTheMemory) {
  if (World().size() == 1) return;  // np 2 and up run it
  Setting setting(GetParam(), {}, sound_sleep());
  EXPECT_EQ(send_round(setting, 30, 3, 200'003), 0);
}

/// The sender has one long transfer under way at a time, its receiver both.
TEST_P(OnEveryWay, TransfersOfSeveralMessagesStayApart) {
  if (World().size() == 1) return;  // np 2 and up run it
  Setting setting(GetParam(), ProcessGrid(1, 1, World().size()), sound_sleep());
  Communicator& stages = setting[GroupKind::pipeline];
  constexpr std::int64_t kCount = 120'007;
  std::vector<float> outside(kCount);  // goes as messages inside a node too
  float* in[2] = {setting.take<float>(kCount), setting.take<float>(kCount)};
  if (stages.index() == 0) {
    for (int m = 0; m < 2; ++m) {
      fill(outside.data(), kCount, 0, m);
      Request request = stages.send(outside.data(), kCount, DType::f32, 1, 0);
      stages.wait(request);
    }
  } else if (stages.index() == 1) {
    Request first = stages.receive(in[0], kCount, DType::f32, 0, 0);
    Request second = stages.receive(in[1], kCount, DType::f32, 0, 0);
    stages.wait(second);
    stages.wait(first);
    for (int m = 0; m < 2; ++m) EXPECT_EQ(wrong_elements(in[m], kCount, 0, m), 0) << m;
  }
}

/// As many sends as fit before the first receive, and the receives the other way round.
TEST_P(OnEveryWay, SendsDoNotWaitForRoom) {
  const World world;
  if (world.size() == 1) return;
  Setting setting(GetParam(), {}, sound_sleep());
  Communicator& all = setting.all();
  constexpr int kMany = Communicator::kMaxInFlight / 2;
  const int next = (all.index() + 1) % all.size();
  const int before = (all.index() + all.size() - 1) % all.size();
  auto* out = setting.take<float>(kMany);
  auto* in = setting.take<float>(kMany);
  fill(out, kMany, world.rank(), 1);
  std::vector<Request> requests;
  for (int m = 0; m < kMany; ++m) requests.push_back(all.send(out + m, 1, DType::f32, next, m));
  for (int m = kMany - 1; m >= 0; --m)
    requests.push_back(all.receive(in + m, 1, DType::f32, before, m));
  for (Request& request : requests) all.wait(request);
  EXPECT_EQ(wrong_elements(in, kMany, all.group().rank(before), 1), 0);
}

/// The planted fault.
TEST(Pairs, TakingTheYoungestPostIsSeen) {
  if (World().size() == 1) return;
  CommOptions options = sound_sleep();
  options.faults.youngest_post = true;
  Setting setting(Way::arena, ProcessGrid(1, 1, World().size()), options);
  Communicator& stages = setting[GroupKind::pipeline];
  constexpr std::int64_t kCount = 100;
  std::vector<Request> requests;
  if (stages.index() == 0)
    for (int m = 0; m < 2; ++m) {
      auto* data = setting.take<float>(kCount);
      fill(data, kCount, 0, m);
      requests.push_back(stages.send(data, kCount, DType::f32, 1, 0));
    }
  setting.world().barrier();  // both are posted
  float* first = setting.take<float>(kCount);
  float* second = setting.take<float>(kCount);
  if (stages.index() == 1)
    for (float* data : {first, second})
      requests.push_back(stages.receive(data, kCount, DType::f32, 0, 0));
  for (Request& request : requests) stages.wait(request);
  if (stages.index() == 1) {
    EXPECT_GT(wrong_elements(first, kCount, 0, 0), 0);
    EXPECT_EQ(wrong_elements(first, kCount, 0, 1), 0);
  }
}

TEST_P(OnEveryWay, AnotherLengthThanExpectedIsAnError) {
  const World world;
  if (world.size() == 1) return;
  Setting setting(GetParam(), ProcessGrid(1, 1, world.size()));
  Communicator& stages = setting[GroupKind::pipeline];
  auto* data = setting.take<float>(8);
  if (stages.index() == 0) {
    Request request = stages.send(data, 4, DType::f32, 1, 0);
    if (GetParam() == Way::messages) stages.wait(request);
    world.barrier();
  } else if (stages.index() == 1) {
    try {
      Request request = stages.receive(data, 8, DType::f32, 0, 0);
      stages.wait(request);
      ADD_FAILURE() << "no error";
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), Exit::kPeer);
      EXPECT_NE(error.text().find("expected 32 bytes from rank 0"), std::string::npos)
          << error.text();
    }
    world.barrier();
  } else {
    world.barrier();
  }
}

/// Collectives and transfers of one communicator, waited for in another order on each rank, by
/// threads that sleep until they are rung: a ring too few and the test hangs.
TEST_P(OnEveryWay, WhoSleepsIsRung) {
  const World world;
  Setting setting(GetParam(), {}, sound_sleep());
  Communicator& all = setting.all();
  std::mt19937 order(static_cast<unsigned>(7 + world.rank()));
  for (int round = 0; round < 20; ++round) {
    setting.forget_all();
    std::vector<Request> requests;
    std::vector<float*> sums;
    constexpr std::int64_t kCount = 9001;
    for (int i = 0; i < 6; ++i) {
      const std::int64_t count = i % 2 ? kCount : 7;
      sums.push_back(setting.take<float>(count));
      fill(sums.back(), count, world.rank(), i);
      requests.push_back(all.all_reduce(sums.back(), count, DType::f32));
      requests.push_back(all.barrier());
    }
    std::ranges::shuffle(requests, order);
    for (Request& request : requests) all.wait(request);
    for (int i = 0; i < 6; ++i)
      ASSERT_EQ(
          wrong_sums(sums[static_cast<std::size_t>(i)], 0, i % 2 ? kCount : 7, all.group(), i), 0);
  }
}

}  // namespace
}  // namespace trireme::comm::test
