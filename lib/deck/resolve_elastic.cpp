// DeepSpeed's elasticity section: the batch triple of a run that may come back on other ranks.
#include "lib/deck/draft.hpp"
#include "lib/deck/elastic.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace trireme::deck {

namespace {

constexpr std::string_view kEnabled = "elasticity.enabled";

ElasticRule rule_of(const Draft& draft) {
  ElasticRule rule;
  rule.max_batch = draft.integer("elasticity.max_train_batch_size");
  rule.micro.clear();
  for (const Value& micro : *draft.at("elasticity.micro_batch_sizes").list())
    rule.micro.push_back(*micro.integer());
  rule.least = draft.integer("elasticity.min_gpus");
  rule.most = draft.integer("elasticity.max_gpus");
  rule.prefer_larger = draft.boolean("elasticity.prefer_larger_batch");
  return rule;
}

/// Replicas that join and leave together: those of a node, by version 0.2's num_gpus_per_node.
std::int64_t replicas_of_node(Draft& draft, std::int64_t model_ranks) {
  constexpr std::string_view kPerNode = "elasticity.num_gpus_per_node";
  const std::int64_t per_node = draft.integer(kPerNode);
  if (!draft.given(kPerNode) || draft.number("elasticity.version") < 0.2) return 1;
  if (per_node % model_ranks == 0) return per_node / model_ranks;
  draft.conflict({kPerNode, "parallel.tensor", "parallel.pipeline"},
                 fmt::format("{} {} does not divide by the {} ranks of a replica (parallel.tensor "
                             "x parallel.pipeline)",
                             kPerNode, per_node, model_ranks));
  return 1;
}

/// A value of the deck's own gives way if it may, and is no contradiction if it is the same.
void settle(Draft& draft, std::string_view key, std::int64_t value) {
  const auto own = draft.known(key);
  if (own && *own != value) {
    if (!draft.boolean("elasticity.ignore_non_elastic_batch_info"))
      return draft.conflict(
          {key, kEnabled},
          fmt::format("{} {} contradicts elasticity, which takes {}; leave it out, or set "
                      "elasticity.ignore_non_elastic_batch_info",
                      key, *own, value));
    draft.warn(key, fmt::format("{} {} gives way to elasticity's {}", key, *own, value));
  }
  draft.derive(key, value);
}

std::string nearest_counts(const std::vector<std::int64_t>& counts, std::int64_t wanted) {
  const auto above = std::lower_bound(counts.begin(), counts.end(), wanted);
  std::string text;
  if (above != counts.begin()) text += fmt::format("{}", *(above - 1));
  if (above != counts.end()) text += fmt::format("{}{}", text.empty() ? "" : " and ", *above);
  return text;
}

}  // namespace

void resolve_elastic(Draft& draft) {
  if (draft.mistakes.in(kEnabled) || !draft.boolean(kEnabled)) {
    if (draft.any_given_below("elasticity") && !draft.given(kEnabled))
      draft.warn(kEnabled, "the section elasticity has no influence without elasticity.enabled");
    return;
  }
  const auto data = draft.known("parallel.data");
  const auto tensor = draft.known("parallel.tensor");
  const auto pipeline = draft.known("parallel.pipeline");
  if (!data || !tensor || !pipeline) return;
  const std::int64_t model_ranks = *tensor * *pipeline;
  if (const auto given = draft.known("elasticity.model_parallel_size");
      draft.given("elasticity.model_parallel_size") && *given != *tensor && *given != model_ranks)
    return draft.conflict({"elasticity.model_parallel_size", "parallel.tensor"},
                          fmt::format("elasticity.model_parallel_size {} is neither "
                                      "parallel.tensor {} nor the {} ranks of a replica",
                                      *given, *tensor, model_ranks));
  ElasticRule rule = rule_of(draft);
  const std::int64_t together = replicas_of_node(draft, model_ranks);
  rule.max_batch /= together;
  rule.least = std::max<std::int64_t>(1, rule.least / (together * model_ranks));
  rule.most /= together * model_ranks;
  if (rule.micro.empty() ||
      *std::max_element(rule.micro.begin(), rule.micro.end()) > rule.max_batch)
    return draft.wrong(
        "elasticity.micro_batch_sizes",
        fmt::format("elasticity.micro_batch_sizes: expected sizes of at most {} "
                    "(elasticity.max_train_batch_size{})",
                    rule.max_batch, together > 1 ? " by the replicas of a node" : ""));
  ElasticBatch batch = elastic_batch(rule);
  for (std::int64_t& count : batch.replicas) count *= together;
  batch.global *= together;
  if (!std::binary_search(batch.replicas.begin(), batch.replicas.end(), *data))
    return draft.conflict(
        {"parallel.data", kEnabled},
        fmt::format("elasticity keeps the global batch {}, which {} replicas do not divide; "
                    "nearest numbers of replicas (of {} ranks each): {}",
                    batch.global, *data, model_ranks, nearest_counts(batch.replicas, *data)));
  if (batch.global > rule.max_batch * together)
    draft.warn("elasticity.max_train_batch_size",
               fmt::format("elasticity takes the global batch {}, the least common multiple of the "
                           "micro-batches, although it exceeds max_train_batch_size",
                           batch.global));
  const std::int64_t micro = elastic_micro(rule, batch.global, *data);
  settle(draft, "train_batch_size", batch.global);
  settle(draft, "train_micro_batch_size_per_gpu", micro);
  settle(draft, "gradient_accumulation_steps", batch.global / *data / micro);
}

}  // namespace trireme::deck
