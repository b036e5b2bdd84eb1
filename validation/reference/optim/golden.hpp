#pragma once
// Reads the golden text files of this folder.

#include "lib/deck/deck.hpp"

#include <nlohmann/json.hpp>

#include <string>
#include <vector>

namespace trireme::optim {

inline constexpr double kOptimizerLr = 0.003;  ///< OPTIMIZER_LR of make_goldens.py

/// A line "case {json}" and the lines up to the next one.
struct Case {
  nlohmann::json head;
  std::vector<std::string> lines;
};
/// Of a file in this folder; a missing one fails the test.
std::vector<Case> read_cases(const std::string& name);

/// DeepSpeed's scheduler section as the deck resolves it: absent parameters take their defaults.
deck::SchedulerConfig scheduler_of(const std::string& type, const nlohmann::json& params,
                                   const deck::OptimizerConfig& optimizer);

}  // namespace trireme::optim
