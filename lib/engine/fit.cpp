#include "lib/engine/fit.hpp"

#include "kernels/base/error.hpp"
#include "lib/engine/setup.hpp"
#include "lib/engine/setup_parts.hpp"
#include "lib/models/build.hpp"
#include "lib/program/print.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

namespace trireme::engine {
namespace {

using deck::Tier;
using program::size_text;
using Bytes = std::vector<std::array<std::int64_t, program::kTiers>>;  // by stage

constexpr std::array kAllTiers{Tier::device, Tier::host, Tier::nvme};
constexpr std::array<std::string_view, program::kTiers> kTierNames{"none", "cpu", "nvme"};

/// Decks compiled at most: a model of thousands of layers takes a second each.
constexpr int kMostTrials = 200;

/// One thing to change, as overrides; `price` orders changes by the time they cost a step.
struct Change {
  std::vector<std::string> sets;
  double price = 0;
};
/// Changes of one kind: at most one of them is made.
using Kind = std::vector<Change>;

/// `key` names a tier.
Kind tier_changes(std::string_view key, Tier now, std::array<double, program::kTiers> prices) {
  Kind kind;
  for (const Tier tier : kAllTiers)
    if (tier != now)
      kind.push_back({{fmt::format("{}={}", key, kTierNames[static_cast<std::size_t>(tier)])},
                      prices[static_cast<std::size_t>(tier)]});
  return kind;
}

/// Where what recomputation starts from is kept: divided over tensor ranks, or on another tier.
Kind recompute_changes(const deck::Deck& deck) {
  const deck::RecomputeConfig& now = deck.activation_checkpointing;
  Kind kind;
  const auto add = [&](std::vector<std::string> sets, double price) {
    if (!now.enabled) sets.insert(sets.begin(), "activation_checkpointing.enabled=true");
    kind.push_back({std::move(sets), price});
  };
  if (!now.enabled) add({}, 1);
  if (!now.partition && deck.parallel.tensor > 1)
    add({"activation_checkpointing.partition_activations=true"}, 1.2);
  for (Change& change : tier_changes("activation_checkpointing.device", now.tier, {1.1, 1.6, 1.8}))
    add(change.sets, change.price);
  return kind;
}

std::vector<Kind> kinds_of(const deck::Deck& deck) {
  std::vector<Kind> kinds;
  kinds.push_back(recompute_changes(deck));
  Kind batch;
  std::int64_t accumulation = deck.batch.accumulation;
  for (std::int64_t micro = deck.batch.micro; micro % 2 == 0;) {
    micro /= 2;
    accumulation *= 2;
    batch.push_back({{fmt::format("train_micro_batch_size_per_gpu={}", micro),
                      fmt::format("gradient_accumulation_steps={}", accumulation)},
                     2 + 0.1 * static_cast<double>(batch.size())});
  }
  kinds.push_back(std::move(batch));
  const deck::ZeroConfig& zero = deck.parallel.zero;
  Kind stages;
  if (deck.parallel.data > 1 && zero.shard_ranks != 1)
    for (int stage = zero.stage + 1; stage <= 3; ++stage) {
      stages.push_back({{fmt::format("zero_optimization.stage={}", stage)}, 3 + 0.1 * stage});
      if (zero.stage < 2 && stage >= 2)
        stages.back().sets.push_back("parallel.zero.reduce_per=micro_batch");
    }
  kinds.push_back(std::move(stages));
  kinds.push_back(tier_changes("zero_optimization.offload_optimizer.device",
                               zero.offload_optimizer.tier, {9, 4, 6}));
  kinds.push_back(
      tier_changes("zero_optimization.offload_param.device", zero.offload_param.tier, {9, 5, 7}));
  return kinds;
}

struct Candidate {
  std::vector<std::string> sets;
  std::int64_t changed = 0;
  double price = 0;
};

/// All ways to choose at most one change of each kind, fewest changes first, then by price.
std::vector<Candidate> candidates_of(const deck::Deck& deck) {
  std::vector<Candidate> all{{}};
  for (const Kind& kind : kinds_of(deck)) {
    const std::size_t before = all.size();
    for (const Change& change : kind)
      for (std::size_t i = 0; i < before; ++i) {
        Candidate more = all[i];
        more.sets.insert(more.sets.end(), change.sets.begin(), change.sets.end());
        more.changed += 1;
        more.price += change.price;
        all.push_back(std::move(more));
      }
  }
  all.erase(all.begin());  // the deck as it is
  std::stable_sort(all.begin(), all.end(), [](const Candidate& a, const Candidate& b) {
    return a.changed != b.changed ? a.changed < b.changed : a.price < b.price;
  });
  return all;
}

bool within(const Limits& limits, const Bytes& bytes) {
  for (const auto& stage : bytes)
    for (std::size_t t = 0; t < limits.size(); ++t)
      if (limits[t] > 0 && stage[t] > limits[t]) return false;
  return true;
}

/// What the programs of a deck need, or nothing as soon as one does not fit; resident state is
/// looked at first, because that takes no compiling.
std::optional<Bytes> bytes_within(const deck::Deck& deck, const Limits& limits, int& trials) {
  const models::Model model = models::build_language_model(deck.model, placement_of(deck));
  program::Options options = options_of(deck);
  const program::Layout layout = program::make_layout(model, options);
  const program::ResidentTable resident(model, layout, options);
  Bytes most;
  for (std::int32_t s = 0; s < layout.stages; ++s)
    most.push_back({resident.bytes(s, Tier::device), resident.bytes(s, Tier::host),
                    resident.bytes(s, Tier::nvme)});
  if (!within(limits, most)) return std::nullopt;
  ++trials;
  const auto add = [&](const program::Compiled& compiled) {
    for (std::size_t s = 0; s < most.size(); ++s)
      for (std::size_t t = 0; t < program::kTiers; ++t)
        most[s][t] = std::max(most[s][t], compiled.memory.bytes[s][t]);
    return within(limits, most);
  };
  if (!add(program::compile(model, layout, options, resident))) return std::nullopt;
  if (!add(program::compile_refresh(model, layout, options, resident))) return std::nullopt;
  options.shape.forward_only = true;
  if (!add(program::compile(model, layout, options, resident))) return std::nullopt;
  return most;
}

/// The deck with these changes; nothing where they do not go together.
std::optional<deck::Deck> changed(const deck::Deck& deck, const Candidate& candidate) {
  try {
    return deck::load(deck::Source{deck.resolved_json, deck.path}, candidate.sets,
                      deck.parallel.ranks());
  } catch (const Error& error) {
    if (error.code() != Exit::kUsage) throw;
    return std::nullopt;
  }
}

std::string by_purpose(const Excess& excess) {
  const program::PurposeBytes memory =
      program::memory_by_purpose(*excess.program, excess.stage, excess.tier);
  std::string text;
  for (std::size_t p = 0; p < program::kPurposes; ++p)
    if (memory.bytes[p] > 0)
      text += fmt::format("{}{} {}", text.empty() ? "" : ", ",
                          program::name_of(static_cast<program::Purpose>(p)),
                          size_text(memory.bytes[p]));
  return text;
}

std::string table(const std::vector<Excess>& found) {
  std::string text = fmt::format("  {:>5}  {:<6}  {:>10}  {:>10}  {}\n", "stage", "tier", "planned",
                                 "limit", "planned by purpose at the peak");
  for (const Excess& excess : found)
    text += fmt::format("  {:>5}  {:<6}  {:>10}  {:>10}  {}\n", excess.stage,
                        program::name_of(excess.tier), size_text(excess.planned),
                        size_text(excess.limit), by_purpose(excess));
  return text;
}

std::string advice(const deck::Deck& deck) {
  if (deck.resolved_json.empty()) return "raise the limit or make the deck smaller";
  const auto fit = nearest_fit(deck);
  if (!fit)
    return "no deck fits that differs in recomputation, micro-batch, ZeRO stage and offload alone: "
           "raise the limit, or divide the model further (parallel.tensor, parallel.pipeline)";
  std::array<std::int64_t, program::kTiers> most{};
  for (const auto& stage : fit->bytes)
    for (std::size_t t = 0; t < most.size(); ++t) most[t] = std::max(most[t], stage[t]);
  std::string text = "nearest deck that fits:";
  for (const std::string& set : fit->changes) text += " --set " + set;
  text += "\n  (largest rank:";
  for (const Tier tier : kAllTiers)
    if (const std::int64_t bytes = most[static_cast<std::size_t>(tier)]; bytes > 0)
      text += fmt::format(" {} {},", program::name_of(tier), size_text(bytes));
  text.back() = ')';
  return text;
}

}  // namespace

Limits limits_of(const deck::RunConfig& run) { return {run.device_memory, run.host_memory, 0}; }

std::vector<Excess> excesses(const Limits& limits,
                             const std::vector<const program::Compiled*>& programs) {
  std::vector<Excess> found;
  const auto stages = static_cast<std::int32_t>(programs.front()->stages.size());
  for (std::int32_t stage = 0; stage < stages; ++stage)
    for (const Tier tier : kAllTiers) {
      const std::int64_t limit = limits[static_cast<std::size_t>(tier)];
      const program::Compiled* most =
          *std::max_element(programs.begin(), programs.end(), [&](const auto* a, const auto* b) {
            return a->memory.at(stage, tier) < b->memory.at(stage, tier);
          });
      if (limit > 0 && most->memory.at(stage, tier) > limit)
        found.push_back({stage, tier, most->memory.at(stage, tier), limit, most});
    }
  return found;
}

std::optional<Fit> nearest_fit(const deck::Deck& deck) {
  const Limits limits = limits_of(deck.run);
  int trials = 0;
  for (const Candidate& candidate : candidates_of(deck)) {
    if (trials >= kMostTrials) break;
    const auto tried = changed(deck, candidate);
    if (!tried) continue;
    if (const auto bytes = bytes_within(*tried, limits, trials))
      return Fit{candidate.sets, candidate.changed, *bytes};
  }
  return std::nullopt;
}

void check_fits(const Setup& setup) {
  const auto found =
      excesses(limits_of(setup.deck.run), {&setup.training, &setup.evaluation, &setup.refresh});
  if (found.empty()) return;
  fail(Exit::kUsage,
       "the plan needs more memory than run.device_memory or run.host_memory allow a rank:\n{}{}",
       table(found), advice(setup.deck));
}

}  // namespace trireme::engine
