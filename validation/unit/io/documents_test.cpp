// Documents out of text files, and the pipeline that works on them in parallel.

#include "io/text/documents.hpp"
#include "io/text/ordered_pipeline.hpp"
#include "kernels/base/error.hpp"
#include "validation/unit/io/test_files.hpp"

#include <gtest/gtest.h>

#include <stdexcept>
#include <string>
#include <vector>

namespace trireme::io {
namespace {

using test::error_text;
using test::TestFolder;
using Documents = std::vector<std::string>;

Documents read_all(const std::vector<std::string>& files, const DocumentOptions& options = {}) {
  BatchReader reader(files, options);
  Documents documents;
  TextBatch batch;
  while (reader.next(batch))
    for_each_document(batch, options, [&](std::string_view text) { documents.emplace_back(text); });
  EXPECT_EQ(reader.bytes_read(), reader.bytes_total());
  return documents;
}

TEST(Documents, ComeFromJsonLines) {
  const TestFolder folder;
  test::write_whole(folder / "a.jsonl",
                    "{\"text\": \"one\\n\\u00e9\", \"id\": 1}\n\n{\"text\": \"\"}\r\n"
                    "{\"id\": 2, \"text\": \"two\"}");
  EXPECT_EQ(read_all({folder / "a.jsonl"}), (Documents{"one\né", "two"}));
  test::write_whole(folder / "b.ndjson", "{\"body\": \"three\"}\n");
  EXPECT_EQ(read_all({folder / "b.ndjson"}, {.key = "body"}), Documents{"three"});

  const auto wrong = [&](const std::string& line) {
    test::write_whole(folder / "c.jsonl", "{\"text\": \"fine\"}\n" + line + "\n");
    return error_text([&] { read_all({folder / "c.jsonl"}); });
  };
  EXPECT_NE(wrong("{\"text\": ").find("c.jsonl', line 2: expected a JSON object, found: {\"text"),
            std::string::npos);
  EXPECT_NE(wrong("{\"body\": \"x\"}").find("line 2: expected a string \"text\""),
            std::string::npos);
  EXPECT_NE(wrong("{\"text\": \"\xff\"}").find("line 2: expected UTF-8, found the byte 0xff"),
            std::string::npos);
}

TEST(Documents, ComeFromPlainText) {
  const TestFolder folder;
  const std::string text = "first\nline\n\n\nsecond\n%%\n\nthird";
  test::write_whole(folder / "a.txt", text);
  test::write_whole(folder / "empty.txt", "");
  EXPECT_EQ(read_all({folder / "a.txt", folder / "empty.txt", folder / "a.txt"}),
            (Documents{text, text}));
  EXPECT_EQ(read_all({folder / "a.txt"}, {.separator = ""}),
            (Documents{"first\nline\n", "second\n%%\n", "third"}));
  EXPECT_EQ(read_all({folder / "a.txt"}, {.separator = "%%"}),
            (Documents{"first\nline\n\n\nsecond\n", "\nthird"}));
  const auto missing = [&] { read_all({folder / "a.txt", folder / "b.txt"}); };
  EXPECT_NE(error_text(missing).find("b.txt"), std::string::npos);
}

TEST(Documents, AreTheSameInManyBatches) {
  const TestFolder folder;
  Documents expected;
  std::string lines;
  std::string blocks;
  for (int i = 0; i < 70'000; ++i) {
    expected.push_back("document number " + std::to_string(i) + " of many, long enough to fill\n");
    lines += "{\"text\": \"" + expected.back().substr(0, expected.back().size() - 1) + "\\n\"}\n";
    blocks += expected.back() + "\n";
  }
  test::write_whole(folder / "a.jsonl", lines);
  test::write_whole(folder / "a.txt", blocks);
  ASSERT_GT(blocks.size(), std::size_t{3} << 20);
  EXPECT_EQ(read_all({folder / "a.jsonl"}), expected);
  EXPECT_EQ(read_all({folder / "a.txt"}, {.separator = ""}), expected);
}

TEST(OrderedPipeline, KeepsTheOrderOfItsInput) {
  for (const int threads : {1, 2, 5}) {
    int next = 0;
    std::vector<int> results;
    run_ordered<int>(
        threads, [&](int& item) { return (item = next++) < 300; },
        [](int, int item) {
          // Uneven work, so that later items are ready before earlier ones.
          volatile int spin = item % 7 * 2000;
          while (spin > 0) spin = spin - 1;
          return item * 2;
        },
        [&](int result) { results.push_back(result); });
    ASSERT_EQ(results.size(), 300u);
    for (int i = 0; i < 300; ++i) EXPECT_EQ(results[static_cast<std::size_t>(i)], 2 * i);
  }
}

TEST(OrderedPipeline, StopsAtTheFirstException) {
  for (const char* place : {"take", "work", "put"}) {
    const std::string fault = place;
    int next = 0;
    const auto maybe_throw = [&](const char* here, int item) {
      if (fault == here && item == 10) throw std::runtime_error(here);
    };
    int put = 0;
    try {
      run_ordered<int>(
          3,
          [&](int& item) {
            item = next++;
            maybe_throw("take", item);
            return item < 1'000'000'000;
          },
          [&](int, int item) {
            maybe_throw("work", item);
            return item;
          },
          [&](int item) {
            maybe_throw("put", item);
            ++put;
          });
      ADD_FAILURE() << "no exception from " << place;
    } catch (const std::runtime_error& error) {
      EXPECT_EQ(error.what(), fault);
    }
    EXPECT_LE(put, 10);
  }
}

}  // namespace
}  // namespace trireme::io
