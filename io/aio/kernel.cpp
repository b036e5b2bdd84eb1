#include "io/aio/kernel.hpp"

#include <ctime>

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

}  // namespace

Kernel& system_kernel() {
  static Libaio libaio;
  return libaio;
}

}  // namespace trireme::io::aio
