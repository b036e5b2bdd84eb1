#include "io/aio/kernel.hpp"

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <ctime>
#include <vector>

#include <unistd.h>

namespace trireme::io::aio {
namespace {

class Libaio final : public Kernel {
 public:
  int create(int depth, io_context_t& context) override { return io_setup(depth, &context); }
  int submit(io_context_t context, std::span<iocb*> requests) override {
    return io_submit(context, static_cast<long>(requests.size()), requests.data());
  }
  int reap(io_context_t context, std::span<io_event> events) override {
    timespec at_once{};
    return io_getevents(context, 0, static_cast<long>(events.size()), events.data(), &at_once);
  }
  void destroy(io_context_t context) override { io_destroy(context); }
};

/// A context is a list of events; only its own thread uses it.
class Blocking final : public Kernel {
 public:
  int create(int, io_context_t& context) override {
    context = reinterpret_cast<io_context_t>(new Events);
    return 0;
  }
  int submit(io_context_t context, std::span<iocb*> requests) override {
    iocb& request = *requests.front();
    const auto& what = request.u.c;
    const ssize_t moved = request.aio_lio_opcode == IO_CMD_PREAD
                              ? ::pread(request.aio_fildes, what.buf, what.nbytes, what.offset)
                              : ::pwrite(request.aio_fildes, what.buf, what.nbytes, what.offset);
    io_event event{};
    event.data = request.data;
    event.res = static_cast<unsigned long>(moved < 0 ? -errno : moved);
    events(context).push_back(event);
    const std::uint64_t one = 1;
    [[maybe_unused]] const ssize_t told = ::write(static_cast<int>(what.resfd), &one, sizeof(one));
    return 1;
  }
  int reap(io_context_t context, std::span<io_event> out) override {
    Events& waiting = events(context);
    const std::size_t count = std::min(out.size(), waiting.size());
    std::copy_n(waiting.begin(), count, out.begin());
    waiting.erase(waiting.begin(), waiting.begin() + static_cast<std::ptrdiff_t>(count));
    return static_cast<int>(count);
  }
  void destroy(io_context_t context) override { delete &events(context); }

 private:
  using Events = std::vector<io_event>;
  static Events& events(io_context_t context) { return *reinterpret_cast<Events*>(context); }
};

}  // namespace

Kernel& system_kernel() {
  static Libaio libaio;
  return libaio;
}

Kernel& blocking_kernel() {
  static Blocking blocking;
  return blocking;
}

}  // namespace trireme::io::aio
