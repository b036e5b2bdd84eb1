// Laws of the loops every kernel is built on: each index is visited once, sums have the same bits
// in every space and for every number of threads, scratch memory is reused.

#include "kernels/base/parallel.hpp"
#include "kernels/base/dropout.hpp"
#include "validation/harness/runtime_fixture.hpp"

#include <cmath>
#include <cstring>
#include <thread>
#include <vector>

namespace trireme {
namespace {

const auto* const kRuntime = validation::with_runtime(4);

TEST(Parallel, EveryIndexOnce) {
  for (const auto way : validation::kEveryWay)
    for (const Balance balance : {Balance::even, Balance::dynamic})
      for (const std::int64_t total : {0, 1, 7, 64, 1000}) {
        const ExecutionScope scope(way.execution, way.threads);
        EXPECT_EQ(execution_threads(), way.threads);
        std::vector<int> visits(static_cast<std::size_t>(total));
        for_rows(
            "visit", total, 3,
            [&](std::int64_t begin, std::int64_t end) {
              for (auto i = begin; i < end; ++i) ++visits[static_cast<std::size_t>(i)];
            },
            balance);
        for (const int count : visits) ASSERT_EQ(count, 1);
      }
}

float term(std::int64_t i) { return std::sin(static_cast<float>(i)) * 1e3f; }

TEST(Parallel, SumsHaveTheSameBitsEverywhere) {
  const auto partial = [](std::int64_t begin, std::int64_t end) {
    float sum = 0;
    for (auto i = begin; i < end; ++i) sum += term(i);
    return sum;
  };
  float first = 0;
  for (const auto way : validation::kEveryWay) {
    const ExecutionScope scope(way.execution, way.threads);
    const float sum = sum_chunks<float>("sum", 100'001, 64, partial);
    if (first == 0) first = sum;
    EXPECT_EQ(std::memcmp(&sum, &first, sizeof sum), 0);
  }
  // The fault: partials by thread, not by fixed chunk, do change bits.
  bool changed = false;
  for (const std::int64_t threads : {2, 3, 4})
    changed |= sum_chunks<float>("faulty", 100'001, divide_up(100'001, threads), partial) != first;
  EXPECT_TRUE(changed);
}

TEST(Parallel, OtherThreadsRunSerially) {
  std::thread([] {
    EXPECT_EQ(execution(), Execution::serial);
    EXPECT_EQ(execution_threads(), 1);
    EXPECT_THROW(ExecutionScope(Execution::openmp), Error);
    int calls = 0;
    for_rows("alone", 10, 1, [&](std::int64_t, std::int64_t) { ++calls; });
    EXPECT_EQ(calls, 10);
  }).join();
  EXPECT_EQ(execution(), Execution::openmp);
}

TEST(Scratch, IsReused) {
  const auto use = [] {
    ScratchFrame outer;
    float* a = outer.take<float>(1000);
    ScratchFrame inner;
    float* b = inner.take<float>(3'000'000);
    a[999] = b[2'999'999] = 1;
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(b) % 64, 0u);
  };
  use();
  const auto held = scratch_bytes();
  for (int i = 0; i < 10; ++i) use();
  EXPECT_EQ(scratch_bytes(), held);
  EXPECT_GT(held, 12'000'000);
}

TEST(Dropout, IsAFunctionOfItsKeyAndElement) {
  const DropoutKey key{
      .seed = 7, .step = 3, .layer_place = 9, .probability = 0.25f, .first_sample = 5};
  DropoutKey shifted = key;
  shifted.first_sample = 6;
  std::vector<float> factors(1001);
  DropoutStream(key, 1).factors(3, 1001, key.scale(), factors.data());
  std::int64_t kept = 0;
  std::int64_t same_as_next_step = 0;
  DropoutKey next = key;
  next.step = 4;
  for (std::int64_t i = 0; i < 1001; ++i) {
    const bool keep = dropout_keep(key, 1, 3 + i);
    EXPECT_EQ(factors[static_cast<std::size_t>(i)] != 0, keep);
    EXPECT_EQ(dropout_keep(shifted, 0, 3 + i),
              keep);  // the same global sample in another micro-batch
    kept += keep;
    same_as_next_step += dropout_keep(next, 1, 3 + i) == keep;
  }
  EXPECT_NEAR(static_cast<double>(kept) / 1001, 0.75, 0.05);
  EXPECT_LT(same_as_next_step, 800);  // independent draws agree on 0.75^2 + 0.25^2 = 62 %
}

}  // namespace
}  // namespace trireme
