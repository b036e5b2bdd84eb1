#pragma once
// The four calls of the kernel's asynchronous I/O (io_setup(2) and its kin) that the engine makes;
// tests stand in for them to plant faults.

#include <span>

#include <libaio.h>

namespace trireme::io::aio {

/// Calls are made from several threads at once, each with a context of its own.
class Kernel {
 public:
  virtual ~Kernel() = default;

  /// Room for `depth` requests; 0 or -errno (EAGAIN: the machine's fs.aio-max-nr is used up).
  virtual int create(int depth, io_context_t& context) = 0;
  /// Starts requests in order; how many were taken, or -errno that concerns the first. The memory
  /// of a request belongs to the kernel until its event was reaped.
  virtual int submit(io_context_t context, std::span<iocb*> requests) = 0;
  /// Events that are there, without waiting; how many, or -errno. A completed request also counts
  /// up the eventfd that it names.
  virtual int reap(io_context_t context, std::span<io_event> events) = 0;
  /// Returns when nothing of the context is in flight any more.
  virtual void destroy(io_context_t context) = 0;
};

/// The real one, libaio.
Kernel& system_kernel();

/// Moves each request by pread or pwrite within submit(), one a call: for engines whose threads
/// may block (a queue_depth of 1 each) and which must work where fs.aio-max-nr is used up.
Kernel& blocking_kernel();

}  // namespace trireme::io::aio
