#pragma once
// What a vendor's runtime must give: kernels/base/device.hpp is made of these calls, and
// kernels/device_kernels.hpp of the kernels. Functions report failure by throwing Error as
// device.hpp says. Private to kernels/.

#include "kernels/base/device.hpp"
#include "kernels/base/device_links.hpp"

namespace trireme {

namespace kernels {
struct DeviceKernels;
}

/// What kernels/base/device_links.hpp is made of; handles are links.
class LinkBackend {
 public:
  virtual ~LinkBackend() = default;

  virtual std::string describe() = 0;
  virtual LinkKey make_key() = 0;
  virtual void* join(const LinkKey& key, int members, int index, double limit_seconds) = 0;
  virtual void leave(void* link) noexcept = 0;
  virtual void exchange(void* link, std::span<const LinkMove> moves, void* stream) = 0;
  virtual void all_gather(void* link, const void* part, void* whole, std::int64_t bytes,
                          void* stream) = 0;
  virtual void broadcast(void* link, void* data, std::int64_t bytes, int root, void* stream) = 0;
  virtual std::string wrong(void* link) = 0;
  virtual void abandon(void* link) noexcept = 0;
};

class DeviceBackend {
 public:
  virtual ~DeviceBackend() = default;

  virtual const kernels::DeviceKernels& kernels() const = 0;
  virtual LinkBackend& links() = 0;

  virtual int count() = 0;
  virtual void select(int index) = 0;
  virtual DeviceInfo describe(int index) = 0;
  virtual DeviceMemoryState memory_state() = 0;

  virtual void* allocate(std::int64_t bytes) = 0;
  virtual void free(void* memory) noexcept = 0;
  virtual void* allocate_pinned(std::int64_t bytes) = 0;
  virtual void free_pinned(void* memory) noexcept = 0;

  virtual void pin(void* memory, std::int64_t bytes) = 0;
  virtual void unpin(void* memory) noexcept = 0;

  virtual void* make_stream() = 0;
  virtual void end_stream(void* stream) noexcept = 0;
  virtual void wait_stream(void* stream) = 0;
  virtual void copy(void* to, const void* from, std::int64_t bytes, void* stream) = 0;

  virtual void* make_event() = 0;
  virtual void end_event(void* event) noexcept = 0;
  virtual void record(void* event, void* stream) = 0;
  virtual void order(void* event, void* stream) = 0;
  virtual void wait_event(void* event) = 0;
  virtual bool is_done(void* event) = 0;
  virtual double seconds(void* from, void* to) = 0;

  virtual void begin_recording(void* stream) = 0;
  /// Ends it; `graph`, which may be null, becomes what was recorded.
  virtual void end_recording(void* stream, void*& graph) = 0;
  virtual void drop_recording(void* stream) noexcept = 0;
  virtual void record_inside(void* event, void* stream) = 0;
  virtual void launch(void* graph, void* stream) = 0;
  virtual void end_graph(void* graph) noexcept = 0;
};

/// The back end in use; none is an error that says how to build one.
DeviceBackend& device_backend();

}  // namespace trireme
