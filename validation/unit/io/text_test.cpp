// Byte-level BPE: known cases, round trips, the same result from every path; files that say what is
// wrong with them. Equality with Hugging Face: validation/reference/tokenizer.

#include "io/text/byte_alphabet.hpp"
#include "io/text/tokenizer.hpp"
#include "io/text/trainer.hpp"
#include "kernels/base/error.hpp"
#include "kernels/base/random.hpp"
#include "validation/unit/io/test_files.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <limits>
#include <string>
#include <vector>

namespace trireme::io {
namespace {

using test::error_text;
using test::TestFolder;

constexpr const char* kText =
    "the cat sat on the mat, the rat's hat: that's that. Don't the 123 cats 45 sit? ";

Tokenizer train(const std::vector<std::string>& documents, std::int64_t vocabulary) {
  WordCounter words;
  for (const std::string& document : documents) words.add(document);
  return train_tokenizer(words, {.vocabulary_size = vocabulary, .specials = {"<|endoftext|>"}});
}

std::vector<std::uint32_t> encode(const Tokenizer& tokenizer, std::string_view text) {
  std::vector<std::uint32_t> ids;
  Encoder(tokenizer).encode(text, ids);
  return ids;
}

/// Valid UTF-8 of characters from all planes.
std::string random_text(std::uint64_t seed, int characters) {
  std::string text;
  for (int i = 0; i < characters; ++i) {
    const auto words = Philox(seed).at(static_cast<std::uint64_t>(i), 0);
    char32_t c = words[0] % 4 != 0 ? words[1] % 0x80 : words[1] % 0x110000;
    if (c >= 0xD800 && c < 0xE000) c = ' ';
    if (c < 0x80) {
      text += static_cast<char>(c);
    } else if (c < 0x800) {
      text += static_cast<char>(0xC0 | c >> 6);
    } else if (c < 0x10000) {
      text += static_cast<char>(0xE0 | c >> 12);
    } else {
      text += static_cast<char>(0xF0 | c >> 18);
      text += static_cast<char>(0x80 | (c >> 12 & 0x3F));
    }
    if (c >= 0x800) text += static_cast<char>(0x80 | (c >> 6 & 0x3F));
    if (c >= 0x80) text += static_cast<char>(0x80 | (c & 0x3F));
  }
  return text;
}

TEST(ByteAlphabet, IsABijection) {
  std::string all;
  for (int byte = 0; byte < 256; ++byte) all += static_cast<char>(byte);
  EXPECT_EQ(bytes_from_printable(printable_from_bytes(all)), all);
  EXPECT_EQ(printable_from_bytes(" a\n"), "ĠaĊ");
  EXPECT_FALSE(bytes_from_printable(" ").has_value());
  EXPECT_FALSE(bytes_from_printable("日").has_value());
}

TEST(Splitter, CutsLikeGpt2) {
  Splitter splitter;
  const auto words = [&](std::string_view text) {
    std::vector<std::string> found;
    splitter.split(text, [&](std::string_view word) { found.emplace_back(word); });
    return found;
  };
  using Words = std::vector<std::string>;
  EXPECT_EQ(words("Don't stop, it's 42!"),
            (Words{"Don", "'t", " stop", ",", " it", "'s", " 42", "!"}));
  EXPECT_EQ(words("a   b\n\n c  "), (Words{"a", "  ", " b", "\n\n", " c", "  "}));
  EXPECT_EQ(words("x\u00a0\u3000y"), (Words{"x", "\u00a0", "\u3000", "y"}));
  EXPECT_EQ(words("naïve日本²"), (Words{"naïve日本", "²"}));
  EXPECT_EQ(words("\u180ea"), (Words{"\u180e", "a"}));  // white space to PCRE2, not to Unicode
  std::string whole;
  const std::string text = random_text(5, 5000);
  for (const std::string& word : words(text)) whole += word;
  EXPECT_EQ(whole, text);
}

TEST(Utf8, IsChecked) {
  expect_utf8(random_text(1, 10'000), "text");
  for (const char* bad : {"\x80", "\xc3", "\xc0\xaf", "\xe0\x80\x80", "\xed\xa0\x80",
                          "\xf4\x90\x80\x80", "\xff", "ok \xe2\x82"}) {
    const std::string text = error_text([&] { expect_utf8(bad, "file 'x'"); });
    EXPECT_NE(text.find("file 'x': expected UTF-8, found the byte 0x"), std::string::npos) << text;
  }
}

TEST(Trainer, MergesTheMostFrequentPairAndTheSmallerAmongEquals) {
  // 3 x "ab", 2 x "cd", 2 x "ce": first ab; then cd before ce, as d has the smaller id.
  const Tokenizer tokenizer = train({"ab", "ab", "ab", "ce", "ce", "cd", "cd"}, 257 + 3);
  ASSERT_EQ(tokenizer.vocabulary_size(), 260);
  EXPECT_EQ(tokenizer.token(0), "<|endoftext|>");
  EXPECT_EQ(tokenizer.token(1), "!");  // the alphabet begins with U+0021
  EXPECT_EQ(tokenizer.token(257), "ab");
  EXPECT_EQ(tokenizer.token(258), "cd");
  EXPECT_EQ(tokenizer.token(259), "ce");
  EXPECT_EQ(train({"ab", "ab"}, 1000).vocabulary_size(), 258);  // no more pairs
  EXPECT_THROW(train({"ab"}, 256), Error);
}

TEST(Trainer, DoesNotDependOnHowWordsWereCounted) {
  const std::string text = random_text(3, 20'000);
  WordCounter one;
  one.add(kText);
  one.add(text);
  WordCounter a;
  WordCounter b;
  a.add(text);
  b.add(kText);
  a.merge(std::move(b));
  const TrainingOptions options{.vocabulary_size = 600, .specials = {}};
  EXPECT_EQ(train_tokenizer(one, options).hash(), train_tokenizer(a, options).hash());
}

TEST(Encoder, GivesTheTextBack) {
  const Tokenizer tokenizer = train({kText, random_text(3, 3000)}, 500);
  Encoder encoder(tokenizer);
  for (std::uint64_t seed = 0; seed < 40; ++seed) {
    const std::string text = random_text(seed, 300) + kText;
    std::vector<std::uint32_t> ids;
    encoder.encode(text, ids);
    EXPECT_EQ(tokenizer.decode(ids), text);
    EXPECT_LT(ids.size(), text.size());
    // A used cache changes nothing.
    EXPECT_EQ(encode(tokenizer, text), ids);
  }
  EXPECT_THROW(tokenizer.decode(std::vector<std::uint32_t>{500}), Error);
}

/// The definition: apply the earliest merge anywhere, leftmost first, until none applies.
std::vector<std::uint32_t> merge_by_definition(const Tokenizer& tokenizer, std::string_view word) {
  std::vector<std::uint32_t> ids;
  for (const char c : word)
    for (std::uint32_t id = 1; id <= 256; ++id)
      if (tokenizer.token(id)[0] == c) ids.push_back(id);
  for (bool merged = true; merged;) {
    merged = false;
    for (const Tokenizer::Merge& merge : tokenizer.merges()) {
      for (std::size_t i = 0; i + 1 < ids.size() && !merged; ++i)
        if (ids[i] == merge.left && ids[i + 1] == merge.right) {
          ids[i] = merge.joined;
          ids.erase(ids.begin() + static_cast<long>(i) + 1);
          merged = true;
        }
      if (merged) break;
    }
  }
  return ids;
}

TEST(Encoder, MergesShortAndLongWordsByTheDefinition) {
  std::string letters;
  for (std::uint64_t i = 0; i < 4000; ++i)
    letters += static_cast<char>('a' + Philox(1).at(i, 0)[0] % 3);
  const Tokenizer tokenizer = train({letters}, 330);
  ASSERT_EQ(tokenizer.vocabulary_size(), 330);
  for (const std::size_t length : {1, 2, 7, 63, 64, 65, 66, 300}) {
    const std::string word = letters.substr(length, length);
    EXPECT_EQ(encode(tokenizer, word), merge_by_definition(tokenizer, word)) << length;
  }
}

TEST(Encoder, FindsSpecialTokensFirst) {
  WordCounter words;
  words.add(kText);
  const Tokenizer tokenizer =
      train_tokenizer(words, {.vocabulary_size = 300, .specials = {"<a>", "<a><b>", "<b>"}});
  const auto x = encode(tokenizer, "x");
  EXPECT_EQ(encode(tokenizer, "x<a>x"), (std::vector<std::uint32_t>{x[0], 0, x[0]}));
  EXPECT_EQ(encode(tokenizer, "<a><b><b>"), (std::vector<std::uint32_t>{1, 2}));
  EXPECT_EQ(encode(tokenizer, "<a").size(), 2u);
}

TEST(TokenizerFile, KeepsEverything) {
  const TestFolder folder;
  const Tokenizer tokenizer = train({kText, random_text(9, 2000)}, 700);
  tokenizer.save(folder / "t.json");
  const Tokenizer back = Tokenizer::load(folder / "t.json");
  EXPECT_EQ(back.hash(), tokenizer.hash());
  EXPECT_EQ(encode(back, kText), encode(tokenizer, kText));
  EXPECT_EQ(back.special_id("<|endoftext|>"), 0u);
  back.save(folder / "again.json");
  EXPECT_EQ(test::read_whole(folder / "again.json"), test::read_whole(folder / "t.json"));
}

TEST(TokenizerFile, ASwappedMergeIsAnotherTokenizer) {
  const Tokenizer tokenizer = train({"ab", "ab", "ab", "bc", "bc"}, 259);
  std::vector<std::string> tokens;
  for (std::uint32_t id = 0; id < 259; ++id) tokens.push_back(tokenizer.token(id));
  auto merges = tokenizer.merges();
  std::swap(merges[0], merges[1]);
  const Tokenizer swapped(tokens, merges, tokenizer.specials());
  EXPECT_NE(swapped.hash(), tokenizer.hash());
  EXPECT_EQ(tokenizer.token(encode(tokenizer, "abc")[0]), "ab");
  EXPECT_EQ(swapped.token(encode(swapped, "abc")[0]), "a");
}

TEST(TokenizerFile, NamesWhatItCannotRead) {
  const TestFolder folder;
  train({kText}, 270).save(folder / "t.json");
  const std::string good = test::read_whole(folder / "t.json");
  const auto load = [&](const std::string& text) {
    test::write_whole(folder / "x.json", text);
    return error_text([&] { Tokenizer::load(folder / "x.json"); });
  };
  const auto replaced = [&](const std::string& from, const std::string& to) {
    std::string text = good;
    const std::size_t at = text.find(from);
    EXPECT_NE(at, std::string::npos) << from;
    return text.replace(at, from.size(), to);
  };
  const auto expect = [&](const std::string& text, const std::string& phrase) {
    const std::string found = load(text);
    EXPECT_NE(found.find(phrase), std::string::npos) << phrase << " in: " << found;
  };
  EXPECT_EQ(load(good), "");
  expect(good.substr(0, good.size() / 2), "x.json': is not JSON, or was cut off");
  expect(replaced("\"BPE\"", "\"Unigram\""), "expected a model of type BPE");
  expect(replaced("\"normalizer\": null", "\"normalizer\": {\"type\": \"NFC\"}"),
         "a normalizer is not supported");
  expect(replaced("\"add_prefix_space\": false", "\"add_prefix_space\": true"),
         "add_prefix_space = false");
  expect(replaced("\"byte_fallback\": false", "\"byte_fallback\": true"), "'byte_fallback'");
  expect(replaced("\"lstrip\": false", "\"lstrip\": true"), "asks for 'lstrip'");
  expect(replaced("\"!\": 1,", "\"!\": 999,"), "has the id 1:");
  expect(replaced("\"!\": 1,", "\"!\": 2,"), "two tokens have the id 2");
  expect(replaced("\"!\": 1,", "\"!!\": 1,"), "none for byte 33");
  EXPECT_NE(error_text([&] { Tokenizer::load(folder / "absent.json"); }).find("can't open"),
            std::string::npos);
}

}  // namespace
}  // namespace trireme::io
