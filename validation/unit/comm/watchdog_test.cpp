// What the watchdog ends and what it lets live, without ranks.

#include "lib/comm/watchdog.hpp"
#include "kernels/base/error.hpp"

#include <gtest/gtest.h>

#include <chrono>
#include <future>
#include <optional>
#include <thread>

namespace trireme::comm {
namespace {

void work_for(double seconds) {
  std::this_thread::sleep_for(std::chrono::duration<double>(seconds));
}

/// A watchdog that only remembers what it would have ended.
class Kennel {
 public:
  Kennel() : dog([this](const std::string& text) { said_.set_value(text); }) {}
  /// Empty: nothing within `seconds`.
  std::string said(double seconds) {
    const auto state = future_.wait_for(std::chrono::duration<double>(seconds));
    return state == std::future_status::ready ? future_.get() : "";
  }

 private:
  std::promise<std::string> said_;
  std::future<std::string> future_ = said_.get_future();

 public:
  Watchdog dog;  // goes first
};

TEST(Watchdog, EndsWhatStandsStillAndNamesIt) {
  Kennel kennel;
  kennel.dog.set_limit(0.3);
  const auto outer = kennel.dog.watch({"saving the checkpoint of step", 40});
  const auto inner = kennel.dog.watch({"work of all"});
  const std::string text = kennel.said(20);
  EXPECT_NE(text.find("saving the checkpoint of step 40 [watchdog_test.cpp:"), std::string::npos);
  EXPECT_NE(text.find("work of all [watchdog_test.cpp:"), std::string::npos);
  EXPECT_NE(text.find("limit 0.3 s"), std::string::npos) << text;
}

TEST(Watchdog, SleepsWhileNothingIsWatched) {
  Kennel kennel;
  kennel.dog.set_limit(0.2);
  { const auto guard = kennel.dog.watch({"quick work"}); }
  EXPECT_EQ(kennel.said(1), "");
}

TEST(Watchdog, InnerWorkStartsTheClockAnewAndInheritsTheLimit) {
  Kennel kennel;
  kennel.dog.set_limit(0.1);
  const auto outer = kennel.dog.watch({"outer", -1, 1.5});
  for (int i = 0; i < 6; ++i) {
    const auto inner = kennel.dog.watch({"inner"});
    work_for(0.4);
  }
  EXPECT_EQ(kennel.said(0), "");
  EXPECT_NE(kennel.said(20).find("limit 1.5 s"), std::string::npos);
}

TEST(Watchdog, AHeartbeatKeepsWorkAliveUntilItStops) {
  Kennel kennel;
  Watchdog::Heartbeat beat{0};
  const auto guard = kennel.dog.watch({"training step", 3, 1.5, &beat});
  for (int i = 0; i < 6; ++i) {
    work_for(0.4);
    ++beat;
  }
  EXPECT_EQ(kennel.said(0), "");
  EXPECT_NE(kennel.said(20).find("training step 3"), std::string::npos);
}

TEST(Watchdog, TooDeepANestIsABug) {
  Kennel kennel;
  const std::function<void(int)> nest = [&](int depth) {
    const auto guard = kennel.dog.watch({"nested"});
    if (depth > 0) nest(depth - 1);
  };
  EXPECT_THROW(nest(1000), Error);
  EXPECT_NO_THROW(nest(3));
}

}  // namespace
}  // namespace trireme::comm
