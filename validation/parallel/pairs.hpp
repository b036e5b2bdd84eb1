#pragma once
// A few choices in which every two values of different axes stand together.

#include <array>
#include <cstddef>
#include <set>
#include <tuple>
#include <vector>

namespace trireme::validation {

/// By axis: the number of the chosen value.
template <std::size_t axes>
using Choices = std::array<int, axes>;

using AxisPair = std::tuple<std::size_t, int, std::size_t, int>;

template <std::size_t axes>
std::set<AxisPair> pairs_of(const Choices<axes>& choice) {
  std::set<AxisPair> pairs;
  for (std::size_t a = 0; a < axes; ++a)
    for (std::size_t b = a + 1; b < axes; ++b) pairs.emplace(a, choice[a], b, choice[b]);
  return pairs;
}

/// Members of `pool` that together have every pair of it, picked greedily: the one with the most
/// pairs still open next, the first of equals.
template <std::size_t axes>
std::vector<Choices<axes>> covering(const std::vector<Choices<axes>>& pool) {
  std::set<AxisPair> open;
  for (const Choices<axes>& choice : pool) open.merge(pairs_of(choice));
  std::vector<Choices<axes>> chosen;
  while (!open.empty()) {
    const Choices<axes>* best = nullptr;
    std::size_t most = 0;
    for (const Choices<axes>& candidate : pool) {
      std::size_t news = 0;
      for (const AxisPair& pair : pairs_of(candidate)) news += open.count(pair);
      if (news > most) {
        most = news;
        best = &candidate;
      }
    }
    for (const AxisPair& pair : pairs_of(*best)) open.erase(pair);
    chosen.push_back(*best);
  }
  return chosen;
}

}  // namespace trireme::validation
