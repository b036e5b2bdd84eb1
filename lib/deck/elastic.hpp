#pragma once
// DeepSpeed's elasticity: one global batch that many numbers of ranks divide, and the micro-batch
// for the number at hand. Source: deepspeed/elasticity/elasticity.py, _get_compatible_gpus_v01.

#include <cstdint>
#include <vector>

namespace trireme::deck {

struct ElasticRule {
  std::int64_t max_batch = 2000;             ///< global, samples
  std::vector<std::int64_t> micro{2, 4, 6};  ///< allowed, samples a replica
  std::int64_t least = 1;                    ///< replicas
  std::int64_t most = 10000;
  bool prefer_larger = true;  ///< of batches that as many counts divide
};

struct ElasticBatch {
  std::int64_t global = 0;
  std::vector<std::int64_t> replicas;  ///< counts that go with it, ascending; empty: none does
};

/// Of the candidates (each micro-batch, and the least common multiple of all, times the largest
/// highly composite number that keeps it within max_batch) the one with most valid counts of
/// replicas. Every micro-batch must be within max_batch. A common multiple that alone exceeds
/// max_batch is a candidate too, so the result may exceed it: DeepSpeed's rule, and one of its
/// tests relies on it.
ElasticBatch elastic_batch(const ElasticRule& rule);

/// The largest micro-batch whose multiple is one of `replicas` replicas' share, 0 when none is.
std::int64_t elastic_micro(const ElasticRule& rule, std::int64_t global, std::int64_t replicas);

}  // namespace trireme::deck
