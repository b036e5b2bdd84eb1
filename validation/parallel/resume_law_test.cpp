// The law of resuming: 20 steps are 10 steps, a new process and 10 more; to the bit on the same
// grid, up to the order of summation on another grid or device.

#include "lib/engine/open_device.hpp"
#include "lib/engine/trainer.hpp"
#include "validation/harness/bound.hpp"
#include "validation/harness/engine_run.hpp"
#include "validation/harness/reference_math.hpp"
#include "validation/harness/token_deck.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <optional>

namespace trireme::validation {
namespace {

constexpr std::int64_t kHalf = 10;
const auto* const kRuntime = with_runtime_and_device(1);

struct Finished {
  engine::Outcome outcome;
  StepOutcome masters;                // whole, on all ranks
  std::vector<StepOutcome> moments;   // whole, on all ranks
  std::vector<io::StepRecord> steps;  // all of the log; rank 0
};

class ResumeLaw : public testing::Test {
 protected:
  /// One process's share of a run in `folder`, resumed from `from` ("": a fresh start, "latest").
  Finished train(const deck::Deck& deck, const std::string& folder, const std::string& from = "",
                 std::optional<std::int64_t> max_steps = {}) {
    const engine::Setup setup(engine::open_device(world, deck));
    engine::TrainOptions options;
    options.run_folder = decks.path(folder);
    options.resume = {!from.empty(), from == "latest" ? "" : from};
    options.max_steps = max_steps;
    engine::Trainer trainer(world, test_runtime(), setup, options);
    Finished made;
    made.outcome = trainer.run();
    const engine::Place place{setup.grid, setup.grid.coordinates(world.rank())};
    const auto whole = [&](program::Purpose purpose, std::int32_t number) {
      return gather_whole(world, setup.model, place, trainer.store(), {purpose, number});
    };
    made.masters = whole(program::Purpose::masters, 0);
    for (std::int32_t m = 0; m < setup.options.moments; ++m)
      made.moments.push_back(whole(program::Purpose::moments, m));
    if (world.rank() == 0) made.steps = io::read_log(options.run_folder / io::kLogName).steps;
    world.barrier();
    return made;
  }

  deck::Deck deck(const std::string& extra, const std::string& grid,
                  const std::vector<std::string>& overrides = {}) const {
    return decks.deck(world.size(), extra + R"(, "parallel": )" + grid, overrides);
  }

  /// State divided and placed as this ZeRO section says, "": stage 0 on the device.
  deck::Deck at_home(const std::string& zero) const;

  /// The checkpoint behind step kHalf of a run, written again with another RunState.
  std::string tampered(const deck::Deck& deck, const std::string& from, const std::string& folder,
                       const std::function<void(checkpoint::RunState&)>& change) {
    const engine::Setup setup(deck);
    const engine::Place place{setup.grid, setup.grid.coordinates(world.rank())};
    state::Store store(world, setup.model, setup.layout, setup.resident, setup.options,
                       state::seat_of(setup.model, place.at), {&setup.training, &setup.refresh});
    const auto names = optim::state_names(deck.optimizer);
    checkpoint::load(world, setup.grid, setup.model, from, names, store);
    checkpoint::RunState state = checkpoint::read_state(world, from);
    change(state);
    return checkpoint::save(world, setup.grid, setup.model, store, names, state, decks.path(folder),
                            0)
        .path.string();
  }

