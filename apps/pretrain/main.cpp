// trireme-pretrain: pretrains a language model as a deck says, from one command to a report.
//
// Sample runs:
//   trireme-pretrain inputs/pretrain/dictionary_tiny.json --check
//   trireme-pretrain inputs/pretrain/dictionary_tiny.json --device cuda --check
//   mpirun -n 8 trireme-pretrain inputs/pretrain/dictionary_tiny.json --run-dir runs/a
//   mpirun -n 4 trireme-pretrain inputs/pretrain/dictionary_tiny.json --run-dir runs/a --resume
//   --set parallel.tensor=1

#include "io/version.hpp"
#include "lib/comm/on_all_ranks.hpp"
#include "lib/engine/open_device.hpp"
#include "lib/engine/setup.hpp"
#include "lib/engine/trainer.hpp"
#include "lib/plan/machine_rates.hpp"
#include "lib/report/collect.hpp"
#include "lib/report/report.hpp"

#include <fmt/format.h>
#include <CLI/CLI.hpp>

namespace {

using namespace trireme;

struct Arguments {
  std::string deck;
  std::vector<std::string> overrides;
  std::string run_dir;
  std::optional<std::string> resume;
  bool check = false;
  std::optional<std::string> machine;
  int program = -1;
  std::optional<std::int64_t> ranks;
  std::optional<std::int64_t> max_steps;
  std::optional<double> max_minutes;
  std::optional<double> end_time;
  std::optional<std::string> device;
  std::optional<std::string> help_deck;
};

/// Fills `arguments`; an exit code when there is nothing left to do.
std::optional<int> parse(int argc, char** argv, Arguments& arguments) {
  CLI::App app{"Pretrains a language model as a deck says, over MPI ranks, and writes a report."};
  app.add_option("DECK", arguments.deck, "input deck: JSON with comments, see --help-deck");
  app.add_option("--set", arguments.overrides, "override a key of the deck: a.b=c; may be repeated")
      ->allow_extra_args(false);
  app.add_option("--device", arguments.device, "cpu or cuda: overrides run.device");
  app.add_option("--run-dir", arguments.run_dir, "folder of the run; default runs/<deck>-<UTC>");
  app.add_option("--resume", arguments.resume,
                 "continue from the latest checkpoint of the run folder, or from =PATH")
      ->expected(0, 1);
  app.add_flag("--check", arguments.check,
               "print grid, programs and memory, and quit; one rank is enough");
  app.add_option(
      "--machine", arguments.machine,
      "with --check: predict times by this machine file's rates, jobs/machines/NAME.json");
  app.add_option("--program", arguments.program,
                 "with --check: print this stage's program in full");
  app.add_option("--ranks", arguments.ranks, "with --check: number of ranks to check for");
  app.add_option("--max-steps", arguments.max_steps,
                 "end this process after so many steps (exit 10)");
  app.add_option("--max-minutes", arguments.max_minutes,
                 "end this process after so many minutes (exit 10)");
  app.add_option("--end-time", arguments.end_time,
                 "seconds since 1970 at which a batch job ends: saved and done by then (exit 10)");
  app.add_option("--help-deck", arguments.help_deck,
                 "print the keys of decks, all or those that contain a word")
      ->expected(0, 1);
  app.set_version_flag("--version",
                       fmt::format("trireme-pretrain {} ({})", io::version(), io::commit()));
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : static_cast<int>(Exit::kUsage);
  }
  if (arguments.device) arguments.overrides.push_back("run.device=" + *arguments.device);
  if (arguments.help_deck) {
    fmt::print("{}", deck::help(*arguments.help_deck));
    return 0;
  }
  if (arguments.machine && !arguments.check) {
    fmt::print(stderr, "--machine says what --check predicts with; a run measures: drop one\n");
    return static_cast<int>(Exit::kUsage);
  }
  if (!arguments.deck.empty()) return std::nullopt;
  fmt::print(stderr, "a deck is needed: trireme-pretrain DECK; --help lists the options\n");
  return static_cast<int>(Exit::kUsage);
}

