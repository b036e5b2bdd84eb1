#pragma once
// A kernel that can be told to misbehave, and that remembers what was asked of it.

#include "io/aio/kernel.hpp"

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <mutex>
#include <vector>

namespace trireme::test {

/// What becomes of a request. `result` counts when it is not kMove: the event carries it and
/// nothing is moved. Of a request that is moved, at most `bytes` are.
struct Fate {
  static constexpr std::int64_t kMove = INT64_MIN;
  std::int64_t result = kMove;
  std::int64_t bytes = INT64_MAX;
};

class PlantedKernel : public io::aio::Kernel {
 public:
  // ---- the plan: set before the engine is made
  // ---------------------------------------------------
  /// Called for each request in the order of submission, with its number from 0.
  std::function<Fate(const iocb&, std::int64_t number)> fate;
  /// Answer of the submit call with this number instead of taking the requests: -errno or 0; 1: as
  /// usual.
  std::function<int(std::int64_t call)> answer;
  /// Requests that one submit call takes at most.
  std::size_t most_at_once = SIZE_MAX;
  /// What create() answers.
  int create_result = 0;
  /// Requests stay with the kernel until release().
  bool hold = false;

  // ---- what happened
  // -----------------------------------------------------------------------------
  /// Waits (10 s at most) until `count` requests are held; whether they are.
  bool wait_for_held(std::size_t count);
  std::size_t held();
  /// Lets the `count` oldest of the held requests go on.
  void release(std::size_t count);
  /// Ends holding for good.
  void release_all();
  /// File offsets of the requests in the order of submission.
  std::vector<std::int64_t> offsets();
  std::int64_t submit_calls();

  int create(int depth, io_context_t& context) override;
  int submit(io_context_t context, std::span<iocb*> requests) override;
  int reap(io_context_t context, std::span<io_event> events) override;
  void destroy(io_context_t context) override;

 private:
  struct Held {
    io_context_t context;
    iocb* request;
  };
  void pass_on(io_context_t context, iocb* request);

  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Held> held_;
  std::map<io_context_t, std::deque<io_event>> made_up_;
  std::vector<std::int64_t> offsets_;
  std::int64_t calls_ = 0;
};

}  // namespace trireme::test
