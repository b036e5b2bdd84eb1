// Rows of ZeRO, offload and asynchronous I/O. Stage 0 works; the rest is known and not done yet.
#include "lib/deck/table_sections.hpp"

namespace trireme::deck {

namespace {

std::vector<Row> reduction_of_gradients_rows() {
  const std::string_view stage0 = "stage 0 reduces gradients by block";
  const auto count = [] { return integer().from(0); };
  return {
      not_yet("zero_optimization.stage", integer().from(0).up_to(3), "0", "0",
              "0 replicates; 1 shards optimizer state, 2 gradients too, 3 parameters too"),
      idle("zero_optimization.contiguous_gradients", boolean(), "true",
           "a block's gradients lie in one flat buffer", "copy gradients to one buffer"),
      idle("zero_optimization.reduce_scatter", boolean(), "true", stage0,
           "reduce-scatter instead of all-reduce"),
      idle("zero_optimization.reduce_bucket_size", count(), "500000000", stage0,
           "elements reduced at a time"),
      idle("zero_optimization.use_multi_rank_bucket_allreduce", boolean(), "true", stage0,
           "one reduction for many owners"),
      idle("zero_optimization.allgather_partitions", boolean(), "true", stage0,
           "all-gather instead of broadcasts"),
      idle("zero_optimization.allgather_bucket_size", count(), "500000000", stage0,
           "elements gathered at a time"),
      idle("zero_optimization.overlap_comm", boolean().or_null(), "null",
           "reductions overlap backward always",
           "reduce while backward runs; null = true with stage 3 only"),
      idle("zero_optimization.load_from_fp32_weights", boolean(), "true",
           "masters come from the checkpoint", "take masters from fp32 weights"),
      idle("zero_optimization.elastic_checkpoint", boolean(), "false",
           "every checkpoint loads on every grid", "checkpoints for other rank counts"),
  };
}

std::vector<Row> stage3_rows() {
  const std::string_view stage3 = "stage 3 is not done yet";
  const auto count = [] { return integer().from(0); };
  return {
      idle("zero_optimization.sub_group_size", count(), "1000000000", stage3,
           "elements updated at a time"),
      idle("zero_optimization.stage3_max_live_parameters", count(), "1000000000", stage3,
           "most parameters gathered at once"),
      idle("zero_optimization.stage3_max_reuse_distance", count(), "1000000000", stage3,
           "keep parameters that are used again within so many"),
      idle("zero_optimization.stage3_prefetch_bucket_size", count(), "50000000", stage3,
           "elements fetched ahead"),
      idle("zero_optimization.stage3_param_persistence_threshold", count(), "100000", stage3,
           "smaller tensors stay whole"),
      idle("zero_optimization.stage3_model_persistence_threshold", count(), "9223372036854775807",
           stage3, "most elements that stay whole"),
      idle("zero_optimization.stage3_module_granularity_threshold", count(), "0", stage3,
           "fetch small sub-trees whole"),
      idle("zero_optimization.stage3_gather_16bit_weights_on_model_save", boolean(), "false",
           "checkpoints hold whole logical tensors", "gather weights when saving"),
      idle("zero_optimization.stage3_use_all_reduce_for_fetch_params", boolean(), "false", stage3,
           "all-reduce instead of all-gather"),
      idle("zero_optimization.stage3_allgather_sequential", boolean(), "false", stage3,
           "gather tensors one by one"),
  };
}

std::vector<Row> zero_switch_rows() {
  const std::string_view stage0 = "stage 0 reduces gradients by block";
  const std::string_view stage3 = "stage 3 is not done yet";
  return {
      idle("zero_optimization.ignore_unused_parameters", boolean(), "true",
           "every parameter has a gradient", "parameters without gradient are fine"),
      idle("zero_optimization.legacy_stage1", boolean(), "false", "DeepSpeed ignores it too",
           "a key that does nothing"),
      idle("zero_optimization.round_robin_gradients", boolean(), "false", stage0,
           "deal gradients to owners in turn"),
      idle("zero_optimization.memory_efficient_linear", boolean(), "true", stage3,
           "keep less in linear layers"),
      idle("zero_optimization.override_module_apply", boolean(), "true", stage3,
           "gather in Module.apply"),
      idle("zero_optimization.pipeline_loading_checkpoint", boolean(), "false",
           "ranks read their own slices", "ranks load in turn"),
      idle("zero_optimization.log_trace_cache_warnings", boolean(), "false", stage3,
           "warn when the order of modules changes"),
      idle("zero_optimization.enable_sanity_checks", boolean(), "false",
           "the program checker runs always", "extra checks"),
      idle("zero_optimization.save_muon_momentum_buffer_in_memory", boolean(), "false",
           "Muon is not done yet", "where Muon's momentum lives"),
  };
}

/// ZeRO++, MiCS, leaf modules and old names.
std::vector<Row> zero_plus_rows() {
  const std::string_view stage3 = "stage 3 is not done yet";
  return {
      idle("zero_optimization.zero_hpz_partition_size", integer().from(1), "1", stage3,
           "ZeRO++: ranks of the secondary shard"),
      not_yet("zero_optimization.zero_quantized_weights", boolean(), "false", "false",
              "ZeRO++: int8 all-gather"),
      not_yet("zero_optimization.zero_quantized_nontrainable_weights", boolean(), "false", "false",
              "ZeRO++: frozen weights stay quantized"),
      not_yet("zero_optimization.zero_quantized_gradients", boolean(), "false", "false",
              "ZeRO++: int4 reduction"),
      not_yet("zero_optimization.zeropp_loco_param", any().or_null(), "null", "null",
              "ZeRO++: error feedback {err_beta, reset_T}"),
      not_yet("zero_optimization.mics_shard_size", integer(), "-1", "-1",
              "MiCS: ranks that share one copy"),
      idle("zero_optimization.mics_hierarchical_params_gather", boolean(), "false", stage3,
           "MiCS: gather in two steps"),
      idle("zero_optimization.leaf_module.classes", list_of(text()).or_null(), "null", stage3,
           "classes fetched whole"),
      idle("zero_optimization.leaf_module.names", list_of(text()), "[]", stage3,
           "modules fetched whole"),
      idle("zero_optimization.leaf_module.name_suffixes", list_of(text()), "[]", stage3,
           "name endings of modules fetched whole"),
      not_yet("zero_optimization.cpu_offload", boolean().or_null(), "null", "null",
              "old name of offload_optimizer.device cpu"),
      not_yet("zero_optimization.cpu_offload_param", boolean().or_null(), "null", "null",
              "old name of offload_param.device cpu"),
      idle("zero_optimization.cpu_offload_use_pin_memory", boolean().or_null(), "null",
           "offload is not done yet", "old name of offload's pin_memory"),
  };
}

}  // namespace

Section zero_section() {
  return {
      "ZeRO",
      "Sharding of optimizer state, gradients and parameters over the data axis. Bucket sizes are "
      "elements, not bytes. A bare true means stage 1.",
      joined({reduction_of_gradients_rows(), stage3_rows(), zero_switch_rows(), zero_plus_rows()})};
}

Section offload_section() {
  const std::string_view off = "offload is not done yet";
  const std::string_view zenflow_off = "ZenFlow is not done yet";
  const auto device = [] { return choice({"none", "cpu", "nvme"}).or_null(); };
  const auto pinned = [&](std::string_view path) {
    Row row = idle(path, boolean(), "true", off, "page-locked host buffers");
    row.differs = "older DeepSpeed versions default to false";
    return row;
  };
  return {"Offload and asynchronous I/O",
          "Model state in host memory or on NVMe; known and not done yet.",
          {
              not_yet("zero_optimization.offload_param.device", device(), "\"none\"", "none",
                      "tier of parameters"),
              idle("zero_optimization.offload_param.nvme_path", text().or_null(), "null", off,
                   "folder on NVMe"),
              idle("zero_optimization.offload_param.buffer_count", integer().from(1), "5", off,
                   "buffers in flight"),
              idle("zero_optimization.offload_param.buffer_size", integer().from(1), "100000000",
                   off, "elements a buffer"),
              idle("zero_optimization.offload_param.max_in_cpu", integer().from(0), "1000000000",
                   off, "elements kept in host memory"),
              pinned("zero_optimization.offload_param.pin_memory"),
              not_yet("zero_optimization.offload_optimizer.device", device(), "\"none\"", "none",
                      "tier of masters and moments"),
              idle("zero_optimization.offload_optimizer.nvme_path", text().or_null(), "null", off,
                   "folder on NVMe"),
              idle("zero_optimization.offload_optimizer.buffer_count", integer().from(1), "4", off,
                   "buffers in flight"),
              pinned("zero_optimization.offload_optimizer.pin_memory"),
              idle("zero_optimization.offload_optimizer.pipeline_read", boolean(), "false", off,
                   "read ahead"),
              idle("zero_optimization.offload_optimizer.pipeline_write", boolean(), "false", off,
                   "write behind"),
              idle("zero_optimization.offload_optimizer.fast_init", boolean(), "false", off,
                   "quick start from NVMe"),
              idle("zero_optimization.offload_optimizer.ratio", number().from(0).up_to(1), "1.0",
                   off, "share of the update on the host"),
              not_yet("zero_optimization.offload_optimizer.super_offload", boolean(), "false",
                      "false", "speculative host update"),
              idle("zero_optimization.offload_optimizer.cpuadam_cores_perc",
                   number().from(0).up_to(1), "0.8", off, "share of cores for the update"),
              idle("zero_optimization.zenflow.topk_ratio", number().from(0).up_to(1), "0.1",
                   zenflow_off, "share of columns updated at once"),
              idle("zero_optimization.zenflow.select_strategy", choice({"auto", "step", "epoch"}),
                   "\"auto\"", zenflow_off, "when columns are chosen"),
              idle("zero_optimization.zenflow.select_interval", integer().or_auto(), "\"auto\"",
                   zenflow_off, "interval of choosing"),
              idle("zero_optimization.zenflow.update_interval", integer().or_auto(), "\"auto\"",
                   zenflow_off, "interval of the other columns' update"),
              idle("zero_optimization.zenflow.overlap_step", boolean(), "false", zenflow_off,
                   "overlap the host's update"),
              idle("zero_optimization.zenflow.offload", boolean(), "false", zenflow_off,
                   "offload chosen columns"),
              idle("zero_optimization.zenflow.auto_ratio", number(), "0.99", zenflow_off,
                   "share of the gradient norm to keep"),
              idle("zero_optimization.zenflow.full_warm_up_rounds", integer(), "0", zenflow_off,
                   "rounds with full updates"),
              idle("zero_optimization.zenflow.pt_reserved_cores_perc", number(), "0.5", zenflow_off,
                   "share of cores left to PyTorch"),
              idle("aio.block_size", integer().from(512), "1048576", off, "bytes a request"),
              idle("aio.queue_depth", integer().from(1), "8", off, "requests in flight"),
              idle("aio.intra_op_parallelism", integer().from(1), "1", off, "threads a transfer"),
              idle("aio.single_submit", boolean(), "false", off, "submit one request a call"),
              idle("aio.overlap_events", boolean(), "true", off, "submit while others complete"),
              idle("aio.use_gds", boolean(), "false", off, "GPUDirect Storage"),
          }};
}

}  // namespace trireme::deck
