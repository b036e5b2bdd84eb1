#include "lib/deck/elastic.hpp"

#include <algorithm>
#include <array>
#include <numeric>
#include <set>

namespace trireme::deck {
namespace {

/// Highly composite numbers: more divisors than any smaller number. DeepSpeed's list.
constexpr std::array<std::int64_t, 38> kHighlyComposite{
    1,      2,      4,      6,      12,     24,     36,     48,    60,    120,
    180,    240,    360,    720,    840,    1260,   1680,   2520,  5040,  7560,
    10080,  15120,  20160,  25200,  27720,  45360,  50400,  55440, 83160, 110880,
    166320, 221760, 277200, 332640, 498960, 554400, 665280, 720720};

constexpr std::int64_t kLargestBatch = 1'000'000'000;  // no common multiple beyond is a candidate

std::set<std::int64_t> candidates(const ElasticRule& rule) {
  std::set<std::int64_t> bases(rule.micro.begin(), rule.micro.end());
  std::int64_t multiple = 1;
  for (const std::int64_t micro : rule.micro) {
    multiple = std::lcm(multiple, micro);
    if (multiple > kLargestBatch) break;
  }
  if (multiple <= kLargestBatch) bases.insert(multiple);
  std::set<std::int64_t> batches;
  for (const std::int64_t base : bases) {
    if (base >= rule.max_batch) {
      batches.insert(base);
      continue;
    }
    const auto above =
        std::upper_bound(kHighlyComposite.begin(), kHighlyComposite.end(), rule.max_batch / base);
    batches.insert(base * *(above - 1));
  }
  return batches;
}

std::vector<std::int64_t> valid_replicas(const ElasticRule& rule, std::int64_t batch) {
  std::set<std::int64_t> counts;
  for (const std::int64_t micro : rule.micro) {
    if (batch % micro != 0) continue;
    const std::int64_t shares = batch / micro;
    for (std::int64_t n = rule.least; n <= std::min(shares, rule.most); ++n)
      if (shares % n == 0) counts.insert(n);
  }
  return {counts.begin(), counts.end()};
}

}  // namespace

ElasticBatch elastic_batch(const ElasticRule& rule) {
  ElasticBatch best;
  for (const std::int64_t batch : candidates(rule)) {
    std::vector<std::int64_t> replicas = valid_replicas(rule, batch);
    const bool more = replicas.size() > best.replicas.size();
    const bool equal = replicas.size() == best.replicas.size() && !replicas.empty();
    if (more || (equal && rule.prefer_larger)) best = {batch, std::move(replicas)};
  }
  return best;
}

std::int64_t elastic_micro(const ElasticRule& rule, std::int64_t global, std::int64_t replicas) {
  std::int64_t largest = 0;
  for (const std::int64_t micro : rule.micro)
    if (global % replicas == 0 && global / replicas % micro == 0)
      largest = std::max(largest, micro);
  return largest;
}

}  // namespace trireme::deck
