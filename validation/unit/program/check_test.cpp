// The program checker: programs of random decks are sound, and every class of planted defect is
// caught.

#include "lib/program/simulate.hpp"
#include "validation/unit/program/random_decks.hpp"

#include <gtest/gtest.h>

#include <algorithm>

namespace trireme::program {
namespace {

TEST(Checker, ProgramsOfRandomDecksAreSound) {
  for (std::uint32_t seed = 0; seed < 2000; ++seed) {
    const std::vector<std::string> found = defects(compile_case(random_case(seed)));
    ASSERT_TRUE(found.empty()) << "seed " << seed << ": " << found.front();
  }
}

/// Applies `plant` to compiled programs until it finds a place; each planted defect has to be
/// found.
template <class Plant>
void expect_caught(Plant plant) {
  int planted = 0;
  for (std::uint32_t seed = 0; seed < 300; ++seed) {
    Compiled compiled = compile_case(random_case(seed));
    if (!plant(compiled)) continue;
    ++planted;
    EXPECT_FALSE(defects(compiled).empty()) << "seed " << seed;
  }
  EXPECT_GE(planted, 20) << "too few programs had a place for this defect";
}

/// First instruction of any stage that satisfies `wanted`.
template <class Wanted>
std::pair<StageProgram*, std::size_t> find(Compiled& compiled, Wanted wanted) {
  for (StageProgram& stage : compiled.stages)
    for (std::size_t i = 0; i < stage.instructions.size(); ++i)
      if (wanted(stage.instructions[i])) return {&stage, i};
  return {nullptr, 0};
}

void drop(StageProgram& stage, std::size_t at) {
  stage.instructions.erase(stage.instructions.begin() + static_cast<std::ptrdiff_t>(at));
}

void derive_all(Compiled& compiled) {
  for (StageProgram& stage : compiled.stages) derive_waits(stage, compiled.memory);
}

TEST(Checker, CatchesADroppedReceive) {
  expect_caught([](Compiled& c) {
    auto [stage, at] = find(c, [](const Instruction& i) { return i.kind == Kind::receive; });
    if (!stage) return false;
    drop(*stage, at);
    derive_all(c);
    return true;
  });
}

TEST(Checker, CatchesADroppedSend) {
  expect_caught([](Compiled& c) {
    auto [stage, at] = find(c, [](const Instruction& i) { return i.kind == Kind::send; });
    if (!stage) return false;
    drop(*stage, at);
    derive_all(c);
    return true;
  });
}

TEST(Checker, CatchesSwappedTransfersOfOneChannel) {
  expect_caught([](Compiled& c) {
    for (StageProgram& stage : c.stages)
      for (std::size_t a = 0; a < stage.instructions.size(); ++a)
        for (std::size_t b = a + 1; b < stage.instructions.size(); ++b) {
          Instruction& first = stage.instructions[a];
          Instruction& second = stage.instructions[b];
          if (first.kind != Kind::send || second.kind != Kind::send || first.peer != second.peer)
            continue;
          std::swap(first.event, second.event);
          return true;
        }
    return false;
  });
}

TEST(Checker, CatchesACollectiveThatOneStageLeavesOut) {
  expect_caught([](Compiled& c) {
    if (c.stages.size() < 2) return false;
    auto [stage, at] = find(c, [](const Instruction& i) { return i.group == Group::world; });
    drop(*stage, at);
    derive_all(c);
    return true;
  });
}

TEST(Checker, CatchesSwappedCollectivesOfStages) {
  expect_caught([](Compiled& c) {
    // The tied sum of one stage moved behind the agreement of the world: two groups in two orders.
    for (StageProgram& stage : c.stages)
      for (Instruction& i : stage.instructions)
        if (i.group == Group::tied) {
          i.event += 1000;
          return true;
        }
    return false;
  });
}

TEST(Checker, CatchesAReadBeforeTheWrite) {
  expect_caught([](Compiled& c) {
    auto [stage, at] = find(c, [](const Instruction& i) {
      return i.kind == Kind::segment && i.pass == Pass::forward && !i.writes.empty();
    });
    if (!stage) return false;
    stage->instructions[at].writes.clear();
    derive_all(c);
    return true;
  });
}

TEST(Checker, CatchesAMissingWait) {
  expect_caught([](Compiled& c) {
    auto [stage, at] = find(c, [](const Instruction& i) { return !i.waits.empty(); });
    if (!stage) return false;
    stage->instructions[at].waits.pop_back();
    return true;
  });
}

TEST(Checker, CatchesAForgottenReuseWait) {
  expect_caught([](Compiled& c) {
    MemoryPlan without = c.memory;
    bool reused = false;
    for (auto& former : without.predecessors) {
      reused |= !former.empty();
      former.clear();
    }
    bool changed = false;
    for (StageProgram& stage : c.stages) {
      const StageProgram before = stage;
      derive_waits(stage, without);
      for (std::size_t i = 0; i < before.instructions.size(); ++i)
        changed |= before.instructions[i].waits != stage.instructions[i].waits;
    }
    return reused && changed;
  });
}

TEST(Checker, CatchesOverlappingBuffers) {
  expect_caught([](Compiled& c) {
    // The first step buffer that has a neighbour alive at its birth moves onto it.
    for (const StageProgram& stage : c.stages)
      for (const Instruction& i : stage.instructions) {
        if (i.reads.empty() || i.writes.empty()) continue;
        Buffer& read = c.buffers[static_cast<std::size_t>(i.reads[0])];
        Buffer& written = c.buffers[static_cast<std::size_t>(i.writes[0])];
        if (&read == &written || read.tier != written.tier || read.lifetime != Lifetime::step ||
            written.lifetime != Lifetime::step)
          continue;
        written.offset = read.offset;
        return true;
      }
    return false;
  });
}

TEST(Checker, CatchesAForwardWait) {
  expect_caught([](Compiled& c) {
    Instruction& first = c.stages[0].instructions.front();
    first.waits.push_back(1);
    return true;
  });
}

TEST(Checker, CatchesUnequalBytes) {
  expect_caught([](Compiled& c) {
    auto [stage, at] = find(c, [](const Instruction& i) { return i.kind == Kind::receive; });
    if (!stage) return false;
    stage->instructions[at].bytes += 2;
    return true;
  });
}

bool moves_activations(const Instruction& i, Kind kind) { return i.kind == kind && i.unit < 0; }

TEST(Checker, CatchesADroppedStoreOfActivations) {
  expect_caught([](Compiled& c) {
    auto [stage, at] =
        find(c, [](const Instruction& i) { return moves_activations(i, Kind::store); });
    if (!stage) return false;
    drop(*stage, at);
    derive_all(c);
    return true;
  });
}

TEST(Checker, CatchesADroppedFetchOfActivations) {
  expect_caught([](Compiled& c) {
    auto [stage, at] =
        find(c, [](const Instruction& i) { return moves_activations(i, Kind::fetch); });
    if (!stage) return false;
    drop(*stage, at);
    derive_all(c);
    return true;
  });
}

TEST(Checker, CatchesAFetchOfOtherActivations) {
  expect_caught([](Compiled& c) {
    for (StageProgram& stage : c.stages) {
      Instruction* first = nullptr;
      for (Instruction& i : stage.instructions) {
        if (!moves_activations(i, Kind::fetch)) continue;
        if (first) {
          i.reads = first->reads;
          derive_all(c);
          return true;
        }
        first = &i;
      }
    }
    return false;
  });
}

/// Where a stage's send and its receive from the same peer stand in the other order than there:
/// each side's links block on another transfer. Through the hosts either is found when it comes.
TEST(Checker, CatchesTransfersThatBlockEachOtherOverLinks) {
  int planted = 0;
  int sound_through_hosts = 0;
  for (std::uint32_t seed = 0; seed < 600; ++seed) {
    Compiled compiled = compile_case(random_case(seed));
    const auto swap_some = [&] {
      for (StageProgram& stage : compiled.stages) {
        auto& list = stage.instructions;
        for (std::size_t a = 0; a < list.size(); ++a)
          for (std::size_t b = a + 1; b < list.size(); ++b) {
            const bool face = (list[a].kind == Kind::send && list[b].kind == Kind::receive) ||
                              (list[a].kind == Kind::receive && list[b].kind == Kind::send);
            if (!face || list[a].peer != list[b].peer || !compiled.over_links(list[a])) continue;
            const auto at = [&](std::size_t i) {
              return list.begin() + static_cast<std::ptrdiff_t>(i);
            };
            std::rotate(at(a), at(b), at(b + 1));
            return true;
          }
      }
      return false;
    };
    if (!compiled.device_links || !swap_some()) continue;
    derive_all(compiled);
    ++planted;
    EXPECT_FALSE(defects(compiled).empty()) << "seed " << seed;
    compiled.device_links = false;
    sound_through_hosts += defects(compiled).empty();
  }
  EXPECT_GE(planted, 20);
  EXPECT_GE(sound_through_hosts, 5);
}

TEST(Checker, CatchesADeadlockOfListOrder) {
  expect_caught([](Compiled& c) {
    // A stage that puts its first send behind the agreement of the world waits for a peer that
    // waits for it.
    auto [stage, at] = find(c, [](const Instruction& i) { return i.kind == Kind::send; });
    if (!stage) return false;
    Instruction moved = stage->instructions[at];
    drop(*stage, at);
    stage->instructions.push_back(moved);
    derive_all(c);
    return true;
  });
}

}  // namespace
}  // namespace trireme::program
