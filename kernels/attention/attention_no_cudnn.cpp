// In place of attention_cudnn.cpp where cuDNN's front end was not found when this was configured,
// and on the emulated GPU.

#include "kernels/attention/attention_cudnn.hpp"

#include <cstdlib>
#include <string_view>

namespace trireme::kernels::attention {
namespace {

bool refused() {
  const char* choice = std::getenv("TRIREME_ATTENTION");
  check(!choice || std::string_view(choice) != "cudnn", Exit::kUsage,
        "TRIREME_ATTENTION is cudnn, and this program was built without cuDNN's front end; run "
        "jobs/local/install-deps before building, or set TRIREME_ATTENTION to own");
  return false;
}

}  // namespace

bool forward_by_cudnn(const AttentionShape&, const TensorView&, const TensorView&,
                      const TensorView&, const TensorView&, const TensorView&,
                      const AttentionOptions&) {
  return refused();
}
bool backward_by_cudnn(const AttentionShape&, const TensorView&, const TensorView&,
                       const TensorView&, const TensorView&, const TensorView&, const TensorView&,
                       const TensorView&, const TensorView&, const TensorView&,
                       const AttentionOptions&) {
  return refused();
}
std::string cudnn_attention(DType) { return refused() ? "cuDNN" : ""; }
std::vector<std::string> cudnn_complaints(const AttentionShape&, DType, int) {
  return {"built without cuDNN's front end"};
}

}  // namespace trireme::kernels::attention
