// DeepSpeed's elasticity: the numbers of its own tests, laws of the rule, and the batch triple of a
// deck on one number of ranks after another.
#include "lib/deck/elastic.hpp"
#include "validation/unit/deck/try_deck.hpp"

#include <gtest/gtest.h>

#include <algorithm>

namespace trireme::deck::testing {
namespace {

/// deepspeed/tests/unit/elasticity/test_elastic.py, base_ds_config.
const ElasticRule kTenThousand{10000, {8, 12, 16, 17}, 32, 1500, true};

TEST(Elastic, GivesDeepSpeedsNumbers) {
  const ElasticBatch batch = elastic_batch(kTenThousand);
  EXPECT_EQ(batch.global, 9792);
  EXPECT_EQ(batch.replicas.size(), 23u);
  EXPECT_EQ(elastic_micro(kTenThousand, batch.global, 64), 17);
  const ElasticRule odd{32, {1, 2, 3, 7}, 1, 1500, true};
  EXPECT_EQ(elastic_batch(odd).global, 42) << "beyond its maximum, as there";
  EXPECT_EQ(elastic_micro(odd, 42, 7), 3);
}

TEST(Elastic, EveryCountThatIsOfferedHasAMicroBatch) {
  for (const std::int64_t most : {12, 60, 2000, 123457})
    for (const bool larger : {true, false}) {
      const ElasticRule rule{most, {2, 4, 6}, 1, 300, larger};
      const ElasticBatch batch = elastic_batch(rule);
      ASSERT_FALSE(batch.replicas.empty());
      EXPECT_LE(batch.global, most);
      for (std::int64_t n = 1; n <= 400; ++n) {
        const bool offered = std::binary_search(batch.replicas.begin(), batch.replicas.end(), n);
        const std::int64_t micro = elastic_micro(rule, batch.global, n);
        EXPECT_EQ(offered, micro > 0 && n <= 300) << n;
        EXPECT_EQ(micro > 0 ? batch.global % (n * micro) : 0, 0) << n;
      }
    }
}

std::string elastic_deck(const std::string& more = "", const std::string& batch = "") {
  std::string text = small_deck(R"("elasticity": {"enabled": true, "max_train_batch_size": 12,
                                   "micro_batch_sizes": [1, 2])" +
                                more + "},");
  const std::string line = "\"train_batch_size\": 8,";
  return text.replace(text.find(line), line.size(), batch);
}

TEST(Elastic, KeepsTheGlobalBatchWhateverTheRanks) {
  struct Case {
    std::int64_t ranks, micro, accumulation;
  };
  std::string fingerprint;
  for (const Case& c : {Case{1, 2, 6}, Case{2, 2, 3}, Case{3, 2, 2}, Case{4, 1, 3}, Case{6, 2, 1},
                        Case{12, 1, 1}}) {
    const Deck deck = load_text(elastic_deck(), {}, c.ranks);
    EXPECT_EQ(deck.batch.global, 12) << c.ranks;
    EXPECT_EQ(deck.batch.micro, c.micro) << c.ranks;
    EXPECT_EQ(deck.batch.accumulation, c.accumulation) << c.ranks;
    if (fingerprint.empty()) fingerprint = deck.fingerprint;
    EXPECT_EQ(deck.fingerprint, fingerprint) << "a resume on other ranks is the same run";
  }
  EXPECT_TRUE(contains(refusal(elastic_deck(), {}, 5), "nearest numbers of replicas"));
  EXPECT_TRUE(contains(refusal(elastic_deck(), {}, 5), "4 and 6"));
}

TEST(Elastic, CountsReplicasWhereTheModelIsDivided) {
  const Deck deck = load_text(elastic_deck(), {"parallel.tensor=2"}, 6);
  EXPECT_EQ(deck.parallel.data, 3);
  EXPECT_EQ(deck.batch.micro * deck.batch.accumulation * 3, 12);
  // Version 0.2 counts nodes: four ranks a node are two replicas of two ranks.
  const std::string by_node = elastic_deck(R"(, "num_gpus_per_node": 4)");
  EXPECT_EQ(load_text(by_node, {"parallel.tensor=2"}, 8).parallel.data, 4);
  EXPECT_TRUE(contains(refusal(by_node, {"parallel.tensor=2"}, 6), "nearest numbers"));
  EXPECT_TRUE(
      contains(refusal(elastic_deck(R"(, "num_gpus_per_node": 3)"), {"parallel.tensor=2"}, 6),
               "does not divide by the 2 ranks of a replica"));
  EXPECT_TRUE(contains(refusal(elastic_deck(R"(, "model_parallel_size": 3)"), {}, 2), "neither"));
}

TEST(Elastic, ABatchOfTheDecksOwnContradicts) {
  const std::string own = R"("train_batch_size": 8,)";
  EXPECT_TRUE(contains(refusal(elastic_deck("", own), {}, 2), "contradicts elasticity"));
  const std::string ignored = elastic_deck(R"(, "ignore_non_elastic_batch_info": true)", own);
  EXPECT_EQ(load_text(ignored, {}, 2).batch.global, 12);
  EXPECT_FALSE(load_text(ignored, {}, 2).warnings.empty());
  // The same batch is none: the resolved deck, which has all keys, loads to itself.
  const Deck deck = load_text(elastic_deck(), {}, 2);
  EXPECT_EQ(load_text(deck.resolved_json, {}, 2).resolved_json, deck.resolved_json);
  EXPECT_TRUE(contains(refusal(elastic_deck(R"(, "min_gpus": 0)"), {}, 2), "elasticity.min_gpus"));
  EXPECT_TRUE(contains(refusal(small_deck(R"("elasticity": {"enabled": true,
                                              "max_train_batch_size": 3,
                                              "micro_batch_sizes": [4]},)"),
                               {}, 2),
                       "expected sizes of at most 3"));
}

}  // namespace
}  // namespace trireme::deck::testing
