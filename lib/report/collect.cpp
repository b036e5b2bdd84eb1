#include "lib/report/collect.hpp"

#include "io/metrics/peak_cache.hpp"
#include "io/version.hpp"
#include "kernels/attention/attention.hpp"
#include "kernels/base/device.hpp"
#include "kernels/base/device_links.hpp"
#include "kernels/base/process_memory.hpp"
#include "kernels/gemm/gemm.hpp"
#include "lib/program/print.hpp"
#include "lib/report/measured_rates.hpp"
#include "lib/report/placement.hpp"
#include "lib/report/report.hpp"
#include "lib/report/usage.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>

namespace trireme::report {
namespace {

using engine::Trainer;

/// Every rank's values, one behind the other in rank order, on rank 0.
template <class T>
std::vector<T> gather(const comm::World& world, const std::vector<T>& own) {
  const int bytes = narrow<int>(own.size() * sizeof(T));
  std::vector<int> sizes(static_cast<std::size_t>(world.size()));
  MPI_Gather(&bytes, 1, MPI_INT, sizes.data(), 1, MPI_INT, 0, world.comm());
  std::vector<int> places(sizes.size(), 0);
  for (std::size_t i = 1; i < sizes.size(); ++i) places[i] = places[i - 1] + sizes[i - 1];
  const std::size_t total =
      world.rank() == 0 ? static_cast<std::size_t>(places.back() + sizes.back()) / sizeof(T) : 0;
  std::vector<T> all(total);
  MPI_Gatherv(own.data(), bytes, MPI_BYTE, all.data(), sizes.data(), places.data(), MPI_BYTE, 0,
              world.comm());
  return all;
}

constexpr std::array kAllTiers{program::Tier::device, program::Tier::host, program::Tier::nvme};

/// Planned and used bytes of a tier by purpose, on every rank.
void add_tier(RunReport& report, const comm::World& world, Trainer& trainer, program::Tier tier) {
  struct Row {
    std::int64_t planned = 0;
    std::int64_t used = 0;
  };
  const engine::HighWater most = trainer.high_water(tier);
  const state::Store& store = trainer.store();
  const auto state = store.state_in_memory(tier);
  std::vector<Row> own(program::kPurposes);
  for (const state::MemoryRow& row : store.memory())
    if (row.tier == tier) own[static_cast<std::size_t>(row.purpose)].planned = row.planned;
  for (std::size_t p = 0; p < own.size(); ++p) own[p].used = state[p] + most.bytes[p];
  const std::vector<Row> all = gather(world, own);
  for (std::size_t i = 0; i < all.size(); ++i) {
    if (all[i].planned == 0 && all[i].used == 0) continue;
    const int rank = static_cast<int>(i / own.size());
    const auto name = program::name_of(static_cast<program::Purpose>(i % own.size()));
    report.memory.push_back({rank, std::string(program::name_of(tier)), std::string(name),
                             all[i].planned, all[i].used});
  }
  const std::vector<std::int64_t> sizes =
      gather(world, std::vector{store.bytes(tier), most.end, store.bytes_in_memory(tier)});
  for (std::size_t i = 0; i < sizes.size(); i += 3)
    if (sizes[i] > 0)
      report.arena.push_back({static_cast<int>(i / 3), std::string(program::name_of(tier)),
                              sizes[i], sizes[i + 1], sizes[i + 2]});
}

/// Device memory that is nobody's plan: what the driver, its libraries and NCCL hold. Ranks that
/// share a device have equal parts of it.
void add_beside(RunReport& report, const comm::World& world, const state::Store& store) {
  struct Row {
    std::int64_t device = 0;  // of the world
    std::int64_t used = 0;    // by all of it
    std::int64_t planned = 0;
  };
  const DeviceMemoryState state = device_memory_state();
  const std::vector<Row> all =
      gather(world, std::vector{Row{(std::int64_t{world.node()} << 32) + selected_device(),
                                    state.total - state.free, store.bytes(program::Tier::device)}});
  for (std::size_t rank = 0; rank < all.size(); ++rank) {
    std::int64_t planned = 0;
    std::int64_t sharers = 0;
    for (const Row& other : all) {
      if (other.device != all[rank].device) continue;
      planned += other.planned;
      ++sharers;
    }
    const std::int64_t beside = (all[rank].used - planned) / sharers;
    if (beside > 0)
      report.memory.push_back({static_cast<int>(rank),
                               std::string(program::name_of(program::Tier::device)),
                               "driver and libraries", 0, beside});
  }
}

void add_memory(RunReport& report, const comm::World& world, Trainer& trainer,
                const engine::Outcome& outcome) {
  for (const program::Tier tier : kAllTiers) add_tier(report, world, trainer, tier);
  if (trainer.store().gpu()) add_beside(report, world, trainer.store());
  report.peak_rss = gather(world, std::vector{peak_resident_bytes()});
  report.resident = gather(world, std::vector{proportional_set_bytes()});
  report.resident_base = gather(world, std::vector{outcome.resident.base});
  report.resident_steady = gather(world, std::vector{outcome.resident.steady});
}

/// "60 of 76 instructions in 2 graphs (not: 16 updates)"; of the GPUs of all ranks.
std::string graph_text(const comm::World& world, const engine::GraphUse& own) {
  constexpr std::size_t kKinds = engine::GraphUse::kinds;
  constexpr std::array<const char*, kKinds> kWhy{"draw random numbers", "updates",
                                                 "left out of skipped steps",
                                                 "alone between waits for other lanes"};
  std::array<std::int64_t, kKinds + 2> counts{};
  std::ranges::copy(own.plain, counts.begin());
  counts[kKinds] = own.inside;
  counts[kKinds + 1] = own.graphs;
  std::array<std::int64_t, kKinds + 2> all{};
  MPI_Reduce(counts.data(), all.data(), static_cast<int>(all.size()), MPI_INT64_T, MPI_SUM, 0,
             world.comm());
  std::string why;
  for (std::size_t k = 0; k < kKinds; ++k)
    if (all[k] > 0) why += fmt::format("{}{} {}", why.empty() ? " (not: " : "; ", all[k], kWhy[k]);
  const std::int64_t total = std::accumulate(all.begin(), all.end() - 1, std::int64_t{0});
  return fmt::format("{} of {} instructions in {} graph{}{}", all[kKinds], total, all[kKinds + 1],
                     all[kKinds + 1] == 1 ? "" : "s", why.empty() ? "" : why + ")");
}

/// What ran in CUDA graphs, and what other ranks than 0, which has warned, did without.
void add_graphs(RunReport& report, const comm::World& world, const Trainer& trainer) {
  const deck::Deck& deck = trainer.setup().deck;
  if (deck.run.device == "cpu") return;
  std::string& text = report.environment.libraries["CUDA graphs"];
  text = "off";
  if (deck.run.cuda_graphs == deck::CudaGraphs::off) return;
  const engine::GraphUse& training = trainer.executor().graphs();
  const engine::GraphUse& evaluation = trainer.evaluation().graphs();
  const std::string steps = graph_text(world, training);  // collective: one after the other
  text = fmt::format("training {}; evaluation {}", steps, graph_text(world, evaluation));
  std::string mine = training.why_none.empty() ? evaluation.why_none : training.why_none;
  if (!mine.empty() && world.rank() > 0)
    mine = fmt::format("rank {} runs without graphs: {}\n", world.rank(), mine);
  else
    mine.clear();
  const std::vector<char> all = gather(world, std::vector<char>(mine.begin(), mine.end()));
  for (auto at = all.begin(); at != all.end();) {
    const auto end = std::find(at, all.end(), '\n');
    report.warnings.emplace_back(at, end);
    at = end + 1;
  }
}

void add_regions(RunReport& report, const comm::World& world, const Trainer& trainer) {
  const engine::RegionTotals& totals = trainer.regions();
  const double steps = static_cast<double>(std::max<std::int64_t>(1, totals.steps));
  std::array<double, engine::kRegions> mean{};
  std::array<std::int64_t, engine::kRegions> calls{};
  for (std::size_t r = 0; r < engine::kRegions; ++r) {
    mean[r] = totals.seconds[r] / steps;
    calls[r] = totals.calls[r] / std::max<std::int64_t>(1, totals.steps);
  }
  std::array<double, engine::kRegions> low{}, high{}, sum{};
  std::array<std::int64_t, engine::kRegions> most{};
  constexpr int n = static_cast<int>(engine::kRegions);
  MPI_Reduce(mean.data(), low.data(), n, MPI_DOUBLE, MPI_MIN, 0, world.comm());
  MPI_Reduce(mean.data(), high.data(), n, MPI_DOUBLE, MPI_MAX, 0, world.comm());
  MPI_Reduce(mean.data(), sum.data(), n, MPI_DOUBLE, MPI_SUM, 0, world.comm());
  MPI_Reduce(calls.data(), most.data(), n, MPI_INT64_T, MPI_MAX, 0, world.comm());
  for (std::size_t r = 0; r < engine::kRegions; ++r)
    if (high[r] > 0)
      report.regions.push_back({std::string(engine::name_of(static_cast<engine::Region>(r))),
                                most[r], low[r], sum[r] / world.size(), high[r]});
}

void add_traffic(RunReport& report, const comm::World& world, const Trainer& trainer) {
  struct Cell {
    double bytes = 0, calls = 0, seconds = 0, ranks = 0;
  };
  constexpr std::size_t kCells = static_cast<std::size_t>(comm::kGroupKinds * comm::kOperations);
  std::vector<Cell> own(kCells);
  for (int g = 0; g < comm::kGroupKinds; ++g) {
    for (int o = 0; o < comm::kOperations; ++o) {
      const comm::OperationTraffic traffic = trainer.communicators().traffic(
          static_cast<comm::GroupKind>(g), static_cast<comm::Operation>(o));
      if (traffic.calls == 0) continue;
      own[static_cast<std::size_t>(g * comm::kOperations + o)] = {
          static_cast<double>(traffic.payload_bytes), static_cast<double>(traffic.calls),
          traffic.seconds, 1};
    }
  }
  std::vector<Cell> sum(kCells);
  MPI_Reduce(own.data(), sum.data(), static_cast<int>(4 * kCells), MPI_DOUBLE, MPI_SUM, 0,
             world.comm());
  for (std::size_t i = 0; i < kCells; ++i) {
    if (sum[i].calls == 0) continue;
    const auto group = static_cast<comm::GroupKind>(i / comm::kOperations);
    const auto op = static_cast<comm::Operation>(i % comm::kOperations);
    std::string name(comm::name_of(op));
    std::replace(name.begin(), name.end(), '_', '-');  // as instructions are called
    report.comm.push_back({std::move(name), std::string(comm::name_of(group)),
                           static_cast<std::int64_t>(sum[i].bytes),
                           static_cast<std::int64_t>(sum[i].calls),
                           sum[i].seconds / std::max(1.0, sum[i].ranks)});
  }
}

/// What files gave and took: token reads, and the NVMe tier from the making of its state on.
void add_io(RunReport& report, const comm::World& world, Trainer& trainer) {
  struct Row {
    const char* op;
    const char* what;
    double bytes, calls, seconds;
  };
  io::aio::Counters nvme;
  if (trainer.store().has_storage()) nvme = trainer.store().transfers().counters();
  const engine::ReadCounts& tokens = trainer.reads();
  const auto number = [](std::int64_t count) { return static_cast<double>(count); };
  const std::array rows{Row{"read", "tokens", number(tokens.bytes), number(tokens.calls),
                            1e-9 * number(tokens.nanoseconds)},
                        Row{"read", "NVMe tier", number(nvme.bytes_read), number(nvme.blocks_read),
                            nvme.read_seconds},
                        Row{"write", "NVMe tier", number(nvme.bytes_written),
                            number(nvme.blocks_written), nvme.write_seconds}};
  for (const Row& row : rows) {
    const std::array<double, 4> own{row.bytes, row.calls, row.seconds, row.calls > 0 ? 1.0 : 0.0};
    std::array<double, 4> sum{};
    MPI_Reduce(own.data(), sum.data(), 4, MPI_DOUBLE, MPI_SUM, 0, world.comm());
    if (sum[1] > 0)
      report.io.push_back({row.op, row.what, static_cast<std::int64_t>(sum[0]),
                           static_cast<std::int64_t>(sum[1]), sum[2] / sum[3]});
  }
}

/// Region-like kind of an instruction for the Gantt picture.
std::string kind_of(const program::Instruction& i) {
  if (i.kind == program::Kind::segment) return std::string(program::name_of(i.pass));
  if (i.kind == program::Kind::all_reduce && i.unit >= 0) return "reduce";
  return std::string(program::name_of(i.kind));
}

/// The last step of the run, lane by lane. Labels come from rank 0's copy of the programs.
void add_timeline(RunReport& report, const comm::World& world, Trainer& trainer) {
  const std::vector<int> shown = timeline_ranks(world.size());
  const bool own_shown = std::find(shown.begin(), shown.end(), world.rank()) != shown.end();
  std::vector<double> own;
  if (own_shown) {
    own.push_back(trainer.executor().started());
    for (const engine::Interval& interval : trainer.executor().intervals())
      own.insert(own.end(), {interval.start, interval.end});
  }
  const std::vector<double> all = gather(world, own);
  if (world.rank() != 0) return;
  const engine::Setup& setup = trainer.setup();
  double zero = all.empty() ? 0 : all[0];
  std::vector<std::size_t> begins;
  std::size_t next = 0;
  for (const int rank : shown) {
    const auto stage = static_cast<std::size_t>(setup.grid.coordinates(rank).pipeline);
    begins.push_back(next);
    zero = std::min(zero, all[next]);
    next += 1 + 2 * setup.training.stages[stage].instructions.size();
  }
  for (std::size_t k = 0; k < shown.size(); ++k) {
    const auto stage = static_cast<std::size_t>(setup.grid.coordinates(shown[k]).pipeline);
    const auto& list = setup.training.stages[stage].instructions;
    const double shift = all[begins[k]] - zero;
    for (std::size_t i = 0; i < list.size(); ++i) {
      const double* times = all.data() + begins[k] + 1 + 2 * i;
      report.timeline.spans.push_back({shown[k], std::string(program::name_of(list[i].lane)),
                                       kind_of(list[i]),
                                       program::describe(setup.model, setup.training, list[i]),
                                       shift + times[0], shift + times[1]});
    }
  }
}

/// "Open MPI v4.1.4": the library's own line, which goes on with how it was built.
/// What products round their operands to, behind the name of their path.
std::string rounding_of(const deck::PrecisionConfig& precision, MemorySpace space) {
  if (precision.fp8) return ", linear layers in fp8";
  if (precision.tf32 && space == MemorySpace::device) return ", linear layers and logits in tf32";
  return "";
}

std::string mpi_version() {
  std::array<char, MPI_MAX_LIBRARY_VERSION_STRING> text{};
  int size = 0;
  MPI_Get_library_version(text.data(), &size);
  const std::string_view line(text.data(), static_cast<std::size_t>(size));
  return std::string(line.substr(0, line.find_first_of(",\n")));
}

/// Rates for the simulator: what this run's last step measured on all ranks; before any step the
/// GEMM peak.
program::Rates rates_of_run(const comm::World& world, const Trainer& trainer, bool stepped) {
  RateSamples own;
  if (stepped)
    own = rate_samples(trainer.setup().training, trainer.executor().instructions(),
                       trainer.executor().intervals());
  RateSamples all;
  for (const RateSamples& of_rank : gather(world, std::vector{own})) all.add(of_rank);
  program::Rates rates;
  rates.flops_per_second = trainer.peak().flops / world.size();
  return measured_rates(all, rates);
}

void add_run(RunReport& report, const comm::World& world, const Runtime& runtime,
             const Trainer& trainer, const engine::Outcome& outcome) {
  const engine::Setup& setup = trainer.setup();
  const deck::Deck& deck = setup.deck;
  report.version = io::version();
  report.git = io::commit();
  report.title = deck.path.stem().string();
  report.grid = {setup.grid.data(),
                 setup.grid.tensor(),
                 setup.grid.pipeline(),
                 static_cast<int>(deck.parallel.virtual_stages),
                 static_cast<int>(deck.batch.accumulation),
                 std::string(deck::name_of(deck.parallel.schedule)),
                 setup.model.placement.sequence_parallel};
  report.world_size = world.size();
  report.nodes = world.nodes();
  report.device = deck.run.device;
  report.dtype = name_of(deck.precision.compute);
  report.model.family = deck::name_of(deck.model.family);
  report.model.parameters = setup.model.parameters;
  report.model.flops_per_token = setup.flops_per_token();
  report.model.layers = deck.model.layers;
  report.model.width = deck.model.hidden;
  report.model.heads = deck.model.heads;
  report.model.context = deck.model.context;
  report.model.vocabulary = deck.model.vocabulary;
  report.model.batch_tokens = setup.tokens_per_step();
  report.peak = {trainer.peak().flops, trainer.peak().source};
  report.deck = deck.resolved_json;
  report.warnings = outcome.warnings;
  report.exit = {outcome.reason, static_cast<int>(outcome.code)};
  report.seconds = outcome.seconds;
  report.loss.validation = outcome.validation_loss;
  if (const auto& band = deck.report.expected_validation_loss)
    report.expect = judge("validation_loss", band->low, band->high, outcome.validation_loss);
  const io::PeakKey machine = io::this_machine();
  report.environment.host = machine.host;
  report.environment.cpu = machine.cpu;
  report.environment.isa = product_isa();
  report.environment.threads = runtime.threads();
  report.environment.compiler = io::compiler();
  report.environment.libraries = Runtime::libraries();
  report.environment.libraries["HDF5"] = io::hdf5_version();
  report.environment.libraries["MPI"] = mpi_version();
  const MemorySpace space = deck.run.device == "cpu" ? MemorySpace::host : MemorySpace::device;
  report.environment.libraries["products"] =
      kernels::gemm_path(deck.precision.compute, space) + rounding_of(deck.precision, space);
  report.environment.libraries["attention"] =
      kernels::attention_path(deck.precision.compute, space);
  report.environment.libraries["runtime"] = runtime.describe();
  if (setup.options.device_apart && world.size() > 1)
    report.environment.libraries["between GPUs"] =
        setup.options.device_links ? describe_links() : "host memory";
  report.environment.started = outcome.started;
  report.environment.finished = io::utc_now();
}

}  // namespace

RunReport collect(const comm::World& world, const Runtime& runtime, Trainer& trainer,
                  const engine::Outcome& outcome, const std::string& app,
                  const std::string& command) {
  const auto guard = world.watch({"collecting the report"});
  RunReport report;
  report.app = app;
  report.command = command;
  add_run(report, world, runtime, trainer, outcome);
  add_graphs(report, world, trainer);
  add_memory(report, world, trainer, outcome);
  add_regions(report, world, trainer);
  add_traffic(report, world, trainer);
  add_io(report, world, trainer);
  const Placement placement = placement_of(world);
  report.environment.machines = placement.machines;
  report.environment.cores = placement.cores;
  report.timeline.step = outcome.last_step;
  const bool stepped = outcome.last_step >= outcome.first_step;
  if (trainer.setup().deck.report.timeline && stepped) add_timeline(report, world, trainer);
  const program::Rates rates = rates_of_run(world, trainer, stepped);
  if (world.rank() != 0) return report;
  fill_from_log(report, io::read_log(trainer.folder() / io::kLogName), outcome.first_step);
  add_usage(report, trainer.folder());
  report.bubble.predicted = program::simulate(trainer.setup().training, rates).bubble;
  report.bubble.measured = measured_bubble(report.timeline);
  return report;
}

}  // namespace trireme::report
