#include "lib/nn/attention_layer.hpp"
#include "lib/nn/blocks.hpp"
#include "lib/nn/mlp_layer.hpp"

namespace trireme::nn {

std::shared_ptr<const BlockPlan> transformer_block(const LayerConfig& config,
                                                   const Placement& placement) {
  PlanBuilder b(placement);
  const Shape stream{placement.local_tokens(), config.hidden};
  const Slot x = b.buffer("x", stream, placement.compute, Role::input);
  const Slot y = b.buffer("y", stream, placement.compute, Role::output);
  const Slot dy = b.buffer("dy", stream, placement.compute, Role::output_gradient);
  const Slot dx = b.buffer("dx", stream, placement.compute, Role::input_gradient);
  const Slot z = b.like(x, "z");
  const Slot dz = b.like(x, "dz");

  // Declaration order is the order of parameters in the flat buffer.
  const NormLayer attention_norm(b, config, "attention_norm");
  const AttentionLayer attention(b, config);
  const NormLayer mlp_norm(b, config, "mlp_norm");
  const MlpLayer mlp(b, config);
  const ResidualLayer first(config, placement, attention.bias(), DropoutPlace::projection);
  const ResidualLayer second(config, placement, mlp.bias(), DropoutPlace::mlp);

  attention_norm.forward(b, x);
  attention.forward(b, attention_norm);
  first.forward(b, x, attention.out(), z, &mlp_norm);
  mlp.forward(b, mlp_norm);
  second.forward(b, z, mlp.out(), y);

  mlp.backward(b, mlp_norm, second.backward(b, dy));
  mlp_norm.backward(b, z, dy, dz);
  attention.backward(b, attention_norm, first.backward(b, dz));
  attention_norm.backward(b, x, dz, dx);
  return b.finish();
}

}  // namespace trireme::nn
