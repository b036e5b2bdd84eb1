#pragma once
// GPUs: which there are, their memory, streams and events, and copies. No header of a vendor is
// seen here. CUDA is behind it (device_cuda.cpp); HIP would be another file, device_hip.cpp, behind
// the same DeviceBackend.
//
// A program chooses its back end once, before anything else here:
// use_device_backend(cuda_backend()). Without one every call below fails with a message that says
// how to build one.
//
// Errors: no device, a driver too old, and not enough memory are Exit::kUsage (choose another
// machine or a smaller run); a device that was lost, hung or met a hardware fault is Exit::kPeer
// (submit again); what is left is a bug, Exit::kUnexpected. Kernels run later than their call: what
// they do wrong is reported by a later call on the same device.
//
// Threads: one process uses one device at a time (select_device). Streams, events and memory may be
// used by any thread, one at a time.

#include "kernels/base/tensor_view.hpp"

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <string>

namespace trireme {

class DeviceBackend;

/// CUDA's back end, in the library trireme_cuda (CMake option TRIREME_CUDA).
DeviceBackend& cuda_backend();
/// From now on devices are this back end's; a second, different one is a bug.
void use_device_backend(DeviceBackend& backend);

/// The back end that this program was linked with (library trireme_cuda), or null.
DeviceBackend* linked_device_backend();

/// How many devices this process sees. Throws when there is none, or no driver that can use it.
int device_count();
/// The device of everything that this process does from now on, on this thread; each other thread
/// that works on it says so with adopt_device() first.
void select_device(int index);
void adopt_device();
int selected_device();

struct DeviceInfo {
  std::string name;          ///< "NVIDIA H200"
  std::string architecture;  ///< "9.0"
  std::string driver;        ///< newest version of the interface that the driver knows, "13.0"
  std::string place;         ///< on its node, "0000:19:00.0"
  std::int64_t memory = 0;   ///< bytes
  int multiprocessors = 0;
};
DeviceInfo describe_device(int index);

struct DeviceMemoryState {
  std::int64_t free = 0;
  std::int64_t total = 0;
};
/// Of the selected device, all processes counted.
DeviceMemoryState device_memory_state();

/// One allocation in device memory, aligned to 256 bytes, uninitialised.
class DeviceMemory {
 public:
  DeviceMemory() = default;
  explicit DeviceMemory(std::int64_t bytes);
  ~DeviceMemory();
  DeviceMemory(DeviceMemory&& other) noexcept;
  DeviceMemory& operator=(DeviceMemory&& other) noexcept;

  void* data() const { return data_; }
  std::int64_t bytes() const { return bytes_; }

 private:
  void* data_ = nullptr;
  std::int64_t bytes_ = 0;
};

/// One allocation in page-locked host memory: copies to and from it run beside the host's work.
class PinnedMemory {
 public:
  PinnedMemory() = default;
  explicit PinnedMemory(std::int64_t bytes);
  ~PinnedMemory();
  PinnedMemory(PinnedMemory&& other) noexcept;
  PinnedMemory& operator=(PinnedMemory&& other) noexcept;

  void* data() const { return data_; }
  std::int64_t bytes() const { return bytes_; }

 private:
  void* data_ = nullptr;
  std::int64_t bytes_ = 0;
};

/// Host memory of another owner, page-locked while this lives: an arena that ranks share. Nothing
/// to do for no bytes.
class PinnedRange {
 public:
  PinnedRange(void* memory, std::int64_t bytes);
  ~PinnedRange();
  PinnedRange(const PinnedRange&) = delete;
  PinnedRange& operator=(const PinnedRange&) = delete;

 private:
  void* memory_;
};

class Stream;

/// A mark in a stream: other streams, or the host, wait until the work before it is done.
class Event {
 public:
  Event();
  ~Event();
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;

