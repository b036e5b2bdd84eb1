// trireme-plan: machines, and how decks lie on them, before a job is submitted and when it starts.
//
// Sample runs (apps/plan/README.md shows what they print):
//   trireme-plan machine jobs/machines/test-cluster.json
//   trireme-plan layout inputs/pretrain/dictionary_tiny.json --machine FILE --nodes 4
//   trireme-plan scaling inputs/pretrain/dictionary_tiny.json --ranks 1,2,4 --grids 1x1,2x1
//   trireme-plan hostfile hosts --exclude worker-2
//   trireme-plan sweep inputs/sweeps/tiny_lr.json --folder runs/lr --ranks 1

#include "io/metrics/write_file.hpp"
#include "io/version.hpp"
#include "kernels/base/error.hpp"
#include "lib/engine/setup.hpp"
#include "lib/plan/hostfile.hpp"
#include "lib/plan/job_layout.hpp"
#include "lib/plan/scaling_study.hpp"
#include "lib/plan/sweep/sweep_folder.hpp"
#include "lib/plan/this_machine.hpp"

#include <fmt/format.h>
#include <CLI/CLI.hpp>

namespace {

using namespace trireme;

struct Options {
  std::string machine;
  std::string deck;
  std::vector<std::string> overrides;
  std::int64_t nodes = 1;
  std::int64_t least = 0;
  bool shell = false;
  plan::StudyRequest study;
  std::string rank_counts;
  std::string node_counts;
  std::string grids;
  std::string kinds = "strong,weak";
  std::string folder;
  std::string hostfile;
  std::string include;
  std::string exclude;
  std::int64_t ranks = 1;
};

std::string machine_text(const plan::Machine& machine) {
  std::string text = fmt::format(
      "{}: {} nodes of {} cores, {} GPUs, {:.0f} GiB; {} ranks a node with {} threads; {}\n",
      machine.name, machine.nodes, machine.node.cores, machine.node.gpus,
      static_cast<double>(machine.node.memory) / (1024.0 * 1024 * 1024), machine.ranks_per_node,
      machine.threads_per_rank(), machine.scheduler);
  if (!machine.description.empty()) text += fmt::format("  {}\n", machine.description);
  return text + fmt::format("  {}\n", machine.launcher);
}

std::string layout_text(const plan::JobLayout& layout) {
  std::string text = fmt::format(
      "{} nodes x {} ranks x {} threads: data {} x tensor {} x pipeline {}; batch {} = micro {} x "
      "accumulation {} x data {}\n",
      layout.nodes, layout.ranks_per_node, layout.threads, layout.parallel.data,
      layout.parallel.tensor, layout.parallel.pipeline, layout.batch.global, layout.batch.micro,
      layout.batch.accumulation, layout.parallel.data);
  for (const std::string& one : layout.settings) text += fmt::format("  --set {}\n", one);
  return text;
}

plan::Machine machine_of(const Options& options) {
  return options.machine.empty() ? plan::this_machine() : plan::read_machine(options.machine);
}

std::string layout(const Options& options) {
  const plan::Machine machine = plan::read_machine(options.machine);
  const deck::Source source = deck::read_source(options.deck);
  const std::int64_t least = options.least > 0 ? options.least : options.nodes;
  const plan::JobLayout found =
      plan::lay_out_within(source, options.overrides, machine, least, options.nodes);
  return options.shell ? plan::shell_text(found) : layout_text(found);
}

std::string scaling(const Options& options) {
  const plan::Machine machine = machine_of(options);
  plan::StudyRequest request = options.study;
  request.strong = options.kinds.find("strong") != std::string::npos;
  request.weak = options.kinds.find("weak") != std::string::npos;
  if (!options.rank_counts.empty())
    request.ranks = plan::read_counts(options.rank_counts, "--ranks");
  if (!options.node_counts.empty())
    for (const std::int64_t nodes : plan::read_counts(options.node_counts, "--nodes"))
      request.ranks.push_back(nodes * machine.ranks_per_node);
  if (!options.grids.empty()) request.grids = plan::read_grids(options.grids);
  const plan::ScalingStudy study =
      plan::plan_study(deck::read_source(options.deck), options.overrides, machine, request);
  if (!options.folder.empty()) report::write_study(options.folder, study.study);
  return options.shell ? plan::shell_text(study) : plan::study_text(study);
}

std::string hosts(const Options& options) {
  const std::string text = io::read_file(options.hostfile, "a hostfile");
  return plan::hostfile_text(plan::pick_hosts(plan::read_hostfile(text, options.hostfile),
                                              options.include, options.exclude));
}

/// Writes the sweep's folder; its points are checked as they will run.
std::string sweep(const Options& options) {
  const plan::SweepDeck deck = plan::read_sweep(deck::read_source(options.deck));
  const deck::Source base = deck::read_source(deck.base);
  plan::SweepPoints points = plan::expand(deck, base, options.overrides);
  plan::check_points(points, deck, [&](const std::vector<std::string>& settings) {
    if (options.machine.empty())
      engine::Setup(deck::load(base, settings, options.ranks));
    else
      plan::lay_out(base, settings, plan::read_machine(options.machine), options.nodes);
  });
  const plan::SweepChange change = plan::write_folder(options.folder, deck, points);
  const std::string text = plan::describe(change, points);
  if (!options.shell) return text;
  fmt::print(stderr, "{}", text);
  return fmt::format("points={}\nat_once={}\n", change.todo.size(), deck.at_once);
}

std::string kind(const Options& options) {
  return plan::is_sweep(deck::read_source(options.deck)) ? "sweep\n" : "run\n";
}

CLI::App* add_scaling(CLI::App& app, Options& options) {
  auto* study = app.add_subcommand("scaling", "the points of a scaling study of a deck");
  study->add_option("DECK", options.deck, "input deck")->required();
  study->add_option("--machine", options.machine, "machine file; none: this machine");
  auto* ranks = study->add_option("--ranks", options.rank_counts, "numbers of ranks: 1,2,4");
  study->add_option("--nodes", options.node_counts, "the same as numbers of whole nodes")
      ->excludes(ranks);
  study->add_option("--grids", options.grids,
                    "TENSORxPIPELINE with commas between; default: the deck's");
  study->add_option("--kinds", options.kinds, "strong, weak or both")
      ->check(CLI::IsMember({"strong", "weak", "strong,weak", "weak,strong"}));
  study->add_option("--steps", options.study.steps, "of each point, the first one warms up");
  study->add_option("--samples-per-rank", options.study.samples_per_rank,
                    "weak scaling; default: the deck's batch over the fewest ranks");
  study->add_option("--threads", options.study.threads, "a rank; default: the machine's");
  study->add_option("--set", options.overrides, "override a key of the deck: a.b=c")
      ->allow_extra_args(false);
  study->add_option("--folder", options.folder, "write the plan there, as study.json");
  study->add_flag("--shell", options.shell, "as jobs/study.sh reads it");
  return study;
}

int run(int argc, char** argv) {
  // 1. The command line.
  Options options;
  CLI::App app("Machines, how decks lie on them, and sweeps over decks.");
  app.set_version_flag("--version",
                       fmt::format("trireme-plan {} ({})", io::version(), io::commit()));
  app.require_subcommand(1);
  auto* machine = app.add_subcommand("machine", "check a machine file and print it");
  machine->add_option("FILE", options.machine, "jobs/machines/NAME.json; none: this machine");
  machine->add_flag("--shell", options.shell, "as variables of a shell");
  auto* layout_of = app.add_subcommand("layout", "grid and ranks of a deck on so many nodes");
  layout_of->add_option("DECK", options.deck, "input deck")->required();
  layout_of->add_option("--machine", options.machine, "machine file")->required();
  layout_of->add_option("--nodes", options.nodes, "number of nodes")->required();
  layout_of->add_option("--least", options.least,
                        "take fewer nodes, down to so many, where the deck does not go with all");
  layout_of->add_option("--set", options.overrides, "override a key of the deck: a.b=c")
      ->allow_extra_args(false);
  layout_of->add_flag("--shell", options.shell, "as variables of a shell");
  auto* study = add_scaling(app, options);
  auto* hostfile = app.add_subcommand("hostfile", "hosts of a DeepSpeed hostfile, for mpirun");
  hostfile->add_option("FILE", options.hostfile, "lines HOST slots=N")->required();
  hostfile->add_option("--include", options.include, "only these: HOST[:SLOT,SLOT][@HOST...]");
  hostfile->add_option("--exclude", options.exclude, "all but these");
  auto* sweep_of = app.add_subcommand("sweep", "the points of a sweep deck, checked and written");
  sweep_of->add_option("DECK", options.deck, "sweep deck")->required();
  sweep_of->add_option("--folder", options.folder, "the sweep's folder")->required();
  auto* by_machine = sweep_of->add_option("--machine", options.machine, "machine file");
  sweep_of->add_option("--nodes", options.nodes, "number of nodes of a point")->needs(by_machine);
  sweep_of->add_option("--ranks", options.ranks, "number of ranks of a point, without a machine")
      ->excludes(by_machine)
      ->check(CLI::PositiveNumber);
  sweep_of->add_option("--set", options.overrides, "override a key of the base deck: a.b=c")
      ->allow_extra_args(false);
  sweep_of->add_flag("--shell", options.shell,
                     "points to run as variables of a shell; the rest to stderr");
  auto* kind_of = app.add_subcommand("kind", "what a deck describes: run or sweep");
  kind_of->add_option("DECK", options.deck, "deck")->required();
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : static_cast<int>(Exit::kUsage);
  }

  // 2. What was asked for.
  std::string text;
  if (machine->parsed()) {
    const plan::Machine read = machine_of(options);
    text = options.shell ? plan::shell_text(read) : machine_text(read);
  }
  if (layout_of->parsed()) text = layout(options);
  if (study->parsed()) text = scaling(options);
  if (hostfile->parsed()) text = hosts(options);
  if (sweep_of->parsed()) text = sweep(options);
  if (kind_of->parsed()) text = kind(options);
  fmt::print("{}", text);
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    return run(argc, argv);
  } catch (const trireme::Error& error) {
    std::fprintf(stderr, "trireme-plan: %s\n", error.text().c_str());
    return error.exit_code();
  } catch (const std::exception& error) {
    std::fprintf(stderr, "trireme-plan: %s\n", error.what());
    return static_cast<int>(trireme::Exit::kUnexpected);
  }
}
