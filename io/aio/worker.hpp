#pragma once
// One thread of an engine: keeps up to queue_depth blocks in flight in a context of its own, and
// sleeps on one eventfd that both completions and new transfers count up.

#include "io/aio/kernel.hpp"
#include "io/aio/transfers.hpp"

#include <atomic>
#include <thread>

namespace trireme::io::aio {

class Worker {
 public:
  /// Exit::kFile when the kernel gives no context. `transfers` and `kernel` outlive the worker.
  Worker(const Settings& settings, Transfers& transfers, Kernel& kernel);
  /// Finishes what has started; `transfers` must be closed.
  ~Worker();
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;

  /// Looks for new transfers.
  void wake();

  std::int64_t requests() const { return requests_.load(std::memory_order_relaxed); }
  std::int64_t submits() const { return submits_.load(std::memory_order_relaxed); }

 private:
  struct Request {
    iocb call;
    Block block;             // as taken
    std::int64_t moved = 0;  // bytes of it that are moved
    int interruptions = 0;   // completions that moved nothing and asked for another try
  };

  void release() noexcept;
  void run() noexcept;
  void serve();
  bool take();
  void start(Request& request);
  void submit();
  void no_memory_to_submit();
  void sleep();
  void reap();
  void completed(Request& request, std::int64_t result);
  void retire(Request& request, const Trouble& trouble);
  Trouble trouble_of(const Request& request, Trouble::Kind kind, int error = 0) const;
  std::int64_t in_flight() const;

  const Settings settings_;
  Transfers& transfers_;
  Kernel& kernel_;
  io_context_t context_ = nullptr;
  int eventfd_ = -1;
  std::vector<Request> all_;
  std::vector<Request*> free_;
  std::vector<iocb*> ready_;  // to be submitted, in order
  std::vector<Block> blocks_;
  std::vector<io_event> events_;
  int fruitless_submits_ = 0;
  std::atomic<std::int64_t> requests_{0};
  std::atomic<std::int64_t> submits_{0};
  std::thread thread_;
};

}  // namespace trireme::io::aio