  void record(const Stream& stream);
  /// While a Recording of `stream` lives: each launch of the graph sets the mark there. Such a mark
  /// is for seconds() alone, once work behind the whole graph was waited for.
  void record_inside(const Stream& stream);
  /// Work given to `stream` from now on starts after this mark.
  void order(const Stream& stream) const;
  void wait() const;
  bool done() const;
  /// Seconds between two marks, both done.
  static double seconds(const Event& from, const Event& to);

 private:
  void* handle_;
};

/// Work in order. Kernels and copies go to the calling thread's current stream (StreamScope).
class Stream {
 public:
  Stream();
  ~Stream();
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;

  /// Returns when all work given so far is done; reports what went wrong in it.
  void wait() const;
  void* handle() const { return handle_; }

  /// Working memory of the kernel `what`: at least `bytes`, valid until the next kernel call in
  /// this stream, whose work may overwrite it after this call's. With a reservation its address
  /// never changes and a larger need is a bug report that names kernel, need and reservation.
  /// Without one it grows to its largest need, which moves it (waiting for the stream).
  void* scratch(const char* what, std::int64_t bytes);
  /// From now on working memory is [memory, memory + bytes), aligned to 256 bytes, the caller's for
  /// as long as this stream works: before its first kernel, so that recorded work (graphs) may hold
  /// the address. What the stream had grown by itself is freed (waiting for the stream).
  void reserve_scratch(void* memory, std::int64_t bytes);
  /// The largest need so far.
  std::int64_t scratch_used() const { return scratch_used_; }
  /// Where it lies: graphs hold its address.
  const void* scratch_place() const { return scratch_at_; }

 private:
  void* handle_;
  DeviceMemory scratch_;  // its own, without a reservation
  void* scratch_at_ = nullptr;
  std::int64_t scratch_bytes_ = 0;
  std::int64_t scratch_used_ = 0;
  bool reserved_ = false;
};

/// Work of one stream that was recorded, and is given to a stream again as a whole, by one call. It
/// holds the arguments of its kernels and copies as they were then: numbers, addresses, the
/// stream's scratch memory among them. Launches of one graph run one after the other.
class Graph {
 public:
  Graph() = default;
  ~Graph();
  Graph(Graph&& other) noexcept;
  Graph& operator=(Graph&& other) noexcept;

  bool empty() const { return handle_ == nullptr; }
  /// Asynchronous, as what was recorded; it may be recorded again or end before the work is done.
  void launch(const Stream& stream) const;

 private:
  friend class Recording;
  void* handle_ = nullptr;
};

/// For its lifetime, what this thread gives to `stream` is recorded and not done. Other streams,
/// and other threads, go on as ever. Meanwhile this thread takes and gives back no memory, and
/// nothing waits for the stream or orders it behind another: the call that does so throws, or
/// into() does.
class Recording {
 public:
  explicit Recording(const Stream& stream);
  /// What was recorded is dropped, unless into() took it.
  ~Recording();
  Recording(const Recording&) = delete;
  Recording& operator=(const Recording&) = delete;

  /// Ends it. `graph` is what was recorded: with new arguments where it holds the same kernels in
  /// the same order already, or made anew, which takes some device memory.
  void into(Graph& graph);

 private:
  const Stream* stream_;  // null: ended
};

/// For its lifetime, kernels and copies that this thread calls with device memory go to `stream`.
class StreamScope {
 public:
  explicit StreamScope(Stream& stream);
  ~StreamScope();
  StreamScope(const StreamScope&) = delete;
  StreamScope& operator=(const StreamScope&) = delete;

 private:
  Stream* previous_;
};

/// This thread's stream; none is a bug and says so.
Stream& current_stream();

/// Copies between any two spaces in the current stream: asynchronous, except where the host side is
/// not pinned (then it may wait). Both stay valid until the copy is done.
void copy_bytes(void* to, const void* from, std::int64_t bytes);

/// Whether these views lie in device memory; empty ones say nothing. Some here and some there is a
/// bug, which `what` names.
bool on_device(const char* what, std::initializer_list<const TensorView*> views);

}  // namespace trireme
