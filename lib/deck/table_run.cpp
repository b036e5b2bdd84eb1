// Rows of batch, run, checkpoint and report.
#include "lib/deck/table_sections.hpp"

namespace trireme::deck {

Section batch_section() {
  return {
      "Batch",
      "train_batch_size = train_micro_batch_size_per_gpu x gradient_accumulation_steps x "
      "parallel.data. Two are enough; from one alone accumulation is 1. As in DeepSpeed a derived "
      "value is an integer division and the product must then hold exactly.",
      {
          works("train_batch_size", integer().from(1).up_to(1e9).or_null().derived(), "\"auto\"",
                "samples", "samples of one optimizer step, over the whole grid"),
          works("train_micro_batch_size_per_gpu", integer().from(1).up_to(1e6).or_null().derived(),
                "\"auto\"", "samples", "samples of one forward pass of a data-parallel replica"),
          works("gradient_accumulation_steps", integer().from(1).up_to(1e6).or_null().derived(),
                "\"auto\"", "", "micro-batches of a step; also the pipeline's micro-batches"),
          not_yet("managed_gradient_accumulation", boolean(), "true", "true",
                  "the engine decides when a step ends"),
      }};
}

Section run_section() {
  return {
      "Run",
      "run.max_steps is the length of the run, and \"auto\" schedules follow it. Minutes and "
      "signals end a process early, with a checkpoint and exit code 10.",
      {
          ours("run.max_steps", integer().from(1).up_to(1e12).derived(), "\"auto\"", "steps",
               "length of the run; \"auto\" = from run.max_tokens; with both the shorter counts"),
          ours("run.max_tokens", integer().from(1).or_null(), "null", "tokens",
               "length of the run in tokens, rounded up to whole steps"),
          ours("run.max_minutes", number().above(0).or_null(), "null", "minutes",
               "end this process early, with a checkpoint and exit code 10"),
          ours("run.seed", integer().from(0), "1234", "",
               "of initial weights, dropout and, unless data.seed is given, order of samples"),
          ours("run.device", choice({"cpu", "cuda"}), "\"cpu\"", "",
               "where the ranks compute; cuda: on NVIDIA GPUs, a rank's is its place on the node "
               "modulo the GPUs there"),
          ours("run.cuda_graphs", choice({"auto", "on", "off"}), "\"auto\"", "",
               "with run.device cuda: give stretches of a step to the GPU by one call each, from "
               "the second step on; on: an error where it makes no graph of one, auto: a warning, "
               "and the run goes on without"),
          ours("run.threads", integer().from(1).derived(), "\"auto\"", "",
               "compute threads of a rank; \"auto\" = OMP_NUM_THREADS, else the cores it is "
               "bound to"),
          ours("run.eval_every", integer().from(0), "0", "steps",
               "evaluate on the validation documents; 0 = only at the end"),
          ours("run.eval_samples", integer().from(0), "256", "samples",
               "validation sequences an evaluation reads; 0 = all"),
          ours("run.watchdog_seconds", number().above(0), "600.0", "seconds",
               "an instruction, or a wait for other ranks, that takes longer ends the run with "
               "exit code "
               "5, named"),
          ours("run.max_skipped_steps", integer().from(1), "10", "steps",
               "steps skipped one after the other for non-finite gradients before exit code 4"),
          ours(
              "run.device_memory", bytes(), "0", "bytes",
              "most a rank's device tier may hold, with what its kernels work in, on CPU ranks its "
              "arena; 0 = no limit"),
          ours("run.host_memory", bytes(), "0", "bytes",
               "most a rank's host tier may hold; 0 = no limit"),
          works("steps_per_print", integer().from(1).or_null(), "null", "steps",
                "steps between progress lines without a terminal; null = 10"),
          works("wall_clock_breakdown", boolean(), "false", "",
                "print the time of every region with each progress line"),
          works("dump_state", boolean(), "false", "", "print the resolved deck at start"),
          idle("memory_breakdown", boolean(), "false", "the report always shows memory by purpose",
               "log memory use"),
          idle("log_level", text().or_null(), "null", "rank 0 prints progress and warnings",
               "DeepSpeed's log level"),
      }};
}

Section checkpoint_section() {
  const std::string_view hdf5 = "the writer is parallel HDF5";
  return {
      "Checkpoints",
      "One format for every grid: HDF5 by logical tensors. DeepSpeed's keys for its own "
      "formats are "
      "known and have no influence.",
      {
          ours("checkpoint.every_steps", integer().from(0), "0", "steps",
               "write one every so many steps; 0 = none between start and end"),
          ours("checkpoint.keep", integer().from(0), "2", "",
               "newest complete checkpoints kept; 0 = all"),
          ours("checkpoint.path", text().or_null(), "null", "path",
               "folder; null = checkpoints/ in the run folder"),
          ours("checkpoint.at_end", boolean(), "true", "",
               "write one when the run's length is reached"),
          [] {
            Row row = ours("checkpoint.asynchronous", boolean(), "false", "",
                           "write while the next steps compute, from a copy");
            row.status = Status::not_yet;
            row.note = "false";
            return row;
          }(),
          ours("checkpoint.watchdog_seconds", number().above(0), "3600.0", "seconds",
               "saving, or loading, that takes longer ends the run with exit code 5"),
          idle("checkpoint.tag_validation", choice({"Warn", "Ignore", "Fail"}).any_case(),
               "\"Warn\"", "ranks agree on a checkpoint's name by construction",
               "compare the checkpoint's tag over ranks"),
          idle("checkpoint.load_universal", boolean(), "false",
               "every checkpoint loads on every grid", "load a universal checkpoint"),
          idle("load_universal", boolean(), "false", "every checkpoint loads on every grid",
               "old place of checkpoint.load_universal"),
          not_yet("checkpoint.use_node_local_storage", boolean(), "false", "false",
                  "write to disks that other nodes do not see"),
          idle("checkpoint.parallel_write.pipeline_stage", boolean(), "false",
               "all ranks write their own slices", "stages write in parallel"),
          idle("checkpoint.checkpoint_serialization", boolean(), "true", "nothing is pickled",
               "torch.save's serialization"),
          idle("checkpoint.writer.type", choice({"FAST", "PYTHON", "MOCK"}).or_null(), "null", hdf5,
               "which writer"),
          idle("checkpoint.writer.decoupled", boolean(), "false", hdf5, "write in another process"),
          idle("checkpoint.writer.io_buffer_size", integer(), "67108864", hdf5,
               "bytes of a buffer"),
          idle("checkpoint.writer.io_buffer_double", boolean(), "true", hdf5, "two buffers"),
          idle("checkpoint.writer.show_statistics", boolean(), "false", hdf5, "print speeds"),
          idle("checkpoint.writer.data_parallel",
               choice({"replica", "socket", "machine"}).or_null(), "null", hdf5, "who writes"),
          idle("checkpoint.writer.io_multiplier", integer(), "1", hdf5,
               "bytes written, times this"),
          not_yet("nebula.enabled", boolean(), "false", "false", "Azure's checkpoint service"),
          idle("nebula.persistent_storage_path", text().or_null(), "null", "nebula is off",
               "nebula's folder"),
          idle("nebula.persistent_time_interval", integer(), "100", "nebula is off",
               "seconds between nebula's checkpoints"),
          idle("nebula.num_of_version_in_retention", integer(), "2", "nebula is off",
               "nebula's keep-N"),
          idle("nebula.enable_nebula_load", boolean(), "true", "nebula is off",
               "load through nebula"),
          idle("nebula.nebula_load_path", text().or_null(), "null", "nebula is off",
               "folder nebula loads from"),
          not_yet("datastates_ckpt.host_cache_size", any().or_null(), "null", "null",
                  "DataStates-LLM's host cache; giving it selects that engine"),
      }};
}

Section report_section() {
  return {
      "Report",
      "Every run ends with report.json and, unless switched off, report.html in its run folder.",
      {
          ours("report.html", boolean(), "true", "", "write report.html"),
          ours("report.timeline", boolean(), "true", "",
               "record the instructions of one step for the lane timeline"),
          ours("report.peak_flops", number().above(0).derived(), "\"auto\"", "flop/s",
               "peak of one rank that MFU refers to; \"auto\" = its GEMM speed, measured"),
          ours("report.expect.validation_loss", list_of(number()).or_null(), "null", "nats/token",
               "[low, high]: band of the last validation loss; outside it the run exits with 1"),
      }};
}

}  // namespace trireme::deck
