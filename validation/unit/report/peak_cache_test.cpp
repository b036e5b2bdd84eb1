// The kept GEMM peak: measured once, again for another machine or a torn file.

#include "io/metrics/peak_cache.hpp"
#include "io/metrics/write_file.hpp"
#include "kernels/base/error.hpp"
#include "validation/unit/report/sample_report.hpp"

#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <limits>

namespace trireme::io {
namespace {

PeakKey key() { return {"node-01", "EPYC", "avx avx2", "oneDNN 2.6.3", "fp32", 2, 1}; }

TEST(PeakCache, MeasuresOnceAndKeepsTheBits) {
  const auto folder = report::sample::fresh_folder("peak") / "made" / "on demand";
  int measured = 0;
  const auto measure = [&] {
    ++measured;
    return 1e11 / 3;
  };
  const auto first = cached_peak(key(), measure, folder);
  const auto second = cached_peak(key(), measure, folder);
  EXPECT_EQ(measured, 1);
  EXPECT_FALSE(first.from_cache);
  EXPECT_TRUE(second.from_cache);
  EXPECT_EQ(second.flops, 1e11 / 3);
  EXPECT_EQ(second.measured, first.measured);
  EXPECT_TRUE(std::filesystem::exists(second.file));
}

TEST(PeakCache, WhatTheMachineHasBeatenIsMeasuredAgain) {
  const auto folder = report::sample::fresh_folder("peak-beaten");
  int measured = 0;
  const auto measure = [&] { return 1e9 * ++measured; };
  cached_peak(key(), measure, folder);
  EXPECT_EQ(cached_peak(key(), measure, folder, 0.9e9).flops, 1e9);
  EXPECT_EQ(cached_peak(key(), measure, folder, 1.1e9).flops, 2e9);
  EXPECT_EQ(cached_peak(key(), measure, folder).flops, 2e9);
}

TEST(PeakCache, EveryPartOfTheKeyCounts) {
  const auto folder = report::sample::fresh_folder("peak-key");
  int measured = 0;
  const auto measure = [&] { return 1e9 * ++measured; };
  cached_peak(key(), measure, folder);
  std::vector<PeakKey> others(7, key());
  others[0].host = "node-02";
  others[1].cpu = "Xeon";
  others[2].flags += " avx512f";
  others[3].library = "oneDNN 3.2";
  others[4].dtype = "bf16";
  others[5].threads = 4;
  others[6].ranks = 2;
  for (const auto& other : others) cached_peak(other, measure, folder);
  EXPECT_EQ(measured, 8);
  EXPECT_EQ(cached_peak(key(), measure, folder).flops, 1e9);
}

TEST(PeakCache, TornOrForeignFilesAreMeasuredAgain) {
  const auto folder = report::sample::fresh_folder("peak-torn");
  const auto file = cached_peak(
                        key(), [] { return 1e9; }, folder)
                        .file;
  const std::string good = read_file(file, "a peak");
  for (const std::string& bad :
       {good.substr(0, good.size() / 2), std::string(), std::string("[]"),
        std::string(R"({"flops":1e12,"measured":"","key":{}})"), std::string(R"({"flops":"x"})")}) {
    write_file_atomically(file, bad);
    const auto again = cached_peak(
        key(), [] { return 2e9; }, folder);
    EXPECT_FALSE(again.from_cache) << bad;
    EXPECT_EQ(again.flops, 2e9);
  }
  EXPECT_TRUE(cached_peak(
                  key(), [] { return 3e9; }, folder)
                  .from_cache);
}

TEST(PeakCache, UnwritableFolderIsNoError) {
  const auto folder = report::sample::fresh_folder("peak-file") / "file";
  std::ofstream(folder) << "in the way";
  const auto result = cached_peak(
      key(), [] { return 1e9; }, folder / "below");
  EXPECT_EQ(result.flops, 1e9);
  EXPECT_TRUE(result.file.empty());
  EXPECT_EQ(cached_peak(key(), [] { return 1e9; }, {}).flops, 1e9);
}

TEST(PeakCache, NonsenseIsAnError) {
  const auto folder = report::sample::fresh_folder("peak-bad");
  EXPECT_THROW(cached_peak(
                   key(), [] { return 0.0; }, folder),
               Error);
  EXPECT_THROW(cached_peak(
                   key(), [] { return std::numeric_limits<double>::quiet_NaN(); }, folder),
               Error);
}

TEST(PeakCache, FolderFollowsTheEnvironment) {
  ::setenv("XDG_CACHE_HOME", "/somewhere", 1);
  EXPECT_EQ(cache_folder(), "/somewhere/trireme");
  ::unsetenv("XDG_CACHE_HOME");
  ::setenv("HOME", "/data/rower", 1);
  EXPECT_EQ(cache_folder(), "/data/rower/.cache/trireme");
  EXPECT_FALSE(this_machine().host.empty());
}

}  // namespace
}  // namespace trireme::io
