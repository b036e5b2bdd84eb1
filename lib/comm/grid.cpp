#include "lib/comm/grid.hpp"

#include "kernels/base/checked.hpp"
#include "kernels/base/error.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <cstdlib>
#include <optional>

namespace trireme::comm {
namespace {

struct Sizes {
  int data, tensor, pipeline;
};

/// The grid of exactly `ranks` ranks whose sizes have the least ratios to those asked for (2 -> 4
/// is as far as 2 -> 1; data 0 = any); prefers to keep tensor.
Sizes nearest_fit(int ranks, int data, int tensor, int pipeline) {
  const auto distance = [](int a, int b) {
    return a > b ? static_cast<double>(a) / b : static_cast<double>(b) / a;
  };
  std::optional<Sizes> best;
  double best_distance = 0;
  for (int t = 1; t <= ranks; ++t) {
    if (ranks % t != 0) continue;
    for (int p = 1; p <= ranks / t; ++p) {
      if (ranks / t % p != 0) continue;
      const double d = 1.01 * distance(t, tensor) + distance(p, pipeline) +
                       (data > 0 ? distance(ranks / t / p, data) : 0);
      if (!best || d < best_distance) best = Sizes{ranks / t / p, t, p}, best_distance = d;
    }
  }
  return *best;
}

}  // namespace

std::string_view name_of(GroupKind kind) {
  switch (kind) {
    case GroupKind::tensor: return "tensor";
    case GroupKind::data: return "data";
    case GroupKind::shard: return "shard";
    case GroupKind::replica: return "replica";
    case GroupKind::pipeline: return "pipeline";
    case GroupKind::tied: return "tied";
    case GroupKind::world: return "world";
  }
  return "?";
}

int Group::index_of(int world_rank) const {
  const int distance = world_rank - first;
  if (distance < 0 || distance % stride != 0 || distance / stride >= count) return -1;
  return distance / stride;
}

std::string Group::text() const {
  constexpr int kShown = 8;
  std::string list;
  if (count <= kShown) {
    for (int i = 0; i < count; ++i) list += fmt::format("{}{}", i ? ", " : "", rank(i));
    return fmt::format("{} group {{{}}}", name_of(kind), list);
  }
  return fmt::format("{} group {{{}, {}, ..., {}}} ({} ranks)", name_of(kind), rank(0), rank(1),
                     rank(count - 1), count);
}

ProcessGrid::ProcessGrid(int data, int tensor, int pipeline)
    : data_(data), tensor_(tensor), pipeline_(pipeline), shard_(data) {
  check(data > 0 && tensor > 0 && pipeline > 0, Exit::kUsage,
        "expected a process grid of positive sizes, found data {} x tensor {} x pipeline {}", data,
        tensor, pipeline);
  // Ranks are int in MPI.
  narrow<int>(checked_multiply(checked_multiply(data, tensor), pipeline));
}

ProcessGrid ProcessGrid::fit(int ranks, int data, int tensor, int pipeline) {
  check(ranks > 0, Exit::kUsage, "expected at least one rank, found {}", ranks);
  check(data >= 0 && tensor >= 0 && pipeline >= 0, Exit::kUsage,
        "expected sizes >= 1 (or 0, derived) in the process grid, found data {} x tensor {} x "
        "pipeline {}",
        data, tensor, pipeline);
  const int t = tensor == 0 ? 1 : tensor;
  const int p = pipeline == 0 ? 1 : pipeline;
  const std::int64_t rest = checked_multiply(t, p);
  const bool fits = data == 0 ? ranks % rest == 0 : checked_multiply(rest, data) == ranks;
  if (fits) return {static_cast<int>(ranks / rest), t, p};
  const Sizes near = nearest_fit(ranks, data, t, p);
  fail(
      Exit::kUsage,
      "the grid data {} x tensor {} x pipeline {} does not make {} ranks; the nearest that does is "
      "data {} x tensor {} x pipeline {}",
      data == 0 ? "auto" : std::to_string(data), t, p, ranks, near.data, near.tensor,
      near.pipeline);
}

ProcessGrid ProcessGrid::with_shard(int shard) const {
  const int ranks = shard == 0 ? data_ : shard;
  if (ranks < 0 || data_ % ranks != 0) {
    int near = 1;  // the largest divisor that is not larger
    for (int d = 1; d <= std::min(shard, data_); ++d)
      if (data_ % d == 0) near = d;
    fail(
        Exit::kUsage,
        "state can't be divided over {} of the {} data ranks: expected a divisor of {}, such as {}",
        shard, data_, data_, near);
  }
  ProcessGrid grid = *this;
  grid.shard_ = ranks;
  return grid;
}

int ProcessGrid::size(GroupKind kind) const {
  switch (kind) {
    case GroupKind::tensor: return tensor_;
    case GroupKind::data: return data_;
    case GroupKind::shard: return shard_;
    case GroupKind::replica: return replicas();
    case GroupKind::pipeline: return pipeline_;
    case GroupKind::tied: return pipeline_ > 1 ? 2 : 1;
    case GroupKind::world: return size();
  }
  return 0;
}

int ProcessGrid::rank(const Coordinates& at) const {
  check(at.data >= 0 && at.data < data_ && at.tensor >= 0 && at.tensor < tensor_ &&
            at.pipeline >= 0 && at.pipeline < pipeline_,
        Exit::kUnexpected, "no rank at data {}, tensor {}, pipeline {} of the grid {}", at.data,
        at.tensor, at.pipeline, text());
  return (at.pipeline * data_ + at.data) * tensor_ + at.tensor;
}

Coordinates ProcessGrid::coordinates(int rank) const {
  check(rank >= 0 && rank < size(), Exit::kUnexpected, "no rank {} in the grid {}", rank, text());
  return {rank / tensor_ % data_, rank % tensor_, rank / tensor_ / data_};
}

Group ProcessGrid::group(GroupKind kind, int rank) const {
  const Coordinates at = coordinates(rank);
  const int stage_size = data_ * tensor_;
  const int in_stage = rank % stage_size;
  switch (kind) {
    case GroupKind::tensor: return {kind, rank - at.tensor, 1, tensor_};
    case GroupKind::data: return {kind, at.pipeline * stage_size + at.tensor, tensor_, data_};
    case GroupKind::shard: return {kind, rank - at.data % shard_ * tensor_, tensor_, shard_};
    case GroupKind::replica:
      return {kind, rank - at.data / shard_ * shard_ * tensor_, shard_ * tensor_, replicas()};
    case GroupKind::pipeline: return {kind, in_stage, stage_size, pipeline_};
    case GroupKind::tied:
      if (at.pipeline != 0 && at.pipeline != pipeline_ - 1) return {kind, rank, 1, 0};
      if (pipeline_ == 1) return {kind, rank, 1, 1};
      return {kind, in_stage, (pipeline_ - 1) * stage_size, 2};
    case GroupKind::world: return {kind, 0, 1, size()};
  }
  return {};
}

int ProcessGrid::groups(GroupKind kind) const {
  switch (kind) {
    case GroupKind::tensor: return data_ * pipeline_;
    case GroupKind::data: return tensor_ * pipeline_;
    case GroupKind::shard: return tensor_ * pipeline_ * replicas();
    case GroupKind::replica: return tensor_ * pipeline_ * shard_;
    case GroupKind::pipeline:
    case GroupKind::tied: return data_ * tensor_;
    case GroupKind::world: return 1;
  }
  return 0;
}

int ProcessGrid::group_id(GroupKind kind, int rank) const {
  const Coordinates at = coordinates(rank);
  switch (kind) {
    case GroupKind::tensor: return rank / tensor_;
    case GroupKind::data: return at.pipeline * tensor_ + at.tensor;
    case GroupKind::shard:
      return (at.pipeline * replicas() + at.data / shard_) * tensor_ + at.tensor;
    case GroupKind::replica: return (at.pipeline * shard_ + at.data % shard_) * tensor_ + at.tensor;
    case GroupKind::tied:
      if (group(kind, rank).count == 0) return -1;
      [[fallthrough]];
    case GroupKind::pipeline: return rank % (data_ * tensor_);
    case GroupKind::world: return 0;
  }
  return -1;
}

std::string ProcessGrid::text() const {
  return fmt::format("data {} x tensor {} x pipeline {} = {} rank{}{}", data_, tensor_, pipeline_,
                     size(), size() == 1 ? "" : "s",
                     replicas() == 1 ? "" : fmt::format(", shard {}", shard_));
}

}  // namespace trireme::comm
