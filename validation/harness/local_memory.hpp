#pragma once
// The memory of a model on every rank of a tensor group in one process: flat units, buffers of
// blocks, the residual stream between them. Belongs to LocalRun.

#include "validation/harness/local_run.hpp"

#include <cstddef>
#include <vector>

namespace trireme::validation {

class LocalMemory {
 public:
  struct Unit {
    std::vector<float> masters, gradients;
    std::vector<std::byte> weights;  // in the compute dtype
    std::vector<float> moments[2];
  };
  struct Rank {
    std::vector<Unit> units;
    std::vector<std::vector<std::vector<std::byte>>> buffers;       // [block][slot], internal ones
    std::vector<std::vector<std::byte>> streams, stream_gradients;  // before each block
    std::vector<std::byte> tokens, documents;
    double loss = 0;
  };

  explicit LocalMemory(const models::Model& model);

  TensorView view(std::int64_t rank, int block, nn::Slot slot) const;
  /// Rounds masters to weights.
  void refresh();
  /// Everything of a micro-batch becomes NaN: what is read before it is written shows.
  void begin(const LocalBatch& batch);
  void poison(int block);

  /// Whole logical tensors, cut into and put together from the ranks' shards.
  void set(const LocalTensor& tensor, const std::vector<double>& whole);
  std::vector<double> get(const LocalTensor& tensor) const;
  std::vector<double> gradient(const LocalTensor& tensor) const;

  std::vector<Rank> ranks;
  std::vector<LocalTensor> tensors;

 private:
  const models::Model& model_;
};

}  // namespace trireme::validation
