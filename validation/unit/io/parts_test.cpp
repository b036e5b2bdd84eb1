// Parts of a file at any place: bytes arrive, neighbours stay, full and cut-off files are named.

#include "io/aio/parts.hpp"
#include "validation/unit/io/small_disk.hpp"
#include "validation/unit/io/test_files.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <numeric>
#include <random>
#include <thread>

namespace trireme::test {
namespace {

using namespace io::aio;

constexpr std::int64_t kMiB = 1 << 20;

std::string pattern(std::int64_t bytes, unsigned seed) {
  std::mt19937 random(seed);
  std::string text(static_cast<std::size_t>(bytes), '\0');
  for (char& c : text) c = static_cast<char>(random());
  return text;
}

/// Parts of a file of `bytes` that do not overlap, in order: runs of all sizes with holes between,
/// and columns of matrices.
std::vector<FilePart> random_parts(std::int64_t bytes, unsigned seed) {
  std::mt19937 random(seed);
  const auto up_to = [&](std::int64_t most) {
    return 1 + static_cast<std::int64_t>(random() % most);
  };
  std::vector<FilePart> parts;
  for (std::int64_t at = up_to(5000);;) {
    FilePart part{at, 0};
    switch (random() % 4) {
      case 0: part.bytes = up_to(64); break;
      case 1: part.bytes = up_to(300 << 10); break;
      case 2: part.bytes = up_to(2 * kWindowBytes); break;
      default:
        part.bytes = up_to(20000);
        part.rows = up_to(40);
        part.stride = part.bytes + up_to(20000);
    }
    const std::int64_t end = at + (part.rows - 1) * part.stride + part.bytes;
    if (end > bytes) return parts;
    parts.push_back(part);
    at = end + (random() % 2 == 0 ? 0 : up_to(random() % 2 == 0 ? 100 : 200 << 10));
  }
}

std::int64_t bytes_of(const FilePart& part) { return part.rows * part.bytes; }

/// The bytes of a part of `file`, dense.
std::string dense(const std::string& file, const FilePart& part) {
  std::string text;
  for (std::int64_t row = 0; row < part.rows; ++row)
    text += file.substr(static_cast<std::size_t>(part.offset + row * part.stride),
                        static_cast<std::size_t>(part.bytes));
  return text;
}

void put(std::string& file, const FilePart& part, const std::string& bytes) {
  for (std::int64_t row = 0; row < part.rows; ++row)
    std::memcpy(file.data() + part.offset + row * part.stride, bytes.data() + row * part.bytes,
                static_cast<std::size_t>(part.bytes));
}

const std::byte* data_of(const std::string& text) {
  return reinterpret_cast<const std::byte*>(text.data());
}

/// Number of parts that a reader finds otherwise than `file` says.
int differing(const std::string& path, const std::string& file, const std::vector<FilePart>& parts,
              bool direct) {
  NamedFile named(path, NamedFile::Mode::read, direct);
  PartsReader reader(named, parts);
  int count = 0;
  for (const FilePart& part : parts) {
    std::string found(static_cast<std::size_t>(bytes_of(part)), '\0');
    reader.read(reinterpret_cast<std::byte*>(found.data()));
    count += found == dense(file, part) ? 0 : 1;
  }
  return count;
}

/// Two writers at once, each with every other part: the file has all of them and what was there
/// before between them, and readers in any order find it so.
void round_trip(const std::string& path, unsigned seed) {
  SCOPED_TRACE(seed);
  const std::int64_t bytes = 24 * kMiB + seed;  // its last block is not whole
  std::string expected = pattern(bytes, seed);
  write_whole(path, expected);
  std::vector<FilePart> parts = random_parts(bytes, seed);
  std::vector<std::string> data;
  for (const FilePart& part : parts) {
    data.push_back(pattern(bytes_of(part), seed + static_cast<unsigned>(part.offset)));
    put(expected, part, data.back());
  }
  const auto write_every_other = [&](std::size_t first) {
    NamedFile file(path, NamedFile::Mode::write);
    PartsWriter writer(file);
    for (std::size_t i = first; i < parts.size(); i += 2) {
      std::string passing = data[i];
      writer.write(parts[i], data_of(passing));
      passing.assign(passing.size(), 'x');  // it was taken over
    }
    writer.finish();
  };
  std::thread other(write_every_other, 1);
  write_every_other(0);
  other.join();
  EXPECT_TRUE(read_whole(path) == expected);
  EXPECT_EQ(differing(path, expected, parts, true), 0);
  std::shuffle(parts.begin(), parts.end(), std::mt19937(seed));
  EXPECT_EQ(differing(path, expected, parts, true), 0);
  EXPECT_EQ(differing(path, expected, parts, false), 0);
  const FilePart& last = parts.back();
  expected[static_cast<std::size_t>(last.offset + last.bytes - 1)] ^= 1;
  EXPECT_EQ(differing(path, expected, parts, true), 1) << "a planted byte was not seen";
}

TEST(Parts, ArriveAndLeaveTheirNeighboursAlone) {
  const TestFolder folder;
  for (unsigned seed = 1; seed <= 6; ++seed) round_trip(folder / "state", seed);
}

TEST(Parts, WorkWhereTheFolderLiesInMemory) {
  const std::string path = "/dev/shm/trireme-parts-test." + std::to_string(::getpid());
  round_trip(path, 7);
  const NamedFile file(path, NamedFile::Mode::read);
  EXPECT_FALSE(file.direct());
  EXPECT_NE(file.why_buffered().find("tmpfs"), std::string::npos);
  std::filesystem::remove(path);
}

TEST(Parts, LargeOnesPassThePageCacheBy) {
  const TestFolder folder;
  const std::string path = folder / "state";
  constexpr std::int64_t kBytes = 16 * kMiB;
  write_whole(path, std::string(kBytes, 'a'));
  // The bytes that this process has had written to disks, as the system counts them.
  const auto written = [] {
    const std::string text = read_whole("/proc/self/io");
    return std::stoll(text.substr(text.find("\nwrite_bytes: ") + 14));
  };
  NamedFile file(path, NamedFile::Mode::write);
  ASSERT_TRUE(file.direct()) << file.why_buffered();
  const std::string data = pattern(kBytes, 1);
  const auto requests = [&] {
    const std::int64_t before = written();
    PartsWriter writer(file);
    writer.write({0, kBytes}, data_of(data));
    writer.finish();
    return written() - before;
  };
  EXPECT_GE(requests(), kBytes);
  EXPECT_TRUE(read_whole(path) == data);
}

TEST(Parts, AFileThatIsCutOffOrMissingIsNamed) {
  const TestFolder folder;
  const std::string path = folder / "state";
  write_whole(path, pattern(3 * kMiB, 1));
  NamedFile file(path, NamedFile::Mode::read);
  std::vector<std::byte> memory(static_cast<std::size_t>(4 * kMiB));
  const std::string text = error_text([&] {
    PartsReader reader(file, {{100, 4 * kMiB}});
    reader.read(memory.data());
  });
  EXPECT_NE(text.find("file '" + path + "': reading"), std::string::npos) << text;
  EXPECT_NE(text.find("the file ends before: it was cut off"), std::string::npos) << text;
  const std::string missing =
      error_text([&] { NamedFile(folder / "none", NamedFile::Mode::read); });
  EXPECT_NE(missing.find("none' can't be opened to read it: No such file"), std::string::npos)
      << missing;
}

TEST(Parts, ADiskThatIsFullIsNamedAndNothingHangs) {
  const TestFolder folder;
  SmallDisk disk(folder / "disk", 24 * kMiB);
  if (!disk.mounted()) {
    std::printf("not run: a full disk: %s\n", disk.why_not().c_str());
    GTEST_SKIP() << disk.why_not();
  }
  const std::string path = disk.path() + "/state";
  write_whole(path, "");
  std::filesystem::resize_file(path, 64 * kMiB);  // a length without space
  const std::string data = pattern(64 * kMiB, 1);
  const std::string text = error_text([&] {
    NamedFile file(path, NamedFile::Mode::write);
    PartsWriter writer(file);
    writer.write({0, 64 * kMiB}, data_of(data));
    writer.finish();
  });
  EXPECT_NE(text.find("file '" + path + "': writing"), std::string::npos) << text;
  EXPECT_NE(text.find("No space left on device"), std::string::npos) << text;
}

}  // namespace
}  // namespace trireme::test
