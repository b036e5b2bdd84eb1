// The same question of our libraries: would a sanitizer see a fault inside them?
//   library_faults overflow     a kernel reads past a buffer on the heap
//   library_faults race         a step whose compute lane does not wait for the storage lane's
//   tokens library_faults sound        the same kernel and step without the fault

#include "kernels/base/runtime.hpp"
#include "kernels/elementwise/elementwise.hpp"
#include "validation/harness/engine_run.hpp"
#include "validation/harness/tiny_models.hpp"

#include <cstdio>
#include <string>

namespace trireme::validation {
namespace {

double squares(std::int64_t told) {
  std::vector<float> values(8, 1.0F);
  return kernels::sum_of_squares(TensorView(values.data(), {told}, DType::f32));
}

/// Takes the waits for loads away from every other instruction.
void forget_loads(program::Compiled& compiled) {
  for (program::StageProgram& stage : compiled.stages)
    for (program::Instruction& instruction : stage.instructions)
      std::erase_if(instruction.waits, [&](std::int32_t on) {
        return stage.instructions[static_cast<std::size_t>(on)].kind == program::Kind::load;
      });
}

double loss_of_a_step(const EngineFaults& faults) {
  const comm::World world;
  engine::ExecutorOptions options;  // late tokens: who does not wait for them reads too early
  options.delay_seconds[static_cast<std::size_t>(program::Lane::storage)] = 0.5;
  EngineRun run(world, engine_deck(tiny_gpt()), faults, options);
  return run.step().loss_sum;
}

double provoke(const std::string& fault) {
  if (fault == "overflow") return squares(16);
  EngineFaults faults;
  if (fault == "race") faults.program = forget_loads;
  return squares(8) + loss_of_a_step(faults);
}

}  // namespace
}  // namespace trireme::validation

int main(int argc, char** argv) {
  const trireme::comm::World world;
  const trireme::Runtime runtime(1);
  std::printf("%g\n", trireme::validation::provoke(argc == 2 ? argv[1] : ""));
  return 0;
}
