#include "validation/reference/optim/golden.hpp"

#include "trireme_paths.hpp"

#include <gtest/gtest.h>

#include <fstream>

namespace trireme::optim {
namespace {

using nlohmann::json;

deck::SchedulerType type_of(const std::string& name) {
  if (name == "LRRangeTest") return deck::SchedulerType::lr_range_test;
  if (name == "OneCycle") return deck::SchedulerType::one_cycle;
  if (name == "WarmupLR") return deck::SchedulerType::warmup;
  if (name == "WarmupDecayLR") return deck::SchedulerType::warmup_decay;
  EXPECT_EQ(name, "WarmupCosineLR");
  return deck::SchedulerType::warmup_cosine;
}

}  // namespace

std::vector<Case> read_cases(const std::string& name) {
  const std::string path = std::string(trireme::kSourceDir) + "/validation/reference/optim/" + name;
  std::ifstream file(path);
  EXPECT_TRUE(file) << path;
  std::vector<Case> cases;
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with("#")) continue;
    if (line.starts_with("case "))
      cases.push_back({json::parse(line.substr(5)), {}});
    else
      cases.back().lines.push_back(line);
  }
  return cases;
}

deck::SchedulerConfig scheduler_of(const std::string& type, const json& params,
                                   const deck::OptimizerConfig& optimizer) {
  deck::SchedulerConfig s;
  std::size_t known = 0;
  const auto read = [&]<class T>(const char* key, T& value) {
    if (!params.contains(key)) return;
    params.at(key).get_to(value);
    ++known;
  };
  s.type = type_of(type);
  read("lr_range_test_min_lr", s.lr_range_test_min_lr);
  read("lr_range_test_step_size", s.lr_range_test_step_size);
  read("lr_range_test_step_rate", s.lr_range_test_step_rate);
  read("lr_range_test_staircase", s.lr_range_test_staircase);
  read("cycle_min_lr", s.cycle_min_lr);
  read("cycle_max_lr", s.cycle_max_lr);
  read("decay_lr_rate", s.decay_lr_rate);
  read("cycle_first_step_size", s.cycle_first_step_size);
  s.cycle_second_step_size = s.cycle_first_step_size;
  read("cycle_second_step_size", s.cycle_second_step_size);
  read("cycle_first_stair_count", s.cycle_first_stair_count);
  s.cycle_second_stair_count = s.cycle_first_stair_count;
  read("cycle_second_stair_count", s.cycle_second_stair_count);
  read("decay_step_size", s.decay_step_size);
  read("cycle_momentum", s.cycle_momentum);
  read("cycle_min_mom", s.cycle_min_mom);
  read("cycle_max_mom", s.cycle_max_mom);
  read("decay_mom_rate", s.decay_mom_rate);
  read("warmup_min_lr", s.warmup_min_lr);
  if (s.type == deck::SchedulerType::warmup) s.warmup_max_lr = optimizer.lr;
  read("warmup_max_lr", s.warmup_max_lr);
  read("warmup_num_steps", s.warmup_num_steps);
  read("total_num_steps", s.total_num_steps);
  read("warmup_min_ratio", s.warmup_min_ratio);
  read("cos_min_ratio", s.cos_min_ratio);
  std::string warmup_type = "log";
  read("warmup_type", warmup_type);
  s.warmup_type = warmup_type == "linear" ? deck::WarmupType::linear : deck::WarmupType::log;
  EXPECT_EQ(known, params.size()) << "a parameter of " << params << " was not read";
  return s;
}

}  // namespace trireme::optim