std::string command_line(int argc, char** argv) {
  std::string text;
  for (int i = 0; i < argc; ++i) text += fmt::format("{}{}", i > 0 ? " " : "", argv[i]);
  return text;
}

/// The deck's text comes from rank 0, so that ten thousand ranks do not open one file.
deck::Source read_deck(const comm::World& world, const std::string& path) {
  deck::Source source;
  if (world.rank() == 0) source = deck::read_source(path);
  source.text = comm::broadcast_text(world, source.text);
  source.path = comm::broadcast_text(world, source.path.string());
  return source;
}

std::string check_text(const engine::Setup& setup, const Arguments& arguments) {
  const auto rates = arguments.machine
                         ? plan::rates_on(plan::read_machine(*arguments.machine), setup)
                         : engine::default_rates(setup.deck);
  return engine::check_text(setup, arguments.program, rates);
}

int run(const comm::World& world, const Arguments& arguments, const std::string& command) {
  // 1. deck
  const deck::Source source = read_deck(world, arguments.deck);
  std::optional<std::int64_t> ranks = arguments.ranks;
  if (!ranks && (!arguments.check || world.size() > 1)) ranks = world.size();
  deck::Deck deck = deck::load(source, arguments.overrides, ranks);

  // 2. device; from here on nothing may hang
  world.set_watch_limit(deck.run.watchdog_seconds);
  const auto guard = world.watch({"the run"});
  if (!arguments.check) deck = engine::open_device(world, deck);

  // 3. grid, model, programs; all checked
  const engine::Setup setup(deck);
  if (world.rank() == 0) {
    if (deck.run.dump_state) fmt::print("{}\n", deck.resolved_json);
    for (const deck::Warning& warning : deck.warnings)
      fmt::print(stderr, "warning: {}{}: {}\n", deck.path.filename().string(),
                 warning.line > 0 ? fmt::format(":{}", warning.line) : "", warning.text);
    fmt::print("{}", arguments.check ? check_text(setup, arguments)
                                     : comm::grid_plan(setup.grid, [&](int s) {
                                         return setup.stage_holds(s);
                                       }));
    std::fflush(stdout);
  }
  if (arguments.check) return 0;

  // 4. compute runtime and run folder
  const Runtime runtime(static_cast<int>(deck.run.threads));
  engine::TrainOptions options;
  options.run_folder = comm::broadcast_text(
      world, arguments.run_dir.empty() ? engine::default_run_folder(deck.path).string()
                                       : arguments.run_dir);
  options.resume = {arguments.resume.has_value(),
                    arguments.resume.value_or("") == "latest" ? "" : arguments.resume.value_or("")};
  options.max_steps = arguments.max_steps;
  options.max_minutes = arguments.max_minutes;
  options.end_time = arguments.end_time;

  // 5. train
  engine::Trainer trainer(world, runtime, setup, options);
  const engine::Outcome outcome = trainer.run();

  // 6. report
  const report::RunReport report =
      report::collect(world, runtime, trainer, outcome, "trireme-pretrain", command);
  if (world.rank() == 0) {
    report::write_report(trainer.folder(), report, deck.report.html);
    const char* name = deck.report.html ? report::kPageName : report::kReportName;
    trainer.progress().print(fmt::format("{}report: {}\n", report::summary_text(report),
                                         (trainer.folder() / name).string()));
  }
  return static_cast<int>(outcome.code);
}

}  // namespace

int main(int argc, char** argv) {
  Arguments arguments;
  if (const auto done = parse(argc, argv, arguments)) return *done;
  const std::string command = command_line(argc, argv);
  // From the start: a signal that comes while ranks still get ready must not kill them either.
  std::optional<engine::StopSignals> signals;
  if (!arguments.check) signals.emplace();
  return comm::run_on_ranks([&](comm::World& world) { return run(world, arguments, command); });
}
