// Rows of the optimizer and of the learning-rate schedules.
#include "lib/deck/table_sections.hpp"

namespace trireme::deck {

namespace {

std::vector<Row> optimizer_rows() {
  const std::string_view adams = "Adam AdamW";
  const std::string_view scaled = "Adam AdamW Lamb";
  Row clip = not_yet("optimizer.params.max_grad_norm", number().or_null(), "null",
                     "use gradient_clipping (DeepSpeed refuses the key too)",
                     "clipping inside the optimizer");
  clip.status = Status::refused;
  Row amsgrad = not_yet("optimizer.params.amsgrad", boolean(), "false",
                        "leave it false (DeepSpeed refuses it too)", "AMSGrad's maximum");
  amsgrad.status = Status::refused;
  return {
      works("optimizer.type",
            choice({"Adam", "AdamW", "SGD", "Lion", "Lamb"})
                .not_yet({"Adagrad", "Muon", "MuAdam", "MuAdamW", "MuSGD", "OneBitAdam",
                          "ZeroOneAdam", "OneBitLamb"})
                .any_case(),
            "\"AdamW\"", "", "Adam means AdamW unless adam_w_mode is false, as in DeepSpeed"),
      works("optimizer.params.lr", number().from(0), "0.001", "",
            "learning rate without a scheduler, and what a warm-up rises to"),
      only_for("Adam AdamW Lion Lamb",
               works("optimizer.params.betas", list_of(number().from(0).below(1)), "[0.9, 0.999]",
                     "", "decay of the moments' averages")),
      only_for(scaled, works("optimizer.params.eps", number().above(0), "1e-8", "",
                             "added to the root of the second moment")),
      works("optimizer.params.weight_decay", number().from(0), "0.0", "",
            "decoupled for AdamW, Lion and Lamb; added to the gradient for Adam and SGD"),
      only_for(scaled, works("optimizer.params.bias_correction", boolean(), "true", "",
                             "divide moments by 1 - beta^step")),
      only_for(adams, works("optimizer.params.adam_w_mode", boolean(), "true", "",
                            "false: weight decay is added to the gradient (L2)")),
      only_for("SGD", works("optimizer.params.momentum", number().from(0).below(1), "0.0", "",
                            "share of the last update that is kept")),
      only_for("SGD", works("optimizer.params.dampening", number().from(0).up_to(1), "0.0", "",
                            "share of the gradient that momentum leaves out")),
      only_for("SGD", works("optimizer.params.nesterov", boolean(), "false", "",
                            "Nesterov's form of momentum")),
      only_for("Lamb", works("optimizer.params.max_coeff", number().above(0), "10.0", "",
                             "upper bound of the trust ratio")),
      only_for("Lamb", works("optimizer.params.min_coeff", number().from(0), "0.01", "",
                             "lower bound of the trust ratio")),
      clip,
      only_for(scaled, amsgrad),
      only_for(adams, idle("optimizer.params.torch_adam", boolean(), "false",
                           "there is one implementation", "PyTorch's Adam")),
      only_for(adams, idle("optimizer.params.fp32_optimizer_states", boolean(), "true",
                           "moments are fp32", "type of CPU Adam's moments")),
  };
}

/// Parameters of DeepSpeed's optimizers that are not done yet.
std::vector<Row> later_optimizer_rows() {
  const std::string_view one_bit = "OneBitAdam OneBitLamb ZeroOneAdam";
  const std::string_view type_is_later = "choose another optimizer.type";
  return {
      only_for("Adagrad", not_yet("optimizer.params.lr_decay", number(), "0.0", type_is_later,
                                  "Adagrad's decay of the rate")),
      only_for("Muon", not_yet("optimizer.params.muon_lr", number().or_null(), "null",
                               type_is_later, "rate of matrices")),
      only_for("Muon", not_yet("optimizer.params.adam_lr", number().or_null(), "null",
                               type_is_later, "rate of everything else")),
      only_for("Muon", not_yet("optimizer.params.ns_method", choice({"gram", "standard"}),
                               "\"standard\"", type_is_later, "Newton-Schulz iteration")),
      only_for(one_bit, not_yet("optimizer.params.freeze_step", integer(), "100000", type_is_later,
                                "steps before compression starts")),
      only_for(one_bit, not_yet("optimizer.params.cuda_aware", boolean(), "false", type_is_later,
                                "MPI takes device pointers")),
      only_for(one_bit, not_yet("optimizer.params.comm_backend_name", text(), "\"nccl\"",
                                type_is_later, "who communicates")),
      only_for(one_bit, not_yet("optimizer.params.exp_avg_mask", any().or_null(), "null",
                                type_is_later, "entries whose gradient is always zero")),
      only_for("ZeroOneAdam", not_yet("optimizer.params.var_freeze_step", integer(), "100000",
                                      type_is_later, "steps before the variance is frozen")),
      only_for("ZeroOneAdam", not_yet("optimizer.params.var_update_scaler", integer(), "16",
                                      type_is_later, "interval of variance updates")),
      only_for("ZeroOneAdam", not_yet("optimizer.params.local_step_scaler", integer(), "32678",
                                      type_is_later, "growth of local steps")),
      only_for("ZeroOneAdam", not_yet("optimizer.params.local_step_clipper", integer(), "16",
                                      type_is_later, "most local steps")),
      only_for("OneBitLamb", not_yet("optimizer.params.coeff_beta", number(), "0.9", type_is_later,
                                     "decay of the trust ratio's average")),
      only_for("OneBitLamb", not_yet("optimizer.params.factor_max", number(), "4.0", type_is_later,
                                     "upper bound of the factor")),
      only_for("OneBitLamb", not_yet("optimizer.params.factor_min", number(), "0.5", type_is_later,
                                     "lower bound of the factor")),
      only_for("OneBitLamb", not_yet("optimizer.params.factor_threshold", number(), "0.1",
                                     type_is_later, "most change of the factor a step")),
  };
}

std::vector<Row> update_rows() {
  Row clipping = works("gradient_clipping", number().from(0).or_auto(), "1.0", "",
                       "largest global norm of all gradients; 0 = off");
  clipping.differs = "before June 2026 DeepSpeed's default was 0, no clipping";
  return {
      clipping,
      idle("optimizer.legacy_fusion", boolean(), "false", "there is one implementation",
           "DeepSpeed's old fused optimizer"),
      idle("zero_allow_untested_optimizer", boolean(), "false", "every optimizer here is tested",
           "let ZeRO use any optimizer"),
      idle("zero_force_ds_cpu_optimizer", boolean(), "true", "there is one implementation",
           "offload must use DeepSpeed's CPU optimizer"),
      idle("graph_harvesting", boolean(), "false", "there are no CUDA graphs yet",
           "CUDA graphs in the BF16 optimizer"),
  };
}

}  // namespace

Section optimizer_section() {
  return {"Optimizer",
          "Weight decay acts on matrices and embeddings, never on norms and biases. Masters and "
          "moments "
          "are fp32. A parameter that does not belong to the type is an error.",
          joined({optimizer_rows(), later_optimizer_rows(), update_rows()})};
}

Section scheduler_section() {
  const std::string_view range = "LRRangeTest";
  const std::string_view cycle = "OneCycle";
  const std::string_view warm = "WarmupLR WarmupDecayLR";
  const std::string_view warm_all = "WarmupLR WarmupDecayLR WarmupCosineLR";
  return {
      "Learning-rate schedule",
      "DeepSpeed's five, step for step. Absent = optimizer.params.lr throughout. Skipped steps do "
      "not advance the schedule.",
      {
          works("scheduler.type",
                choice({"LRRangeTest", "OneCycle", "WarmupLR", "WarmupDecayLR", "WarmupCosineLR"})
                    .any_case()
                    .or_null(),
                "null", "", "null = a constant rate"),
          only_for(range, works("scheduler.params.lr_range_test_min_lr", number().above(0), "0.001",
                                "", "rate at the start")),
          only_for(range, works("scheduler.params.lr_range_test_step_size", integer().from(1),
                                "2000", "steps", "steps in which the rate grows by step_rate")),
          only_for(range, works("scheduler.params.lr_range_test_step_rate", number().from(0), "1.0",
                                "", "growth")),
          only_for(range, works("scheduler.params.lr_range_test_staircase", boolean(), "false", "",
                                "grow in jumps")),
          only_for(cycle, works("scheduler.params.cycle_min_lr", number().from(0), "required", "",
                                "rate at both ends of the cycle")),
          only_for(cycle, works("scheduler.params.cycle_max_lr", number().above(0), "required", "",
                                "rate at the top")),
          only_for(cycle, works("scheduler.params.decay_lr_rate", number().from(0), "0.0", "",
                                "decay after the cycle")),
          only_for(cycle,
                   works("scheduler.params.cycle_first_step_size", integer().from(1).derived(),
                         "2000", "steps", "rising half; \"auto\" = run.max_steps / 2")),
          only_for(cycle, works("scheduler.params.cycle_second_step_size",
                                integer().from(1).or_null().derived(), "null", "steps",
                                "falling half; null and \"auto\" = the first's")),
          only_for(cycle, works("scheduler.params.cycle_first_stair_count", integer().from(0), "0",
                                "", "jumps in the rising half; 0 = smooth")),
          only_for(cycle,
                   works("scheduler.params.cycle_second_stair_count", integer().from(0).or_null(),
                         "null", "", "jumps in the falling half; null = the first's")),
          only_for(cycle, works("scheduler.params.decay_step_size", integer().from(0), "0", "steps",
                                "steps between decays after the cycle; 0 = no decay")),
          only_for(cycle, works("scheduler.params.cycle_momentum", boolean(), "true", "",
                                "move beta1 against the rate")),
          only_for(cycle, works("scheduler.params.cycle_min_mom", number().from(0).below(1), "0.8",
                                "", "momentum at the top")),
          only_for(cycle, works("scheduler.params.cycle_max_mom", number().from(0).below(1), "0.9",
                                "", "momentum at both ends")),
          only_for(cycle, works("scheduler.params.decay_mom_rate", number().from(0), "0.0", "",
                                "growth of momentum after the cycle")),
          only_for(warm, works("scheduler.params.warmup_min_lr", number().from(0), "0.0", "",
                               "rate at the start")),
          only_for(warm, works("scheduler.params.warmup_max_lr",
                               number().above(0).or_null().derived(), "null", "",
                               "rate after the warm-up; null and \"auto\" = optimizer.params.lr")),
          only_for(warm_all, works("scheduler.params.warmup_num_steps", integer().from(0).derived(),
                                   "1000", "steps",
                                   "length of the warm-up; less than 2 counts as 2; \"auto\" = "
                                   "run.max_steps / 20, rounded up")),
          only_for(warm_all, works("scheduler.params.warmup_type", choice({"log", "linear"}),
                                   "\"log\"", "", "shape of the warm-up")),
          only_for("WarmupDecayLR WarmupCosineLR",
                   works("scheduler.params.total_num_steps", integer().from(1).derived(),
                         "\"auto\"", "steps", "end of the decay; \"auto\" = run.max_steps")),
          only_for("WarmupCosineLR", works("scheduler.params.warmup_min_ratio", number().from(0),
                                           "0.0", "", "share of the rate at the start")),
          only_for("WarmupCosineLR", works("scheduler.params.cos_min_ratio", number().from(0),
                                           "0.0001", "", "share of the rate at the end")),
          idle("scheduler.params.last_batch_iteration", integer(), "-1",
               "a resumed run takes it from the checkpoint", "where the schedule starts"),
      }};
}

}  // namespace trireme::deck
