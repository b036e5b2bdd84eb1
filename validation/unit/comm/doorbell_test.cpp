// Sleeping until there is news, between threads and between ranks.

#include "lib/comm/node_seats.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <thread>

namespace trireme::comm::test {
namespace {

using namespace std::chrono_literals;

constexpr std::chrono::microseconds kLong = 60s;  // longer than the test may take

/// Sleeps until `news` is `value`. False when a sleep ended by its time alone.
bool sleep_until(Doorbell& bell, const std::atomic<int>& news, int value, Doorbell::Whom whom,
                 std::chrono::microseconds most) {
  bool rung = true;
  while (rung && news.load(std::memory_order_relaxed) != value) {
    const std::uint32_t seen = bell.approach();
    if (news.load(std::memory_order_relaxed) != value) rung = bell.sleep(seen, whom, most);
    bell.leave();
  }
  return rung;
}

/// What a rank shows the others beside its doorbell.
std::atomic<int>& news_of(const SharedArena& arena, int node_rank) {
  return *reinterpret_cast<std::atomic<int>*>(arena.at(node_rank, 0));
}

TEST(Doorbell, ATokenGoesRoundSleepingRanks) {
  const World world;
  const NodeSeats seats(world);
  const SharedArena arena(world, 64);
  const int next = (world.rank() + 1) % world.size();
  for (int round = 1; round <= 1000; ++round) {
    if (world.rank() > 0) {
      ASSERT_TRUE(sleep_until(seats.own_doorbell(), news_of(arena, world.rank()), round,
                              Doorbell::kMover, kLong));
    }
    news_of(arena, next).store(round, std::memory_order_relaxed);
    seats.doorbell(next).ring();
    if (world.rank() == 0) {
      ASSERT_TRUE(
          sleep_until(seats.own_doorbell(), news_of(arena, 0), round, Doorbell::kMover, kLong));
    }
  }
  world.barrier();
}

/// The planted fault: news nobody rings for.
TEST(Doorbell, WithoutARingTimeAloneEndsTheSleep) {
  Doorbell bell;
  std::atomic<int> news{0};
  EXPECT_FALSE(sleep_until(bell, news, 1, Doorbell::kMover, 5ms));
  std::thread forgetful([&] {
    std::this_thread::sleep_for(20ms);
    news.store(1);
  });
  EXPECT_FALSE(sleep_until(bell, news, 2, Doorbell::kMover, 50ms));
  forgetful.join();
}

TEST(Doorbell, ARingBetweenTheLookAndTheSleepIsNotLost) {
  Doorbell bell;
  const std::uint32_t seen = bell.approach();
  bell.ring();
  EXPECT_TRUE(bell.sleep(seen, Doorbell::kMover, kLong));
  bell.leave();
  bell.ring();  // nobody there: forgotten
  const std::uint32_t later = bell.approach();
  EXPECT_FALSE(bell.sleep(later, Doorbell::kMover, 1ms));
  bell.leave();
}

TEST(Doorbell, WakesWhomItIsFor) {
  Doorbell bell;
  std::atomic<bool> asleep{false};
  std::atomic<bool> woken{false};
  std::thread standby([&] {
    const std::uint32_t seen = bell.approach();
    asleep = true;
    bell.sleep(seen, Doorbell::kStandby, kLong);
    bell.leave();
    woken = true;
  });
  while (!asleep) std::this_thread::yield();
  std::this_thread::sleep_for(50ms);  // from approach() into the sleep
  bell.ring(Doorbell::kMover);
  std::this_thread::sleep_for(20ms);
  EXPECT_FALSE(woken);
  bell.ring(Doorbell::kStandby);
  standby.join();
  EXPECT_TRUE(woken);
}

}  // namespace
}  // namespace trireme::comm::test
