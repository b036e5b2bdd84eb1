// The order of samples: every window once an epoch, shares exact, nothing shared with validation.

#include "io/tokens/sample_stream.hpp"
#include "io/tokens/permutation.hpp"
#include "io/tokens/writer.hpp"
#include "validation/unit/io/test_files.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <numeric>
#include <set>
#include <vector>

namespace trireme::io {
namespace {

using test::error_text;
using test::TestFolder;

/// A shard whose token i is the id i + `first`, in documents of `length` tokens.
std::shared_ptr<const TokenSource> counting(const std::string& path, std::int64_t tokens,
                                            std::int64_t length, std::uint32_t first = 0) {
  TokenWriter writer(path, {.vocabulary_size = 1 << 20});
  for (std::int64_t begin = 0; begin < tokens; begin += length) {
    std::vector<std::uint32_t> document(static_cast<std::size_t>(std::min(length, tokens - begin)));
    std::iota(document.begin(), document.end(), first + static_cast<std::uint32_t>(begin));
    writer.append(document);
  }
  writer.finish();
  return open_tokens(path);
}

std::vector<std::int32_t> sample(const SampleStream& stream, Part part, std::int64_t index) {
  std::vector<std::int32_t> ids(static_cast<std::size_t>(stream.sample_tokens()));
  stream.fill(part, index, 1, ids);
  return ids;
}

TEST(Permutation, MapsEverySizeOntoItselfAndDiffersByStream) {
  for (const std::int64_t size : {1, 2, 3, 7, 64, 65, 1000, 4096}) {
    std::vector<bool> seen(static_cast<std::size_t>(size));
    const Permutation permutation(42, 1, size);
    for (std::int64_t i = 0; i < size; ++i) {
      const std::int64_t image = permutation(i);
      ASSERT_TRUE(image >= 0 && image < size);
      ASSERT_FALSE(seen[static_cast<std::size_t>(image)]);
      seen[static_cast<std::size_t>(image)] = true;
    }
  }
  const auto fixed_points = [](const auto& map) {
    int count = 0;
    for (std::int64_t i = 0; i < 4096; ++i) count += map(i) == i;
    return count;
  };
  const Permutation a(42, 1, 4096);
  const Permutation b(42, 2, 4096);
  EXPECT_LT(fixed_points(a), 10);  // 1 expected
  int equal = 0;
  for (std::int64_t i = 0; i < 4096; ++i) equal += a(i) == b(i);
  EXPECT_LT(equal, 10);
  // The law's fault: the identity is a permutation too, and this test tells it apart.
  EXPECT_EQ(fixed_points([](std::int64_t i) { return i; }), 4096);
}

TEST(Permutation, HasNoCorrelationBetweenNeighbours) {
  const std::int64_t size = 10'000;
  const Permutation permutation(3, 5, size);
  double sum = 0;
  for (std::int64_t i = 0; i + 1 < size; ++i) {
    const double x = static_cast<double>(permutation(i)) / size - 0.5;
    const double y = static_cast<double>(permutation(i + 1)) / size - 0.5;
    sum += 12 * x * y;
  }
  EXPECT_LT(std::abs(sum / size), 0.04);  // 4 standard deviations
}

TEST(SampleStream, ReadsEveryWindowOnceAnEpochInAnotherOrder) {
  const TestFolder folder;
  const std::int64_t length = 16;
  const std::int64_t windows = 61;
  const SampleStream stream({{counting(folder / "a.h5", windows * length + 9, 10), 0}}, {},
                            {.sequence = length, .seed = 1});
  ASSERT_EQ(stream.training_windows(0), windows);
  std::vector<std::vector<std::int32_t>> orders;
  for (std::int64_t epoch = 0; epoch < 3; ++epoch) {
    std::vector<std::int32_t> order;
    for (std::int64_t i = 0; i < windows; ++i) {
      const auto ids = sample(stream, Part::training, epoch * windows + i);
      for (std::size_t k = 1; k < ids.size(); ++k) ASSERT_EQ(ids[k], ids[k - 1] + 1);
      EXPECT_EQ(ids[0] % length, 0);
      order.push_back(ids[0] / static_cast<std::int32_t>(length));
      EXPECT_EQ(stream.place(Part::training, epoch * windows + i).epoch, epoch);
    }
    EXPECT_EQ(std::set<std::int32_t>(order.begin(), order.end()).size(), windows);
    orders.push_back(order);
  }
  EXPECT_NE(orders[0], orders[1]);
  EXPECT_NE(orders[1], orders[2]);
}

TEST(SampleStream, IsAPureFunctionOfSeedAndSample) {
  const TestFolder folder;
  const auto source = counting(folder / "a.h5", 5000, 30);
  const auto make = [&](std::uint64_t seed, bool shuffle = true) {
    return SampleStream({{source, 0}}, {}, {.sequence = 8, .seed = seed, .shuffle = shuffle});
  };
  const SampleStream one = make(1);
  const SampleStream other = make(1);
  std::vector<std::int32_t> batch(20 * 9);
  one.fill(Part::training, 100, 20, batch);
  std::vector<std::int32_t> single;
  for (std::int64_t i = 119; i >= 100; --i) {
    const auto ids = sample(other, Part::training, i);
    single.insert(single.begin(), ids.begin(), ids.end());
  }
  EXPECT_EQ(batch, single);
  EXPECT_EQ(one.fingerprint(), other.fingerprint());
  EXPECT_NE(one.fingerprint(), make(2).fingerprint());
  EXPECT_NE(sample(one, Part::training, 3), sample(make(2), Part::training, 3));
  EXPECT_EQ(sample(make(1, false), Part::training, 3)[0], 24);
}

TEST(SampleStream, BlendsByWeightExactly) {
  const TestFolder folder;
  const SampleStream stream({{counting(folder / "a.h5", 500, 50, 0), 0.5},
                             {counting(folder / "b.h5", 400, 50, 10'000), 0.2},
                             {counting(folder / "c.h5", 900, 50, 20'000), 0.3}},
                            {}, {.sequence = 8, .seed = 9});
  const std::vector<double> weights{0.5, 0.2, 0.3};
  std::vector<std::int64_t> counts(3);
  std::vector<std::vector<std::int32_t>> seen(3);
  for (std::int64_t i = 0; i < 2000; ++i) {
    const auto ids = sample(stream, Part::training, i);
    const auto source = static_cast<std::size_t>(ids[0] / 10'000);
    ++counts[source];
    seen[source].push_back(ids[0]);
    for (std::size_t s = 0; s < 3; ++s)
      ASSERT_LE(std::abs(static_cast<double>(counts[s]) - weights[s] * static_cast<double>(i + 1)),
                3.0);
  }
  for (std::size_t s = 0; s < 3; ++s) {
    EXPECT_DOUBLE_EQ(stream.weight(s), weights[s]);
    const auto windows = stream.training_windows(s);
    const std::set<std::int32_t> first(seen[s].begin(), seen[s].begin() + windows);
    EXPECT_EQ(static_cast<std::int64_t>(first.size()), windows);
  }
}

TEST(SampleStream, ValidationTakesTheLastDocumentsAndSharesNothing) {
  const TestFolder folder;
  // 100 documents of 10 tokens; 4.5 % of 1000 tokens = 45, so the last 5 documents.
  const auto source = counting(folder / "a.h5", 1000, 10);
  const SampleStream stream({{source, 0}}, {},
                            {.sequence = 8, .seed = 9, .validation_fraction = 0.045});
  EXPECT_EQ(stream.split(0).first_validation_document, 95);
  EXPECT_EQ(stream.split(0).training, (Range{0, 950}));
  EXPECT_EQ(stream.split(0).validation, (Range{950, 1000}));
  ASSERT_EQ(stream.validation_samples(), 6);
  std::set<std::int32_t> validating;
  for (std::int64_t i = 0; i < stream.validation_samples(); ++i) {
    const auto ids = sample(stream, Part::validation, i);
    EXPECT_EQ(ids[0], 950 + 8 * i);
    validating.insert(ids.begin(), ids.end());
  }
  for (std::int64_t i = 0; i < 2 * stream.training_windows(0); ++i)
    for (const std::int32_t id : sample(stream, Part::training, i)) ASSERT_LT(id, 950);
  EXPECT_GE(*validating.begin(), 950);
  EXPECT_THROW(sample(stream, Part::validation, 6), Error);

  // The law's fault: without the split, training sees validation tokens.
  const SampleStream whole({{source, 0}}, {}, {.sequence = 8, .seed = 9});
  bool leaked = false;
  for (std::int64_t i = 0; i < whole.training_windows(0); ++i)
    for (const std::int32_t id : sample(whole, Part::training, i)) leaked |= id >= 950;
  EXPECT_TRUE(leaked);
}

TEST(SampleStream, ValidatesOnFilesOfTheirOwnInOrder) {
  const TestFolder folder;
  const SampleStream stream(
      {{counting(folder / "a.h5", 100, 10), 0}},
      {counting(folder / "v.h5", 20, 20, 1000), counting(folder / "w.h5", 30, 30, 2000)},
      {.sequence = 8, .seed = 9});
  ASSERT_EQ(stream.validation_samples(), 2 + 3);
  std::vector<std::int32_t> firsts;
  for (std::int64_t i = 0; i < 5; ++i) firsts.push_back(sample(stream, Part::validation, i)[0]);
  EXPECT_EQ(firsts, (std::vector<std::int32_t>{1000, 1008, 2000, 2008, 2016}));
}

TEST(SampleStream, NumbersTheDocumentsOfASample) {
  const TestFolder folder;
  const SampleStream stream({{counting(folder / "a.h5", 100, 7), 0}}, {},
                            {.sequence = 16, .seed = 9, .shuffle = false});
  std::vector<std::int32_t> numbers(2 * 17);
  stream.fill_documents(Part::training, 0, 2, numbers);
  for (std::int32_t i = 0; i < 17; ++i) {
    EXPECT_EQ(numbers[static_cast<std::size_t>(i)], i / 7);
    EXPECT_EQ(numbers[static_cast<std::size_t>(17 + i)], (16 + i) / 7 - 2);
  }
}

TEST(SampleStream, NamesImpossibleSplits) {
  const TestFolder folder;
  const auto source = counting(folder / "a.h5", 100, 50);
  const auto make = [&](std::int64_t sequence, double fraction, double weight = 0) {
    return error_text([&] {
      SampleStream({{source, weight}}, {},
                   {.sequence = sequence, .seed = 1, .validation_fraction = fraction});
    });
  };
  EXPECT_EQ(make(8, 0.3), "");
  EXPECT_NE(make(8, 0.6).find("validation takes all 2 documents (100 tokens)"), std::string::npos);
  EXPECT_NE(make(8, 1.5).find("below 1, found 1.5"), std::string::npos);
  EXPECT_NE(make(100, 0).find("has 100 tokens to train on, one sample needs 101"),
            std::string::npos);
  EXPECT_NE(make(50, 0.3).find("has 50 tokens to train on"), std::string::npos);
  EXPECT_NE(make(8, 0, -1).find("expected a weight above 0, found -1"), std::string::npos);
  const auto short_tail = counting(folder / "b.h5", 100, 4);
  const auto text = error_text([&] {
    SampleStream({{short_tail, 0}}, {}, {.sequence = 8, .seed = 1, .validation_fraction = 0.01});
  });
  EXPECT_NE(text.find("hold no sample of 9 tokens"), std::string::npos) << text;
}

}  // namespace
}  // namespace trireme::io
