#pragma once
// What a run writes down as it goes: one record is one line of `log.jsonl`.
//
// A step's line holds exactly the keys of StepRecord in its order; an event's line starts with
// "event" and "time" (UTC). Numbers are written so that reading gives back the same bits; JSON has
// no NaN or infinity, they are written as null and read as NaN.

#include <cstdint>
#include <limits>
#include <string>
#include <variant>
#include <vector>

namespace trireme::io {

inline constexpr double kUnknown = std::numeric_limits<double>::quiet_NaN();

/// One optimizer step (skipped ones too).
struct StepRecord {
  std::int64_t step = 0;        ///< counts from 1 over all parts of the run
  std::int64_t tokens = 0;      ///< trained on so far, over all parts of the run
  double loss = kUnknown;       ///< mean over the step's tokens, nats
  double grad_norm = kUnknown;  ///< global L2 norm before clipping, unscaled
  double lr = kUnknown;
  double loss_scale = 1;
  double seconds = kUnknown;  ///< wall time of the step without evaluation and checkpoint
  double tokens_per_second = kUnknown;
  double mfu = kUnknown;  ///< share of the GEMM peak, 0 to 1
};

struct EvaluationEvent {
  std::int64_t step = 0;
  std::int64_t tokens = 0;     ///< trained on so far
  double loss = kUnknown;      ///< mean over the validation tokens, nats
  std::int64_t evaluated = 0;  ///< validation tokens
  double seconds = kUnknown;
  std::string time;  ///< filled in by LogFile when empty
};

struct CheckpointEvent {
  std::int64_t step = 0;
  std::string path;  ///< relative to the run folder when inside it
  std::int64_t bytes = 0;
  double seconds = kUnknown;  ///< the training loop stood still for
  std::string time;
};

/// A process begins: the part of the run after `step`, and the batch job it belongs to.
struct StartEvent {
  std::int64_t step = 0;
  std::int64_t ranks = 1;
  std::int64_t nodes = 1;
  std::string scheduler;            ///< "slurm", "pbs"; empty: none, and so is all that follows
  std::string job;                  ///< its id
  std::string queue;                ///< partition or queue
  std::string hosts;                ///< as the scheduler lists them
  std::int64_t restarts = 0;        ///< of this job, or of the chain of jobs
  double queue_seconds = kUnknown;  ///< from submission, or being queued again, to the start
  std::string time;
};

/// The step is the checkpoint's: training goes on with the one after it.
struct ResumeEvent {
  std::int64_t step = 0;
  std::string path;
  std::string changes;  ///< deck keys that differ from the earlier part; empty: none
  std::string time;
};

struct WarningEvent {
  std::int64_t step = 0;
  std::string text;
  std::string time;
};

struct StopEvent {
  std::int64_t step = 0;
  std::string reason;  ///< "reached run.max_steps", "SIGTERM", ...
  int code = 0;        ///< exit code of the program
  std::string time;
};

using LogRecord = std::variant<StepRecord, EvaluationEvent, CheckpointEvent, StartEvent,
                               ResumeEvent, WarningEvent, StopEvent>;

std::int64_t step_of(const LogRecord& record);

/// The record as one line of JSON, without the line's end.
std::string to_line(const LogRecord& record);

/// "2026-11-21T12:10:01Z"
std::string utc_now();

}  // namespace trireme::io
