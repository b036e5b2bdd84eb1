// Rows of number formats, loss scaling and recomputation.
#include "lib/deck/table_sections.hpp"

namespace trireme::deck {

Section precision_section() {
  const std::vector<std::string_view> dtypes = {"fp32",    "fp16",    "bf16",
                                                "float32", "float16", "bfloat16"};
  return {
      "Precision and loss scale",
      "fp32 unless fp16 or bf16 is enabled; masters, moments and gradient sums are fp32 always. "
      "The "
      "loss scale doubles after loss_scale_window good steps and halves on overflow once "
      "hysteresis "
      "is used up; an overflow at min_loss_scale ends the run (exit 4).",
      {
          works("fp16.enabled", boolean(), "false", "", "compute in fp16 with a loss scale"),
          not_yet("fp16.auto_cast", boolean(), "false", "false", "cast the model's inputs"),
          works("fp16.loss_scale", number().from(0), "0.0", "", "a fixed scale; 0 = dynamic"),
          works("fp16.initial_scale_power", integer().from(0).up_to(120), "16", "",
                "a dynamic scale starts at 2 to this power"),
          works("fp16.loss_scale_window", integer().from(1), "1000", "steps",
                "good steps before the scale doubles"),
          works("fp16.hysteresis", integer().from(1), "2", "", "overflows before the scale halves"),
          works("fp16.consecutive_hysteresis", boolean(), "false", "",
                "every good step refills the hysteresis"),
          works("fp16.min_loss_scale", number().above(0), "1.0", "", "lowest scale"),
          not_yet("fp16.fp16_master_weights_and_grads", boolean(), "false", "false",
                  "masters and gradients in fp16"),
          works("bf16.enabled", boolean(), "false", "", "compute in bf16"),
          works("bf16.check_grad_overflow", boolean(), "true", "",
                "skip a step whose gradients are not finite; false = such a step ends the run"),
          idle("bf16.immediate_grad_update", boolean(), "false",
               "gradients are summed in fp32 as they come", "when gradients are added"),
          not_yet("bf16.bf16_master_weights_and_grads", boolean(), "false", "false",
                  "masters and gradients in bf16"),
          not_yet("bf16.bf16_optimizer_states", boolean(), "false", "false", "moments in bf16"),
          ours("fp8.enabled", boolean(), "false", "",
               "products of the transformer blocks' linear layers in fp8, a power of two a tensor "
               "as its scale: e4m3, gradients of outputs e5m2; needs bf16.enabled, which "
               "everything else, embedding and logits among it, stays in"),
          ours("tf32.enabled", boolean(), "false", "",
               "on a GPU in fp32: products of linear layers and logits take operands rounded to "
               "tf32 (10 bits of mantissa) and sum in fp32; attention and all else stay fp32. "
               "Hugging Face's tf32"),
          works("data_types.grad_accum_dtype",
                choice({"fp32", "float32"})
                    .not_yet({"fp16", "float16", "bf16", "bfloat16"})
                    .or_null(),
                "null", "", "type in which micro-batches' gradients are summed; null = fp32"),
          not_yet("data_types.param_dtype", choice(dtypes).or_null(), "null", "null",
                  "type of parameters other than the compute type"),
          not_yet("data_types.buffer_dtype", choice(dtypes).or_null(), "null", "null",
                  "type of a model's buffers"),
          not_yet("amp.enabled", boolean(), "false", "false; use fp16 or bf16", "NVIDIA Apex"),
          idle("amp.*", any(), "null", "amp is off", "any option of Apex"),
          not_yet("torch_autocast.enabled", boolean(), "false", "false; use bf16",
                  "PyTorch's automatic casts"),
          idle("torch_autocast.dtype", choice(dtypes), "\"bfloat16\"", "torch_autocast is off",
               "type casts go to"),
          idle("torch_autocast.lower_precision_safe_modules", list_of(text()).or_null(), "null",
               "torch_autocast is off", "modules that are cast"),
      }};
}

Section recompute_section() {
  return {
      "Recomputation",
      "DeepSpeed's section holds options only, its switch is in the model's code; here it is "
      "`enabled`.",
      {
          ours("activation_checkpointing.enabled", boolean(), "false", "",
               "drop a transformer block's activations after forward and rebuild them in backward"),
          works("activation_checkpointing.partition_activations", boolean(), "false", "",
                "divide a block's kept input over the tensor ranks while it waits"),
          works("activation_checkpointing.cpu_checkpointing", boolean(), "false", "",
                "another name of activation_checkpointing.device cpu"),
          ours("activation_checkpointing.device", choice({"none", "cpu", "nvme"}), "\"none\"", "",
               "where a block's kept input waits for its recomputation; nvme uses the folder of "
               "zero_optimization.offload_optimizer.nvme_path"),
          idle("activation_checkpointing.contiguous_memory_optimization", boolean(), "false",
               "memory is planned before the run and never fragments", "one buffer for all"),
          idle("activation_checkpointing.number_checkpoints", integer().from(1).or_null(), "null",
               "every transformer block is one checkpoint", "size of the contiguous buffer"),
          idle("activation_checkpointing.synchronize_checkpoint_boundary", boolean(), "false",
               "there is no stream to wait for", "synchronize at boundaries"),
          idle("activation_checkpointing.profile", boolean(), "false",
               "the report shows recomputation's time", "time recomputation"),
      }};
}

}  // namespace trireme::deck
