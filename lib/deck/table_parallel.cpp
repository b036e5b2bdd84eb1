// Rows of the process grid, pipelines, tensor, sequence and expert parallelism.
#include "lib/deck/table_sections.hpp"

namespace trireme::deck {

namespace {

std::vector<Row> axis_rows() {
  return {
      ours("parallel.data", integer().from(1).up_to(1e6).derived(), "\"auto\"", "",
           "replicas; \"auto\" = ranks / (tensor x pipeline)"),
      ours("parallel.tensor", integer().from(1).up_to(1e6).derived(), "\"auto\"", "",
           "ranks that share each matrix; \"auto\" = tensor_parallel.autotp_size, else 1"),
      ours("parallel.pipeline", integer().from(1).up_to(1e6).derived(), "\"auto\"", "",
           "stages; \"auto\" = pipeline.stages, else 1"),
      ours("parallel.virtual_stages", integer().from(1).up_to(1e6), "1", "",
           "model chunks a rank holds, > 1 with schedule interleaved only"),
      ours("parallel.schedule", choice({"gpipe", "1f1b", "interleaved"}), "\"1f1b\"", "",
           "order of the pipeline's micro-batches"),
      ours("parallel.sequence", boolean(), "false", "",
           "split norms and residuals along the sequence over the tensor axis (Korthikanti et "
           "al. 2022)"),
      ours("parallel.transport", choice({"auto", "nccl", "host"}), "\"auto\"", "",
           "how GPUs of different ranks exchange data, with run.device cuda: nccl = from GPU to "
           "GPU, "
           "needs one a rank; host = through page-locked host memory; auto = nccl where every rank "
           "has a GPU of its own and NCCL is found. Sums have the same bits either way"),
      ours("parallel.layers_per_stage", list_of(integer().from(0).up_to(1e4)).derived(), "\"auto\"",
           "",
           "transformer blocks of each stage (pipeline x virtual_stages entries, model order); "
           "\"auto\" = balanced by flops"),
  };
}

/// DeepSpeed's AutoTP.
std::vector<Row> tensor_rows() {
  return {
      works("tensor_parallel.autotp_size", integer().from(0).up_to(1e6), "0", "",
            "another name of parallel.tensor; 0 = not given"),
      works("tensor_parallel.tp.tp_size", integer().from(1).up_to(1e6), "1", "",
            "another name of parallel.tensor; 1 = not given"),
      idle("tensor_parallel.tp.tp_grain_size", integer().from(1), "1",
           "shards are whole heads and even columns", "granularity of shards"),
      idle("tensor_parallel.dtype", text(), "\"fp16\"", "fp16 and bf16 choose the type",
           "type of AutoTP's weights"),
      idle("tensor_parallel.tp_overlap_comm", boolean(), "false",
           "the step program decides what overlaps", "overlap tensor-parallel communication"),
      idle("tensor_parallel.preset_model", text().or_null(), "null",
           "Trireme's models know their tensor-parallel dims", "AutoTP's model family"),
      not_yet("tensor_parallel.partition_config", any().or_null(), "null", "null",
              "own rules for which matrices are split"),
      not_yet("tensor_parallel.injection_policy_tuple", any().or_null(), "null", "null",
              "Python classes whose outputs are reduced"),
      idle("tensor_parallel.keep_module_on_host", boolean(), "false",
           "shards are made where they live", "keep modules in host memory"),
      idle("tensor_parallel.replace_with_kernel_inject", boolean(), "false",
           "Trireme's kernels are always used", "replace modules by kernels"),
  };
}

std::vector<Row> pipeline_rows() {
  return {
      works("pipeline.stages", integer().from(1).up_to(1e6).derived(), "\"auto\"", "",
            "another name of parallel.pipeline (DeepSpeed parses and ignores it)"),
      works("pipeline.partition", choice({"best"}).not_yet({"uniform", "parameters"}), "\"best\"",
            "",
            "how layers are dealt to stages; best = balanced by flops; "
            "parallel.layers_per_stage sets any other (DeepSpeed parses and ignores "
            "the key)"),
      idle("pipeline.seed_layers", boolean(), "false",
           "weights are a function of seed and name, whatever the stage",
           "seed each layer by its index"),
      works("pipeline.activation_checkpoint_interval", integer().from(0), "0", "layers",
            "1 = recompute every transformer block, as activation_checkpointing.enabled; 0 = "
            "off; "
            "more is not done yet"),
      idle("pipeline.pipe_partitioned", boolean(), "true",
           "activations travel whole between stages", "split sent activations over tensor ranks"),
      idle("pipeline.grad_partitioned", boolean(), "true", "gradients travel whole between stages",
           "split sent gradients over tensor ranks"),
      idle("pipeline.use_reentrant", boolean(), "true", "there is no autograd to re-enter",
           "PyTorch's kind of checkpointing"),
  };
}

std::vector<Row> reduction_rows() {
  const std::string_view undivided =
      "gradients are fp32 sums of a loss already divided by the global batch's tokens";
  return {
      not_yet("sequence_parallel_size", integer().from(1).or_null(), "null", "null",
              "Ulysses sequence parallelism"),
      works("data_parallel_size", integer().from(1).up_to(1e6).or_null(), "null", "",
            "another name of parallel.data"),
      not_yet("use_data_before_expert_parallelism", boolean(), "false", "false",
              "order of the data and expert axes"),
      works("communication_data_type", choice({"fp32"}).not_yet({"fp16", "bf16"}).or_null(), "null",
            "",
            "type in which gradients are reduced; null = fp32 here, where DeepSpeed takes the "
            "compute type"),
      idle("seq_parallel_communication_data_type", choice({"fp16", "bf16", "fp32"}), "\"fp32\"",
           "there is no Ulysses parallelism yet", "type of sequence-parallel reductions"),
      works("gradient_allreduce_op", choice({"mean"}).not_yet({"sum"}), "\"mean\"", "",
            "gradients are averaged over the data axis"),
      idle("gradient_predivide_factor", number().above(0), "1.0", undivided,
           "divide by this before the reduction"),
      idle("prescale_gradients", boolean(), "false", undivided,
           "divide before the reduction, not after"),
      not_yet("sparse_gradients", boolean(), "false", "false",
              "reduce only the embedding rows that were touched"),
      idle("disable_allgather", boolean(), "false", "DeepSpeed ignores it too",
           "a key that does nothing"),
  };
}

}  // namespace

Section parallel_section() {
  return {"Process grid",
          "ranks = data x tensor x pipeline; tensor varies fastest, then data, then pipeline.",
          joined({axis_rows(), tensor_rows(), pipeline_rows(), reduction_rows()})};
}

Section expert_section() {
  const std::string_view off = "expert parallelism is off";
  return {
      "Expert parallelism",
      "DeepSpeed's AutoEP for mixture-of-experts models; not done yet.",
      {
          not_yet("expert_parallel.enabled", boolean(), "false", "false",
                  "spread experts over ranks"),
          idle("expert_parallel.autoep_size", integer().from(1), "1", off,
               "ranks an expert group has"),
          idle("expert_parallel.expert_tensor_parallel_size", integer().from(1), "1", off,
               "ranks that share one expert"),
          idle("expert_parallel.validate_folding_routing", boolean(), "false", off,
               "check the routing"),
          idle("expert_parallel.preset_model", text().or_null(), "null", off, "model family"),
          idle("expert_parallel.moe_layer_pattern", text().or_null(), "null", off,
               "name pattern of MoE layers"),
          idle("expert_parallel.router_pattern", text().or_null(), "null", off,
               "name pattern of routers"),
          idle("expert_parallel.expert_pattern", text().or_null(), "null", off,
               "name pattern of experts"),
          idle("expert_parallel.use_grouped_mm", boolean(), "true", off, "grouped products"),
          idle("expert_parallel.disable_triton_grouped_mm", boolean(), "false", off,
               "no Triton kernel"),
          idle("expert_parallel.score_func", text(), "\"auto\"", off, "router's score"),
          idle("expert_parallel.score_apply", text(), "\"auto\"", off, "where scores multiply"),
          idle("expert_parallel.combine_impl", text(), "\"auto\"", off, "how outputs combine"),
          idle("expert_parallel.route_norm", boolean().or_null(), "null", off, "normalise scores"),
          idle("expert_parallel.route_scale", number(), "1.0", off, "factor on scores"),
          idle("expert_parallel.top_k", integer().from(1).or_auto(), "\"auto\"", off,
               "experts a token"),
          idle("expert_parallel.routed_scaling_factor", number().or_auto(), "\"auto\"", off,
               "factor on routed outputs"),
          idle("expert_parallel.num_expert_groups", integer().or_null(), "null", off,
               "groups of experts"),
          idle("expert_parallel.num_limited_groups", integer().or_null(), "null", off,
               "groups a token may use"),
          idle("expert_parallel.load_balance_coeff", number().or_null(), "null", off,
               "weight of the balancing loss"),
          idle("expert_parallel.expert_w1", text().or_null(), "null", off,
               "name of the gate matrix"),
          idle("expert_parallel.expert_w2", text().or_null(), "null", off,
               "name of the down matrix"),
          idle("expert_parallel.expert_w3", text().or_null(), "null", off, "name of the up matrix"),
          idle("expert_parallel.num_experts_attr", text().or_null(), "null", off,
               "attribute with the number of experts"),
          idle("expert_parallel.top_k_attr", text().or_null(), "null", off, "attribute with top_k"),
          idle("expert_parallel.has_shared_experts", boolean().or_null(), "null", off,
               "shared experts exist"),
          idle("expert_parallel.shared_experts_pattern", text().or_null(), "null", off,
               "name pattern of shared experts"),
          idle("expert_parallel.shared_experts_gate_pattern", text().or_null(), "null", off,
               "name pattern of their gate"),
      }};
}

}  // namespace trireme::deck
