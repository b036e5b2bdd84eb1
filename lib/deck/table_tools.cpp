// Rows of monitors, profilers, tuning and DeepCompile: DeepSpeed's tools around a run.
#include "lib/deck/table_sections.hpp"

namespace trireme::deck {

Section monitor_section() {
  const std::string_view log = "log.jsonl has every step";
  const std::string_view place = "folder; \"\": in the run folder (DeepSpeed: in the home folder)";
  const std::string_view report = "the report shows it always";
  return {
      "Monitors and profilers",
      "log.jsonl and the report hold more than these write. Events stand over the samples trained "
      "on.",
      {
          works("tensorboard.enabled", boolean().or_auto(), "false", "",
                "write TensorBoard event files"),
          works("tensorboard.output_path", text().or_auto(), "\"\"", "path", place),
          works("tensorboard.job_name", text().or_auto(), "\"DeepSpeedJobName\"", "", "sub-folder"),
          works("csv_monitor.enabled", boolean().or_auto(), "false", "",
                "write a CSV file a number"),
          works("csv_monitor.output_path", text().or_auto(), "\"\"", "path", place),
          works("csv_monitor.job_name", text().or_auto(), "\"DeepSpeedJobName\"", "", "sub-folder"),
          not_yet("wandb.enabled", boolean(), "false", "false; log.jsonl has every step",
                  "Weights & Biases"),
          idle("wandb.group", text().or_null(), "null", log, "group of runs"),
          idle("wandb.team", text().or_null(), "null", log, "team"),
          idle("wandb.project", text(), "\"deepspeed\"", log, "project"),
          not_yet("comet.enabled", boolean(), "false", "false; log.jsonl has every step", "Comet"),
          idle("comet.samples_log_interval", integer().from(1), "100", log,
               "samples between events"),
          idle("comet.project", text().or_null(), "null", log, "project"),
          idle("comet.workspace", text().or_null(), "null", log, "workspace"),
          idle("comet.api_key", text().or_null(), "null", log, "key"),
          idle("comet.experiment_name", text().or_null(), "null", log, "name"),
          idle("comet.experiment_key", text().or_null(), "null", log, "id"),
          idle("comet.online", boolean().or_null(), "null", log, "send at once"),
          idle("comet.mode", text().or_null(), "null", log, "get, create or get_or_create"),
          idle("flops_profiler.enabled", boolean(), "false", report, "count flops of one step"),
          idle("flops_profiler.profile_step", integer().from(0), "1", report, "step counted"),
          idle("flops_profiler.module_depth", integer(), "-1", report, "depth of the tree"),
          idle("flops_profiler.top_modules", integer(), "1", report, "modules shown"),
          idle("flops_profiler.detailed", boolean(), "true", report, "print the tree"),
          idle("flops_profiler.output_file", text().or_null(), "null", report, "file"),
          idle("flops_profiler.recompute_fwd_factor", number(), "0.0", report,
               "forward passes recomputed"),
          idle("comms_logger.enabled", boolean(), "false", report, "log communication"),
          idle("comms_logger.verbose", boolean(), "false", report, "log each call"),
          idle("comms_logger.prof_all", boolean(), "true", report, "log all kinds"),
          idle("comms_logger.debug", boolean(), "false", report, "name the caller"),
          idle("comms_logger.prof_ops", list_of(text()), "[]", report, "kinds logged"),
          idle("timers.throughput.enabled", boolean(), "true", report, "measure samples/s"),
          idle("timers.throughput.synchronized", boolean(), "true", report,
               "synchronize the device first"),
      }};
}

Section tuning_section() {
  const std::string_view off = "autotuning is not done yet";
  return {
      "Autotuning and elasticity",
      "Autotuning is known and not done yet.",
      {
          not_yet("autotuning.enabled", boolean(), "false", "false", "search for a fast deck"),
          idle("autotuning.fast", boolean(), "true", off, "tune batch sizes only"),
          idle("autotuning.results_dir", text().or_null(), "\"autotuning_results\"", off,
               "folder of results"),
          idle("autotuning.exps_dir", text().or_null(), "\"autotuning_exps\"", off,
               "folder of trial configurations"),
          idle("autotuning.overwrite", boolean(), "true", off, "run experiments again"),
          idle("autotuning.metric", choice({"throughput", "latency", "flops", "FLOPS"}),
               "\"throughput\"", off, "what is best"),
          idle("autotuning.start_profile_step", integer(), "3", off, "first step measured"),
          idle("autotuning.end_profile_step", integer(), "5", off, "last step measured"),
          idle("autotuning.tuner_type", choice({"gridsearch", "random", "model_based"}),
               "\"gridsearch\"", off, "how it searches"),
          idle("autotuning.tuner_early_stopping", integer(), "5", off, "trials without gain"),
          idle("autotuning.tuner_num_trials", integer(), "50", off, "most trials"),
          idle("autotuning.max_train_batch_size", integer().or_null(), "null", off,
               "largest global batch tried"),
          idle("autotuning.min_train_batch_size", integer(), "1", off,
               "smallest global batch tried"),
          idle("autotuning.max_train_micro_batch_size_per_gpu", integer(), "1024", off,
               "largest micro-batch tried"),
          idle("autotuning.min_train_micro_batch_size_per_gpu", integer(), "1", off,
               "smallest micro-batch tried"),
          idle("autotuning.num_tuning_micro_batch_sizes", integer(), "3", off, "sizes tried"),
          idle("autotuning.mp_size", integer(), "1", off, "model-parallel ranks"),
          idle("autotuning.arg_mappings", any().or_null(), "null", off, "keys to arguments"),
          idle("autotuning.model_info", any().or_null(), "null", off, "known sizes of the model"),
          idle("autotuning.metric_path", text().or_null(), "null", off,
               "file the metric is written to"),
          idle("autotuning.model_info_path", text().or_null(), "null", off,
               "file with the sizes of the model"),
          works("elasticity.enabled", boolean(), "false", "",
                "choose a global batch that many numbers of ranks divide, and the micro-batch for "
                "the number at hand; a requeued run may come back on another one"),
          works("elasticity.max_train_batch_size", integer().from(1), "2000", "samples",
                "largest global batch"),
          works("elasticity.micro_batch_sizes", list_of(integer().from(1)), "[2, 4, 6]", "samples",
                "micro-batches allowed"),
          works("elasticity.min_gpus", integer().from(1), "1", "ranks", "fewest ranks"),
          works("elasticity.max_gpus", integer().from(1), "10000", "ranks", "most ranks"),
          idle("elasticity.min_time", integer().from(0), "0",
               "the scheduler decides when ranks change", "minutes between changes of ranks"),
          works("elasticity.prefer_larger_batch", boolean(), "true", "",
                "of batches that go with as many numbers of ranks, the largest"),
          works(
              "elasticity.ignore_non_elastic_batch_info", boolean(), "false", "",
              "a batch triple of the deck's own gives way; without, one that differs is an error"),
          works("elasticity.num_gpus_per_node", integer().from(1), "1", "ranks",
                "with version 0.2: ranks that come and go together"),
          works("elasticity.model_parallel_size", integer().from(1), "1", "ranks",
                "of a replica; derived from the grid here, a given one must agree"),
          works(
              "elasticity.version", number(), "0.2", "",
              "0.2 counts in nodes. A number of ranks that does not go with the batch is an error "
              "in both: DeepSpeed's 0.2 would change the batch"),
      }};
}

Section compile_section() {
  const std::string_view off = "DeepCompile is off";
  const std::string_view chat = "the hybrid engine is off";
  return {
      "DeepCompile and the hybrid engine",
      "Trireme compiles every step into a program by itself.",
      {
          not_yet("compile.deepcompile", boolean(), "false", "false", "PyTorch graph passes"),
          idle("compile.free_activation", boolean(), "false", off, "free activations early"),
          idle("compile.free_activation_threshold", integer(), "10485760", off,
               "smallest activation freed, bytes"),
          idle("compile.offload_activation", boolean(), "false", off, "activations to the host"),
          idle("compile.offload_activation_pin_memory", boolean(), "true", off, "pinned buffers"),
          idle("compile.offload_opt_states", boolean(), "false", off, "moments to the host"),
          idle("compile.offload_parameters", boolean(), "false", off, "parameters to the host"),
          idle("compile.double_buffer", boolean(), "true", off, "two buffers a gather"),
          idle("compile.symmetric_memory", boolean(), "false", off, "symmetric memory"),
          idle("compile.debug_log", boolean(), "false", off, "log graphs"),
          idle("compile.sync_before_reduce", boolean(), "false", off,
               "wait for the device before a reduction"),
          idle("compile.sync_after_reduce", boolean(), "false", off,
               "wait for the device after a reduction"),
          idle("compile.sync_before_allgather", boolean(), "false", off,
               "wait for the device before a gather"),
          idle("compile.sync_after_allgather", boolean(), "false", off,
               "wait for the device after a gather"),
          idle("compile.keep_int_input_tensors", boolean(), "true", off, "keep integer inputs"),
          idle("compile.keep_all_input_tensors", boolean(), "false", off, "keep all inputs"),
          idle("compile.passes", list_of(text()).or_null(), "null", off, "passes run"),
          not_yet("hybrid_engine.enabled", boolean(), "false", "false",
                  "generation inside training, for RLHF"),
          idle("hybrid_engine.max_out_tokens", integer(), "512", chat, "most tokens generated"),
          idle("hybrid_engine.inference_tp_size", integer(), "1", chat, "tensor ranks"),
          idle("hybrid_engine.release_inference_cache", boolean(), "false", chat, "free the cache"),
          idle("hybrid_engine.pin_parameters", boolean(), "true", chat, "pinned parameters"),
          idle("hybrid_engine.tp_gather_partition_size", integer(), "8", chat, "layers a gather"),
          idle("hybrid_engine.enable_cuda_graph", boolean(), "false", chat, "CUDA graphs"),
      }};
}

}  // namespace trireme::deck
