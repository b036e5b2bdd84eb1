// Devices as kernels/base/device.hpp promises them: memory, streams, events, copies, and the errors
// of calls that no device can serve. In host space the same program has no back end, and says so.

#include "kernels/base/device.hpp"

#include "kernels/base/device_links.hpp"
#include "kernels/elementwise/elementwise.hpp"
#include "validation/harness/reference_math.hpp"

#include <algorithm>
#include <numeric>
#include <string>
#include <thread>

namespace trireme {
namespace {

using validation::TestTensor;

const auto* const kRuntime = validation::with_runtime_and_device(1);

bool on_host() { return validation::test_space() == MemorySpace::host; }

template <class F>
Exit exit_of(const F& f) {
  try {
    f();
  } catch (const Error& error) {
    return error.code();
  }
  return Exit::kOk;
}

TEST(Device, WithoutABackEndEveryCallSaysHowToBuildOne) {
  if (!on_host()) GTEST_SKIP() << "this run has a device";
  try {
    device_count();
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), Exit::kUsage);
    EXPECT_NE(error.text().find("TRIREME_CUDA"), std::string::npos);
  }
  EXPECT_EQ(exit_of([] { DeviceMemory(1); }), Exit::kUsage);
  float x = 0;  // a view that claims to lie on a device
  const TensorView view(&x, {1}, DType::f32, 0, MemorySpace::device);
  EXPECT_EQ(exit_of([&] { kernels::scale(view, 2); }), Exit::kUsage);
}

TEST(Device, SaysWhatItIs) {
  if (on_host()) GTEST_SKIP() << "this run has no device";
  EXPECT_GE(device_count(), 1);
  const DeviceInfo info = describe_device(0);
  EXPECT_FALSE(info.name.empty());
  EXPECT_GT(info.memory, 0);
  EXPECT_GT(info.multiprocessors, 0);
  EXPECT_EQ(exit_of([] { select_device(1000); }), Exit::kUsage);
}

TEST(Device, CopiesGoThereAndBackInOrder) {
  if (on_host()) GTEST_SKIP() << "this run has no device";
  constexpr std::int64_t kCount = 100'000;
  const std::int64_t bytes = kCount * static_cast<std::int64_t>(sizeof(int));
  PinnedMemory from(bytes), to(bytes);
  auto* source = static_cast<int*>(from.data());
  std::iota(source, source + kCount, 7);
  DeviceMemory first(bytes);
  const DeviceMemory second(bytes);
  Stream other;
  Event copied;
  copy_bytes(first.data(), from.data(), bytes);
  copied.record(current_stream());
  {
    const StreamScope scope(other);  // goes on where the first stream stops
    copied.order(other);
    copy_bytes(second.data(), first.data(), bytes);
    copy_bytes(to.data(), second.data(), bytes);
  }
  Event done;
  done.record(other);
  done.wait();
  EXPECT_TRUE(done.done());
  EXPECT_GE(Event::seconds(copied, done), 0);
  const auto* got = static_cast<const int*>(to.data());
  EXPECT_TRUE(std::equal(source, source + kCount, got));
  const void* at = first.data();
  const DeviceMemory moved = std::move(first);
  EXPECT_EQ(moved.data(), at);
  EXPECT_EQ(moved.bytes(), bytes);
}

TEST(Device, ScratchGrowsToItsLargestNeedAndStays) {
  if (on_host()) GTEST_SKIP() << "this run has no device";
  Stream stream;
  const void* small = stream.scratch("test", 1000);
  EXPECT_EQ(stream.scratch("test", 10), small);
  stream.scratch("test", 1 << 20);
  const void* large = stream.scratch("test", 1 << 20);
  EXPECT_EQ(stream.scratch("test", 1000), large);
  EXPECT_EQ(stream.scratch_used(), 1 << 20);
}

TEST(Device, ReservedScratchStaysWhereItIsAndNoKernelTakesMore) {
  if (on_host()) GTEST_SKIP() << "this run has no device";
  const std::int64_t free = device_memory_state().free;
  constexpr std::int64_t kReserved = 4096, kOwn = 64 << 20, kGranularity = 4 << 20;
  Stream stream;
  stream.scratch("test", kOwn);
  EXPECT_LE(device_memory_state().free, free - kOwn);
  const DeviceMemory reserved(kReserved);
  stream.reserve_scratch(reserved.data(), reserved.bytes());
  EXPECT_GE(device_memory_state().free, free - kGranularity) << "what it had grown is freed";
  for (const std::int64_t bytes : {kReserved, std::int64_t{10}, std::int64_t{0}})
    EXPECT_EQ(stream.scratch("test", bytes), reserved.data());
  try {
    stream.scratch("some_kernel", kReserved + 1);
    FAIL() << "planted fault: a kernel of which the plan knew less";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), Exit::kUnexpected);
    for (const char* part : {"some_kernel", "4097", "4096"})
      EXPECT_NE(error.text().find(part), std::string::npos) << error.text();
  }
}

/// Records f(); nothing of it is done.
template <class F>
void record(Graph& graph, const F& f) {
  Recording recording(current_stream());
  f();
  recording.into(graph);
}

