#pragma once
// The one Runtime of a test program that calls kernels: four threads, so that tests can run each
// case with 1, 2 and 4 of them, and serially.

#include "kernels/base/runtime.hpp"

#include <gtest/gtest.h>

#include <memory>

namespace trireme::validation {

class RuntimeEnvironment : public testing::Environment {
 public:
  explicit RuntimeEnvironment(int threads) : threads_(threads) {}
  void SetUp() override { runtime_ = std::make_unique<Runtime>(threads_); }
  void TearDown() override { runtime_.reset(); }
  const Runtime& runtime() const { return *runtime_; }

 private:
  int threads_;
  std::unique_ptr<Runtime> runtime_;
};

/// Write once a test program, at namespace scope:
///   const auto* const kRuntime = trireme::validation::with_runtime(4);
inline const testing::Environment* with_runtime(int threads) {
  return testing::AddGlobalTestEnvironment(new RuntimeEnvironment(threads));
}

struct Way {
  Execution execution;
  int threads;
};
/// Every way a kernel must give its result.
inline constexpr Way kEveryWay[] = {
    {Execution::serial, 1}, {Execution::openmp, 1}, {Execution::openmp, 2}, {Execution::openmp, 4}};

}  // namespace trireme::validation
