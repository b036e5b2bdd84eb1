// The typed ZeRO, offload, I/O and recomputation sections of a draft without mistakes.
#include "lib/deck/build_sections.hpp"

#include <algorithm>

namespace trireme::deck {

namespace {

Tier tier(const Draft& d, std::string_view key) {
  const std::string* device = d.at(key).text();
  if (device == nullptr || *device == "none") return Tier::device;
  return *device == "nvme" ? Tier::nvme : Tier::host;
}

Per per(const Draft& d, std::string_view key) {
  return d.text(key) == "step" ? Per::step : Per::micro_batch;
}

OffloadOptimizerConfig build_offload_optimizer(const Draft& d) {
  OffloadOptimizerConfig o;
  o.tier = tier(d, "zero_optimization.offload_optimizer.device");
  o.buffer_count = d.integer("zero_optimization.offload_optimizer.buffer_count");
  o.pipeline_read = d.boolean("zero_optimization.offload_optimizer.pipeline_read");
  o.pipeline_write = d.boolean("zero_optimization.offload_optimizer.pipeline_write");
  o.ratio = d.number("zero_optimization.offload_optimizer.ratio");
  return o;
}

OffloadParamConfig build_offload_param(const Draft& d) {
  OffloadParamConfig p;
  p.tier = tier(d, "zero_optimization.offload_param.device");
  p.buffer_count = d.integer("zero_optimization.offload_param.buffer_count");
  p.buffer_size = d.integer("zero_optimization.offload_param.buffer_size");
  p.max_in_cpu = d.integer("zero_optimization.offload_param.max_in_cpu");
  return p;
}

AioConfig build_aio(const Draft& d) {
  AioConfig a;
  a.block_size = d.integer("aio.block_size");
  a.queue_depth = d.integer("aio.queue_depth");
  a.threads = d.integer("aio.intra_op_parallelism");
  a.single_submit = d.boolean("aio.single_submit");
  a.overlap_events = d.boolean("aio.overlap_events");
  a.checksum = d.boolean("aio.checksum");
  return a;
}

}  // namespace

ZeroConfig build_zero(const Draft& d) {
  ZeroConfig z;
  z.stage = static_cast<int>(d.integer("zero_optimization.stage"));
  z.cyclic = d.text("parallel.zero.partition") == "cyclic";
  z.reduce_per = per(d, "parallel.zero.reduce_per");
  z.gather_per = per(d, "parallel.zero.gather_per");
  z.update_per = d.text("parallel.zero.update_per") == "unit" ? UpdatePer::unit : UpdatePer::step;
  z.overlap_comm = d.boolean("zero_optimization.overlap_comm");
  z.reduce_scatter = d.boolean("zero_optimization.reduce_scatter");
  z.allgather_partitions = d.boolean("zero_optimization.allgather_partitions");
  z.reduce_bucket_size = d.integer("zero_optimization.reduce_bucket_size");
  z.allgather_bucket_size = d.integer("zero_optimization.allgather_bucket_size");
  z.sub_group_size = d.integer("zero_optimization.sub_group_size");
  z.prefetch_bucket_size = d.integer("zero_optimization.stage3_prefetch_bucket_size");
  z.max_live_parameters = d.integer("zero_optimization.stage3_max_live_parameters");
  z.max_reuse_distance = d.integer("zero_optimization.stage3_max_reuse_distance");
  z.param_persistence_threshold = d.integer("zero_optimization.stage3_param_persistence_threshold");
  z.model_persistence_threshold = d.integer("zero_optimization.stage3_model_persistence_threshold");
  if (d.integer("parallel.data") > 1)
    z.shard_ranks = std::max<std::int64_t>(0, d.integer("zero_optimization.mics_shard_size"));
  z.offload_optimizer = build_offload_optimizer(d);
  z.offload_param = build_offload_param(d);
  z.aio = build_aio(d);
  const bool on_nvme = z.offload_optimizer.tier == Tier::nvme ||
                       z.offload_param.tier == Tier::nvme || build_recompute(d).tier == Tier::nvme;
  constexpr char kPath[] = "zero_optimization.offload_optimizer.nvme_path";
  if (on_nvme && !d.at(kPath).is_auto()) z.nvme_path = d.text(kPath);
  return z;
}

RecomputeConfig build_recompute(const Draft& d) {
  RecomputeConfig r;
  r.enabled = d.boolean("activation_checkpointing.enabled");
  if (!r.enabled) return r;
  r.tier = tier(d, "activation_checkpointing.device");
  r.partition = d.boolean("activation_checkpointing.partition_activations") &&
                d.integer("parallel.tensor") > 1 && !d.boolean("parallel.sequence");
  return r;
}

}  // namespace trireme::deck
