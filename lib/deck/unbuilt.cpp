// What the deck understands and the engine does not run yet. Everything here goes with this file,
// its line in draft.hpp and its call in load.cpp, once the step program has these parts.
#include "lib/deck/draft.hpp"

#include <fmt/format.h>

namespace trireme::deck {

namespace {

/// An error unless `key` has the value `runs`, as JSON.
void refuse(Draft& draft, std::string_view key, std::string_view runs) {
  const std::string value = to_json(draft.at(key));
  if (value == runs || draft.mistakes.in(key)) return;
  draft.wrong(key, fmt::format("{}: {} is not done yet; nearest: {}", key, value, runs));
}

void refuse_device(Draft& draft, std::string_view key) {
  if (!draft.at(key).is_null()) refuse(draft, key, "\"none\"");
}

/// A warning where a deck sets `key` although nothing reads it yet.
void warn(Draft& draft, std::string_view key, std::string_view standard) {
  const std::string value = to_json(draft.at(key));
  if (value == standard || draft.mistakes.in(key) || draft.known("parallel.data") == 1) return;
  draft.warn(
      key, fmt::format("{}: {} has no influence yet: stage 0 sums gradients by block", key, value));
}

}  // namespace

void refuse_unbuilt(Draft& draft) {
  refuse(draft, "zero_optimization.stage", "0");
  refuse_device(draft, "zero_optimization.offload_optimizer.device");
  refuse_device(draft, "zero_optimization.offload_param.device");
  if (draft.boolean("activation_checkpointing.enabled")) {
    refuse_device(draft, "activation_checkpointing.device");
    refuse(draft, "activation_checkpointing.partition_activations", "false");
  }
  refuse(draft, "run.device_memory", "0");
  refuse(draft, "run.host_memory", "0");
  warn(draft, "zero_optimization.overlap_comm", "true");
  warn(draft, "zero_optimization.reduce_bucket_size", "500000000");
}

}  // namespace trireme::deck
