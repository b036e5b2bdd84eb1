#include "lib/program/compile.hpp"

#include <xxhash.h>

namespace trireme::program {

namespace {

Compiled finish(GridProgram grid, const Layout& layout, const Options& options,
                const ResidentTable& resident) {
  Compiled compiled;
  compiled.device_links = options.device_apart && options.device_links;
  std::vector<std::array<std::int64_t, kTiers>> resident_bytes;
  for (std::int32_t s = 0; s < layout.stages; ++s)
    resident_bytes.push_back({resident.bytes(s, Tier::device), resident.bytes(s, Tier::host),
                              resident.bytes(s, Tier::nvme)});
  compiled.memory = plan_memory(grid, resident_bytes);
  compiled.stages = stage_programs(grid);
  for (StageProgram& stage : compiled.stages) derive_waits(stage, compiled.memory);
  compiled.buffers = std::move(grid.buffers);
  return compiled;
}

}  // namespace

Compiled compile(const models::Model& model, const Layout& layout, const Options& options,
                 const ResidentTable& resident) {
  const bool training = !options.shape.forward_only;
  GridProgram grid = schedule_pass(model, layout, options, resident);
  if (options.recompute && training) {
    grid = recompute_pass(std::move(grid), model);
    grid = activations_pass(std::move(grid), model, options);
  }
  grid = weights_pass(std::move(grid), model, options, resident);
  if (training) grid = gradients_pass(std::move(grid), model, layout, options, resident);
  grid = update_pass(std::move(grid), model, layout, options, resident);
  grid = device_pass(std::move(grid), model, options, resident);
  return finish(std::move(grid), layout, options, resident);
}

Compiled compile_refresh(const models::Model& model, const Layout& layout, const Options& options,
                         const ResidentTable& resident) {
  GridProgram grid = refresh_program(model, layout, options, resident);
  return finish(device_pass(std::move(grid), model, options, resident), layout, options, resident);
}

std::uint64_t fingerprint(const Compiled& compiled, std::int32_t stage) {
  XXH3_state_t* state = XXH3_createState();
  XXH3_64bits_reset(state);
  const auto add = [&](const auto& value) { XXH3_64bits_update(state, &value, sizeof(value)); };
  const auto add_buffers = [&](const std::vector<BufferId>& ids) {
    add(ids.size());
    for (const BufferId id : ids) {
      const Buffer& buffer = compiled.buffers[static_cast<std::size_t>(id)];
      add(buffer.bytes);
      add(buffer.offset);
      add(buffer.tier);
    }
  };
  for (const Instruction& i : compiled.stages[static_cast<std::size_t>(stage)].instructions) {
    for (const auto field :
         {static_cast<std::int64_t>(i.kind), static_cast<std::int64_t>(i.group),
          static_cast<std::int64_t>(i.pass), static_cast<std::int64_t>(i.when),
          std::int64_t{i.accumulate}, std::int64_t{i.peer}, std::int64_t{i.event},
          std::int64_t{i.block}, std::int64_t{i.step}, std::int64_t{i.micro}, std::int64_t{i.unit},
          i.bytes, static_cast<std::int64_t>(i.part), i.elements.begin, i.elements.end,
          std::int64_t{i.accumulate_tail}})
      add(field);
    add_buffers(i.reads);
    add_buffers(i.writes);
    for (const std::int32_t wait : i.waits) add(wait);
  }
  const std::uint64_t digest = XXH3_64bits_digest(state);
  XXH3_freeState(state);
  return digest;
}

}  // namespace trireme::program
