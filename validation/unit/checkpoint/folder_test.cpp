// Checkpoints as folders: which is the newest, which stay.

#include "lib/checkpoint/folder.hpp"
#include "validation/unit/io/test_files.hpp"

#include <gtest/gtest.h>

#include <set>

namespace trireme::checkpoint {
namespace {

namespace fs = std::filesystem;

class Folder : public testing::Test {
 protected:
  fs::path make(std::int64_t step, bool complete = true) {
    const fs::path path = folder_of_step(root(), step);
    fs::create_directories(path);
    if (complete) {
      Marker marker;
      marker.run.step = step;
      marker.checksums["/a"] = 0xfedcba9876543210ull;
      write_marker(path, marker);
    }
    return path;
  }
  fs::path root() const { return folder_ / "checkpoints"; }
  std::set<std::string> names() const {
    std::set<std::string> found;
    for (const auto& entry : fs::directory_iterator(root()))
      found.insert(entry.path().filename().string());
    return found;
  }

  test::TestFolder folder_;
};

TEST_F(Folder, MarkerComesBackAsItWas) {
  Marker marker;
  marker.run = {12, 345, 678, {}, "print", "data", "{\"a\": \"\\n\"}"};
  marker.run.optim.applied_steps = 11;
  marker.checksums["/parameters/x"] = 0xffffffffffffffffull;
  const fs::path path = make(12, false);
  write_marker(path, marker);
  const Marker read = read_marker(comm::World(), path);
  EXPECT_EQ(read.run.step, 12);
  EXPECT_EQ(read.run.tokens, 345);
  EXPECT_EQ(read.run.samples, 678);
  EXPECT_EQ(read.run.optim.applied_steps, 11);
  EXPECT_EQ(read.run.fingerprint, "print");
  EXPECT_EQ(read.run.data, "data");
  EXPECT_EQ(read.run.resolved_deck, marker.run.resolved_deck);
  EXPECT_EQ(read.checksums, marker.checksums);
}

TEST_F(Folder, NewestIsByNumberAndComplete) {
  EXPECT_FALSE(latest(root()).has_value());
  const fs::path small = make(9);
  EXPECT_EQ(latest(root()), small);
  const fs::path large = make(123456789012);  // more digits than the name pads to
  make(9999999999);
  make(123456789013, false);
  EXPECT_EQ(latest(root()), large);
}

TEST_F(Folder, OnlyOwnOldOnesAreRemoved) {
  make(1);
  make(2, false);
  make(3);
  make(4);
  make(5, false);
  fs::create_directories(root() / "step_0000000001_best");
  fs::copy(folder_of_step(root(), 1) / "complete", root() / "step_0000000001_best/complete");
  prune(root(), 2);
  EXPECT_EQ(names(), (std::set<std::string>{"step_0000000001_best", "step_0000000003",
                                            "step_0000000004", "step_0000000005"}));
  prune(root(), 0);
  EXPECT_EQ(names().size(), 4u);
}

TEST_F(Folder, LaterOnesAreSetAside) {
  for (const std::int64_t step : {1, 2, 3}) make(step);
  EXPECT_EQ(set_aside_after(root(), 3), 0);
  EXPECT_EQ(set_aside_after(root(), 1), 2);
  EXPECT_EQ(latest(root()), folder_of_step(root(), 1));
  EXPECT_TRUE(fs::exists(root() / "superseded.1/step_0000000003/complete"));
  make(2);
  EXPECT_EQ(set_aside_after(root(), 1), 1);
  EXPECT_TRUE(fs::exists(root() / "superseded.2/step_0000000002/complete"));
}

TEST_F(Folder, RoomIsAskedForAndNamed) {
  fs::create_directories(root());
  check_space(root(), 1);
  const std::string text = test::error_text([&] { check_space(root(), std::int64_t{1} << 60); });
  EXPECT_NE(text.find("are free"), std::string::npos) << text;
}

}  // namespace
}  // namespace trireme::checkpoint
