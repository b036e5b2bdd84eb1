#pragma once
// What a few steps leave behind: all that laws of ZeRO compare.

#include "validation/harness/engine_run.hpp"

#include <functional>
#include <vector>

namespace trireme::validation {

struct Trace {
  std::vector<double> losses;  ///< by step
  std::vector<double> norms;   ///< of the gradients, by step
  StepOutcome first;           ///< gradients of the first step; empty where none are kept
  StepOutcome masters;         ///< after the last
  double evaluation = 0;

  /// To the bit.
  friend bool operator==(const Trace& a, const Trace& b) {
    return a.losses == b.losses && a.norms == b.norms && a.first.gradients == b.first.gradients &&
           a.masters.gradients == b.masters.gradients && a.evaluation == b.evaluation;
  }
};

struct TraceOptions {
  EngineFaults faults = {};
  engine::ExecutorOptions executor = {};
  bool gradients = true;  ///< gather those of the first step, where the deck keeps them
  /// Called behind the first step, and behind the evaluation.
  std::function<void(EngineRun&)> after_first = {};
  std::function<void(EngineRun&)> at_end = {};
};

/// Three steps and an evaluation. Collective.
Trace trace_of(const comm::World& world, const deck::Deck& deck, const TraceOptions& options = {});

}  // namespace trireme::validation
