// Rows of data efficiency, curriculum, sparse attention and compression: known, not done yet.
#include "lib/deck/table_sections.hpp"

namespace trireme::deck {

namespace {

std::vector<Row> data_efficiency_rows() {
  const std::string_view off = "data_efficiency is off";
  return {
      not_yet("data_efficiency.enabled", boolean(), "false", "false",
              "DeepSpeed's data efficiency"),
      idle("data_efficiency.seed", integer(), "1234", off, "seed"),
      idle("data_efficiency.data_routing.enabled", boolean(), "false", off, "drop tokens"),
      idle("data_efficiency.data_routing.random_ltd.enabled", boolean(), "false", off,
           "random layerwise token dropping"),
      idle("data_efficiency.data_routing.random_ltd.total_layer_num", integer().or_null(), "null",
           off, "layers"),
      idle("data_efficiency.data_routing.random_ltd.random_ltd_layer_num", integer().or_null(),
           "null", off, "layers that drop"),
      idle("data_efficiency.data_routing.random_ltd.random_ltd_layer_id",
           list_of(integer()).or_null(), "null", off, "which ones"),
      idle("data_efficiency.data_routing.random_ltd.model_mask_name", text().or_null(), "null", off,
           "argument's name"),
      idle("data_efficiency.data_routing.random_ltd.model_type", text().or_null(), "null", off,
           "encoder or decoder"),
      idle("data_efficiency.data_routing.random_ltd.hidden_state_order", text().or_null(), "null",
           off, "order of dims"),
      idle("data_efficiency.data_routing.random_ltd.random_ltd_schedule", any().or_null(), "null",
           off,
           "{min_value, max_value, schedule_type, schedule_config{require_steps, seq_per_step}}"),
      idle("data_efficiency.data_routing.random_ltd.layer_token_lr_schedule", any().or_null(),
           "null", off, "rate by tokens"),
      idle("data_efficiency.data_sampling.enabled", boolean(), "false", off, "own sampler"),
      idle("data_efficiency.data_sampling.num_epochs", integer(), "1000", off, "epochs"),
      idle("data_efficiency.data_sampling.num_workers", integer(), "0", off, "readers"),
      idle("data_efficiency.data_sampling.pin_memory", boolean(), "false", off, "pinned batches"),
      idle("data_efficiency.data_sampling.curriculum_learning.enabled", boolean(), "false", off,
           "easy samples first"),
      idle("data_efficiency.data_sampling.curriculum_learning.data_cluster_path", text().or_null(),
           "null", off, "folder"),
      idle("data_efficiency.data_sampling.curriculum_learning.curriculum_metrics.*", any(), "null",
           off,
           "by metric: {index_to_sample_path, index_to_metric_path, difficulty_type, "
           "clustering_type, min_difficulty, max_difficulty, schedule_type, "
           "schedule_config{total_curriculum_step, difficulty_step, root_degree, difficulty, "
           "max_step}}"),
      idle("data_efficiency.data_sampling.dynamic_batching", any().or_null(), "null", off,
           "{enabled, max_tokens, lr_scaling_method, min_batch_size, sequence_picking_order}"),
  };
}

std::vector<Row> curriculum_rows() {
  const std::string_view off = "curriculum_learning is off";
  const std::string_view pld = "progressive_layer_drop is off";
  return {
      not_yet("curriculum_learning.enabled", boolean(), "false", "false",
              "short sequences first (old form)"),
      idle("curriculum_learning.curriculum_type", text().or_null(), "null", off, "seqlen"),
      idle("curriculum_learning.min_difficulty", integer().or_null(), "null", off, "start"),
      idle("curriculum_learning.max_difficulty", integer().or_null(), "null", off, "end"),
      idle("curriculum_learning.schedule_type", text().or_null(), "null", off,
           "fixed_linear, fixed_root, fixed_discrete or custom"),
      idle("curriculum_learning.schedule_config", any().or_null(), "null", off,
           "{total_curriculum_step, difficulty_step, root_degree, difficulty, max_step}"),
      not_yet("progressive_layer_drop.enabled", boolean(), "false", "false", "drop layers"),
      idle("progressive_layer_drop.theta", number(), "1.0", pld, "lowest share of layers"),
      idle("progressive_layer_drop.gamma", number(), "0.001", pld, "speed"),
  };
}

std::vector<Row> sparse_attention_rows() {
  const std::string_view off = "attention is dense and causal";
  const auto count = [] { return integer().from(0); };
  return {
      not_yet("sparse_attention.mode",
              choice({"dense", "fixed", "variable", "bigbird", "bslongformer"}).or_null(), "null",
              "null", "pattern; DeepSpeed takes fixed when the section is given without a mode"),
      idle("sparse_attention.block", count(), "16", off, "tokens a block"),
      idle("sparse_attention.different_layout_per_head", boolean(), "false", off, "by head"),
      idle("sparse_attention.num_local_blocks", count(), "4", off, "local window"),
      idle("sparse_attention.num_global_blocks", count(), "1", off, "global blocks"),
      idle("sparse_attention.attention", choice({"bidirectional", "unidirectional"}),
           "\"bidirectional\"", off, "direction"),
      idle("sparse_attention.horizontal_global_attention", boolean(), "false", off, "rows too"),
      idle("sparse_attention.num_different_global_patterns", count(), "1", off, "patterns"),
      idle("sparse_attention.num_random_blocks", count(), "0", off, "random blocks"),
      idle("sparse_attention.local_window_blocks", list_of(count()), "[4]", off, "windows"),
      idle("sparse_attention.global_block_indices", list_of(count()), "[0]", off, "global blocks"),
      idle("sparse_attention.global_block_end_indices", list_of(count()).or_null(), "null", off,
           "their ends"),
      idle("sparse_attention.num_sliding_window_blocks", count(), "3", off, "window"),
  };
}

std::vector<Row> technique(std::string_view enabled, std::string_view options,
                           std::string_view groups, std::string_view help) {
  const std::string_view off = "compression is not done yet";
  return {
      not_yet(enabled, boolean(), "false", "false", help),
      idle(options, any(), "null", off,
           "schedule_offset, schedule_offset_end, schedule_offset_stride, method, quantize_groups, "
           "quantization_type, rounding, quantize_weight_in_forward, quantizer_kernel, "
           "quantize_verbose, fp16_mixed_quantize, range_calibration, block_pattern, dense_ratio, "
           "excluded_modules, num_heads"),
      idle(groups, any(), "null", off,
           "by group: {params{start_bits, target_bits, quantization_period, bits, dense_ratio}, "
           "modules, related_modules}"),
  };
}

std::vector<Row> layer_reduction_rows() {
  const std::string_view off = "compression is not done yet";
  return {
      not_yet("compression_training.layer_reduction.enabled", boolean(), "false", "false",
              "train fewer layers than the teacher"),
      idle("compression_training.layer_reduction.keep_number_layer", integer().or_null(), "null",
           off, "layers kept"),
      idle("compression_training.layer_reduction.module_name_prefix", text().or_null(), "null", off,
           "name prefix"),
      idle("compression_training.layer_reduction.teacher_layer", list_of(integer()).or_null(),
           "null", off, "layers taken"),
      idle("compression_training.layer_reduction.other_module_name", list_of(text()).or_null(),
           "null", off, "other modules taken"),
  };
}

std::vector<Row> old_quantization_rows() {
  return {
      not_yet("quantize_training", any().or_null(), "null", "null",
              "mixture of quantization (old form, with eigenvalue)"),
      not_yet("eigenvalue", any().or_null(), "null", "null",
              "{enabled, verbose, max_iter, tol, stability, gas_boundary_resolution, "
              "layer_name, layer_num}"),
      not_yet("weight_quantization", any().or_null(), "null", "null",
              "ZeRO-Inference's weight quantization"),
  };
}

}  // namespace

Section efficiency_section() {
  return {"Data efficiency and sparse attention", "Known and not done yet.",
          joined({data_efficiency_rows(), curriculum_rows(), sparse_attention_rows()})};
}

Section compression_section() {
  return {
      "Compression", "Known and not done yet.",
      joined(
          {layer_reduction_rows(),
           technique("compression_training.weight_quantization.shared_parameters.enabled",
                     "compression_training.weight_quantization.shared_parameters.*",
                     "compression_training.weight_quantization.different_groups.*",
                     "quantize weights"),
           technique("compression_training.activation_quantization.shared_parameters.enabled",
                     "compression_training.activation_quantization.shared_parameters.*",
                     "compression_training.activation_quantization.different_groups.*",
                     "quantize activations"),
           technique("compression_training.sparse_pruning.shared_parameters.enabled",
                     "compression_training.sparse_pruning.shared_parameters.*",
                     "compression_training.sparse_pruning.different_groups.*", "prune elements"),
           technique("compression_training.row_pruning.shared_parameters.enabled",
                     "compression_training.row_pruning.shared_parameters.*",
                     "compression_training.row_pruning.different_groups.*", "prune rows"),
           technique("compression_training.head_pruning.shared_parameters.enabled",
                     "compression_training.head_pruning.shared_parameters.*",
                     "compression_training.head_pruning.different_groups.*", "prune heads"),
           technique("compression_training.channel_pruning.shared_parameters.enabled",
                     "compression_training.channel_pruning.shared_parameters.*",
                     "compression_training.channel_pruning.different_groups.*", "prune channels"),
           old_quantization_rows()})};
}

}  // namespace trireme::deck
