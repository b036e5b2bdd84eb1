#pragma once
// The input deck, checked and resolved: the one description of a run that everything else reads.
//
//   const deck::Deck deck = deck::load(path, overrides, ranks);
//
// A deck is JSON with comments. Keys, types, defaults, units and help stand in one table
// (table.hpp); REFERENCE.md is generated from it. A DeepSpeed configuration is a valid deck.
// All mistakes of a deck are reported in one error (exit code 2), each with its line.

#include "kernels/base/dtype.hpp"
#include "lib/deck/model_config.hpp"

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace trireme::deck {

/// Where training tokens come from. Which documents validate: the last ones of every source, whole
/// documents, as few as reach validation_fraction of the source's tokens.
struct DataConfig {
  struct Source {
    std::filesystem::path path;  ///< absolute
    double weight = 0;           ///< share of samples, sums to 1; 0 = in proportion to its tokens
  };
  std::vector<Source> sources;
  double validation_fraction = 0.01;                     ///< 0 = no split
  std::vector<std::filesystem::path> validation_tokens;  ///< own files instead of a split
  bool shuffle =
      true;  ///< order of samples is a pure function of (seed, sample); false = as stored
  std::uint64_t seed = 0;                  ///< of the order of samples
  bool attention_across_documents = true;  ///< a sample's documents see each other
  std::int64_t read_ahead = 2;             ///< batches read before they are needed
};

/// How GPUs of different ranks exchange data: over links of their own, or through the hosts.
/// `automatic` is settled where the ranks start.
enum class Transport { automatic, nccl, host };

/// Whether steps on a GPU run in CUDA graphs; `automatic`: unless it can't make them.
enum class CudaGraphs { automatic, on, off };

enum class Schedule { gpipe, one_f_one_b, interleaved };

/// Where a kind of model state lives between its uses ("none", "cpu", "nvme" in a deck).
enum class Tier { device, host, nvme };

/// What a step does once, or with every micro-batch.
enum class Per { step, micro_batch };

/// When weights are updated: once all ranks agree on the whole gradient, or each unit as soon as
/// its own gradient is complete.
enum class UpdatePer { step, unit };

/// DeepSpeed's offload_optimizer.
struct OffloadOptimizerConfig {
  Tier tier = Tier::device;       ///< of masters, moments and, from stage 2 on, gradients
  std::int64_t buffer_count = 4;  ///< sub-groups in host memory at once
  bool pipeline_read = false;     ///< read the next sub-group while one is updated
  bool pipeline_write = false;    ///< write the last sub-group while one is updated
  double ratio = 1;               ///< share of the elements that lives on the offload tier
};

/// DeepSpeed's offload_param.
struct OffloadParamConfig {
  Tier tier = Tier::device;
  std::int64_t buffer_count = 5;            ///< units being read at once
  std::int64_t buffer_size = 100'000'000;   ///< elements of one transfer
  std::int64_t max_in_cpu = 1'000'000'000;  ///< elements that stay in host memory with nvme
};

/// DeepSpeed's aio section.
struct AioConfig {
  std::int64_t block_size = 1 << 20;  ///< bytes a request
  std::int64_t queue_depth = 8;       ///< requests in flight a thread
  std::int64_t threads = 1;           ///< intra_op_parallelism; thread_count
  bool single_submit = false;
  bool overlap_events = true;
  bool checksum = false;  ///< ours: blocks are verified when they are read back
};

/// DeepSpeed's zero_optimization; sizes in elements.
struct ZeroConfig {
  int stage = 0;        ///< 1: optimizer state, 2: gradients too, 3: parameters too are divided
  bool cyclic = false;  ///< round_robin_gradients or parallel.zero.partition
  Per reduce_per = Per::step;         ///< when gradients are summed; resolved by stage
  Per gather_per = Per::micro_batch;  ///< how far stage 3 may keep gathered parameters
  UpdatePer update_per = UpdatePer::step;
  bool overlap_comm = true;          ///< false: the compute lane waits for each sum and gather
  bool reduce_scatter = true;        ///< false: all-reduce, and keep the own share
  bool allgather_partitions = true;  ///< false: a broadcast from each owner
  std::int64_t reduce_bucket_size = 500'000'000;     ///< elements of one sum
  std::int64_t allgather_bucket_size = 500'000'000;  ///< elements of one gather
  std::int64_t sub_group_size = 1'000'000'000;       ///< elements of one update
  std::int64_t prefetch_bucket_size = 50'000'000;    ///< elements gathered before they are needed
  std::int64_t max_live_parameters = 1'000'000'000;
  std::int64_t max_reuse_distance = 1'000'000'000;
  std::int64_t param_persistence_threshold = 100'000;  ///< smaller tensors stay whole
  std::int64_t model_persistence_threshold = 9'223'372'036'854'775'807;
  /// Ranks that divide state among them (mics_shard_size); 0 = the whole data axis. Divides data.
  std::int64_t shard_ranks = 0;
  OffloadOptimizerConfig offload_optimizer;
  OffloadParamConfig offload_param;
  std::filesystem::path nvme_path;  ///< absolute, one for all; empty: the run's folder, or no nvme
  AioConfig aio;
};

/// ranks = data x tensor x pipeline; tensor varies fastest, then data, then pipeline.
struct ParallelConfig {
  std::int64_t data = 1;
  std::int64_t tensor = 1;
  std::int64_t pipeline = 1;
  std::int64_t virtual_stages = 1;  ///< model chunks a rank holds; > 1 only with interleaved
  Schedule schedule = Schedule::one_f_one_b;
  Transport transport = Transport::automatic;  ///< with run.device "cuda"
  bool sequence = false;  ///< norms and residuals split over the tensor axis along the sequence
  /// Transformer layers of stage 0, 1, ... (pipeline * virtual_stages entries, in model order);
  /// empty = balanced by flops.
  std::vector<std::int64_t> layers_per_stage;
  ZeroConfig zero;

  std::int64_t ranks() const { return data * tensor * pipeline; }
};

/// global = micro * accumulation * data, in samples (sequences of model.context tokens).
struct BatchConfig {
  std::int64_t global = 1;        ///< train_batch_size
  std::int64_t micro = 1;         ///< train_micro_batch_size_per_gpu
  std::int64_t accumulation = 1;  ///< gradient_accumulation_steps = micro-batches of the pipeline
};

enum class OptimizerType { adam, adamw, sgd, lion, lamb };

/// DeepSpeed's "Adam" with adam_w_mode (its default) is AdamW: `type` says which rule is meant.
/// Weight decay acts on matrices and embeddings, not on norms and biases.
struct OptimizerConfig {
  OptimizerType type = OptimizerType::adamw;
  double lr = 1e-3;
  double beta1 = 0.9;
  double beta2 = 0.999;
  double eps = 1e-8;
  double weight_decay = 0;
  bool bias_correction = true;
  double momentum = 0;    ///< SGD
  double dampening = 0;   ///< SGD
  bool nesterov = false;  ///< SGD
  double max_coeff = 10;  ///< LAMB: bounds of the trust ratio
  double min_coeff = 0.01;
};

enum class SchedulerType {
  constant,  ///< no scheduler section: optimizer.params.lr throughout
  lr_range_test,
  one_cycle,
  warmup,
  warmup_decay,
  warmup_cosine
};
enum class WarmupType { log, linear };

/// All parameters of DeepSpeed's five schedules under their own names; only those of `type` count.
struct SchedulerConfig {
  SchedulerType type = SchedulerType::constant;
  double lr_range_test_min_lr = 1e-3;
  std::int64_t lr_range_test_step_size = 2000;
  double lr_range_test_step_rate = 1;
  bool lr_range_test_staircase = false;
  double cycle_min_lr = 0;
  double cycle_max_lr = 0;
  double decay_lr_rate = 0;
  std::int64_t cycle_first_step_size = 2000;
  std::int64_t cycle_second_step_size = 2000;  ///< absent in the deck: the first's
  std::int64_t cycle_first_stair_count = 0;
  std::int64_t cycle_second_stair_count = 0;  ///< absent in the deck: the first's
  std::int64_t decay_step_size = 0;
  bool cycle_momentum = true;
  double cycle_min_mom = 0.8;
  double cycle_max_mom = 0.9;
  double decay_mom_rate = 0;
  double warmup_min_lr = 0;
  double warmup_max_lr = 1e-3;  ///< absent in the deck: optimizer.params.lr
  std::int64_t warmup_num_steps = 1000;
  WarmupType warmup_type = WarmupType::log;
  std::int64_t total_num_steps = 0;  ///< "auto" = run.max_steps
  double warmup_min_ratio = 0;
  double cos_min_ratio = 1e-4;
};

/// DeepSpeed's fp16 section, read as its loss scalers read it.
struct LossScaleConfig {
  bool dynamic = false;                 ///< fp16.enabled and loss_scale 0
  double initial = 1;                   ///< static scale, or 2^initial_scale_power
  std::int64_t window = 1000;           ///< good steps before the scale doubles
  std::int64_t hysteresis = 2;          ///< overflows taken before the scale halves
  bool consecutive_hysteresis = false;  ///< a good step refills the hysteresis
  double minimum = 1;                   ///< overflow at this scale ends the run (exit 4)
};

struct PrecisionConfig {
  DType compute = DType::f32;  ///< f32, bf16 or f16; masters are f32 always
  bool fp8 = false;   ///< linear layers of transformer blocks multiply in fp8; compute is bf16
  bool tf32 = false;  ///< linear layers and logits multiply in tf32 on a GPU; compute is f32
  DType gradient_accumulation = DType::f32;  ///< data_types.grad_accum_dtype
  DType communication = DType::f32;          ///< communication_data_type; null = fp32 here
  LossScaleConfig loss_scale;
  /// A step with inf or NaN gradients is skipped: always with fp16, with bf16 as
  /// check_grad_overflow says, never with fp32 (there it ends the run).
  bool skip_nonfinite_gradients = false;
};

struct RecomputeConfig {
  bool enabled = false;  ///< drop a transformer block's activations after forward, rebuild them
  /// Where a block's input waits for its recomputation (cpu_checkpointing, our key device).
  Tier tier = Tier::device;
  bool partition = false;  ///< partition_activations: divided over the tensor ranks while it waits
};

struct CheckpointConfig {
  std::int64_t every_steps = 0;  ///< 0 = never between start and end
  std::int64_t keep = 2;         ///< newest complete ones kept; 0 = all
  std::filesystem::path path;    ///< absolute; empty = checkpoints/ in the run folder
  bool at_end = true;            ///< also when the run's length is reached
  bool asynchronous = false;
  double watchdog_seconds = 3600;  ///< saving or loading longer than this ends the run (exit 5)
};

struct RunConfig {
  std::int64_t max_steps = 0;              ///< the run's length, never 0 after resolve
  std::optional<double> max_minutes;       ///< ends this process early (exit 10)
  std::optional<std::int64_t> max_tokens;  ///< as given; already folded into max_steps
  std::uint64_t seed = 1234;
  std::string device = "cpu";
  CudaGraphs cuda_graphs = CudaGraphs::automatic;  ///< with device "cuda"
  std::int64_t threads = 0;             ///< a rank; 0 = OMP_NUM_THREADS or the cores of its binding
  std::int64_t steps_per_print = 10;    ///< plain progress lines without a terminal
  std::int64_t eval_every = 0;          ///< steps; 0 = only at the end
  std::int64_t eval_samples = 256;      ///< validation sequences an evaluation reads, 0 = all
  double watchdog_seconds = 600;        ///< without progress for longer ends the run (exit 5)
  std::int64_t max_skipped_steps = 10;  ///< skipped steps running before exit 4
  std::int64_t device_memory = 0;       ///< bytes a rank's device tier may hold; 0 = no limit
  std::int64_t host_memory = 0;         ///< bytes a rank's host tier may hold; 0 = no limit
  bool dump_state = false;              ///< print the resolved deck at start
  bool wall_clock_breakdown = false;    ///< print the time of each region with every progress line
};

struct ReportConfig {
  bool html = true;
  bool timeline = true;              ///< record one step's instructions for the Gantt picture
  std::optional<double> peak_flops;  ///< GEMM peak a rank, flop/s; absent = measured
  struct Band {
    double low = 0;
    double high = 0;
  };
  std::optional<Band> expected_validation_loss;  ///< report.expect.validation_loss
};

/// DeepSpeed's sections tensorboard and csv_monitor.
struct MonitorConfig {
  bool enabled = false;
  std::filesystem::path output_path;  ///< absolute; empty = a folder of its own in the run folder
  std::string job_name = "DeepSpeedJobName";  ///< sub-folder
};

/// What the deck asked for and did not get, or has no influence; stands in the report.
struct Warning {
  std::string key;  ///< dotted path
  int line = 0;     ///< of the deck; 0 = not from a line of it
  std::string text;
};

struct Deck {
  std::filesystem::path path;  ///< of the deck file, absolute
  ModelConfig model;
  DataConfig data;
  ParallelConfig parallel;
  BatchConfig batch;
  OptimizerConfig optimizer;
  SchedulerConfig scheduler;
  PrecisionConfig precision;
  double gradient_clipping = 1.0;  ///< global norm; 0 = off
  RecomputeConfig activation_checkpointing;
  CheckpointConfig checkpoint;
  RunConfig run;
  ReportConfig report;
  MonitorConfig tensorboard;
  MonitorConfig csv_monitor;
  std::vector<Warning> warnings;

  std::string resolved_json;  ///< all keys with their values; loads to the same resolved deck
  std::string fingerprint;  ///< 16 hex digits: model, data, optimizer, scheduler, precision, batch,
                            ///< seed. Paths count by file name: a token file proves itself.
};

/// The text of a deck and where it came from, so that one rank may read the file for all.
struct Source {
  std::string text;
  std::filesystem::path path;  ///< absolute; relative paths in the deck start at its folder
};
/// Throws Exit::kFile when the file can't be read.
Source read_source(const std::filesystem::path& path);

/// Reads, checks and resolves. `overrides` are "a.b=c" texts (c is JSON, else a string) applied
/// after the file. `ranks` derives "auto" (parallel.data, the batch triple); without it the grid is
/// the deck's own, "auto" data counting as 1 (for --check on one rank).
/// Throws one Error(Exit::kUsage) that lists all mistakes, a line each:
///   deck.json:12: unknown key "stagee" in zero_optimization; nearest known: "stage"
Deck load(const Source& source, const std::vector<std::string>& overrides,
          std::optional<std::int64_t> ranks);
Deck load(const std::filesystem::path& path, const std::vector<std::string>& overrides,
          std::optional<std::int64_t> ranks);

/// The text of --help-deck: every key by group with type, default, unit and help. With `filter`
/// only keys whose path contains it.
std::string help(std::string_view filter = "");

/// The generated page lib/deck/REFERENCE.md (Markdown).
std::string reference_page();

/// One key whose value differs between two resolved decks (missing = "absent"). A key that the
/// deck before lacks, as one of an earlier version does, may have its default now.
struct Change {
  std::string key;
  std::string before;           ///< JSON
  std::string after;            ///< JSON
  bool in_fingerprint = false;  ///< a resumed run must not change it
};
std::vector<Change> changes(std::string_view resolved_before, std::string_view resolved_after);

std::string_view name_of(Transport transport);
std::string_view name_of(CudaGraphs graphs);
std::string_view name_of(Family family);
std::string_view name_of(NormType type);
std::string_view name_of(Activation activation);
std::string_view name_of(Positions positions);
std::string_view name_of(Schedule schedule);
std::string_view name_of(OptimizerType type);
std::string_view name_of(SchedulerType type);

}  // namespace trireme::deck
