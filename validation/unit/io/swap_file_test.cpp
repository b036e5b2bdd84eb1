// Swap files on real disks: space, names, the page cache, processes that die.

#include "io/aio/swap_file.hpp"
#include "io/aio/engine.hpp"
#include "validation/unit/io/direct_memory.hpp"
#include "validation/unit/io/small_disk.hpp"
#include "validation/unit/io/test_files.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <map>
#include <sstream>

#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <unistd.h>

namespace trireme::test {
namespace {

using namespace io::aio;

constexpr std::int64_t kMiB = 1 << 20;

/// Bytes that this process has had moved to and from disks, as the system counts them.
std::map<std::string, std::int64_t> disk_traffic() {
  std::istringstream in(read_whole("/proc/self/io"));
  std::map<std::string, std::int64_t> counters;
  std::string name;
  for (std::int64_t value = 0; in >> name >> value;) counters[name] = value;
  return counters;
}

std::int64_t free_bytes(const std::string& folder) {
  struct statvfs about {};
  EXPECT_EQ(::statvfs(folder.c_str(), &about), 0);
  return static_cast<std::int64_t>(about.f_bavail * about.f_frsize);
}

std::size_t entries(const std::string& folder) {
  std::size_t count = 0;
  for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator(folder)) ++count;
  return count;
}

void write_and_read(SwapFile& file, std::int64_t bytes) {
  const DirectMemory from(bytes, 3);
  const DirectMemory to(bytes);
  Engine engine({});
  engine.wait(engine.write(file, 0, from.all()));
  engine.wait(engine.read(file, 0, to.all()));
  EXPECT_TRUE(same(from.all(), to.all()));
}

TEST(SwapFile, DirectTrafficIsCountedByTheSystem) {
  const TestFolder folder;
  for (const bool direct : {true, false}) {
    SwapFile file(folder / ".", 8 * kMiB, {.direct = direct});
    ASSERT_EQ(file.direct(), direct) << file.why_buffered();
    EXPECT_EQ(file.why_buffered(), direct ? "" : "it was asked for");
    auto before = disk_traffic();
    write_and_read(file, 8 * kMiB);
    auto after = disk_traffic();
    // The page cache serves the read of what was just written.
    const std::int64_t read = after["read_bytes:"] - before["read_bytes:"];
    if (direct) {
      EXPECT_GE(read, 8 * kMiB);
      EXPECT_GE(after["write_bytes:"] - before["write_bytes:"], 8 * kMiB);
    } else {
      EXPECT_LT(read, kMiB);
    }
  }
}

TEST(SwapFile, AFolderInMemoryIsSaidToBeOne) {
  SwapFile file("/dev/shm", kMiB);
  EXPECT_FALSE(file.direct());
  EXPECT_NE(file.why_buffered().find("lies in memory"), std::string::npos);
  write_and_read(file, kMiB);
}

TEST(SwapFile, HasNoNameAndItsSpaceIsTaken) {
  const TestFolder folder;
  for (const bool unnamed : {true, false}) {
    SwapFile a(folder / ".", 4 * kMiB, {.unnamed = unnamed});
    SwapFile b(folder / ".", 4 * kMiB, {.unnamed = unnamed});
    EXPECT_EQ(entries(folder / "."), 0U);
    struct stat about {};
    ASSERT_EQ(::fstat(a.descriptor(), &about), 0);
    EXPECT_EQ(about.st_nlink, 0U);
    EXPECT_GE(about.st_blocks * 512, 4 * kMiB);
    write_and_read(a, 4 * kMiB);
  }
}

TEST(SwapFile, GrowsAndKeepsWhatItHas) {
  const TestFolder folder;
  SwapFile file(folder / ".", kMiB, {.checksums = true});
  EXPECT_EQ(file.checksum_bytes(), kMiB / 1024);
  write_and_read(file, kMiB);
  file.grow(3 * kMiB);
  EXPECT_EQ(file.bytes(), 3 * kMiB);
  EXPECT_TRUE(file.direct());
  const DirectMemory from(kMiB, 3);
  const DirectMemory to(3 * kMiB);
  Engine engine({});
  engine.wait(engine.read(file, 0, to.all()));
  EXPECT_TRUE(same(from.all(), to.part(0, kMiB)));
  EXPECT_EQ(std::ranges::count(to.part(kMiB, 2 * kMiB), std::byte{0}), 2 * kMiB);
  EXPECT_NE(error_text([&] { file.grow(kMiB); }).find("can't grow from"), std::string::npos);
  EXPECT_NE(error_text([&] { file.grow(4 * kMiB + 1); }).find("multiple of 4096"),
            std::string::npos);
}

TEST(SwapFile, AFolderThatIsMissingOrAFileIsNamed) {
  const TestFolder folder;
  write_whole(folder / "file", "x");
  for (const std::string& name : {folder / "missing", folder / "file", std::string("/proc")}) {
    const std::string text = error_text([&] { SwapFile file(name, kMiB); });
    EXPECT_NE(text.find("can't make a swap file in '" + name + "'"), std::string::npos) << text;
  }
}

TEST(SwapFile, AFileLargerThanAllowedIsRefused) {
  const TestFolder folder;
  struct rlimit before {};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &before), 0);
  const auto old = std::signal(SIGXFSZ, SIG_IGN);
  const struct rlimit limit { 2 * kMiB, before.rlim_max };
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &limit), 0);
  const std::string text = error_text([&] { SwapFile file(folder / ".", 4 * kMiB); });
  ::setrlimit(RLIMIT_FSIZE, &before);
  std::signal(SIGXFSZ, old);
  EXPECT_NE(text.find("can't allocate 4194304 bytes at offset 0: File too large"),
            std::string::npos)
      << text;
}

