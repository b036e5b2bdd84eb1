// Graphs of the emulated GPU: work that a stream recorded in place of doing it, done again at every
// launch.

#include "validation/emulation/emulation.hpp"
#include "validation/emulation/streams.hpp"

#include <atomic>
#include <cstdlib>
#include <memory>

namespace emulation {

/// In memory of its own, as all work: allocation counters see none of the runtime.
struct Recorded {
  Work* first = nullptr;
  Work* last = nullptr;
  std::int64_t count = 0;
  bool broken = false;
  std::atomic<int> owners{1};  ///< capture, graph, executable graph, launches on their way

  void* operator new(std::size_t bytes) { return std::malloc(bytes); }
  void operator delete(void* memory) { std::free(memory); }
  ~Recorded() {
    while (first) {
      Work* gone = first;
      first = first->next;
      gone->drop(gone);
    }
  }
};

namespace {

thread_local cudaStream_t t_recording = nullptr;  // this thread's

std::atomic<std::int64_t> g_made{0}, g_updated{0}, g_launched{0};
std::atomic<int> g_refusal{[] {
  const char* text = std::getenv("TRIREME_EMULATED_GRAPH_ERROR");
  return text ? std::atoi(text) : 0;
}()};

/// A part in what was recorded.
class Share {
 public:
  explicit Share(Recorded* recorded) : recorded_(recorded) { ++recorded_->owners; }
  Share(const Share& other) : Share(other.recorded_) {}
  Share& operator=(const Share&) = delete;
  ~Share() { give_back(recorded_); }
  static void give_back(Recorded* recorded) {
    if (--recorded->owners == 0) delete recorded;
  }
  const Recorded& operator*() const { return *recorded_; }

 private:
  Recorded* recorded_;
};

}  // namespace

GraphCounts graph_counts() { return {g_made, g_updated, g_launched}; }
void refuse_graphs(int status) { g_refusal = status; }

cudaError_t record(CUstream_st& stream, Work* work, bool at_once) {
  Recorded& recorded = *stream.recorded;
  recorded.broken |= at_once;
  (recorded.last ? recorded.last->next : recorded.first) = work;
  recorded.last = work;
  ++recorded.count;
  return recorded.broken ? cudaErrorStreamCaptureUnsupported : answer();
}

bool breaks_recording(cudaStream_t stream) {
  const std::lock_guard lock(device_mutex());
  if (!stream || !stream->recorded) stream = t_recording;
  if (stream) stream->recorded->broken = true;
  return stream != nullptr;
}

}  // namespace emulation

using namespace emulation;

struct CUgraph_st {
  Recorded* recorded;
};
struct CUgraphExec_st {
  Recorded* recorded;
};

namespace {

template <class Graph>
Graph* graph_of(Recorded* recorded) {
  return new (std::malloc(sizeof(Graph))) Graph{recorded};
}
cudaError_t end(auto* graph) {
  Share::give_back(graph->recorded);
  std::free(graph);
  return cudaSuccess;
}

}  // namespace

cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode) {
  const std::lock_guard lock(device_mutex());
  if (!stream || stream->recorded || t_recording) return cudaErrorInvalidValue;
  stream->recorded = new Recorded;
  t_recording = stream;
  return answer();
}

cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t* graph) {
  const std::lock_guard lock(device_mutex());
  *graph = nullptr;
  if (t_recording != stream) return cudaErrorInvalidValue;
  Recorded* recorded = std::exchange(stream->recorded, nullptr);
  t_recording = nullptr;
  if (recorded->broken) {
    Share::give_back(recorded);
    return cudaErrorStreamCaptureInvalidated;
  }
  *graph = graph_of<CUgraph_st>(recorded);
  return answer();
}

cudaError_t cudaGraphDestroy(cudaGraph_t graph) { return end(graph); }
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t graph) { return end(graph); }

cudaError_t cudaGraphInstantiate(cudaGraphExec_t* made, cudaGraph_t graph, unsigned long long) {
  if (g_refusal != 0) return static_cast<cudaError_t>(g_refusal.load());
  ++graph->recorded->owners;
  *made = graph_of<CUgraphExec_st>(graph->recorded);
  ++g_made;
  return answer();
}

/// The same number of nodes stands for the same kernels.
cudaError_t cudaGraphExecUpdate(cudaGraphExec_t made, cudaGraph_t graph,
                                cudaGraphExecUpdateResultInfo*) {
  if (made->recorded->count != graph->recorded->count) return cudaErrorGraphExecUpdateFailure;
  ++graph->recorded->owners;
  Share::give_back(std::exchange(made->recorded, graph->recorded));
  ++g_updated;
  return answer();
}

cudaError_t cudaGraphLaunch(cudaGraphExec_t graph, cudaStream_t stream) {
  ++g_launched;
  return give(stream, make_work([share = Share(graph->recorded)] {
                for (Work* work = (*share).first; work; work = work->next) work->run(work);
              }));
}
