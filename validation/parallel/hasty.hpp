#pragma once
// A planted fault: a lane that comes too early.

#include "validation/harness/engine_run.hpp"

#include <cstdint>
#include <vector>

namespace trireme::validation {

/// Instructions of one lane no longer wait for those of another.
inline EngineFaults hasty(program::Lane waiting, program::Lane awaited) {
  return {.program = [=](program::Compiled& compiled) {
    for (program::StageProgram& stage : compiled.stages)
      for (program::Instruction& instruction : stage.instructions)
        if (instruction.lane == waiting)
          std::erase_if(instruction.waits, [&](std::int32_t w) {
            return stage.instructions[static_cast<std::size_t>(w)].lane == awaited;
          });
  }};
}

}  // namespace trireme::validation
