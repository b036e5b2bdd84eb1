#include "kernels/base/device.hpp"

#include "kernels/base/device_backend.hpp"

#include <algorithm>
#include <utility>

namespace trireme {
namespace {

DeviceBackend* g_backend = nullptr;
int g_device = 0;  // selected last
thread_local Stream* t_stream = nullptr;

}  // namespace

void use_device_backend(DeviceBackend& backend) {
  check(g_backend == nullptr || g_backend == &backend, Exit::kUnexpected,
        "a second device back end was chosen while the first is in use");
  g_backend = &backend;
}

DeviceBackend& device_backend() {
  check(g_backend != nullptr, Exit::kUsage,
        "this program was built without a GPU back end: configure with -DTRIREME_CUDA=ON (preset "
        "cuda) where the CUDA toolkit is, or run on the host");
  return *g_backend;
}

int device_count() { return device_backend().count(); }
void select_device(int index) {
  device_backend().select(index);
  g_device = index;
}
int selected_device() { return g_device; }
void adopt_device() { device_backend().select(g_device); }
DeviceInfo describe_device(int index) { return device_backend().describe(index); }
DeviceMemoryState device_memory_state() { return device_backend().memory_state(); }

DeviceMemory::DeviceMemory(std::int64_t bytes)
    : data_(bytes > 0 ? device_backend().allocate(bytes) : nullptr), bytes_(bytes) {}
DeviceMemory::~DeviceMemory() {
  if (data_) device_backend().free(data_);
}
DeviceMemory::DeviceMemory(DeviceMemory&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)), bytes_(std::exchange(other.bytes_, 0)) {}
DeviceMemory& DeviceMemory::operator=(DeviceMemory&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(bytes_, other.bytes_);
  return *this;
}

PinnedMemory::PinnedMemory(std::int64_t bytes)
    : data_(bytes > 0 ? device_backend().allocate_pinned(bytes) : nullptr), bytes_(bytes) {}
PinnedMemory::~PinnedMemory() {
  if (data_) device_backend().free_pinned(data_);
}
PinnedMemory::PinnedMemory(PinnedMemory&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)), bytes_(std::exchange(other.bytes_, 0)) {}
PinnedMemory& PinnedMemory::operator=(PinnedMemory&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(bytes_, other.bytes_);
  return *this;
}

PinnedRange::PinnedRange(void* memory, std::int64_t bytes) : memory_(bytes > 0 ? memory : nullptr) {
  if (memory_) device_backend().pin(memory_, bytes);
}
PinnedRange::~PinnedRange() {
  if (memory_) device_backend().unpin(memory_);
}

Event::Event() : handle_(device_backend().make_event()) {}
Event::~Event() { device_backend().end_event(handle_); }
void Event::record(const Stream& stream) { device_backend().record(handle_, stream.handle()); }
void Event::record_inside(const Stream& stream) {
  device_backend().record_inside(handle_, stream.handle());
}
void Event::order(const Stream& stream) const { device_backend().order(handle_, stream.handle()); }
void Event::wait() const { device_backend().wait_event(handle_); }
bool Event::done() const { return device_backend().is_done(handle_); }
double Event::seconds(const Event& from, const Event& to) {
  return device_backend().seconds(from.handle_, to.handle_);
}

Stream::Stream() : handle_(device_backend().make_stream()) {}
Stream::~Stream() { device_backend().end_stream(handle_); }
void Stream::wait() const { device_backend().wait_stream(handle_); }

void* Stream::scratch(const char* what, std::int64_t bytes) {
  scratch_used_ = std::max(scratch_used_, bytes);
  if (bytes <= scratch_bytes_) return scratch_at_;
  check(!reserved_, Exit::kUnexpected,
        "{} needs {} bytes of working memory, and {} were reserved for this stream: the plan was "
        "told too little",
        what, bytes, scratch_bytes_);
  wait();  // earlier kernels still use the old memory
  scratch_ = DeviceMemory();
  scratch_ = DeviceMemory(bytes);
  scratch_at_ = scratch_.data();
  scratch_bytes_ = bytes;
  return scratch_at_;
}

void Stream::reserve_scratch(void* memory, std::int64_t bytes) {
  if (scratch_.bytes() > 0) wait();
  scratch_ = DeviceMemory();
  scratch_at_ = memory;
  scratch_bytes_ = bytes;
  reserved_ = true;
}

Graph::~Graph() {
  if (handle_) device_backend().end_graph(handle_);
}
Graph::Graph(Graph&& other) noexcept : handle_(std::exchange(other.handle_, nullptr)) {}
Graph& Graph::operator=(Graph&& other) noexcept {
  std::swap(handle_, other.handle_);
  return *this;
}
void Graph::launch(const Stream& stream) const {
  check(handle_ != nullptr, Exit::kUnexpected, "a graph was launched that holds nothing");
  device_backend().launch(handle_, stream.handle());
}

Recording::Recording(const Stream& stream) : stream_(&stream) {
  device_backend().begin_recording(stream.handle());
}
Recording::~Recording() {
  if (stream_) device_backend().drop_recording(stream_->handle());
}
void Recording::into(Graph& graph) {
  device_backend().end_recording(std::exchange(stream_, nullptr)->handle(), graph.handle_);
}

StreamScope::StreamScope(Stream& stream) : previous_(std::exchange(t_stream, &stream)) {}
StreamScope::~StreamScope() { t_stream = previous_; }

Stream& current_stream() {
  check(t_stream != nullptr, Exit::kUnexpected,
        "a kernel was called with device memory on a thread without a StreamScope");
  return *t_stream;
}

void copy_bytes(void* to, const void* from, std::int64_t bytes) {
  if (bytes > 0) device_backend().copy(to, from, bytes, current_stream().handle());
}

bool on_device(const char* what, std::initializer_list<const TensorView*> views) {
  const TensorView* first = nullptr;
  for (const TensorView* view : views) {
    if (!*view) continue;
    if (!first) first = view;
    check(view->space == first->space, Exit::kUnexpected,
          "{} was called with views in host and in device memory: {} and {}", what,
          first->shape.text(), view->shape.text());
  }
  return first && first->space == MemorySpace::device;
}

}  // namespace trireme
