#pragma once
// From a finished training run to its report: what ranks measured, summed or compared over ranks.

#include "lib/engine/trainer.hpp"
#include "lib/report/run_report.hpp"

namespace trireme::report {

/// Collective; complete on rank 0, elsewhere only what needs no other rank.
RunReport collect(const comm::World& world, const Runtime& runtime, engine::Trainer& trainer,
                  const engine::Outcome& outcome, const std::string& app,
                  const std::string& command);

}  // namespace trireme::report