  comm::World world;
  TokenDecks decks;
};

/// NaN stands for "unknown": the norm of a step that was skipped.
bool same(double a, double b) { return a == b || (std::isnan(a) && std::isnan(b)); }

void expect_same_bits(const Finished& got, const Finished& want) {
  EXPECT_EQ(got.masters.gradients, want.masters.gradients);
  ASSERT_EQ(got.moments.size(), want.moments.size());
  for (std::size_t m = 0; m < want.moments.size(); ++m)
    EXPECT_EQ(got.moments[m].gradients, want.moments[m].gradients);
  ASSERT_EQ(got.steps.size(), want.steps.size());
  for (std::size_t i = 0; i < want.steps.size(); ++i) {
    SCOPED_TRACE(want.steps[i].step);
    EXPECT_EQ(got.steps[i].step, want.steps[i].step);
    EXPECT_EQ(got.steps[i].loss, want.steps[i].loss);
    EXPECT_TRUE(same(got.steps[i].grad_norm, want.steps[i].grad_norm));
    EXPECT_EQ(got.steps[i].lr, want.steps[i].lr);
    EXPECT_EQ(got.steps[i].loss_scale, want.steps[i].loss_scale);
  }
}

constexpr char kFp16[] =
    R"(, "fp16": {"enabled": true, "initial_scale_power": 22, "loss_scale_window": 4, "hysteresis": 1})";

std::string grid_of(int ranks) {
  if (ranks == 1) return R"({"tensor": 1, "pipeline": 1})";
  if (ranks == 2) return R"({"tensor": 1, "pipeline": 2})";
  return R"({"data": 2, "tensor": 1, "pipeline": 2})";
}
std::string data_grid_of(int ranks) {
  return ranks == 4 ? R"({"data": 2, "tensor": 2, "pipeline": 1})"
                    : fmt::format(R"({{"data": {}, "tensor": 1, "pipeline": 1}})", ranks);
}
std::string other_grid_of(int ranks) {
  return ranks == 4 ? R"({"data": 1, "tensor": 2, "pipeline": 2, "sequence": true})"
                    : R"({"tensor": 2, "pipeline": 1})";
}

TEST_F(ResumeLaw, SameGridSameBits) {
  for (const std::string& extra : {std::string(), std::string(kFp16)}) {
    SCOPED_TRACE(extra);
    const auto folder = [&](const char* name) { return name + std::to_string(extra.size()); };
    const deck::Deck whole = deck(extra, grid_of(world.size()));
    const Finished straight = train(whole, folder("straight"));
    EXPECT_EQ(straight.outcome.code, Exit::kOk);
    const Finished half = train(whole, folder("halves"), "", kHalf);
    EXPECT_EQ(half.outcome.code, Exit::kStopped);
    EXPECT_EQ(half.outcome.last_step, kHalf);
    const Finished rest = train(whole, folder("halves"), "latest");
    EXPECT_EQ(rest.outcome.code, Exit::kOk);
    EXPECT_EQ(rest.outcome.validation_loss, straight.outcome.validation_loss);
    expect_same_bits(rest, straight);
  }
}

// Stages and tiers; sums by the step, in the order of stage 0.
const std::vector<std::string> kHomes{
    R"({"stage": 1})", R"({"stage": 2, "offload_optimizer": {"device": "cpu", "ratio": 0.5}})",
    R"({"stage": 3, "round_robin_gradients": true, "stage3_param_persistence_threshold": 64})",
    R"({"stage": 0, "offload_optimizer": {"device": "nvme", "nvme_path": "auto"},
        "offload_param": {"device": "cpu"}, "stage3_param_persistence_threshold": 64})",
    R"({"stage": 3, "offload_optimizer": {"device": "nvme", "nvme_path": "auto"},
        "offload_param": {"device": "nvme", "max_in_cpu": 0}, "sub_group_size": 512,
        "stage3_param_persistence_threshold": 0})"};
deck::Deck ResumeLaw::at_home(const std::string& zero) const {
  const std::string extra = zero.empty() ? "" : R"(, "zero_optimization": )" + zero;
  return decks.deck(world.size(), extra + R"(, "parallel": )" + data_grid_of(world.size()),
                    {"parallel.zero.reduce_per=step"});
}

TEST_F(ResumeLaw, EveryStageAndTierSameBits) {
  for (std::size_t home = 0; home < kHomes.size(); ++home) {
    SCOPED_TRACE(kHomes[home]);
    const deck::Deck whole = at_home(kHomes[home]);
    const Finished straight = train(whole, fmt::format("straight{}", home));
    const std::string halves = fmt::format("halves{}", home);
    train(whole, halves, "", kHalf);
    expect_same_bits(train(whole, halves, "latest"), straight);
  }
}

TEST_F(ResumeLaw, ChangeOfStageAndTierSameBits) {
  const Finished straight = train(at_home(""), "straight");
  for (std::size_t home = 0; home < kHomes.size(); ++home) {
    const std::string& next = kHomes[(home + 2) % kHomes.size()];
    SCOPED_TRACE(kHomes[home] + " to " + next);
    const std::string halves = fmt::format("halves{}", home);
    train(at_home(kHomes[home]), halves, "", kHalf);
    const Finished rest = train(at_home(next), halves, "latest");
    expect_same_bits(rest, straight);
    if (world.rank() == 0) {
      const std::string log = test::read_whole(decks.path(halves) + "/" + io::kLogName);
      EXPECT_NE(log.find("zero_optimization."), std::string::npos)
          << "the change is not in the log";
    }
  }
}

