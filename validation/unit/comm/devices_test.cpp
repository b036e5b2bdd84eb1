// What only communicators between devices do: sends without tags, work that stands in a stream, a
// lane that blocks in order, and faults of a member's device, each as its named error.

#include "kernels/base/error.hpp"
#include "validation/emulation/emulation.hpp"
#include "validation/unit/comm/collective_cases.hpp"

namespace trireme::comm::test {
namespace {

const auto* const kRuntime = validation::with_runtime_and_device(1);

constexpr int kRemoteError = 6;  // NCCL's

bool here() { return validation::test_space() == MemorySpace::device; }

/// Two neighbours pass messages of growing size there and back, all in flight at once.
TEST(Devices, SendsOfAPairMeetReceivesInTheOrderOfTheCalls) {
  if (!here() || World().size() % 2 != 0) return;  // np 2 and 4 run it
  Setting setting(Way::devices);
  Communicator& all = setting.all();
  const int me = all.index();
  const int peer = me ^ 1;
  constexpr int kMessages = 20;
  std::vector<float*> received(kMessages, nullptr);
  std::vector<Request> requests;
  const auto count_of = [](int message) { return std::int64_t{1} + 997 * message; };
  for (int m = 0; m < kMessages; ++m) {
    float* data = setting.take<float>(count_of(m));
    const bool sends = (m + me) % 2 == 0;
    if (!sends) received[static_cast<std::size_t>(m)] = data;
    fill(data, count_of(m), sends ? me : -1, m);
    requests.push_back(sends ? all.send(data, count_of(m), DType::f32, peer, m % 3)
                             : all.receive(data, count_of(m), DType::f32, peer, m % 3));
  }
  for (Request& request : requests) all.wait(request);
  for (int m = 0; m < kMessages; ++m)
    for (std::int64_t e = 0; received[static_cast<std::size_t>(m)] && e < count_of(m); ++e)
      ASSERT_EQ(received[static_cast<std::size_t>(m)][e], contribution<float>(peer, e, m));
}

/// What another stream computes behind an event has the sum; the host never waited.
TEST(Devices, ResultsAreThereForStreamsThatAreOrderedBehind) {
  if (!here()) return;
  Setting setting(Way::devices);
  Communicator& all = setting.all();
  constexpr std::int64_t kCount = 5000;
  float* data = setting.take<float>(kCount);
  float* copy = setting.take<float>(kCount);
  for (const bool ordered : {true, false}) {
    fill(data, kCount, setting.world().rank(), 3);
    Request request = all.all_reduce(data, kCount, DType::f32);
    Event behind;
    behind.record(setting.stream());
    Stream other;
    const StreamScope scope(other);
    if (ordered) behind.order(other);
    copy_bytes(copy, data, kCount * 4);
    other.wait();
    const std::int64_t wrong = wrong_sums(copy, 0, kCount, all.group(), 3);
    EXPECT_EQ(wrong > 0, !ordered && all.size() > 1);  // the planted fault: nothing is ordered
    all.wait(request);
    setting.world().barrier();
  }
}

/// What a communicator that waits too long, or whose device failed, throws.
struct Caught {
  Exit code = Exit::kOk;
  std::string text;
};
Caught caught(Communicator& group, Request& request) {
  try {
    group.wait(request);
  } catch (const Error& error) {
    return {error.code(), error.text()};
  }
  return {};
}

TEST(Devices, AMemberThatDoesNotComeIsNamedByTheDeadlineAndLeavesNobodyHanging) {
  if (!here() || World().size() == 1) return;
  CommOptions options;
  options.deadline_seconds = 0.3;
  Setting setting(Way::devices, {}, options);
  Communicator& all = setting.all();
  float* data = setting.take<float>(100);
  if (setting.world().rank() > 0) {
    Request request = all.all_reduce(data, 100, DType::f32);
    const Caught found = caught(all, request);
    EXPECT_EQ(found.code, Exit::kPeer);
    for (const char* part : {"all_reduce of 100 f32", "world group {0, 1", "0.3 s"})
      EXPECT_NE(found.text.find(part), std::string::npos) << found.text;
  }
  setting.communicators().abandon_devices();
  setting.stream().wait();  // what stood there has ended
  EXPECT_THROW(all.all_reduce(data, 100, DType::f32), Error);
  setting.world().barrier();
}

/// Two groups' operations in another order on one rank: a lane that blocks never gets on.
TEST(Devices, AnotherOrderOnOneRankIsNamedByTheDeadline) {
  if (!here() || World().size() != 2) return;
  CommOptions options;
  options.deadline_seconds = 0.3;
  for (const bool swapped : {false, true}) {
    Setting setting(Way::devices, ProcessGrid(2, 1, 1), options);
    Communicator* groups[] = {&setting[GroupKind::data], &setting.all()};
    if (swapped && setting.world().rank() == 1) std::swap(groups[0], groups[1]);
    groups[0]->all_reduce(setting.take<float>(10), 10, DType::f32);
    Request second = groups[1]->all_reduce(setting.take<float>(20), 20, DType::f32);
    const Caught found = caught(*groups[1], second);
    EXPECT_EQ(found.code, swapped ? Exit::kPeer : Exit::kOk) << found.text;
    setting.communicators().abandon_devices();
    setting.stream().wait();
    setting.world().barrier();
  }
}

TEST(Devices, AnErrorOfTheLinkIsNamedWithOperationAndGroup) {
  if (!here() || World().size() == 1) return;
  Setting setting(Way::devices);
  Communicator& all = setting.all();
  float* data = setting.take<float>(100);
  Request request = all.broadcast(data, 100, DType::f32, 0);
  emulation::break_links(kRemoteError);
  const Caught found = caught(all, request);
  emulation::break_links(0);
  EXPECT_EQ(found.code, Exit::kPeer);
  for (const char* part : {"broadcast of 100 f32", "world group {0, 1", "network error"})
    EXPECT_NE(found.text.find(part), std::string::npos) << found.text;
  setting.world().barrier();
  setting.communicators().abandon_devices();
  setting.stream().wait();
}

TEST(Devices, TooLittleStagingMemoryIsABugReport) {
  if (!here() || World().size() == 1) return;
  Setting setting(Way::devices);
  setting.all().lend({});
  EXPECT_THROW(setting.all().all_reduce(setting.take<float>(9), 9, DType::f32), Error);
}

TEST(Devices, TwoRanksOnOneDeviceAreRefused) {
  if (!here() || World().size() == 1) return;
  const int devices = device_count();
  emulation::set_devices(1);
  EXPECT_THROW(Setting{Way::devices}, Error);
  emulation::set_devices(devices);
}

}  // namespace
}  // namespace trireme::comm::test
