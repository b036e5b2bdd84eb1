// Rows of ZeRO: what is divided, how it is reduced and gathered. Offload is in table_offload.cpp.
#include "lib/deck/table_sections.hpp"

namespace trireme::deck {

namespace {

/// Elements: a bucket or group has one at least, a threshold may be 0.
Type elements(double least) { return integer().from(least); }

std::vector<Row> division_rows() {
  return {
      works("zero_optimization.stage", integer().from(0).up_to(3), "0", "",
            "what the data axis divides: 0 nothing, 1 optimizer state, 2 gradients too, 3 "
            "parameters too; on every grid, schedule and tier"),
      works("zero_optimization.mics_shard_size", integer().from(-1), "-1", "ranks",
            "divide state among so many ranks of the data axis and replicate it across them "
            "(MiCS); divides parallel.data; -1 = the whole axis. Here also for stages 1 and 2"),
      works("zero_optimization.round_robin_gradients", boolean(), "false", "",
            "another name of parallel.zero.partition cyclic"),
      ours("parallel.zero.partition", choice({"range", "cyclic"}), "\"range\"", "",
           "a rank's share of a flat block: one contiguous range, or chunks dealt in turn; the "
           "bits are the same"),
      ours("parallel.zero.reduce_per", choice({"step", "micro_batch"}).derived(), "\"auto\"", "",
           "sum gradients once a step, or with every micro-batch, so that whole gradients never "
           "pile up (stages 2 and 3); \"auto\" = micro_batch for stages 2 and 3, else step"),
      ours("parallel.zero.gather_per", choice({"step", "micro_batch"}), "\"micro_batch\"", "",
           "gather parameters for each use, or hold them for the step as far as "
           "stage3_max_live_parameters allows (stage 3, offload_param)"),
      ours("parallel.zero.update_per", choice({"step", "unit"}), "\"step\"", "",
           "update all weights once the step's gradients are known as a whole, or each block as "
           "soon as its own are complete: beside backward, without keeping them, at every stage; "
           "needs a step that is neither clipped nor skipped"),
  };
}

std::vector<Row> communication_rows() {
  return {
      works("zero_optimization.overlap_comm", boolean().or_null(), "null", "",
            "sums and gathers run beside compute; false = compute waits for each; null = true at "
            "every stage here, where DeepSpeed means true for stage 3 only"),
      works("zero_optimization.reduce_scatter", boolean(), "true", "",
            "gradients are reduce-scattered; false = all-reduced, and each rank keeps its share"),
      works("zero_optimization.reduce_bucket_size", elements(1), "500000000", "elements",
            "most gradients of one sum: small blocks are merged, large ones split"),
      works("zero_optimization.allgather_partitions", boolean(), "true", "",
            "parameters are all-gathered; false = each owner broadcasts its share"),
      works("zero_optimization.allgather_bucket_size", elements(1), "500000000", "elements",
            "most parameters of one gather"),
      works("zero_optimization.sub_group_size", elements(1), "1000000000", "elements",
            "offloaded state that is updated at a time"),
  };
}

std::vector<Row> stage3_rows() {
  return {
      works("zero_optimization.stage3_prefetch_bucket_size", elements(0), "50000000", "elements",
            "parameters fetched before they are needed"),
      works("zero_optimization.stage3_max_live_parameters", elements(0), "1000000000", "elements",
            "most parameters that are whole at once"),
      works("zero_optimization.stage3_max_reuse_distance", elements(0), "1000000000", "elements",
            "parameters used again before so many others stay gathered"),
      works("zero_optimization.stage3_param_persistence_threshold", elements(0), "100000",
            "elements", "smaller tensors stay whole on every rank"),
      works("zero_optimization.stage3_model_persistence_threshold", elements(0),
            "9223372036854775807", "elements", "most elements that stay whole for being small"),
      idle("zero_optimization.stage3_gather_16bit_weights_on_model_save", boolean(), "false",
           "ranks write their slices of logical tensors; nothing is gathered",
           "gather weights when saving"),
      idle("zero_optimization.stage3_module_granularity_threshold", elements(0), "0",
           "a block is fetched whole", "fetch small sub-trees whole"),
      idle("zero_optimization.stage3_use_all_reduce_for_fetch_params", boolean(), "false",
           "allgather_partitions chooses how parameters are gathered",
           "all-reduce instead of all-gather"),
      idle("zero_optimization.stage3_allgather_sequential", boolean(), "false",
           "a block lies in one flat buffer and needs no copy", "gather tensors one by one"),
  };
}

/// Switches of DeepSpeed's own machinery.
std::vector<Row> machinery_rows() {
  const std::string_view no_module = "there is no PyTorch module to hook into";
  return {
      idle("zero_optimization.contiguous_gradients", boolean(), "true",
           "a block's gradients lie in one flat buffer", "copy gradients to one buffer"),
      idle("zero_optimization.use_multi_rank_bucket_allreduce", boolean(), "true",
           "a bucket is one sum for all its owners", "one reduction for many owners"),
      idle("zero_optimization.load_from_fp32_weights", boolean(), "true",
           "masters come from the checkpoint", "take masters from fp32 weights"),
      idle("zero_optimization.elastic_checkpoint", boolean(), "false",
           "every checkpoint loads on every grid", "checkpoints for other rank counts"),
      idle("zero_optimization.ignore_unused_parameters", boolean(), "true",
           "every parameter has a gradient", "parameters without gradient are fine"),
      idle("zero_optimization.legacy_stage1", boolean(), "false", "DeepSpeed ignores it too",
           "a key that does nothing"),
      idle("zero_optimization.memory_efficient_linear", boolean(), "true", no_module,
           "keep less in linear layers"),
      idle("zero_optimization.override_module_apply", boolean(), "true", no_module,
           "gather in Module.apply"),
      idle("zero_optimization.pipeline_loading_checkpoint", boolean(), "false",
           "ranks read their own slices", "ranks load in turn"),
      idle("zero_optimization.log_trace_cache_warnings", boolean(), "false",
           "fetches follow the step program; nothing is traced",
           "warn when the order of modules changes"),
      idle("zero_optimization.enable_sanity_checks", boolean(), "false",
           "the program checker runs always", "extra checks"),
      idle("zero_optimization.save_muon_momentum_buffer_in_memory", boolean(), "false",
           "Muon is not done yet", "where Muon's momentum lives"),
      idle("zero_optimization.mics_hierarchical_params_gather", boolean(), "false",
           "a gather is one collective, shared memory inside a node", "MiCS: gather in two steps"),
      idle("zero_optimization.leaf_module.classes", list_of(text()).or_null(), "null",
           "a block is fetched whole", "classes fetched whole"),
      idle("zero_optimization.leaf_module.names", list_of(text()), "[]", "a block is fetched whole",
           "modules fetched whole"),
      idle("zero_optimization.leaf_module.name_suffixes", list_of(text()), "[]",
           "a block is fetched whole", "name endings of modules fetched whole"),
  };
}

std::vector<Row> zero_plus_rows() {
  return {
      not_yet("zero_optimization.zero_hpz_partition_size", integer().from(1), "1",
              "1; mics_shard_size divides state among the ranks of a node",
              "ZeRO++: ranks of the secondary shard"),
      not_yet("zero_optimization.zero_quantized_weights", boolean(), "false",
              "false; bf16 or fp16 halve what is gathered", "ZeRO++: int8 all-gather"),
      not_yet("zero_optimization.zero_quantized_nontrainable_weights", boolean(), "false",
              "false; bf16 or fp16 halve what frozen weights take",
              "ZeRO++: frozen weights stay quantized"),
      not_yet("zero_optimization.zero_quantized_gradients", boolean(), "false",
              "false; parallel.zero.reduce_per step sums gradients once a step",
              "ZeRO++: int4 reduction"),
      not_yet("zero_optimization.zeropp_loco_param", any().or_null(), "null",
              "null; gradients are summed in fp32 and have no error to feed back",
              "ZeRO++: error feedback {err_beta, reset_T}"),
  };
}

}  // namespace

Section zero_section() {
  return {"ZeRO",
          "Sharding of optimizer state, gradients and parameters over the data axis. Bucket sizes "
          "and thresholds are elements, not bytes. A bare true means stage 1. A key that can't "
          "matter at the deck's stage, tier or grid is a warning.",
          joined({division_rows(), communication_rows(), stage3_rows(), machinery_rows(),
                  zero_plus_rows()})};
}

}  // namespace trireme::deck
