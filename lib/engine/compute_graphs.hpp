#pragma once
// CUDA graphs of the compute lane: stretches of instructions that a GPU's stream takes by one call
// each, in place of a call for every kernel.
//
// A graph does again what was recorded, with the arguments of then. So a program's first run is
// issued plainly, and bodies tell by what they ask their context for whether their work changes
// from step to step. From the second run on, when every plan is made and scratch memory has its
// size, stretches are recorded at their first use; what cannot be in one stays plain, and why is
// counted.
//
// Only the compute lane's own stream is recorded, by its own thread. Transfers over links go on in
// another stream meanwhile, which the lane's events order.

#include "lib/engine/context.hpp"
#include "lib/engine/stream_marks.hpp"

#include <functional>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace trireme::engine {

/// Stretches of the compute lane: instructions that follow each other there and are issued
/// together. All of a stretch `fit`; of what other lanes do, only the first waits for something
/// that the lane's stream is not behind already; and only for the last does another lane, or the
/// host, wait. So nobody ever needs a mark inside of one. Longest ones, of two instructions at
/// least.
std::vector<std::vector<std::int32_t>> stretches_of(const std::vector<program::Instruction>& list,
                                                    const std::vector<bool>& in_stream,
                                                    const std::vector<bool>& fit,
                                                    const GraphFaults& faults = {});

class ComputeGraphs {
 public:
  /// Gives an instruction's work to the current stream.
  using Work = std::function<void(std::size_t instruction)>;

  /// References outlive this; `contexts` by instruction, null unless a segment.
  ComputeGraphs(const std::vector<program::Instruction>& list, StreamMarks& marks,
                const std::vector<std::unique_ptr<SegmentContext>>& contexts,
                const ExecutorOptions& options, Work work);

  /// Before the instructions of a run.
  void begin(const nn::StepScalars& scalars);
  /// The compute lane's instructions in list order.
  const std::vector<std::int32_t>& order() const { return order_; }
  /// How many of them are issued together from this place on: a stretch or one.
  std::span<const std::int32_t> from(std::size_t place) const {
    return std::span(order_).subspan(place, length_[place]);
  }
  /// Gives the stretch at `place` to the stream, by its graph, which is recorded first where there
  /// is none or it holds what is no longer so. Marks all but the last instruction.
  void issue(std::size_t place);
  /// From now on each instruction is issued by itself.
  void stop();

  const GraphUse& use() const { return use_; }
  /// Behind the run in which a graph could not be made, or where graphs are asked for and no two
  /// instructions can be in one; else empty.
  std::string warning() { return std::exchange(warning_, {}); }

 private:
  /// What a graph holds that may be another in a later step.
  struct Held {
    bool training = true;
    double gradient_scale = 0;
    const void* scratch = nullptr;
  };
  struct Stretch {
    Graph graph;
    Held held;
  };

  void form();
  GraphUse::Why why_plain(std::size_t instruction) const;
  bool is_current(std::size_t place) const;
  bool record(std::size_t place);
  Held now() const;

  const std::vector<program::Instruction>& list_;
  StreamMarks& marks_;
  const std::vector<std::unique_ptr<SegmentContext>>& contexts_;
  deck::CudaGraphs choice_;
  GraphFaults faults_;
  Work work_;
  std::vector<std::int32_t> order_;
  std::vector<std::size_t> length_;  // by place in order_
  std::vector<Stretch> stretches_;   // by place in order_, empty until some are formed
  const nn::StepScalars* scalars_ = nullptr;
  std::int64_t runs_ = 0;
  bool formed_ = false;
  std::string warning_;
  GraphUse use_;
};

}  // namespace trireme::engine
