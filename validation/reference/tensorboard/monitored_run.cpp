// Trains a tiny model with both monitors for 5 steps and, resumed, for 5 more:
//   monitored_run RUN_FOLDER
#include "lib/engine/trainer.hpp"
#include "validation/harness/token_deck.hpp"

#include <mpi.h>

#include <cstdio>

namespace trireme::validation {
namespace {

void train(const comm::World& world, const Runtime& runtime, const deck::Deck& deck,
           const std::string& folder, bool resumes, std::optional<std::int64_t> max_steps) {
  const engine::Setup setup(deck);
  engine::TrainOptions options;
  options.run_folder = folder;
  options.resume.asked = resumes;
  options.max_steps = max_steps;
  engine::Trainer(world, runtime, setup, options).run();
}

}  // namespace
}  // namespace trireme::validation

int main(int argc, char** argv) {
  using namespace trireme;
  if (argc != 2) {
    std::fprintf(stderr, "monitored_run RUN_FOLDER\n");
    return static_cast<int>(Exit::kUsage);
  }
  return comm::run_on_ranks([&](comm::World& world) {
    const Runtime runtime(1);
    const validation::TokenDecks decks;
    const deck::Deck deck = decks.deck(
        1,
        R"(, "parallel": {}, "tensorboard": {"enabled": true}, "csv_monitor": {"enabled": true},
             "fp16": {"enabled": true, "initial_scale_power": 8})",
        {"run.max_steps=10", "run.eval_every=5"});
    validation::train(world, runtime, deck, argv[1], false, 5);
    validation::train(world, runtime, deck, argv[1], true, {});
    return 0;
  });
}
