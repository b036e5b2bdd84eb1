// Laws of the loops every kernel is built on: each index is visited once, sums have the same bits
// in every space and for every number of threads, scratch memory is reused.

#include "kernels/base/parallel.hpp"
#include "kernels/base/dropout.hpp"
#include "kernels/base/row_convert.hpp"
#include "validation/harness/runtime_fixture.hpp"

#include <bit>
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

/// Every 16-bit pattern survives fp32 and back; every fp32 of a sweep rounds as the scalar type
/// does.
template <class T>
void expect_rows_like_scalars() {
  std::vector<T> patterns(65536);
  for (std::uint32_t i = 0; i < 65536; ++i)
    patterns[i] = std::bit_cast<T>(static_cast<std::uint16_t>(i));
  std::vector<float> wide(65536);
  std::vector<T> back(65536);
  load_row(patterns.data(), wide.data(), 65536);
  store_row(wide.data(), back.data(), 65536);
  for (std::size_t i = 0; i < 65536; ++i) {
    ASSERT_EQ(std::bit_cast<std::uint32_t>(wide[i]),
              std::bit_cast<std::uint32_t>(static_cast<float>(patterns[i])));
    if (std::isnan(wide[i]))
      ASSERT_TRUE(std::isnan(static_cast<float>(back[i])));
    else
      ASSERT_EQ(std::bit_cast<std::uint16_t>(back[i]), i);
  }
  std::vector<float> sweep;
  for (std::uint64_t u = 0; u < 0x100000000ull; u += 65521)
    sweep.push_back(std::bit_cast<float>(static_cast<std::uint32_t>(u)));
  const auto count = static_cast<std::int64_t>(sweep.size());
  std::vector<T> rounded(sweep.size());
  store_row(sweep.data(), rounded.data(), count);
  for (std::size_t i = 0; i < sweep.size(); ++i)
    ASSERT_EQ(std::bit_cast<std::uint16_t>(rounded[i]), std::bit_cast<std::uint16_t>(T(sweep[i])));
}

TEST(RowConvert, RowsRoundAsScalars) {
  expect_rows_like_scalars<BFloat16>();
  expect_rows_like_scalars<Float16>();
}

}  // namespace
}  // namespace trireme
