#include "lib/optim/optim_state.hpp"

#include "kernels/base/error.hpp"

#include <nlohmann/json.hpp>

#include <cmath>

namespace trireme::optim {

using nlohmann::json;

std::string to_json(const OptimState& state) {
  const json scaler{{"scale", state.scaler.scale},
                    {"hysteresis", state.scaler.hysteresis},
                    {"steps", state.scaler.steps},
                    {"last_overflow", state.scaler.last_overflow}};
  return json{{"applied_steps", state.applied_steps},
              {"skipped_steps", state.skipped_steps},
              {"skipped_in_a_row", state.skipped_in_a_row},
              {"loss_scaler", scaler}}
      .dump();
}

OptimState optim_state_from_json(std::string_view text) {
  OptimState state;
  try {
    const json object = json::parse(text);
    object.at("applied_steps").get_to(state.applied_steps);
    object.at("skipped_steps").get_to(state.skipped_steps);
    object.at("skipped_in_a_row").get_to(state.skipped_in_a_row);
    const json& scaler = object.at("loss_scaler");
    scaler.at("scale").get_to(state.scaler.scale);
    scaler.at("hysteresis").get_to(state.scaler.hysteresis);
    scaler.at("steps").get_to(state.scaler.steps);
    scaler.at("last_overflow").get_to(state.scaler.last_overflow);
  } catch (const json::exception& error) {
    fail(Exit::kFile, "expected the optimizer's state in the checkpoint, found \"{}\": {}", text,
         error.what());
  }
  const bool sound = state.applied_steps >= 0 && state.skipped_steps >= 0 &&
                     state.skipped_in_a_row >= 0 && std::isfinite(state.scaler.scale) &&
                     state.scaler.scale > 0 && state.scaler.hysteresis >= 0 &&
                     state.scaler.steps >= 0;
  check(sound, Exit::kFile,
        "the optimizer's state in the checkpoint has an impossible value: {}; use an older "
        "checkpoint",
        text);
  return state;
}

}  // namespace trireme::optim
