// HDF5 files: what is written is read back, by any number of ranks; damage is noticed and named.

#include "io/checksum.hpp"
#include "io/hdf5/file.hpp"
#include "io/hdf5/pieces.hpp"
#include "io/hdf5/storage.hpp"
#include "kernels/base/checked.hpp"
#include "validation/unit/io/full_disk.hpp"
#include "validation/unit/io/test_files.hpp"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cstring>
#include <numeric>
#include <vector>

namespace trireme::io {
namespace {

using test::error_text;
using test::TestFolder;
using Mode = Hdf5File::Mode;

int rank() {
  int value = 0;
  MPI_Comm_rank(MPI_COMM_WORLD, &value);
  return value;
}
int ranks() {
  int value = 1;
  MPI_Comm_size(MPI_COMM_WORLD, &value);
  return value;
}

TEST(Hdf5File, KeepsAttributesOfEveryKind) {
  const TestFolder folder;
  const std::string path = folder / "a.h5";
  const std::string deck(100'000, 'x');  // beyond the 64 KiB of the oldest format
  {
    Hdf5File file(path, Mode::create);
    file.create_dataset("/deep/down/data", DType::f32, {3});
    file.set_attribute("/", "step", 41);
    file.set_attribute("/", "step", 42);
    file.set_attribute("/deep/down/data", "scale", 0.1);
    file.set_attribute("/deep", "deck", deck);
    file.set_attribute("/deep", "nothing", "");
    file.close();
  }
  const Hdf5File file(path, Mode::read);
  EXPECT_EQ(file.int_attribute("/", "step"), 42);
  EXPECT_EQ(file.double_attribute("/deep/down/data", "scale"), 0.1);
  EXPECT_EQ(file.string_attribute("/deep", "deck"), deck);
  EXPECT_EQ(file.string_attribute("/deep", "nothing"), "");
  EXPECT_TRUE(file.has_attribute("/", "step"));
  EXPECT_FALSE(file.has_attribute("/", "steps"));
  EXPECT_EQ(file.names("/deep"), std::vector<std::string>{"down"});
  EXPECT_TRUE(file.exists("/deep/down/data"));
  EXPECT_TRUE(file.exists("/"));
  EXPECT_FALSE(file.exists("/deep/up/data"));
  const std::string text = error_text([&] { file.int_attribute("/", "steps"); });
  EXPECT_NE(text.find("expected an attribute 'steps'"), std::string::npos) << text;
}

TEST(Hdf5File, KeepsEveryElementType) {
  const TestFolder folder;
  Hdf5File file(folder / "t.h5", Mode::create);
  const std::vector<std::uint64_t> bits{0x0123456789abcdefull, 0xfedcba9876543210ull};
  for (const DType type : {DType::f32, DType::f64, DType::bf16, DType::f16, DType::i32, DType::i64,
                           DType::u8, DType::u16, DType::u32}) {
    const std::string name = fmt::format("/{}", name_of(type));
    file.create_dataset(name, type, {2});
    const Slab all{{0}, {2}};
    file.write(name, all, bits.data(), type);
    std::vector<std::uint64_t> back(2);
    file.read(name, all, back.data(), type);
    EXPECT_EQ(checksum(back.data(), 2 * size_of(type)), checksum(bits.data(), 2 * size_of(type)))
        << name;
    EXPECT_EQ(file.info(name).dtype, type);
  }
}

TEST(Hdf5File, RanksWriteBoxesAndReadOthersBack) {
  const TestFolder folder(true);
  const std::string path = folder / "p.h5";
  const Shape shape{13, 6, 5};
  const auto value = [&](std::int64_t i, std::int64_t j, std::int64_t k) {
    return static_cast<float>((i * shape[1] + j) * shape[2] + k);
  };
  for (const bool checked : {false, true}) {
    {
      Hdf5File file(path, Mode::replace, MPI_COMM_WORLD);
      file.create_dataset("/x", DType::f32, shape,
                          {.chunk = checked ? Shape{4, 3, 5} : Shape{}, .fletcher32 = checked});
      const Range mine = split_evenly(shape[0], ranks(), rank());
      std::vector<float> part;
      for (std::int64_t i = mine.begin; i < mine.end; ++i)
        for (std::int64_t j = 0; j < shape[1]; ++j)
          for (std::int64_t k = 0; k < shape[2]; ++k) part.push_back(value(i, j, k));
      file.write("/x", {{mine.begin, 0, 0}, {mine.size(), shape[1], shape[2]}}, part.data(),
                 DType::f32, Transfer::collective);
      if (checked && ranks() > 1) {
        const std::string text = error_text([&] {
          file.write("/x", {{0, 0, 0}, {1, 1, 1}}, part.data(), DType::f32);
        });
        EXPECT_NE(text.find("use Transfer::collective"), std::string::npos) << text;
      }
      file.close();
    }
    const Hdf5File file(path, Mode::read, MPI_COMM_WORLD);
    // Read along another dim, the last rank taking nothing.
    const Range mine = split_evenly(shape[1], ranks(), rank());
    const std::int64_t width = rank() + 1 == ranks() && ranks() > 1 ? 0 : mine.size();
    std::vector<double> part(static_cast<std::size_t>(shape[0] * width * 2));
    file.read("/x", {{0, mine.begin, 3}, {shape[0], width, 2}}, part.data(), DType::f64,
              Transfer::collective);
    std::size_t next = 0;
    for (std::int64_t i = 0; i < shape[0]; ++i)
      for (std::int64_t j = mine.begin; j < mine.begin + width; ++j)
        for (std::int64_t k = 3; k < 5; ++k) ASSERT_EQ(part[next++], value(i, j, k));
  }
}

TEST(Hdf5File, CutsLargeTransfersIntoDensePieces) {
  // Each element of a box gets the number of its place in dense memory; pieces must agree.
  const Slab slab{{2, 0, 7}, {5, 3, 4}};
  for (const std::int64_t most : {1, 2, 3, 5, 12, 13, 59, 60, 1000}) {
    std::int64_t next = 0;
    for (const Piece& piece : cut_into_pieces(slab, most)) {
      const Shape& count = piece.slab.count;
      EXPECT_LE(count.elements(), most);
      EXPECT_EQ(piece.first_element, next);
      for (std::int64_t i = 0; i < count[0]; ++i)
        for (std::int64_t j = 0; j < count[1]; ++j)
          for (std::int64_t k = 0; k < count[2]; ++k) {
            const Shape& at = piece.slab.start;
            EXPECT_EQ(((at[0] - 2 + i) * 3 + at[1] + j) * 4 + at[2] - 7 + k, next++);
          }
    }
    EXPECT_EQ(next, 60);
  }
  EXPECT_TRUE(cut_into_pieces({{0, 0}, {0, 5}}, 10).empty());
}

/// Writes 2 MiB a rank; the disk of this rank may be full. The error's text.
std::string write_large(const std::string& path, bool parallel, bool full) {
  const std::int64_t mine = 1 << 18;
  const std::vector<std::int64_t> data(static_cast<std::size_t>(mine), 7);
  const std::int64_t parts = parallel ? ranks() : 1;
  const std::int64_t part = parallel ? rank() : 0;
  return error_text([&] {
    Hdf5File file =
        parallel ? Hdf5File(path, Mode::replace, MPI_COMM_WORLD) : Hdf5File(path, Mode::replace);
    file.create_dataset("/x", DType::i64, {mine * parts});
    const test::FullDisk disk(full ? path : "");
    file.write("/x", {{mine * part}, {mine}}, data.data(), DType::i64, Transfer::collective);
    file.close();
  });
}

TEST(Hdf5File, AFullDiskIsAnErrorOnAllRanksAndTheProcessGoesOn) {
  const TestFolder own;
  const std::string alone = write_large(own / "x.h5", false, true);
  EXPECT_NE(alone.find("x.h5'"), std::string::npos) << alone;
  EXPECT_NE(alone.find("No space left on device"), std::string::npos) << alone;

  const TestFolder shared(true);
  for (const int full : {0, ranks() - 1}) {
    const std::string path = shared / fmt::format("y{}.h5", full);
    const std::string together = write_large(path, true, rank() == full);
    EXPECT_NE(together.find(rank() == full ? "file write failed" : "another rank failed"),
              std::string::npos)
        << together;
  }
  // The fault is what fails: with room the same calls succeed.
  EXPECT_EQ(write_large(shared / "z.h5", true, false), "");
}

TEST(Hdf5File, GrowsByAppending) {
  const TestFolder folder;
  Hdf5File file(folder / "g.h5", Mode::create);
  file.create_dataset("/t", DType::u16, {0}, {.chunk = {16}, .extendable = true});
  std::vector<std::uint32_t> all(100);
  std::iota(all.begin(), all.end(), 0u);
  for (std::int64_t begin = 0; begin < 100; begin += 30) {
    const std::int64_t count = std::min<std::int64_t>(30, 100 - begin);
    file.extend("/t", begin + count);
    file.write("/t", {{begin}, {count}}, all.data() + begin, DType::u32);
  }
  std::vector<std::uint32_t> back(100);
  file.read("/t", {{0}, {100}}, back.data(), DType::u32);
  EXPECT_EQ(back, all);
}

TEST(Hdf5File, NamesWhatIsWrong) {
  const TestFolder folder;
  const auto open = [&](const std::string& name) {
    return error_text([&] { Hdf5File(folder / name, Mode::read); });
  };
  EXPECT_NE(open("absent.h5").find("found nothing there"), std::string::npos) << open("absent.h5");
  test::write_whole(folder / "text.h5", "not an HDF5 file");
  EXPECT_NE(open("text.h5").find("is not an HDF5 file"), std::string::npos) << open("text.h5");

  Hdf5File file(folder / "x.h5", Mode::create);
  file.create_dataset("/x", DType::f32, {4});
  float value = 0;
  const auto outside = [&] { file.read("/x", {{3}, {2}}, &value, DType::f32); };
  EXPECT_NE(error_text(outside).find("does not lie inside [4]"), std::string::npos);
  const auto missing = [&] { file.read("/y", {{0}, {1}}, &value, DType::f32); };
  EXPECT_NE(error_text(missing).find("HDF5: H5"), std::string::npos);
  const auto again = [&] { file.create_dataset("/x", DType::f32, {4}); };
  EXPECT_NE(error_text(again).find("x.h5': '/x': HDF5: "), std::string::npos);
  file.close();

  std::string bytes = test::read_whole(folder / "x.h5");
  test::write_whole(folder / "cut.h5", bytes.substr(0, bytes.size() / 2));
  EXPECT_NE(open("cut.h5").find("cut.h5': HDF5: "), std::string::npos) << open("cut.h5");
}

TEST(Hdf5File, NoticesAFlippedByteInCheckedChunks) {
  const TestFolder folder;
  const std::string path = folder / "flip.h5";
  const std::vector<std::uint32_t> data(64, 0xabcdef01u);
  {
    Hdf5File file(path, Mode::create);
    file.create_dataset("/x", DType::u32, {64}, {.chunk = {64}, .fletcher32 = true});
    file.write("/x", {{0}, {64}}, data.data(), DType::u32);
    file.close();
  }
  std::string bytes = test::read_whole(path);
  const std::size_t at = bytes.find("\x01\xef\xcd\xab");
  ASSERT_NE(at, std::string::npos);
  bytes[at] = static_cast<char>(bytes[at] ^ 0x10);
  test::write_whole(path, bytes);
  const Hdf5File file(path, Mode::read);
  std::vector<std::uint32_t> back(64);
  const auto read = [&] { file.read("/x", {{0}, {64}}, back.data(), DType::u32); };
  const std::string text = error_text(read);
  EXPECT_NE(text.find("checksum"), std::string::npos) << text;
}

TEST(Hdf5File, SaysWhereDenseDataLie) {
  const TestFolder folder;
  const std::string path = folder / "place.h5";
  const Shape shape{300, 200};
  std::vector<float> values(static_cast<std::size_t>(shape.elements()));
  std::iota(values.begin(), values.end(), 1.0f);
  std::int64_t begin = 0;
  {
    Hdf5File file(path, Hdf5File::Mode::replace);
    file.create_dataset("/small", DType::f32, {3});
    file.create_dataset("/dense", DType::f32, shape);
    file.create_dataset("/chunks", DType::f32, shape, {.chunk = {100, 100}});
    begin = offset_of(file, "/dense");
    EXPECT_EQ(begin % 4096, 0) << "large data begin at blocks";
    file.write("/dense", {{0, 0}, shape}, values.data(), DType::f32);
    const std::string text = error_text([&] { (void)offset_of(file, "/chunks"); });
    EXPECT_NE(text.find("expected dense data, found chunks"), std::string::npos) << text;
    file.close();
  }
  const std::string bytes = test::read_whole(path);
  ASSERT_GE(std::ssize(bytes), begin + shape.elements() * 4);
  EXPECT_EQ(std::memcmp(bytes.data() + begin, values.data(), values.size() * sizeof(float)), 0);
}

TEST(Checksum, StreamsToTheSameValueAndSeesEveryByte) {
  std::vector<std::byte> data(1000);
  for (std::size_t i = 0; i < data.size(); ++i) data[i] = static_cast<std::byte>(i * 37);
  const std::uint64_t whole = checksum(data.data(), data.size());
  StreamingChecksum pieces;
  pieces.update(data.data(), 333);
  pieces.update(data.data() + 333, 667);
  EXPECT_EQ(pieces.digest(), whole);
  for (std::byte& byte : data) {
    byte ^= std::byte{1};
    EXPECT_NE(checksum(data.data(), data.size()), whole);
    byte ^= std::byte{1};
  }
  EXPECT_EQ(checksum_text(0xff), "00000000000000ff");
}

}  // namespace
}  // namespace trireme::io