TEST_F(ResumeLaw, FrozenBlocksSameBitsAtAnotherStage) {
  const auto frozen = [&](const std::string& zero) {
    return decks.deck(
        world.size(),
        R"(, "zero_optimization": )" + zero + R"(, "parallel": )" + data_grid_of(world.size()),
        {"parallel.zero.reduce_per=step", R"(model.frozen=["layers.0"])"});
  };
  const Finished straight = train(frozen(kHomes[0]), "straight");
  train(frozen(kHomes[0]), "halves", "", kHalf);
  expect_same_bits(train(frozen(kHomes[2]), "halves", "latest"), straight);
  const std::string text = test::error_text([&] { train(at_home(kHomes[0]), "halves", "latest"); });
  EXPECT_NE(text.find("model.frozen"), std::string::npos) << text;
}

TEST_F(ResumeLaw, AnotherGridWithinTheBound) {
  if (world.size() == 1) return;  // there is no other grid
  const Finished straight = train(deck("", grid_of(world.size())), "straight");
  train(deck("", grid_of(world.size())), "moved", "", kHalf);
  const Finished moved = train(deck("", other_grid_of(world.size())), "moved", "latest");
  if (world.rank() == 0) {
    ASSERT_EQ(moved.steps.size(), straight.steps.size());
    for (std::size_t i = 0; i < straight.steps.size(); ++i)
      EXPECT_LT(relative_error({moved.steps[i].loss}, {straight.steps[i].loss}),
                bound(DType::f32, 0, 2))
          << "step " << i + 1;
  }
  EXPECT_LT(std::abs(moved.outcome.validation_loss / straight.outcome.validation_loss - 1),
            bound(DType::f32, 0, 2));
}

/// From the host to the test's device and back; on the host that is no move.
TEST_F(ResumeLaw, ACheckpointMovesBetweenHostAndDevice) {
  const auto on = [&](const char* device) {
    return deck("", grid_of(world.size()), {fmt::format("run.device={}", device)});
  };
  const Finished straight = train(on("cpu"), "straight");
  train(on("cpu"), "moved", "", 5);
  train(on(test_device()), "moved", "latest", kHalf);
  const Finished moved = train(on("cpu"), "moved", "latest");
  EXPECT_EQ(moved.outcome.code, Exit::kOk);
  if (world.rank() != 0) return;
  ASSERT_EQ(moved.steps.size(), straight.steps.size());
  for (std::size_t i = 0; i < straight.steps.size(); ++i)
    EXPECT_LT(relative_error({moved.steps[i].loss}, {straight.steps[i].loss}),
              bounds_from_host() * bound(DType::f32, 0, 2))
        << "step " << i + 1;
}

TEST_F(ResumeLaw, WhatACheckpointMustNotForget) {
  const deck::Deck fp16 = deck(kFp16, grid_of(world.size()));
  const Finished straight = train(fp16, "straight");
  const Finished half = train(fp16, "half", "", kHalf);
  const std::string good = half.outcome.checkpoints.back().path.string();
  const auto ends_differently = [&](const std::string& name, const auto& change) {
    const std::string from = tampered(fp16, good, name + "-checkpoints", change);
    const Finished rest = train(fp16, name, from, kHalf);
    return rest.masters.gradients != straight.masters.gradients;
  };
  EXPECT_FALSE(ends_differently("untouched", [](checkpoint::RunState&) {}));
  EXPECT_TRUE(ends_differently("scaler", [&](checkpoint::RunState& state) {
    state.optim.scaler = optim::initial_loss_scaler(fp16.precision.loss_scale);
  }));
  EXPECT_TRUE(ends_differently("updates",
                               [](checkpoint::RunState& state) { state.optim.applied_steps = 0; }));
  EXPECT_TRUE(ends_differently(
      "data", [](checkpoint::RunState& state) { state.step = state.samples = 0; }));
  const std::string text = test::error_text(
      [&] { ends_differently("position", [](checkpoint::RunState& state) { ++state.samples; }); });
  EXPECT_NE(text.find("samples"), std::string::npos) << text;
}

}  // namespace
}  // namespace trireme::validation
