#include "lib/nn/parameter.hpp"

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

Unit make_unit(std::string name, const std::vector<Parameter>& parameters, std::int64_t tensor) {
  Unit unit;
  unit.name = std::move(name);
  unit.parameters.resize(parameters.size());
  std::int64_t next = 0;
  const auto place = [&](bool tail) {
    for (std::size_t i = 0; i < parameters.size(); ++i) {
      const Parameter& parameter = parameters[i];
      if (parameter.partial_gradient != tail) continue;
      if (!parameter.follows_previous) next = round_up(next, kParameterAlignment);
      unit.parameters[i] = {parameter, local_shape(parameter, tensor), next};
      next += unit.parameters[i].elements();
    }
    next = round_up(next, kParameterAlignment);
  };
  place(false);
  unit.tail_begin = next;
  place(true);
  unit.elements = next;
  return unit;
}

}  // namespace trireme::nn
