#include "lib/program/instruction.hpp"

namespace trireme::program {

std::vector<StageProgram> stage_programs(const GridProgram& grid) {
  std::vector<StageProgram> stages(static_cast<std::size_t>(grid.stages));
  for (std::size_t s = 0; s < stages.size(); ++s) stages[s].stage = static_cast<std::int32_t>(s);
  for (const Instruction& instruction : grid.order)
    stages[static_cast<std::size_t>(instruction.stage)].instructions.push_back(instruction);
  return stages;
}

std::string_view name_of(Lane lane) {
  switch (lane) {
    case Lane::compute: return "compute";
    case Lane::comm: return "comm";
    case Lane::storage: return "storage";
    case Lane::copy_out: return "copy out";
    case Lane::copy_in: return "copy in";
  }
  return "?";
}

std::string_view name_of(Kind kind) {
  switch (kind) {
    case Kind::load: return "load";
    case Kind::segment: return "segment";
    case Kind::all_reduce: return "all-reduce";
    case Kind::all_gather: return "all-gather";
    case Kind::reduce_scatter: return "reduce-scatter";
    case Kind::broadcast: return "broadcast";
    case Kind::send: return "send";
    case Kind::receive: return "receive";
    case Kind::clear: return "clear";
    case Kind::accumulate: return "accumulate";
    case Kind::norm: return "norm";
    case Kind::decide: return "decide";
    case Kind::trust: return "trust";
    case Kind::update: return "update";
    case Kind::round: return "round";
    case Kind::fetch: return "fetch";
    case Kind::store: return "store";
  }
  return "?";
}

std::string_view name_of(Pass pass) {
  switch (pass) {
    case Pass::none: return "";
    case Pass::forward: return "forward";
    case Pass::recompute: return "recompute";
    case Pass::backward: return "backward";
  }
  return "?";
}

std::string_view name_of(Group group) {
  switch (group) {
    case Group::none: return "";
    case Group::tensor: return "tensor";
    case Group::data: return "data";
    case Group::tied: return "tied";
    case Group::world: return "world";
    case Group::shard: return "shard";
    case Group::replica: return "replica";
  }
  return "?";
}

std::string_view name_of(Purpose purpose) {
  switch (purpose) {
    case Purpose::weights: return "weights";
    case Purpose::masters: return "masters";
    case Purpose::gradients: return "gradients";
    case Purpose::moments: return "moments";
    case Purpose::scalars: return "scalars";
    case Purpose::tokens: return "tokens";
    case Purpose::activations: return "activations";
    case Purpose::activation_gradients: return "activation gradients";
    case Purpose::optimizer: return "optimizer";
    case Purpose::live_weights: return "gathered weights";
    case Purpose::live_gradients: return "gradients before their sum";
    case Purpose::staging: return "staging";
    case Purpose::kept_activations: return "activations away";
    case Purpose::workspace: return "kernel workspace";
  }
  return "?";
}

std::string_view name_of(Tier tier) {
  switch (tier) {
    case Tier::device: return "device";
    case Tier::host: return "host";
    case Tier::nvme: return "nvme";
  }
  return "?";
}

}  // namespace trireme::program
