#include "validation/parallel/cases.hpp"

#include "validation/harness/engine_run.hpp"
#include "validation/harness/tiny_models.hpp"
#include "validation/parallel/pairs.hpp"

#include <fmt/format.h>

#include <array>
#include <random>

namespace trireme::validation {
namespace {

// Choices by axis; a choice that the others forbid is mended to its neighbour.
enum Axis {
  kGrid,
  kSchedule,
  kVirtual,
  kRecompute,
  kSequence,
  kMicro,
  kAccumulation,
  kModel,
  kDtype,
  kOptimizer,
  kDropout,
  kDocuments,
  kAxes
};
using Choice = Choices<kAxes>;

struct Grid {
  int data = 1;
  int tensor = 1;
  int pipeline = 1;
};

constexpr int kMostTensor = 4;  // key/value heads of the tiny models

std::vector<Grid> grids_of(int ranks) {
  std::vector<Grid> grids;
  for (int tensor = 1; tensor <= std::min(ranks, kMostTensor); ++tensor)
    for (int pipeline = 1; pipeline <= ranks / tensor; ++pipeline)
      if (kMostTensor % tensor == 0 && ranks % (tensor * pipeline) == 0)
        grids.push_back({ranks / tensor / pipeline, tensor, pipeline});
  return grids;
}

struct NamedDtype {
  const char* name;
  DType dtype;
};
constexpr NamedDtype kDtypes[] = {{"f32", DType::f32}, {"bf16", DType::bf16}, {"f16", DType::f16}};
constexpr deck::OptimizerType kOptimizers[] = {deck::OptimizerType::adamw, deck::OptimizerType::sgd,
                                               deck::OptimizerType::lamb,
                                               deck::OptimizerType::lion};

Choice sizes_of(int ranks) {
  return {static_cast<int>(grids_of(ranks).size()), 3, 2, 2, 2, 2, 3,
          static_cast<int>(tiny_models().size()),   3, 4, 2, 2};
}

Choice mended(Choice choice, int ranks) {
  const Grid grid = grids_of(ranks)[static_cast<std::size_t>(choice[kGrid])];
  if (grid.pipeline == 1 && choice[kSchedule] == 2) choice[kSchedule] = 1;
  if (choice[kSchedule] != 2 || grid.pipeline > 4) choice[kVirtual] = 0;
  if (choice[kSchedule] == 2 && grid.pipeline <= 4) choice[kVirtual] = 1;
  if (grid.pipeline > 4 && choice[kSchedule] == 2) choice[kSchedule] = 1;
  if (grid.tensor == 1) choice[kSequence] = 0;
  return choice;
}

GridCase made(const Choice& choice, int ranks) {
  const Grid grid = grids_of(ranks)[static_cast<std::size_t>(choice[kGrid])];
  const NamedModel model = tiny_models()[static_cast<std::size_t>(choice[kModel])];
  GridCase out;
  deck::Deck& deck = out.deck = engine_deck(model.config);
  const int chunks = grid.pipeline * (1 + choice[kVirtual]);
  deck.model.layers = std::max(4, chunks - 2);  // embedding and head are blocks too
  deck.model.init.std = 0.2;
  if (choice[kDropout]) deck.model.dropout = {0.1, 0.1, 0.1};
  deck.data.attention_across_documents = choice[kDocuments] == 0;
  deck.parallel.data = grid.data;
  deck.parallel.tensor = grid.tensor;
  deck.parallel.pipeline = grid.pipeline;
  deck.parallel.schedule = static_cast<deck::Schedule>(choice[kSchedule]);
  deck.parallel.virtual_stages = 1 + choice[kVirtual];
  deck.parallel.sequence = choice[kSequence] == 1;
  deck.batch.micro = 1 + choice[kMicro];
  deck.batch.accumulation = 1 + choice[kAccumulation];
  if (deck.parallel.virtual_stages > 1) deck.batch.accumulation = grid.pipeline;
  deck.batch.global = deck.batch.micro * deck.batch.accumulation * grid.data;
  deck.activation_checkpointing.enabled = choice[kRecompute] == 1;
  const NamedDtype dtype = kDtypes[choice[kDtype]];
  deck.precision.compute = dtype.dtype;
  if (dtype.dtype == DType::f16) deck.precision.loss_scale.initial = 256;
  deck.optimizer.type = kOptimizers[choice[kOptimizer]];
  if (deck.optimizer.type == deck::OptimizerType::sgd) deck.optimizer.momentum = 0.9;
  out.name =
      fmt::format("{}x{}x{} {} x{} micro {}x{}{}{} {} {} {}{}{}", grid.data, grid.tensor,
                  grid.pipeline, deck::name_of(deck.parallel.schedule),
                  deck.parallel.virtual_stages, deck.batch.accumulation, deck.batch.micro,
                  choice[kRecompute] ? " recompute" : "", choice[kSequence] ? " sequence" : "",
                  model.name, dtype.name, deck::name_of(deck.optimizer.type),
                  choice[kDropout] ? " dropout" : "", choice[kDocuments] ? " documents" : "");
  return out;
}

Choice drawn(std::mt19937& random, int ranks) {
  Choice choice = sizes_of(ranks);
  for (int& value : choice) value = static_cast<int>(random() % static_cast<unsigned>(value));
  return mended(choice, ranks);
}

}  // namespace

std::vector<GridCase> all_pairs(int ranks) {
  std::mt19937 random(20);
  std::vector<Choice> pool;
  for (int i = 0; i < 2000; ++i) pool.push_back(drawn(random, ranks));
  std::vector<GridCase> cases;
  for (const Choice& choice : covering(pool)) cases.push_back(made(choice, ranks));
  return cases;
}

std::vector<GridCase> random_cases(int ranks, int count, std::uint32_t seed) {
  std::mt19937 random(seed);
  std::vector<GridCase> cases;
  for (int i = 0; i < count; ++i) cases.push_back(made(drawn(random, ranks), ranks));
  return cases;
}

}  // namespace trireme::validation
