#pragma once
// The numbers of a run, as `report.json` holds them (SCHEMA.md lists every key) and the page, the
// text summary and trireme-report show them. Plain data: the training program fills it at the end,
// on rank 0.
//
// Units: seconds, bytes, flop/s, shares from 0 to 1. A number that is not known stays kUnknown
// (NaN) and is null in the file.

#include "io/metrics/log_records.hpp"

#include <map>
#include <optional>

namespace trireme::report {

using io::kUnknown;

/// Changes when a key changes its meaning or goes; new keys keep the number.
inline constexpr int kSchemaVersion = 1;

struct Grid {
  int data = 1;
  int tensor = 1;
  int pipeline = 1;
  int virtual_stages = 1;
  int micro_batches = 1;
  std::string schedule;  ///< "1f1b", "gpipe", "interleaved"
  bool sequence_parallel = false;
};

struct Model {
  std::string family;  ///< "llama", "gpt"
  std::int64_t parameters = 0;
  double flops_per_token = kUnknown;  ///< forward and backward: 6 N + 12 layers d context
  std::int64_t layers = 0;
  std::int64_t width = 0;
  std::int64_t heads = 0;
  std::int64_t context = 0;
  std::int64_t vocabulary = 0;
  std::int64_t batch_tokens = 0;  ///< tokens of one optimizer step over all ranks
};

struct Loss {
  double first = kUnknown;
  double last = kUnknown;
  double validation = kUnknown;  ///< of the last evaluation
};

/// Over the steps of this part of the run without its first one (which warms up) when it has more.
struct StepSeconds {
  double median = kUnknown;
  double p5 = kUnknown;
  double p95 = kUnknown;
  double min = kUnknown;
  double mean = kUnknown;
  std::int64_t count = 0;
};

struct Peak {
  double flops = kUnknown;  ///< flop/s of GEMMs on all ranks together, at the run's dtype
  std::string source;       ///< how and when it was measured
};

/// `planned` is the memory plan's. `used` is measured, never taken from the plan: pages of model
/// state that are in memory, and the executor's high-water mark of buffers in use; nothing where a
/// purpose has no measurement of its own.
struct Memory {
  int rank = 0;
  std::string tier;     ///< "device", "host", "nvme"
  std::string purpose;  ///< "weights", "gradients", "moments", "activations", ...
  std::int64_t planned = 0;
  std::optional<std::int64_t> used;
};

/// One allocation a rank and tier, in which all rows of Memory lie.
struct Arena {
  int rank = 0;
  std::string tier;
  std::int64_t planned = 0;
  std::int64_t used = 0;       ///< up to the end of the furthest buffer that an instruction used
  std::int64_t in_memory = 0;  ///< by the operating system's pages
};

/// Sums over the part of the run and over ranks; `seconds` is the mean over the ranks that took
/// part, from start to completion of each call.
struct Comm {
  std::string op;          ///< "all-reduce", "send", ...
  std::string group;       ///< "data", "tensor", "pipeline", "world"
  std::int64_t bytes = 0;  ///< handed to the transport
  std::int64_t calls = 0;
  double seconds = 0;
};

struct Io {
  std::string op;    ///< "read", "write"
  std::string what;  ///< "tokens", "checkpoint", ...
  std::int64_t bytes = 0;
  std::int64_t calls = 0;
  double seconds = 0;
};

/// Exclusive time of a rank's step: one after another they fill it, so the averages sum to
/// StepSeconds::mean within 1 %. Seconds a step; min, avg and max are over ranks.
struct Region {
  std::string name;
  std::int64_t calls = 0;  ///< a step, largest of the ranks
  double min = 0;
  double avg = 0;
  double max = 0;
};

struct Bubble {
  double predicted = kUnknown;  ///< share of the step in which compute lanes wait, by the schedule
  double measured = kUnknown;   ///< the same from recorded times
};

struct Checkpoint {
  std::int64_t step = 0;
  std::string path;
  std::int64_t bytes = 0;
  double seconds = kUnknown;
};

struct ExitRecord {
  std::string reason;
  int code = 0;
};

/// One process of the run, from a start or resume to its end. A run that was requeued has several.
struct Part {
  std::int64_t first_step = 0;
  std::int64_t last_step = 0;  ///< of those that count: later ones were done again
  int ranks = 1;
  int nodes = 1;
  std::string scheduler;  ///< "slurm", "pbs"; empty: none
  std::string job;
  std::string queue;  ///< partition or queue
  std::string hosts;
  std::int64_t restarts = 0;
  double queue_seconds = kUnknown;
  std::string started;   ///< UTC
  std::string finished;  ///< UTC; empty where it left no record: killed, or done again
  std::string reason;    ///< why it stopped, empty like `finished`
  std::optional<std::int64_t> code;
  std::optional<std::int64_t> memory;  ///< bytes, by the scheduler: Slurm's largest task, PBS's job
  double energy = kUnknown;            ///< joules, by the scheduler
  std::string usage;  ///< where both come from, or why they are not there; empty: it was not asked
};

/// One instruction as it ran. Seconds from the start of the step.
struct Span {
  int rank = 0;
  std::string lane;   ///< "compute", "comm", "storage"
  std::string kind;   ///< "forward", "backward", "send", ...
  std::string label;  ///< for people: "L2 a"
  double start = 0;
  double end = 0;
};

struct Timeline {
  std::int64_t step = 0;
  std::vector<Span> spans;  ///< of all ranks, or of timeline_ranks(world_size)
};

struct Environment {
  std::string host;  ///< of rank 0
  std::string cpu;
  std::string isa;            ///< instruction path that ran: "avx2", "avx512_core_bf16"
  int threads = 1;            ///< a rank
  std::int64_t machines = 0;  ///< kernels under the ranks: nodes may share one; 0: not known
  std::int64_t cores = 0;     ///< hardware threads of these that ranks may use; 0: not known
  std::string compiler;
  std::map<std::string, std::string> libraries;  ///< name -> version
  std::string started;                           ///< UTC
  std::string finished;
};

/// What the deck's `report.expect` foretells, and what came.
struct Expect {
  std::string quantity;  ///< "validation_loss"
  double low = kUnknown;
  double high = kUnknown;
  double found = kUnknown;
  std::string verdict;  ///< "met", "missed" or "not reached"
};

struct RunReport {
  std::string app;
  std::string version;
  std::string git;
  std::string command;
  std::string title;  ///< the run's name for people: the deck's file name
  Grid grid;
  int world_size = 1;
  int nodes = 1;
  std::string device;  ///< "cpu", "cuda"
  std::string dtype;   ///< "fp32", "bf16", "fp16"
  Model model;
  std::int64_t tokens = 0;    ///< trained on, over all parts of the run
  std::int64_t steps = 0;     ///< over all parts of the run
  double seconds = kUnknown;  ///< wall time of this part, start to report
  Loss loss;
  StepSeconds step_seconds;
  double tokens_per_second = kUnknown;  ///< median over the steps that step_seconds counts
  double mfu = kUnknown;                ///< the same
  Peak peak;
  std::vector<Memory> memory;
  std::vector<Arena> arena;
  std::vector<std::int64_t> peak_rss;  ///< bytes, by rank; shared pages count for every rank
  std::vector<std::int64_t> resident;  ///< bytes, by rank, at the end: proportional set size (PSS)
  std::vector<std::int64_t> resident_base;    ///< the same right before the arena was made
  std::vector<std::int64_t> resident_steady;  ///< the same after the second step of this part
  std::vector<Comm> comm;
  std::vector<Io> io;
  std::vector<Region> regions;
  Bubble bubble;
  std::vector<Checkpoint> checkpoints;
  std::vector<std::string> warnings;
  ExitRecord exit;
  std::vector<Part> parts;  ///< of the whole run, in order; the last one is this one
  Timeline timeline;
  Environment environment;
  std::optional<Expect> expect;
  std::string deck;  ///< the resolved deck's text
};

}  // namespace trireme::report
