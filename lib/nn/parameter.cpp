#include "lib/nn/parameter.hpp"

#include <algorithm>

namespace trireme::nn {

Range local_range(const Parameter& parameter, std::int64_t tensor, std::int64_t index) {
  if (parameter.split_dim < 0) return {0, parameter.shape[0]};
  const std::int64_t size = parameter.shape[parameter.split_dim];
  if (!parameter.pad_split) divide_exactly(size, tensor, parameter.name, "parallel.tensor");
  const std::int64_t part = divide_up(size, tensor);
  const std::int64_t begin = std::min(size, part * index);
  return {begin, std::min(size, begin + part)};
}

Shape local_shape(const Parameter& parameter, std::int64_t tensor) {
  if (parameter.split_dim < 0) return parameter.shape;
  const std::int64_t size = parameter.shape[parameter.split_dim];
  const std::int64_t part = parameter.pad_split
                                ? divide_up(size, tensor)
                                : divide_exactly(size, tensor, parameter.name, "parallel.tensor");
  return parameter.shape.with(parameter.split_dim, part);
}

std::int64_t Unit::logical_elements() const {
  std::int64_t sum = 0;
  for (const PlacedParameter& placed : parameters) sum += placed.parameter.shape.elements();
  return sum;
}

std::string logical_name(const Unit& unit, const Parameter& parameter) {
  return unit.name + "." + parameter.name;
}

std::vector<Rectangle> rectangles(const PlacedParameter& placed, Range flat,
                                  std::int64_t held_rows) {
  const std::int64_t width = placed.local.rank() == 2 ? placed.local[1] : 1;
  const std::int64_t begin = std::max<std::int64_t>(flat.begin - placed.offset, 0);
  const std::int64_t end = std::min(flat.end - placed.offset, held_rows * width);
  std::vector<Rectangle> made;
  for (std::int64_t at = begin; at < end;) {
    const std::int64_t row = at / width;
    const std::int64_t column = at % width;
    const std::int64_t whole_rows = column == 0 ? (end - at) / width : 0;
    Rectangle next{{row, row + std::max<std::int64_t>(whole_rows, 1)}, {0, width}, 0};
    if (whole_rows == 0) next.columns = {column, std::min(width, column + end - at)};
    next.flat = placed.offset + at;
    at += next.rows.size() * next.columns.size();
    made.push_back(next);
  }
  return made;
}

std::vector<Range> Unit::gaps() const {
  std::vector<Range> used;
  for (const PlacedParameter& placed : parameters)
    used.push_back({placed.offset, placed.offset + placed.elements()});
  std::ranges::sort(used, {}, &Range::begin);
  used.push_back({elements, elements});
  std::vector<Range> gaps;
  std::int64_t next = 0;
  for (const Range& range : used) {
    if (next < range.begin) gaps.push_back({next, range.begin});
    next = range.end;
  }
  return gaps;
}

namespace {

/// Whether each parameter stays whole; parameters that are one fused matrix stay together.
std::vector<bool> stays_whole(const std::vector<Parameter>& parameters, std::int64_t tensor,
                              const Sharding& sharding, std::int64_t& whole_left) {
  std::vector<bool> whole(parameters.size(), false);
  for (std::size_t first = 0; first < parameters.size();) {
    std::size_t end = first + 1;
    while (end < parameters.size() && parameters[end].follows_previous) ++end;
    std::int64_t largest = 0;
    std::int64_t sum = 0;
    for (std::size_t i = first; i < end; ++i) {
      const std::int64_t elements = local_shape(parameters[i], tensor).elements();
      largest = std::max(largest, elements);
      sum += elements;
    }
    if (largest <= sharding.whole_up_to && sum <= whole_left) {
      whole_left -= sum;
      std::fill(whole.begin() + static_cast<std::ptrdiff_t>(first),
                whole.begin() + static_cast<std::ptrdiff_t>(end), true);
    }
    first = end;
  }
  return whole;
}

/// Dealing in turn goes round at least so often, so that the shares of a unit are alike.
constexpr std::int64_t kRounds = 4;
constexpr std::int64_t kLargestChunk = 1 << 16;

std::int64_t chunk_of(std::int64_t used, const Sharding& sharding) {
  const std::int64_t part = divide_up(used, sharding.ranks);
  const std::int64_t wanted =
      sharding.cyclic ? std::min(kLargestChunk, divide_up(part, kRounds)) : part;
  return round_up(std::max<std::int64_t>(wanted, 1), sharding.alignment);
}

}  // namespace

Unit make_unit(std::string name, const std::vector<Parameter>& parameters, std::int64_t tensor,
               const Sharding& sharding, std::int64_t& whole_left) {
  Unit unit;
  unit.name = std::move(name);
  unit.parameters.resize(parameters.size());
  const std::vector<bool> whole = stays_whole(parameters, tensor, sharding, whole_left);
  std::int64_t next = 0;
  const auto place = [&](bool tail, bool partial) {
    for (std::size_t i = 0; i < parameters.size(); ++i) {
      const Parameter& parameter = parameters[i];
      if (whole[i] != tail || parameter.partial_gradient != partial) continue;
      if (!parameter.follows_previous) next = round_up(next, kParameterAlignment);
      unit.parameters[i] = {parameter, local_shape(parameter, tensor), next};
      next += unit.parameters[i].elements();
    }
    next = round_up(next, kParameterAlignment);
  };
  place(false, false);
  Range body_partial{next, next};
  place(false, true);
  body_partial.end = next;
  unit.ranks = sharding.ranks;
  if (next > 0) {
    unit.chunk = chunk_of(next, sharding);
    next = round_up(next, unit.chunk * unit.ranks);
  }
  unit.body = next;
  place(true, true);
  unit.partial = {body_partial.size() > 0 ? body_partial.begin : unit.body,
                  next > unit.body ? next : body_partial.end};
  if (unit.partial.end < unit.partial.begin) unit.partial.end = unit.partial.begin;
  place(true, false);
  unit.elements = next;
  return unit;
}

Unit make_unit(std::string name, const std::vector<Parameter>& parameters, std::int64_t tensor) {
  std::int64_t whole_left = 0;
  return make_unit(std::move(name), parameters, tensor, {}, whole_left);
}

}  // namespace trireme::nn
