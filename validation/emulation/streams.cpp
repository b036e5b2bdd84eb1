#include "validation/emulation/streams.hpp"

#include "validation/emulation/emulation.hpp"

#include <atomic>
#include <chrono>
#include <cstdlib>
#include <memory>
#include <mutex>
#include <set>
#include <thread>

using Clock = std::chrono::steady_clock;

struct CUevent_st {
  cudaStream_t stream = nullptr;  ///< null: never recorded
  std::uint64_t position = 0;     ///< in it
  std::atomic<int> asked = 0;     ///< since it was recorded
  Clock::time_point at;
};

namespace emulation {
namespace {

constexpr std::chrono::microseconds kBetweenTrials{20};

std::atomic<int> g_patience{[] {
  const char* text = std::getenv("TRIREME_EMULATED_PATIENCE");
  return text ? std::atoi(text) : 0;
}()};

std::atomic<bool> g_eager{false};

std::set<cudaStream_t>& streams() {
  static std::set<cudaStream_t> all;
  return all;
}

/// False where the stream's first work must wait for another process.
bool do_next(CUstream_st& stream) {
  Work* work = stream.first;
  if (!work->run(work)) return false;
  stream.first = work->next;
  if (!stream.first) stream.last = nullptr;
  ++stream.done;
  work->drop(work);
  return true;
}

/// As far as it goes; whether it went so far.
bool do_until(CUstream_st& stream, std::uint64_t position) {
  const std::lock_guard lock(device_mutex());
  while (stream.done < position)
    if (!do_next(stream)) return false;
  return true;
}

/// Other threads look at streams in between.
void wait_until(CUstream_st& stream, std::uint64_t position) {
  while (!do_until(stream, position)) std::this_thread::sleep_for(kBetweenTrials);
}

bool is_done(const CUevent_st& event) {
  return !event.stream || event.stream->done >= event.position;
}

void finish(const CUevent_st& event) {
  if (event.stream) wait_until(*event.stream, event.position);
}

}  // namespace

std::recursive_mutex& device_mutex() {
  static std::recursive_mutex mutex;
  return mutex;
}

void set_patience(int questions) { g_patience = questions; }
void set_eager(bool eager) { g_eager = eager; }

cudaError_t give(cudaStream_t stream, Work* work, bool at_once) {
  std::uint64_t position = 0;
  {
    const std::lock_guard lock(device_mutex());
    if (!stream) {
      const std::unique_ptr<Work, void (*)(Work*)> owner(work, work->drop);
      while (!work->run(work)) std::this_thread::sleep_for(kBetweenTrials);
      return answer();
    }
    if (stream->recorded) return record(*stream, work, at_once);
    (stream->last ? stream->last->next : stream->first) = work;
    stream->last = work;
    position = ++stream->given;
  }
  if (at_once)
    wait_until(*stream, position);
  else if (g_eager)
    do_until(*stream, position);
  return answer();
}

void finish_all() {
  std::set<cudaStream_t> all;
  {
    const std::lock_guard lock(device_mutex());
    all = streams();
  }
  for (const cudaStream_t stream : all) wait_until(*stream, stream->given);
}

}  // namespace emulation

using namespace emulation;

cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned) {
  const std::lock_guard lock(device_mutex());
  *stream = new CUstream_st;
  streams().insert(*stream);
  return answer();
}
cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  wait_until(*stream, stream->given);
  const std::lock_guard lock(device_mutex());
  streams().erase(stream);
  delete stream;
  return cudaSuccess;
}
cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
  if (breaks_recording(stream)) return cudaErrorStreamCaptureUnsupported;
  wait_until(*stream, stream->given);
  return answer();
}
cudaError_t cudaStreamQuery(cudaStream_t stream) {
  if (breaks_recording(stream)) return cudaErrorStreamCaptureUnsupported;
  if (answer() != cudaSuccess) return answer();
  const std::lock_guard lock(device_mutex());
  return stream->done == stream->given ? cudaSuccess : cudaErrorNotReady;
}
cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned) {
  if (breaks_recording(stream)) return cudaErrorStreamCaptureIsolation;
  const std::lock_guard lock(device_mutex());
  if (event->stream)
    give(stream, make_trial([other = event->stream, position = event->position] {
           return do_until(*other, position);
         }));
  return answer();
}

cudaError_t cudaEventCreate(cudaEvent_t* event) {
  *event = new CUevent_st;
  return answer();
}
cudaError_t cudaEventDestroy(cudaEvent_t event) {
  finish(*event);
  delete event;
  return cudaSuccess;
}
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
  if (breaks_recording(stream)) return cudaErrorStreamCaptureUnsupported;
  const std::lock_guard lock(device_mutex());
  give(stream, make_work([event] { event->at = Clock::now(); }));
  event->stream = stream;
  event->position = stream ? stream->given : 0;
  event->asked = 0;
  return answer();
}
/// Who waits for the event waits for what it marked outside of graphs.
cudaError_t cudaEventRecordWithFlags(cudaEvent_t event, cudaStream_t stream, unsigned flags) {
  if (flags != cudaEventRecordExternal || !stream->recorded) return cudaErrorInvalidValue;
  return give(stream, make_work([event] { event->at = Clock::now(); }));
}
cudaError_t cudaEventSynchronize(cudaEvent_t event) {
  if (breaks_recording()) return cudaErrorStreamCaptureUnsupported;
  finish(*event);
  return answer();
}
/// Once an event was asked for often enough, whoever asks does the work before it.
cudaError_t cudaEventQuery(cudaEvent_t event) {
  if (breaks_recording()) return cudaErrorStreamCaptureUnsupported;
  const std::lock_guard lock(device_mutex());
  if (answer() != cudaSuccess) return answer();
  if (!is_done(*event) && event->asked++ >= g_patience) do_until(*event->stream, event->position);
  return is_done(*event) ? cudaSuccess : cudaErrorNotReady;
}
cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t from, cudaEvent_t to) {
  *milliseconds = std::chrono::duration<float, std::milli>(to->at - from->at).count();
  return answer();
}
