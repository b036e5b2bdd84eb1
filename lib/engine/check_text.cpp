// What --check prints: grid, batch, programs, memory, and what a step moves and costs.

#include "lib/engine/setup.hpp"
#include "lib/program/costs.hpp"
#include "lib/program/print.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <utility>
#include <vector>

namespace trireme::engine {
namespace {

using program::size_text;
using program::Tier;

std::string size_text(double bytes) {
  return program::size_text(static_cast<std::int64_t>(bytes + 0.5));
}

program::Rates simulated(const CheckRates& rates) {
  return {rates.flops.value,   rates.memory.value,  rates.link.value,
          rates.latency.value, rates.storage.value, rates.host.value};
}

/// Grouped by who says so.
std::string rates_text(const CheckRates& rates) {
  std::vector<std::pair<std::string, std::string>> said;
  const auto add = [&](std::string_view what, std::string_view unit, const CheckRate& rate) {
    const auto same = [&](const auto& group) { return group.first == rate.source; };
    auto group = std::find_if(said.begin(), said.end(), same);
    if (group == said.end()) group = said.insert(group, {rate.source, ""});
    group->second +=
        fmt::format("{} {} {:.4g} {}", group->second.empty() ? "" : ",", what, rate.value, unit);
  };
  add("products", "flop/s", rates.flops);
  add("memory", "B/s", rates.memory);
  add("host tier", "B/s", rates.host);
  add("NVMe", "B/s", rates.storage);
  add("links", "B/s", rates.link);
  add("a message", "s", rates.latency);
  std::string out;
  for (const auto& [source, values] : said)
    out += fmt::format("rates     {}, of a rank:{}\n", source, values);
  return out;
}

double communicated(const std::vector<program::Communication>& rows) {
  double sum = 0;
  for (const program::Communication& row : rows) sum += row.payload;
  return sum;
}

/// Stage whose ranks send most, and what.
std::vector<program::Communication> most_communication(const Setup& setup,
                                                       const program::Compiled& compiled,
                                                       const program::Options& options) {
  const auto groups = program::group_sizes(setup.model, setup.layout, options);
  std::vector<program::Communication> most;
  for (std::int32_t s = 0; s < setup.layout.stages; ++s) {
    auto rows = program::communication_of(setup.model, compiled, groups, s);
    if (most.empty() || communicated(rows) > communicated(most)) most = std::move(rows);
  }
  return most;
}

std::string communication_text(const Setup& setup) {
  const auto groups = program::group_sizes(setup.model, setup.layout, setup.options);
  std::string out = "communication of a rank in a step, payload by group and operation:\n";
  std::string last;
  std::int32_t first = 0;
  const auto flush = [&](std::int32_t end) {
    if (!last.empty())
      out += end - first == 1 ? fmt::format("stage {}:{}\n", first, last)
                              : fmt::format("stages {} to {}:{}\n", first, end - 1, last);
    first = end;
  };
  for (std::int32_t s = 0; s < setup.layout.stages; ++s) {
    const auto rows = program::communication_of(setup.model, setup.training, groups, s);
    std::string text;
    for (const program::Communication& row : rows) {
      if (row.payload == 0) continue;
      text += fmt::format("\n         {:<8} {:<14} {:<5} {:>6} calls {:>11}",
                          row.group == program::Group::none ? "pipeline" : name_of(row.group),
                          name_of(row.kind), name_of(row.type), row.calls, size_text(row.payload));
    }
    text += fmt::format("\n         {:<42} {:>11}", "together", size_text(communicated(rows)));
    if (text == last) continue;
    flush(s);
    last = text;
  }
  flush(setup.layout.stages);
  return out;
}

/// Stages that move the same stand in one line.
std::string storage_text(const Setup& setup) {
  std::string out;
  for (std::int32_t s = 0; s < setup.layout.stages; ++s) {
    const program::StorageVolume volume = program::storage_of(setup.training, s);
    std::string text;
    for (const Tier tier : {Tier::host, Tier::nvme}) {
      const auto t = static_cast<std::size_t>(tier);
      if (volume.read[t] + volume.written[t] > 0)
        text += fmt::format(" {} tier: read {}, written {};", program::name_of(tier),
                            size_text(volume.read[t]), size_text(volume.written[t]));
    }
    if (!text.empty()) {
      text.back() = '\n';
      out += fmt::format("  stage {}:{}", s, text);
    }
  }
  return out.empty() ? out : "moved between the tiers of a rank in a step:\n" + out;
}

/// What the other choices of reduce_per and gather_per would send; nothing below stage 2.
std::string choices_text(const Setup& setup) {
  const deck::ZeroConfig& zero = setup.options.zero;
  if (zero.stage < 2 || setup.model.placement.sharding.ranks == 1) return "";
  const auto with = [&](deck::Per reduce, deck::Per gather) {
    program::Options options = setup.options;
    options.zero.reduce_per = reduce;
    options.zero.gather_per = gather;
    const bool same = zero.reduce_per == reduce && zero.gather_per == gather;
    const auto rows =
        same ? most_communication(setup, setup.training, options)
             : most_communication(
                   setup, program::compile(setup.model, setup.layout, options, setup.resident),
                   options);
    return size_text(communicated(rows));
  };
  using enum deck::Per;
  std::string out = fmt::format("reduce_per  micro_batch {}, step {} (this deck: {})\n",
                                with(micro_batch, zero.gather_per), with(step, zero.gather_per),
                                zero.reduce_per == step ? "step" : "micro_batch");
  if (zero.stage >= 3)
    out += fmt::format("gather_per  micro_batch {}, step {} (this deck: {})\n",
                       with(zero.reduce_per, micro_batch), with(zero.reduce_per, step),
                       zero.gather_per == step ? "step" : "micro_batch");
  return "communication of the rank that sends most, for both choices:\n" + out;
}

/// Lanes of the stage that is busiest, and what of them compute does not hide.
std::string time_text(const Setup& setup, const program::Simulation& walk,
                      const program::Rates& rates) {
  using Times = std::array<program::LaneTime, program::kLanes>;
  std::int32_t slowest = 0;
  Times most{};
  const auto needed = [](const Times& t) {
    double seconds = t[0].busy;
    for (std::size_t lane = 1; lane < t.size(); ++lane) seconds += t[lane].exposed;
    return seconds;
  };
  for (std::int32_t s = 0; s < setup.layout.stages; ++s) {
    const Times times = program::lane_times(setup.training, walk, rates, s);
    if (needed(times) <= needed(most)) continue;
    most = times;
    slowest = s;
  }
  const auto lane = [&](program::Lane which) -> const program::LaneTime& {
    return most[static_cast<std::size_t>(which)];
  };
  const program::LaneTime& comm = lane(program::Lane::comm);
  const program::LaneTime& storage = lane(program::Lane::storage);
  const auto hidden = [](const program::LaneTime& time) {
    if (time.busy == 0) return std::string("none");
    return fmt::format("{:.4g} s, {:.4g} s exposed ({:.0f} % hidden behind compute)", time.busy,
                       time.exposed, 100 * (1 - time.exposed / time.busy));
  };
  std::string copies;
  if (setup.options.device_apart)
    copies = fmt::format("; copies out {}, in {}", hidden(lane(program::Lane::copy_out)),
                         hidden(lane(program::Lane::copy_in)));
  return fmt::format(
      "time      simulated step {:.4g} s; stage {}, the busiest: compute {:.4g} s; communication "
      "{}; storage {}{}\n",
      walk.seconds, slowest, lane(program::Lane::compute).busy, hidden(comm), hidden(storage),
      copies);
}

/// How GPUs of different ranks exchange data; nothing where they do not.
std::string transport_text(const Setup& setup) {
  if (!setup.options.device_apart || setup.grid.size() == 1) return "";
  if (!setup.options.device_links)
    return "transport GPUs exchange data through page-locked host memory\n";
  const bool open = setup.deck.parallel.transport == deck::Transport::automatic;
  return fmt::format("transport NCCL, from GPU to GPU, in one stream{}\n",
                     open ? " (\"auto\": through host memory where ranks share GPUs)" : "");
}

/// What device memory is needed for besides the plan's, whose sizes are the driver's and
/// libraries'.
std::string beside_text(const Setup& setup) {
  if (!setup.options.device_apart) return "";
  return fmt::format(
      "         not counted on the device: what the driver and its libraries hold{}; a run's "
      "report has it as measured\n",
      setup.options.device_links ? ", NCCL's buffers among it" : "");
}

std::string head_text(const Setup& setup) {
  const deck::Deck& deck = setup.deck;
  std::string out =
      comm::grid_plan(setup.grid, [&](int stage) { return setup.stage_holds(stage); });
  if (!out.empty() && out.back() != '\n') out += '\n';
  const std::string trained =
      setup.model.trained_parameters == setup.model.parameters
          ? ""
          : fmt::format(", {:.3f} M of them trained",
                        static_cast<double>(setup.model.trained_parameters) * 1e-6);
  return out +
         fmt::format(
             "model     {} with {:.3f} M parameters{}, {:.4g} flop a token\n"
             "batch     {} samples of {} tokens = {} a replica x {} data x {} micro-batches; {} "
             "steps, {:.4g} tokens\n",
             deck::name_of(deck.model.family), static_cast<double>(setup.model.parameters) * 1e-6,
             trained, setup.flops_per_token(), deck.batch.global, deck.model.context,
             deck.batch.micro, deck.parallel.data, deck.batch.accumulation, deck.run.max_steps,
             static_cast<double>(deck.run.max_steps) *
                 static_cast<double>(setup.tokens_per_step())) +
         transport_text(setup);
}

}  // namespace

CheckRates default_rates(const deck::Deck& deck) {
  const program::Rates rates;
  CheckRates out{{rates.flops_per_second},      {rates.memory_bytes_per_second},
                 {rates.host_bytes_per_second}, {rates.storage_bytes_per_second},
                 {rates.link_bytes_per_second}, {rates.link_latency}};
  if (deck.report.peak_flops) out.flops = {*deck.report.peak_flops, "report.peak_flops"};
  return out;
}

std::string check_text(const Setup& setup, int full_stage, const CheckRates& given) {
  const program::Rates rates = simulated(given);
  const program::Simulation walk = program::simulate(setup.training, rates);
  std::string out = head_text(setup);
  out += fmt::format("schedule  {}: predicted bubble {:.1f} %\n",
                     deck::name_of(setup.deck.parallel.schedule), 100 * walk.bubble);
  out += time_text(setup, walk, rates) + rates_text(given);
  out +=
      "training step, one class a stage:\n" + program::print_summary(setup.model, setup.training);
  out += beside_text(setup) + communication_text(setup) + choices_text(setup) + storage_text(setup);
  if (full_stage >= 0) {
    check(full_stage < setup.layout.stages, Exit::kUsage,
          "there is no stage {}; stages are 0 to {}", full_stage, setup.layout.stages - 1);
    out += fmt::format("program of stage {}:\n", full_stage) +
           program::print_program(setup.model, setup.training, full_stage);
  }
  return out;
}

}  // namespace trireme::engine
