#include "lib/deck/deck.hpp"

namespace trireme::deck {

std::string_view name_of(Family family) { return family == Family::gpt ? "gpt" : "llama"; }

std::string_view name_of(NormType type) {
  return type == NormType::layernorm ? "layernorm" : "rmsnorm";
}

std::string_view name_of(Activation activation) {
  switch (activation) {
    case Activation::gelu: return "gelu";
    case Activation::gelu_tanh: return "gelu_tanh";
    case Activation::silu: return "silu";
    case Activation::swiglu: return "swiglu";
  }
  return "?";
}

std::string_view name_of(Positions positions) {
  return positions == Positions::learned ? "learned" : "rotary";
}

std::string_view name_of(Transport transport) {
  switch (transport) {
    case Transport::automatic: return "auto";
    case Transport::nccl: return "nccl";
    case Transport::host: return "host";
  }
  return "?";
}

std::string_view name_of(CudaGraphs graphs) {
  switch (graphs) {
    case CudaGraphs::automatic: return "auto";
    case CudaGraphs::on: return "on";
    case CudaGraphs::off: return "off";
  }
  return "?";
}

std::string_view name_of(Schedule schedule) {
  switch (schedule) {
    case Schedule::gpipe: return "gpipe";
    case Schedule::one_f_one_b: return "1f1b";
    case Schedule::interleaved: return "interleaved";
  }
  return "?";
}

std::string_view name_of(OptimizerType type) {
  switch (type) {
    case OptimizerType::adam: return "Adam";
    case OptimizerType::adamw: return "AdamW";
    case OptimizerType::sgd: return "SGD";
    case OptimizerType::lion: return "Lion";
    case OptimizerType::lamb: return "Lamb";
  }
  return "?";
}

std::string_view name_of(SchedulerType type) {
  switch (type) {
    case SchedulerType::constant: return "constant";
    case SchedulerType::lr_range_test: return "LRRangeTest";
    case SchedulerType::one_cycle: return "OneCycle";
    case SchedulerType::warmup: return "WarmupLR";
    case SchedulerType::warmup_decay: return "WarmupDecayLR";
    case SchedulerType::warmup_cosine: return "WarmupCosineLR";
  }
  return "?";
}

}  // namespace trireme::deck