TEST(SwapFile, AFullDiskShowsAtAllocationAndAtGrowth) {
  const TestFolder folder;
  SmallDisk disk(folder / "disk", 24 * kMiB);
  if (!disk.mounted()) {
    std::printf("not run: a full disk: %s\n", disk.why_not().c_str());
    GTEST_SKIP() << disk.why_not();
  }
  const std::int64_t all = free_bytes(disk.path());
  const std::string text = error_text([&] { SwapFile file(disk.path(), 64 * kMiB); });
  EXPECT_NE(text.find("swap file in '" + disk.path() +
                      "': can't allocate 67108864 bytes at offset 0: No space left on device: "),
            std::string::npos)
      << text;
  EXPECT_NE(text.find("were free; free some"), std::string::npos) << text;
  EXPECT_EQ(free_bytes(disk.path()), all);
  {
    SwapFile file(disk.path(), 4 * kMiB, {.checksums = true});
    ASSERT_TRUE(file.direct()) << file.why_buffered();
    write_and_read(file, 4 * kMiB);
    const std::string growth = error_text([&] { file.grow(64 * kMiB); });
    EXPECT_NE(growth.find("can't allocate 62914560 bytes at offset 4194304"), std::string::npos)
        << growth;
    EXPECT_EQ(file.bytes(), 4 * kMiB);
    EXPECT_TRUE(file.direct());
    const DirectMemory from(4 * kMiB, 3);
    const DirectMemory to(4 * kMiB);
    Engine engine({});
    engine.wait(engine.read(file, 0, to.all()));
    EXPECT_TRUE(same(from.all(), to.all()));
    file.grow(8 * kMiB);  // what fits still does
  }
  EXPECT_EQ(free_bytes(disk.path()), all);
}

TEST(SwapFile, AReadOnlyDiskIsNamed) {
  const TestFolder folder;
  SmallDisk disk(folder / "disk", 8 * kMiB);
  if (!disk.mounted() || !disk.make_read_only()) {
    std::printf("not run: a read-only disk: %s\n", disk.why_not().c_str());
    GTEST_SKIP() << disk.why_not();
  }
  const std::string text = error_text([&] { SwapFile file(disk.path(), kMiB); });
  EXPECT_NE(text.find("Read-only file system"), std::string::npos) << text;
}

TEST(SwapFile, AKilledProcessLeavesNothing) {
  const TestFolder folder;
  const std::int64_t bytes = 64 * kMiB;
  int ready[2];
  ASSERT_EQ(::pipe(ready), 0);
  const pid_t child = ::fork();
  ASSERT_GE(child, 0);
  if (child == 0) {  // swaps until it is killed
    SwapFile file(folder / ".", bytes);
    const DirectMemory memory(4 * kMiB);
    Engine engine({});
    for (bool told = false;;) {
      engine.wait(engine.write(file, 0, memory.all()));
      if (!told && ::write(ready[1], "x", 1) == 1) told = true;
    }
  }
  char letter = 0;
  ASSERT_EQ(::read(ready[0], &letter, 1), 1);
  EXPECT_EQ(entries(folder / "."), 0U);
  ::kill(child, SIGKILL);
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFSIGNALED(status));
  EXPECT_EQ(entries(folder / "."), 0U);
  ::close(ready[0]);
  ::close(ready[1]);
}

TEST(SwapFile, TwoProcessesMayUseOneFolder) {
  const TestFolder folder;
  const auto run = [&](unsigned seed) {
    SwapFile file(folder / ".", 4 * kMiB, {.unnamed = false});
    const DirectMemory from(4 * kMiB, seed);
    const DirectMemory to(4 * kMiB);
    Engine engine({.block_size = 64 * kUnit, .threads = 2});
    bool right = true;
    for (int round = 0; round < 5; ++round) {
      engine.wait(engine.write(file, 0, from.all()));
      engine.wait(engine.read(file, 0, to.all()));
      right &= same(from.all(), to.all());
    }
    return right;
  };
  const pid_t child = ::fork();
  ASSERT_GE(child, 0);
  if (child == 0) ::_exit(run(10) ? 0 : 1);
  EXPECT_TRUE(run(20));
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
}

}  // namespace
}  // namespace trireme::test
