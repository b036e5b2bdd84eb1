// Which instructions of the compute lane may be issued together as one graph: over random programs,
// whatever fits.

#include "lib/engine/compute_graphs.hpp"
#include "validation/unit/program/random_decks.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>

namespace trireme::engine {
namespace {

using program::Instruction;
using program::Lane;

struct StageCase {
  std::vector<Instruction> list;
  std::vector<bool> in_stream;
  std::vector<bool> fit;
};

/// The stages of a random deck on GPUs; of what may be in a graph some does not fit.
std::vector<StageCase> stages_of(std::uint32_t seed) {
  program::Case some = program::random_case(seed);
  std::mt19937 random(seed);
  some.options.device_apart = true;
  const program::Compiled compiled = program::compile_case(some);
  std::vector<StageCase> made;
  for (const program::StageProgram& stage : compiled.stages) {
    StageCase one{stage.instructions, {}, {}};
    for (const Instruction& i : stage.instructions) {
      one.in_stream.push_back(runs_in_stream(compiled, i));
      one.fit.push_back(i.lane == Lane::compute && one.in_stream.back() &&
                        i.when == program::When::always && random() % 8 > 0);
    }
    made.push_back(std::move(one));
  }
  return made;
}

/// What is wrong with these stretches: written without the code that makes them.
std::string defect(const StageCase& stage,
                   const std::vector<std::vector<std::int32_t>>& stretches) {
  const auto at = [&](std::int32_t i) -> const Instruction& {
    return stage.list[static_cast<std::size_t>(i)];
  };
  const auto on_stream = [&](std::int32_t i) {
    return at(i).lane == Lane::compute && stage.in_stream[static_cast<std::size_t>(i)];
  };
  std::vector<std::int32_t> lane;
  for (std::int32_t i = 0; i < std::ssize(stage.list); ++i)
    if (at(i).lane == Lane::compute) lane.push_back(i);
  for (const std::vector<std::int32_t>& stretch : stretches) {
    if (stretch.size() < 2) return "short";
    const auto begin = std::ranges::find(lane, stretch.front());
    if (lane.end() - begin < std::ssize(stretch) ||
        !std::equal(stretch.begin(), stretch.end(), begin))
      return "not neighbours";
    std::set<std::int32_t> known;  // of other lanes: what the stream is behind when it begins
    for (auto i = lane.begin(); i <= begin; ++i)
      if (at(*i).when == program::When::always || !on_stream(*i))
        known.insert(at(*i).waits.begin(), at(*i).waits.end());
    for (const std::int32_t i : stretch) {
      if (!stage.fit[static_cast<std::size_t>(i)]) return "does not fit";
      for (const std::int32_t wait : at(i).waits)
        if (at(wait).lane != Lane::compute && !known.contains(wait)) return "waits inside";
      if (i == stretch.back()) continue;
      for (std::int32_t other = 0; other < std::ssize(stage.list); ++other)
        if (!on_stream(other) && std::ranges::find(at(other).waits, i) != at(other).waits.end())
          return "awaited inside";
    }
  }
  return "";
}

TEST(Stretches, NobodyNeedsAMarkInsideOfOne) {
  std::int64_t inside = 0;
  std::int64_t fit = 0;
  int across = 0;
  for (std::uint32_t seed = 0; seed < 150; ++seed)
    for (const StageCase& stage : stages_of(seed)) {
      const auto stretches = stretches_of(stage.list, stage.in_stream, stage.fit);
      ASSERT_EQ(defect(stage, stretches), "") << "deck " << seed;
      for (const auto& stretch : stretches) inside += std::ssize(stretch);
      fit += std::ranges::count(stage.fit, true);
      const GraphFaults fault{.across_waits = true};
      across += defect(stage, stretches_of(stage.list, stage.in_stream, stage.fit, fault)) ==
                "waits inside";
    }
  EXPECT_GT(inside, fit / 4);  // the rest stands alone: much is held up by other lanes here
  EXPECT_GT(across, 100);      // the fault
}

/// Two neighbours that could be one stretch are one.
TEST(Stretches, AreAsLongAsTheyMayBe) {
  for (std::uint32_t seed = 0; seed < 50; ++seed)
    for (const StageCase& stage : stages_of(seed)) {
      auto stretches = stretches_of(stage.list, stage.in_stream, stage.fit);
      for (std::size_t k = 0; k + 1 < stretches.size(); ++k) {
        auto joined = stretches;
        joined[k].insert(joined[k].end(), joined[k + 1].begin(), joined[k + 1].end());
        joined.erase(joined.begin() + static_cast<std::ptrdiff_t>(k) + 1);
        EXPECT_NE(defect(stage, joined), "") << "deck " << seed;
      }
    }
}

}  // namespace
}  // namespace trireme::engine
