#pragma once
// Work in parallel, results in order, memory bounded by one item a thread.

#include <condition_variable>
#include <cstdint>
#include <exception>
#include <mutex>
#include <thread>
#include <vector>

namespace trireme::io {

/// `threads` workers repeat: take(item) (one worker at a time; false = no more), work(worker, item)
/// -> result (in parallel), put(result) (one at a time, in the order of take). Returns when all is
/// put; the first exception of any of the three stops the others and is rethrown.
template <class Item, class Take, class Work, class Put>
void run_ordered(int threads, const Take& take, const Work& work, const Put& put) {
  std::mutex taking;
  std::mutex putting;
  std::condition_variable turn_changed;
  std::int64_t taken = 0;
  std::int64_t turn = 0;
  bool stopped = false;  // guarded by putting
  std::exception_ptr error;

  const auto stop = [&] {
    const std::scoped_lock lock(putting);
    if (!stopped) error = std::current_exception();
    stopped = true;
    turn_changed.notify_all();
  };
  const auto is_stopped = [&] {
    const std::scoped_lock lock(putting);
    return stopped;
  };
  /// The number of the item taken; -1 = no more.
  const auto take_next = [&](Item& item) -> std::int64_t {
    const std::scoped_lock lock(taking);
    if (is_stopped()) return -1;
    try {
      return take(item) ? taken++ : -1;
    } catch (...) {
      stop();  // before another worker takes what follows the failed item
      return -1;
    }
  };
  const auto loop = [&](int worker) {
    Item item;
    for (std::int64_t mine = take_next(item); mine >= 0; mine = take_next(item)) {
      auto result = work(worker, item);
      std::unique_lock lock(putting);
      turn_changed.wait(lock, [&] { return turn == mine || stopped; });
      if (stopped) return;
      put(std::move(result));
      ++turn;
      turn_changed.notify_all();
    }
  };
  {
    std::vector<std::jthread> workers;
    for (int worker = 0; worker < threads; ++worker)
      workers.emplace_back([&, worker] {
        try {
          loop(worker);
        } catch (...) {
          stop();
        }
      });
  }
  if (error) std::rethrow_exception(error);
}

}  // namespace trireme::io
