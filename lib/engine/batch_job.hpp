#pragma once
// The batch job that this process belongs to, as the scheduler and our job scripts tell it.

#include "io/metrics/log_records.hpp"

namespace trireme::engine {

/// What the log says of a process that goes on after `step`. The job is that of the environment of
/// Slurm or PBS; outside of both its fields are empty. Restarts and queue time, which neither
/// scheduler says there in full, come from TRIREME_RESTARTS and TRIREME_QUEUE_SECONDS, which
/// jobs/slurm and jobs/pbs set.
io::StartEvent part_of_run(std::int64_t step, std::int64_t ranks, std::int64_t nodes);

}  // namespace trireme::engine
