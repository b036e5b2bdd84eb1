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

  const auto loop = [&](int worker) {
    Item item;
    for (;;) {
      std::int64_t mine = 0;
      {
        const std::scoped_lock lock(taking);
        {
          const std::scoped_lock seen(putting);
          if (stopped) return;
        }
        if (!take(item)) return;
        mine = taken++;
      }
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
          const std::scoped_lock lock(putting);
          if (!stopped) error = std::current_exception();
          stopped = true;
          turn_changed.notify_all();
        }
      });
  }
  if (error) std::rethrow_exception(error);
}

}  // namespace trireme::io
