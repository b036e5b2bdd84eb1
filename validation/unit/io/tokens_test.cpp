// Token files of every format: the same interface, no full load, and damage that is named.

#include "io/hdf5/file.hpp"
#include "io/tokens/source.hpp"
#include "io/tokens/writer.hpp"
#include "kernels/base/random.hpp"
#include "validation/unit/io/full_disk.hpp"
#include "validation/unit/io/test_files.hpp"

#include <gtest/gtest.h>

#include <cstring>
#include <thread>
#include <vector>

namespace trireme::io {
namespace {

using test::error_text;
using test::TestFolder;

std::vector<std::uint32_t> random_ids(std::int64_t count, std::uint32_t vocabulary) {
  std::vector<std::uint32_t> ids;
  for (std::int64_t i = 0; i < count; ++i)
    ids.push_back(Philox(7).at(static_cast<std::uint64_t>(i), 0)[0] % vocabulary);
  return ids;
}

/// Documents of 1, 2, 3, ... tokens, the last one cut where the ids end.
std::vector<std::int64_t> write_shard(const std::string& path,
                                      const std::vector<std::uint32_t>& ids,
                                      std::int64_t vocabulary, std::int64_t step = 1) {
  TokenWriter writer(path, {.tokenizer_hash = "abc",
                            .sources = "a.txt",
                            .command = "test",
                            .vocabulary_size = vocabulary,
                            .eos_id = 0});
  std::vector<std::int64_t> begins;
  std::span<const std::uint32_t> rest(ids);
  for (std::size_t length = 1; !rest.empty(); length += static_cast<std::size_t>(step)) {
    const auto document = rest.first(std::min(length, rest.size()));
    begins.push_back(writer.tokens());
    writer.append(document);
    rest = rest.subspan(document.size());
  }
  writer.finish();
  return begins;
}

template <class T>
void append_bytes(std::string& bytes, T value) {
  bytes.append(reinterpret_cast<const char*>(&value), sizeof value);
}

std::string llmc_file(const std::vector<std::uint32_t>& ids) {
  std::string bytes;
  for (const std::int32_t word : {20240520, 1, static_cast<std::int32_t>(ids.size())})
    append_bytes(bytes, word);
  bytes.resize(1024);
  for (const std::uint32_t id : ids) append_bytes(bytes, static_cast<std::uint16_t>(id));
  return bytes;
}

/// Megatron's pair: documents of two sequences each (3 and 2 tokens), int32 ids.
void write_megatron(const std::string& prefix, const std::vector<std::uint32_t>& ids) {
  std::string data;
  for (const std::uint32_t id : ids) append_bytes(data, static_cast<std::int32_t>(id));
  const auto sequences = static_cast<std::int64_t>(ids.size()) / 5 * 2;
  std::string index("MMIDIDX\0\0", 9);
  append_bytes(index, std::uint64_t{1});
  append_bytes(index, std::uint8_t{4});
  append_bytes(index, sequences);
  append_bytes(index, sequences / 2 + 1);
  for (std::int64_t i = 0; i < sequences; ++i) append_bytes(index, i % 2 == 0 ? 3 : 2);
  for (std::int64_t i = 0; i < sequences; ++i)
    append_bytes(index, (i / 2 * 5 + i % 2 * 3) * std::int64_t{4});
  for (std::int64_t i = 0; i <= sequences; i += 2) append_bytes(index, i);
  test::write_whole(prefix + ".bin", data);
  test::write_whole(prefix + ".idx", index);
}

void expect_same(const TokenSource& source, const std::vector<std::uint32_t>& ids) {
  ASSERT_EQ(source.tokens(), static_cast<std::int64_t>(ids.size()));
  for (const std::size_t begin : {std::size_t{0}, ids.size() / 3, ids.size() - 1}) {
    std::vector<std::uint32_t> part(ids.size() - begin);
    source.read(static_cast<std::int64_t>(begin), part);
    EXPECT_TRUE(std::equal(part.begin(), part.end(), ids.begin() + static_cast<long>(begin)));
  }
}

TEST(TokenSource, ReadsShardsOfBothWidthsOverManyChunks) {
  const TestFolder folder;
  for (const std::int64_t vocabulary : {50'000, 100'000}) {
    const auto ids = random_ids(1'200'000, static_cast<std::uint32_t>(vocabulary));
    const auto begins = write_shard(folder / "t.h5", ids, vocabulary, 500);
    const auto source = open_tokens(folder / "t.h5");
    EXPECT_EQ(source->dtype(), vocabulary > 65'536 ? DType::u32 : DType::u16);
    expect_same(*source, ids);
    ASSERT_EQ(source->documents(), static_cast<std::int64_t>(begins.size()));
    for (std::int64_t d = 0; d < source->documents(); ++d) {
      EXPECT_EQ(source->document(d).begin, begins[static_cast<std::size_t>(d)]);
      EXPECT_EQ(source->document_of(source->document(d).begin), d);
      EXPECT_EQ(source->document_of(source->document(d).end - 1), d);
    }
    EXPECT_EQ(source->provenance().tokenizer_hash, "abc");
    EXPECT_EQ(source->provenance().eos_id, 0);
    EXPECT_EQ(source->vocabulary(), vocabulary);
    source->verify();
    EXPECT_FALSE(std::filesystem::exists(folder / "t.h5.part"));
  }
}

TEST(TokenSource, ReadsLlmcAndMegatron) {
  const TestFolder folder;
  const auto ids = random_ids(1000, 50'257);
  test::write_whole(folder / "l.bin", llmc_file(ids));
  expect_same(*open_tokens(folder / "l.bin"), ids);
  EXPECT_EQ(open_tokens(folder / "l.bin")->documents(), 1);

  write_megatron(folder / "m", ids);
  for (const std::string name : {"m", "m.bin", "m.idx"}) {
    const auto source = open_tokens(folder / name);
    expect_same(*source, ids);
    ASSERT_EQ(source->documents(), 200);
    EXPECT_EQ(source->document(7), (Range{35, 40}));
  }
}

TEST(TokenSource, IsReadByManyThreadsAtOnce) {
  const TestFolder folder;
  const auto ids = random_ids(50'000, 1000);
  write_shard(folder / "t.h5", ids, 1000);
  const auto source = open_tokens(folder / "t.h5");
  std::vector<int> wrong(4);
  {
    std::vector<std::jthread> threads;
    for (std::size_t t = 0; t < wrong.size(); ++t)
      threads.emplace_back([&, t] {
        std::vector<std::uint32_t> part(100);
        for (std::size_t begin = t; begin + 100 <= ids.size(); begin += 97) {
          source->read(static_cast<std::int64_t>(begin), part);
          wrong[t] += !std::equal(part.begin(), part.end(), ids.begin() + static_cast<long>(begin));
        }
      });
  }
  EXPECT_EQ(wrong, std::vector<int>(4));
}

TEST(TokenSource, NamesIdsOutsideTheVocabulary) {
  const TestFolder folder;
  std::vector<std::uint32_t> ids(600, 5);
  ids[500] = 999;
  test::write_whole(folder / "l.bin", llmc_file(ids));
  const auto source = open_tokens(folder / "l.bin", 900);
  std::vector<std::uint32_t> part(100);
  source->read(400, part);  // the wrong one lies just behind
  const std::string text = error_text([&] { source->read(450, part); });
  EXPECT_NE(text.find("l.bin': expected ids below 900, found 999 at token 500"), std::string::npos)
      << text;

  write_shard(folder / "t.h5", std::vector<std::uint32_t>(10, 1), 8192);
  const auto smaller = [&] { open_tokens(folder / "t.h5", 8000); };
  EXPECT_NE(error_text(smaller).find("vocabulary of 8192, the model has 8000"), std::string::npos);
  TokenWriter writer(folder / "w.h5", {.vocabulary_size = 4});
  const std::vector<std::uint32_t> four{4};
  EXPECT_THROW(writer.append(four), Error);
}

TEST(TokenSource, NamesMissingEmptyTruncatedAndForeignFiles) {
  const TestFolder folder;
  const auto expect = [&](const std::string& name, const std::string& phrase) {
    try {
      open_tokens(folder / name);
      ADD_FAILURE() << name << " was opened";
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), Exit::kFile);
      EXPECT_NE(error.text().find(phrase), std::string::npos) << name << ": " << error.text();
      EXPECT_NE(error.text().find(name), std::string::npos) << error.text();
    }
  };
  const auto ids = random_ids(1000, 100);
  expect("absent.h5", "found nothing there");
  test::write_whole(folder / "empty.bin", "");
  expect("empty.bin", "is empty (0 bytes)");
  test::write_whole(folder / "text.txt", "some text, no tokens");
  expect("text.txt", "is no token file");

  const std::string llmc = llmc_file(ids);
  test::write_whole(folder / "short.bin", llmc.substr(0, llmc.size() - 2));
  expect("short.bin", "its header says 1000 tokens = 3024 bytes, found 3022");
  test::write_whole(folder / "none.bin", llmc_file({}));
  expect("none.bin", "is empty: expected at least one token");

  write_megatron(folder / "m", ids);
  const std::string index = test::read_whole(folder / "m.idx");
  test::write_whole(folder / "m.idx", index.substr(0, index.size() - 8));
  expect("m", "is truncated or damaged");
  test::write_whole(folder / "m.idx", index);
  test::write_whole(folder / "m.bin", std::string(3996, '\0'));
  expect("m", "the index says 4000 bytes, found 3996");

  write_shard(folder / "t.h5", ids, 100);
  const std::string shard = test::read_whole(folder / "t.h5");
  test::write_whole(folder / "cut.h5", shard.substr(0, shard.size() / 2));
  expect("cut.h5", "HDF5: ");
  Hdf5File other(folder / "other.h5", Hdf5File::Mode::create);
  other.close();
  expect("other.h5", "is an HDF5 file but no token shard");
  {
    Hdf5File floats(folder / "floats.h5", Hdf5File::Mode::create);
    floats.set_attribute("/", "format", "trireme/tokens");
    floats.set_attribute("/", "format_version", 1);
    floats.create_dataset("/tokens", DType::f32, {4});
    floats.close();
  }
  expect("floats.h5", "expected /tokens of u16 or u32, found f32");
}

TEST(TokenSource, AFlippedByteFailsTheChecksum) {
  const TestFolder folder;
  const std::vector<std::uint32_t> ids(100, 0x1234);
  write_shard(folder / "t.h5", ids, 0x2000);
  open_tokens(folder / "t.h5")->verify();
  std::string bytes = test::read_whole(folder / "t.h5");
  const std::size_t at = bytes.find("\x34\x12\x34\x12");
  ASSERT_NE(at, std::string::npos);
  bytes[at] = '\x35';
  test::write_whole(folder / "t.h5", bytes);
  const std::string text = error_text([&] { open_tokens(folder / "t.h5")->verify(); });
  EXPECT_NE(text.find("is damaged: expected checksum"), std::string::npos) << text;
}

TEST(TokenWriter, LeavesNothingBehindWhenItIsNotFinished) {
  const TestFolder folder;
  {
    TokenWriter writer(folder / "t.h5", {.vocabulary_size = 10});
    writer.append(std::vector<std::uint32_t>{1, 2, 3});
  }
  EXPECT_FALSE(std::filesystem::exists(folder / "t.h5"));
  EXPECT_FALSE(std::filesystem::exists(folder / "t.h5.part"));
  TokenWriter writer(folder / "e.h5", {.vocabulary_size = 10});
  EXPECT_NE(error_text([&] { writer.finish(); }).find("the input held no text"), std::string::npos);
}

TEST(TokenWriter, AFullDiskIsAnErrorAndLeavesTheOldShard) {
  const TestFolder folder;
  const auto ids = random_ids(2'000'000, 1000);
  write_shard(folder / "t.h5", {1, 2, 3}, 1000);
  const std::string text = error_text([&] {
    TokenWriter writer(folder / "t.h5", {.vocabulary_size = 1000});
    const test::FullDisk full(folder / "t.h5.part");
    writer.append(ids);
    writer.finish();
  });
  EXPECT_NE(text.find("t.h5"), std::string::npos) << text;
  EXPECT_NE(text.find("No space left on device"), std::string::npos) << text;
  EXPECT_EQ(open_tokens(folder / "t.h5")->tokens(), 3);
  EXPECT_FALSE(std::filesystem::exists(folder / "t.h5.part"));
}

}  // namespace
}  // namespace trireme::io
