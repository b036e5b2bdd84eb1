// Micro-batches as models read them.

#include "lib/engine/batches.hpp"
#include "validation/harness/token_deck.hpp"

#include <gtest/gtest.h>

namespace trireme::validation {
namespace {

constexpr std::int64_t kSequence = 8;
constexpr std::int64_t kSamples = 3;
constexpr std::int64_t kTokens = kSamples * kSequence;

struct Batch {
  std::vector<std::int32_t> tokens = std::vector<std::int32_t>(2 * kTokens, -7);
  std::vector<std::int32_t> documents = std::vector<std::int32_t>(kTokens, -7);
  TensorView tokens_view() { return {tokens.data(), {2, kTokens}, DType::i32}; }
  TensorView documents_view() { return {documents.data(), {kTokens}, DType::i32}; }
};

deck::Deck batch_deck(const TokenDecks& decks) {
  return decks.deck(1, R"(, "parallel": {})", {"train_micro_batch_size_per_gpu=4"});
}

TEST(Batches, TargetsFollowTheirInputs) {
  const TokenDecks decks;
  engine::Batches batches(batch_deck(decks));
  Batch batch;
  EXPECT_EQ(batches.training()(5, batch.tokens_view(), {}), kTokens);
  for (std::int64_t i = 0; i + 1 < kTokens; ++i) {
    if ((i + 1) % kSequence == 0) continue;
    const auto at = static_cast<std::size_t>(i);
    EXPECT_EQ(batch.tokens[kTokens + at], batch.tokens[at + 1]);
  }
}

TEST(Batches, StagesInTheMiddleGetTheSameDocuments) {
  const TokenDecks decks;
  engine::Batches batches(batch_deck(decks));
  Batch both;
  Batch middle;
  batches.training()(5, both.tokens_view(), both.documents_view());
  batches.training()(5, {}, middle.documents_view());
  EXPECT_EQ(middle.documents, both.documents);
  for (const std::int32_t start : both.documents) {
    EXPECT_GE(start, 0);
    EXPECT_LT(start, kSequence);
  }
  EXPECT_EQ(middle.tokens, Batch().tokens);
}

TEST(Batches, SamplesBeyondTheLimitCountForNothing) {
  const TokenDecks decks;
  engine::Batches batches(batch_deck(decks));
  batches.set_validation_limit(2);
  Batch batch;
  EXPECT_EQ(batches.validation()(0, batch.tokens_view(), {}), 2 * kSequence);
  const auto targets = batch.tokens.begin() + kTokens;
  EXPECT_EQ(std::count(targets, targets + 2 * kSequence, -1), 0);
  EXPECT_EQ(std::count(targets + 2 * kSequence, batch.tokens.end(), -1), kSequence);
}

}  // namespace
}  // namespace trireme::validation
