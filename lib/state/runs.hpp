#pragma once
// From the parts of a unit to its flat buffer and to the buffers that hold them.

#include "lib/nn/parameter.hpp"
#include "lib/program/instruction.hpp"

namespace trireme::state {

/// Elements that follow each other both in the unit's flat buffer and in its part.
struct Run {
  Range flat;
  std::int64_t in_part = 0;  ///< of the first of them
};

/// Calls visit(Run) for the runs of `elements` of a part, in order: one, or one for each chunk of a
/// share. `share` is the rank's place among those that divide the unit.
template <class Visit>
void for_each_run(const nn::Unit& unit, program::Part part, Range elements, std::int64_t share,
                  const Visit& visit) {
  const std::int64_t base = part == program::Part::tail ? unit.body : 0;
  if (part != program::Part::share) {
    if (elements.size() > 0)
      visit(Run{{base + elements.begin, base + elements.end}, elements.begin});
    return;
  }
  for (std::int64_t at = elements.begin; at < elements.end;) {
    const std::int64_t end = std::min(elements.end, round_up(at + 1, unit.chunk));
    const std::int64_t flat = unit.flat_of(at, share);
    visit(Run{{flat, flat + end - at}, at});
    at = end;
  }
}

/// Where, in elements from the start of `buffer`, a run of `part` begins. The buffer holds that
/// part, or the body around a share.
inline std::int64_t element_in(const program::Buffer& buffer, program::Part part, const Run& run) {
  const bool around = buffer.part == program::Part::body && part == program::Part::share;
  return (around ? run.flat.begin : run.in_part) - buffer.elements.begin;
}

}  // namespace trireme::state
