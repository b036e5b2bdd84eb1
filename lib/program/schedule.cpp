#include "lib/program/schedule.hpp"

#include "kernels/base/error.hpp"

#include <algorithm>
#include <limits>

namespace trireme::program {
namespace {

/// Work item k of a stage's forward (or backward) sequence under interleaving: chunks in rounds of
/// `stages` micro-batches, backward with the chunks reversed (arXiv 2104.04473, figure 4).
Action interleaved_item(const ScheduleShape& shape, std::int32_t stage, std::int32_t k,
                        bool forward) {
  const std::int32_t group = shape.stages * shape.virtual_stages;
  const std::int32_t in_group = k % group;
  std::int32_t local = in_group / shape.stages;
  if (!forward) local = shape.virtual_stages - 1 - local;
  const std::int32_t micro = (k / group) * shape.stages + in_group % shape.stages;
  return {forward, local * shape.stages + stage, micro};
}

std::vector<Action> interleaved(const ScheduleShape& shape, std::int32_t stage) {
  const std::int32_t total = shape.micro_batches * shape.virtual_stages;
  const std::int32_t warm_up =
      std::min(total, 2 * (shape.stages - stage - 1) + (shape.virtual_stages - 1) * shape.stages);
  std::vector<Action> actions;
  for (std::int32_t k = 0; k < total + warm_up; ++k) {
    if (k < total) actions.push_back(interleaved_item(shape, stage, k, true));
    if (k >= warm_up) actions.push_back(interleaved_item(shape, stage, k - warm_up, false));
  }
  return actions;
}

std::vector<Action> one_f_one_b(const ScheduleShape& shape, std::int32_t stage) {
  const std::int32_t warm_up = std::min(shape.micro_batches, shape.stages - stage - 1);
  std::vector<Action> actions;
  for (std::int32_t k = 0; k < shape.micro_batches + warm_up; ++k) {
    if (k < shape.micro_batches) actions.push_back({true, stage, k});
    if (k >= warm_up) actions.push_back({false, stage, k - warm_up});
  }
  return actions;
}

/// All forwards, then all backwards; also the forward-only order.
std::vector<Action> gpipe(const ScheduleShape& shape, std::int32_t stage) {
  std::vector<Action> actions;
  for (std::int32_t v = 0; v < shape.virtual_stages; ++v)
    for (std::int32_t m = 0; m < shape.micro_batches; ++m)
      actions.push_back({true, v * shape.stages + stage, m});
  if (shape.forward_only) return actions;
  for (std::int32_t v = shape.virtual_stages; v-- > 0;)
    for (std::int32_t m = 0; m < shape.micro_batches; ++m)
      actions.push_back({false, v * shape.stages + stage, m});
  return actions;
}

/// Least possible largest part when `costs` are cut into `parts` contiguous non-empty parts, by
/// bisection.
std::vector<std::int32_t> cut_evenly(const std::vector<double>& costs, std::int32_t parts) {
  const auto n = static_cast<std::int32_t>(costs.size());
  const auto cut = [&](double limit) {
    std::vector<std::int32_t> begins{0};
    double sum = 0;
    for (std::int32_t i = 0; i < n; ++i) {
      const auto left = parts - static_cast<std::int32_t>(begins.size());
      // A new part starts where this one is full, or where the remaining parts need every remaining
      // block.
      if (i > begins.back() && left > 0 &&
          (sum + costs[static_cast<std::size_t>(i)] > limit || n - i == left)) {
        begins.push_back(i);
        sum = 0;
      }
      sum += costs[static_cast<std::size_t>(i)];
    }
    begins.push_back(n);
    return begins;
  };
  const auto largest = [&](const std::vector<std::int32_t>& begins) {
    double worst = 0;
    for (std::size_t p = 0; p + 1 < begins.size(); ++p) {
      double sum = 0;
      for (std::int32_t i = begins[p]; i < begins[p + 1]; ++i)
        sum += costs[static_cast<std::size_t>(i)];
      worst = std::max(worst, sum);
    }
    return worst;
  };
  double low = 0;
  double high = 0;
  for (const double cost : costs) high += cost;
  std::vector<std::int32_t> best = cut(high / parts);
  for (int round = 0; round < 60; ++round) {
    const double limit = 0.5 * (low + high);
    const auto trial = cut(limit);
    if (largest(trial) < largest(best)) best = trial;
    (largest(trial) <= limit ? high : low) = limit;
  }
  return best;
}

}  // namespace

std::vector<Action> stage_actions(const ScheduleShape& shape, std::int32_t stage) {
  check(shape.virtual_stages == 1 || shape.schedule == Schedule::interleaved, Exit::kUsage,
        "parallel.virtual_stages = {} needs parallel.schedule = \"interleaved\"",
        shape.virtual_stages);
  check(shape.virtual_stages == 1 || shape.stages > 1, Exit::kUsage,
        "parallel.virtual_stages = {} needs parallel.pipeline > 1", shape.virtual_stages);
  if (shape.forward_only || shape.schedule == Schedule::gpipe) return gpipe(shape, stage);
  if (shape.schedule == Schedule::one_f_one_b || shape.stages == 1)
    return one_f_one_b(shape, stage);
  check(shape.micro_batches % shape.stages == 0, Exit::kUsage,
        "the interleaved schedule needs gradient_accumulation_steps to be a multiple of "
        "parallel.pipeline ({}), "
        "found {}; nearest: {}",
        shape.stages, shape.micro_batches,
        std::max(1, shape.micro_batches / shape.stages) * shape.stages);
  return interleaved(shape, stage);
}

std::vector<Action> linear_order(const ScheduleShape& shape,
                                 const std::vector<double>& forward_cost,
                                 const std::vector<double>& backward_cost) {
  const std::int32_t chunks = shape.stages * shape.virtual_stages;
  std::vector<std::vector<Action>> lists;
  std::size_t total = 0;
  for (std::int32_t s = 0; s < shape.stages; ++s) {
    lists.push_back(stage_actions(shape, s));
    total += lists.back().size();
  }
  constexpr double kNever = std::numeric_limits<double>::infinity();
  const auto key = [&](std::int32_t chunk, std::int32_t micro) {
    return static_cast<std::size_t>(chunk) * static_cast<std::size_t>(shape.micro_batches) +
           static_cast<std::size_t>(micro);
  };
  std::vector<double> forward_end(key(chunks, 0), kNever);
  std::vector<double> backward_end(key(chunks, 0), kNever);
  const auto ready = [&](const Action& a) {
    if (a.forward) return a.chunk == 0 ? 0.0 : forward_end[key(a.chunk - 1, a.micro)];
    const double own = forward_end[key(a.chunk, a.micro)];
    return a.chunk == chunks - 1 ? own : std::max(own, backward_end[key(a.chunk + 1, a.micro)]);
  };

  std::vector<std::size_t> next(lists.size(), 0);
  std::vector<double> free_at(lists.size(), 0);
  std::vector<Action> order;
  order.reserve(total);
  while (order.size() < total) {
    std::size_t chosen = lists.size();
    double start = kNever;
    for (std::size_t s = 0; s < lists.size(); ++s) {
      if (next[s] == lists[s].size()) continue;
      const double at = std::max(free_at[s], ready(lists[s][next[s]]));
      if (at < start) {
        start = at;
        chosen = s;
      }
    }
    check(chosen < lists.size(), Exit::kUnexpected,
          "the pipeline schedule of {} stages and {} micro-batches deadlocks", shape.stages,
          shape.micro_batches);
    const Action action = lists[chosen][next[chosen]++];
    const auto chunk = static_cast<std::size_t>(action.chunk);
    const double end = start + (action.forward ? forward_cost : backward_cost)[chunk];
    free_at[chosen] = end;
    (action.forward ? forward_end : backward_end)[key(action.chunk, action.micro)] = end;
    order.push_back(action);
  }
  return order;
}

std::vector<std::int32_t> partition_blocks(const std::vector<double>& costs, std::int32_t chunks,
                                           const std::vector<std::int32_t>& layers_per_chunk) {
  const auto blocks = static_cast<std::int32_t>(costs.size());
  check(chunks <= blocks, Exit::kUsage,
        "the model has {} blocks (embedding, layers, head), too few for {} pipeline chunks "
        "(parallel.pipeline x parallel.virtual_stages); at most {} are possible",
        blocks, chunks, blocks);
  if (layers_per_chunk.empty()) return cut_evenly(costs, chunks);

  std::int32_t sum = 0;
  for (const std::int32_t layers : layers_per_chunk) sum += layers;
  check(
      static_cast<std::int32_t>(layers_per_chunk.size()) == chunks && sum == blocks - 2,
      Exit::kUsage,
      "parallel.layers_per_stage lists {} chunks with {} layers; expected {} chunks with {} layers",
      layers_per_chunk.size(), sum, chunks, blocks - 2);
  std::vector<std::int32_t> begins{0};
  std::int32_t next = 1;
  for (const std::int32_t layers : layers_per_chunk) begins.push_back(next += layers);
  begins.back() = blocks;
  for (std::size_t c = 0; c + 1 < begins.size(); ++c)
    check(begins[c] < begins[c + 1], Exit::kUsage,
          "parallel.layers_per_stage leaves chunk {} without a block", c);
  return begins;
}

}  // namespace trireme::program