TEST(Device, AGraphDoesAgainWhatWasRecordedWithItsArguments) {
  if (on_host()) GTEST_SKIP() << "this run has no device";
  const auto start = TestTensor::random({40, 7}, DType::f32, 5);
  const TestTensor x({40, 7}, DType::f32);
  const TensorView from = start.view();
  const TensorView to = x.view();
  Stream& stream = current_stream();
  const auto expect_times = [&](double factor) {
    stream.wait();
    std::vector<double> want = start.values();
    for (double& value : want) value *= factor;
    EXPECT_EQ(x.values(), want);
  };
  kernels::copy(from, to);
  Graph graph;
  EXPECT_TRUE(graph.empty());
  float factor = 2;
  record(graph, [&] { kernels::scale(to, factor); });
  factor = 16;  // not the graph's
  expect_times(1);
  graph.launch(stream);
  graph.launch(stream);
  expect_times(4);
  record(graph, [&] { kernels::scale(to, 0.5f); });  // the same kernel
  graph.launch(stream);
  expect_times(2);
  Event begin, middle, end;
  begin.record(stream);
  record(graph, [&] {  // others: a copy, marks
    kernels::copy(from, to);
    middle.record_inside(stream);
    kernels::scale(to, 8);
  });
  graph.launch(stream);
  end.record(stream);
  expect_times(8);
  EXPECT_GE(Event::seconds(begin, middle), 0);
  EXPECT_GE(Event::seconds(middle, end), 0);
  const Graph moved = std::move(graph);
  EXPECT_TRUE(graph.empty());  // NOLINT: what a moved one is
  moved.launch(stream);
  expect_times(8);
}

TEST(Device, ARecordingThatFailsLeavesTheStreamAsItWas) {
  if (on_host()) GTEST_SKIP() << "this run has no device";
  const auto x = TestTensor::random({64}, DType::f32, 6);
  const TensorView view = x.view();
  const std::vector<double> before = x.values();
  Graph graph;
  EXPECT_NE(exit_of([&] {
              record(graph, [&] {
                kernels::scale(view, 2);
                const DeviceMemory memory(1 << 20);
              });
            }),
            Exit::kOk);
  EXPECT_NE(exit_of([&] {
              record(graph, [&] {
                kernels::scale(view, 2);
                current_stream().wait();
              });
            }),
            Exit::kOk);
  EXPECT_TRUE(graph.empty());
  EXPECT_EQ(exit_of([&] { graph.launch(current_stream()); }), Exit::kUnexpected);
  current_stream().wait();
  EXPECT_EQ(x.values(), before);
  record(graph, [&] { kernels::scale(view, 2); });
  graph.launch(current_stream());
  current_stream().wait();
  EXPECT_EQ(x.values()[0], 2 * before[0]);
}

TEST(Device, MoreMemoryThanThereIsIsNamed) {
  if (on_host()) GTEST_SKIP() << "this run has no device";
  const std::int64_t total = device_memory_state().total;
  try {
    DeviceMemory(2 * total);
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), Exit::kUsage);
    EXPECT_NE(error.text().find("MiB are free"), std::string::npos) << error.text();
  }
  DeviceMemory(1 << 20);  // the error does not stick
}

/// On a real GPU this is NCCL itself, in a group of one: what one GPU can show of it.
TEST(Device, ALinkOfOneMovesBytesInTheOrderOfItsStream) {
  if (on_host()) GTEST_SKIP() << "this run has no device";
  try {
    describe_links();
  } catch (const Error& error) {
    GTEST_SKIP() << error.text();
  }
  constexpr std::int64_t kCount = 5000;
  constexpr std::int64_t kBytes = kCount * static_cast<std::int64_t>(sizeof(float));
  const auto x = TestTensor::random({kCount}, DType::f32, 3);
  const TestTensor gathered({kCount}, DType::f32);
  const TestTensor received({kCount}, DType::f32);
  std::vector<void*> at;
  for (const TestTensor* tensor : {&x, &gathered, &received}) at.push_back(tensor->view().data);
  Stream& stream = current_stream();
  DeviceLink link(make_link_key(), 1, 0, 60);
  link.all_gather(at[0], at[1], kBytes, stream);
  link.broadcast(at[1], kBytes, 0, stream);
  const LinkMove moves[] = {{at[1], kBytes, 0, true}, {at[2], kBytes, 0, false}};
  link.exchange(moves, stream);
  kernels::scale(received.view(), 2);
  stream.wait();
  EXPECT_EQ(link.wrong(), "");
  std::vector<double> twice = x.values();
  for (double& value : twice) value *= 2;
  EXPECT_EQ(gathered.values(), x.values());
  EXPECT_EQ(received.values(), twice);
  link.abandon();
  EXPECT_NE(link.wrong(), "");
  EXPECT_EQ(exit_of([&] { link.exchange(moves, stream); }), Exit::kPeer);
}

TEST(Device, MixedSpacesAndMissingStreamsAreBugs) {
  if (on_host()) GTEST_SKIP() << "this run has no device";
  const TestTensor x({4}, DType::f32);
  float host[4] = {};
  EXPECT_EQ(exit_of([&] { kernels::copy(x.view(), TensorView::of(host, {4})); }),
            Exit::kUnexpected);
  std::thread([&] {
    EXPECT_EQ(exit_of([&] { kernels::scale(x.view(), 2); }), Exit::kUnexpected);
  }).join();
}

}  // namespace
}  // namespace trireme
