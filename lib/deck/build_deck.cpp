// From a draft without mistakes to the typed deck.
#include "kernels/base/error.hpp"
#include "lib/deck/build_sections.hpp"
#include "lib/deck/frozen_blocks.hpp"

#include <cmath>

namespace trireme::deck {

namespace {

/// The enumerator called `name`: the table's choices are the names of the enumerators.
template <class Enum>
Enum pick(const std::string& name, std::initializer_list<Enum> all) {
  for (const Enum e : all)
    if (name_of(e) == name) return e;
  fail(Exit::kUnexpected, "\"{}\" is a choice of the deck table without an enumerator", name);
}

double number_of(const Value& value) {
  return value.integer() ? static_cast<double>(*value.integer()) : std::get<double>(value.data);
}

std::vector<std::filesystem::path> paths_of(const Value& value) {
  if (value.is_null()) return {};
  if (const std::string* one = value.text()) return {*one};
  std::vector<std::filesystem::path> paths;
  for (const Value& element : *value.list()) paths.emplace_back(*element.text());
  return paths;
}

ModelConfig build_model(const Draft& d) {
  ModelConfig m;
  m.family = pick(d.text("model.family"), {Family::gpt, Family::llama});
  if (const std::string* preset = d.at("model.preset").text()) m.preset = *preset;
  m.layers = d.integer("model.layers");
  m.hidden = d.integer("model.hidden");
  m.heads = d.integer("model.heads");
  m.kv_heads = d.integer("model.kv_heads");
  m.head_dim = d.integer("model.head_dim");
  m.ffn_hidden = d.integer("model.ffn_hidden");
  m.vocabulary = d.integer("model.vocabulary");
  m.context = d.integer("model.context");
  m.norm.type = pick(d.text("model.norm.type"), {NormType::layernorm, NormType::rmsnorm});
  m.norm.eps = d.number("model.norm.eps");
  m.activation = pick(d.text("model.activation"), {Activation::gelu, Activation::gelu_tanh,
                                                   Activation::silu, Activation::swiglu});
  m.positions = pick(d.text("model.positions"), {Positions::learned, Positions::rotary});
  m.rotary_theta = d.number("model.rotary_theta");
  m.qk_norm = d.boolean("model.qk_norm");
  m.bias = {d.boolean("model.bias.qkv"), d.boolean("model.bias.projection"),
            d.boolean("model.bias.mlp")};
  m.tied_embeddings = d.boolean("model.tied_embeddings");
  m.dropout = {d.number("model.dropout.embedding"), d.number("model.dropout.attention"),
               d.number("model.dropout.residual")};
  m.init = {d.number("model.init.std"), d.boolean("model.init.residual_scaled")};
  if (const List& names = *d.at("model.frozen").list(); !names.empty())
    m.frozen = blocks_in(names, m.layers);
  return m;
}

DataConfig build_data(const Draft& d) {
  DataConfig data;
  for (auto& path : paths_of(d.at("data.tokens"))) data.sources.push_back({std::move(path), 0});
  if (const List* weights = d.at("data.weights").list()) {
    double sum = 0;
    for (const Value& weight : *weights) sum += number_of(weight);
    for (std::size_t i = 0; i < weights->size(); ++i)
      data.sources[i].weight = number_of((*weights)[i]) / sum;
  }
  data.validation_fraction = d.number("data.validation_fraction");
  data.validation_tokens = paths_of(d.at("data.validation_tokens"));
  data.shuffle = d.boolean("data.shuffle");
  data.seed = static_cast<std::uint64_t>(d.integer("data.seed"));
  data.attention_across_documents = d.boolean("data.attention_across_documents");
  data.read_ahead = d.integer("data.read_ahead");
  return data;
}

ParallelConfig build_parallel(const Draft& d) {
  ParallelConfig p;
  p.data = d.integer("parallel.data");
  p.tensor = d.integer("parallel.tensor");
  p.pipeline = d.integer("parallel.pipeline");
  p.virtual_stages = d.integer("parallel.virtual_stages");
  p.schedule = pick(d.text("parallel.schedule"),
                    {Schedule::gpipe, Schedule::one_f_one_b, Schedule::interleaved});
  p.transport =
      pick(d.text("parallel.transport"), {Transport::automatic, Transport::nccl, Transport::host});
  p.sequence = d.boolean("parallel.sequence") && p.tensor > 1;
  if (const List* layers = d.at("parallel.layers_per_stage").list())
    for (const Value& n : *layers) p.layers_per_stage.push_back(*n.integer());
  p.zero = build_zero(d);
  return p;
}

OptimizerConfig build_optimizer(const Draft& d) {
  OptimizerConfig o;
  o.type =
      pick(d.text("optimizer.type"), {OptimizerType::adam, OptimizerType::adamw, OptimizerType::sgd,
                                      OptimizerType::lion, OptimizerType::lamb});
  // DeepSpeed: both names mean the rule that adam_w_mode chooses, true unless given.
  if (o.type == OptimizerType::adam || o.type == OptimizerType::adamw)
    o.type = d.boolean("optimizer.params.adam_w_mode") ? OptimizerType::adamw : OptimizerType::adam;
  o.lr = d.number("optimizer.params.lr");
  const List& betas = *d.at("optimizer.params.betas").list();
  o.beta1 = number_of(betas[0]);
  o.beta2 = number_of(betas[1]);
  o.eps = d.number("optimizer.params.eps");
  o.weight_decay = d.number("optimizer.params.weight_decay");
  o.bias_correction = d.boolean("optimizer.params.bias_correction");
  o.momentum = d.number("optimizer.params.momentum");
  o.dampening = d.number("optimizer.params.dampening");
  o.nesterov = d.boolean("optimizer.params.nesterov");
  o.max_coeff = d.number("optimizer.params.max_coeff");
  o.min_coeff = d.number("optimizer.params.min_coeff");
  return o;
}

SchedulerConfig build_scheduler(const Draft& d) {
  SchedulerConfig s;
  const std::string* type = d.at("scheduler.type").text();
  if (type == nullptr) return s;
  s.type =
      pick(*type, {SchedulerType::lr_range_test, SchedulerType::one_cycle, SchedulerType::warmup,
                   SchedulerType::warmup_decay, SchedulerType::warmup_cosine});
  const auto key = [](std::string_view name) { return "scheduler.params." + std::string(name); };
  const auto number = [&](std::string_view name) { return d.number(key(name)); };
  const auto steps = [&](std::string_view name) { return d.integer(key(name)); };
  s.lr_range_test_min_lr = number("lr_range_test_min_lr");
  s.lr_range_test_step_size = steps("lr_range_test_step_size");
  s.lr_range_test_step_rate = number("lr_range_test_step_rate");
  s.lr_range_test_staircase = d.boolean(key("lr_range_test_staircase"));
  if (s.type == SchedulerType::one_cycle) {
    s.cycle_min_lr = number("cycle_min_lr");
    s.cycle_max_lr = number("cycle_max_lr");
  }
  s.decay_lr_rate = number("decay_lr_rate");
  s.cycle_first_step_size = steps("cycle_first_step_size");
  s.cycle_second_step_size = steps("cycle_second_step_size");
  s.cycle_first_stair_count = steps("cycle_first_stair_count");
  s.cycle_second_stair_count = steps("cycle_second_stair_count");
  s.decay_step_size = steps("decay_step_size");
  s.cycle_momentum = d.boolean(key("cycle_momentum"));
  s.cycle_min_mom = number("cycle_min_mom");
  s.cycle_max_mom = number("cycle_max_mom");
  s.decay_mom_rate = number("decay_mom_rate");
  s.warmup_min_lr = number("warmup_min_lr");
  s.warmup_max_lr = number("warmup_max_lr");
  s.warmup_num_steps = steps("warmup_num_steps");
  s.warmup_type = d.text(key("warmup_type")) == "log" ? WarmupType::log : WarmupType::linear;
  s.total_num_steps = steps("total_num_steps");
  s.warmup_min_ratio = number("warmup_min_ratio");
  s.cos_min_ratio = number("cos_min_ratio");
  return s;
}

PrecisionConfig build_precision(const Draft& d) {
  PrecisionConfig p;
  const bool fp16 = d.boolean("fp16.enabled");
  const bool bf16 = d.boolean("bf16.enabled");
  p.compute = fp16 ? DType::f16 : bf16 ? DType::bf16 : DType::f32;
  p.fp8 = d.boolean("fp8.enabled");
  p.tf32 = d.boolean("tf32.enabled");
  p.skip_nonfinite_gradients = fp16 || (bf16 && d.boolean("bf16.check_grad_overflow"));
  p.loss_scale.window = d.integer("fp16.loss_scale_window");
  p.loss_scale.hysteresis = d.integer("fp16.hysteresis");
  p.loss_scale.consecutive_hysteresis = d.boolean("fp16.consecutive_hysteresis");
  p.loss_scale.minimum = d.number("fp16.min_loss_scale");
  if (fp16) {
    const double fixed = d.number("fp16.loss_scale");
    p.loss_scale.dynamic = fixed == 0;
    p.loss_scale.initial = fixed == 0 ? std::exp2(d.number("fp16.initial_scale_power")) : fixed;
  }
  return p;
}

CheckpointConfig build_checkpoint(const Draft& d) {
  CheckpointConfig c;
  c.every_steps = d.integer("checkpoint.every_steps");
  c.keep = d.integer("checkpoint.keep");
  if (const std::string* path = d.at("checkpoint.path").text()) c.path = *path;
  c.at_end = d.boolean("checkpoint.at_end");
  c.asynchronous = d.boolean("checkpoint.asynchronous");
  c.watchdog_seconds = d.number("checkpoint.watchdog_seconds");
  return c;
}

RunConfig build_run(const Draft& d) {
  RunConfig r;
  r.max_steps = d.integer("run.max_steps");
  if (!d.at("run.max_minutes").is_null()) r.max_minutes = d.number("run.max_minutes");
  r.max_tokens = d.known("run.max_tokens");
  r.seed = static_cast<std::uint64_t>(d.integer("run.seed"));
  r.device = d.text("run.device");
  r.cuda_graphs =
      pick(d.text("run.cuda_graphs"), {CudaGraphs::automatic, CudaGraphs::on, CudaGraphs::off});
  r.threads = d.known("run.threads").value_or(0);
  r.steps_per_print = d.known("steps_per_print").value_or(10);
  r.eval_every = d.integer("run.eval_every");
  r.eval_samples = d.integer("run.eval_samples");
  r.watchdog_seconds = d.number("run.watchdog_seconds");
  r.max_skipped_steps = d.integer("run.max_skipped_steps");
  r.device_memory = d.integer("run.device_memory");
  r.host_memory = d.integer("run.host_memory");
  r.dump_state = d.boolean("dump_state");
  r.wall_clock_breakdown = d.boolean("wall_clock_breakdown");
  return r;
}

ReportConfig build_report(const Draft& d) {
  ReportConfig r;
  r.html = d.boolean("report.html");
  r.timeline = d.boolean("report.timeline");
  if (!d.at("report.peak_flops").is_auto()) r.peak_flops = d.number("report.peak_flops");
  if (const List* band = d.at("report.expect.validation_loss").list())
    r.expected_validation_loss = {{number_of((*band)[0]), number_of((*band)[1])}};
  return r;
}

MonitorConfig build_monitor(const Draft& d, const std::string& section) {
  return {d.boolean(section + ".enabled"), d.text(section + ".output_path"),
          d.text(section + ".job_name")};
}

}  // namespace

Deck build_deck(const Draft& draft, const std::filesystem::path& path) {
  Deck deck;
  deck.path = path;
  deck.model = build_model(draft);
  deck.data = build_data(draft);
  deck.parallel = build_parallel(draft);
  deck.batch = {draft.integer("train_batch_size"), draft.integer("train_micro_batch_size_per_gpu"),
                draft.integer("gradient_accumulation_steps")};
  deck.optimizer = build_optimizer(draft);
  deck.scheduler = build_scheduler(draft);
  deck.precision = build_precision(draft);
  deck.gradient_clipping = draft.number("gradient_clipping");
  deck.activation_checkpointing = build_recompute(draft);
  deck.checkpoint = build_checkpoint(draft);
  deck.run = build_run(draft);
  deck.report = build_report(draft);
  deck.tensorboard = build_monitor(draft, "tensorboard");
  deck.csv_monitor = build_monitor(draft, "csv_monitor");
  deck.warnings = draft.warnings;
  deck.resolved_json = resolved_json(draft);
  deck.fingerprint = fingerprint(draft);
  return deck;
}

}  // namespace trireme::deck
