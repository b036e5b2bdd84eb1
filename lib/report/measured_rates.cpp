#include "lib/report/measured_rates.hpp"

#include <algorithm>

namespace trireme::report {

void RateSamples::add(const RateSamples& other) {
  flops += other.flops;
  flop_seconds += other.flop_seconds;
  bytes += other.bytes;
  byte_seconds += other.byte_seconds;
  loaded_bytes += other.loaded_bytes;
  load_seconds += other.load_seconds;
  hosted_bytes += other.hosted_bytes;
  host_seconds += other.host_seconds;
  link_bytes_per_second = std::max(link_bytes_per_second, other.link_bytes_per_second);
  if (link_seconds == 0 || (other.link_seconds > 0 && other.link_seconds < link_seconds))
    link_seconds = other.link_seconds;
}

namespace {

/// Time with at least one of several under way, which begin in order.
class BusyTime {
 public:
  void add(const engine::Interval& interval) {
    seconds_ += std::max(0.0, interval.end - std::max(interval.start, end_));
    end_ = std::max(end_, interval.end);
  }
  double seconds() const { return seconds_; }

 private:
  double seconds_ = 0;
  double end_ = -1e300;
};

}  // namespace

RateSamples rate_samples(const program::Compiled& compiled,
                         const std::vector<program::Instruction>& list,
                         const std::vector<engine::Interval>& intervals) {
  RateSamples samples;
  BusyTime storage;
  BusyTime host;
  for (std::size_t i = 0; i < list.size(); ++i) {
    RateSamples one;
    const double seconds = intervals[i].end - intervals[i].start;
    const auto bytes = static_cast<double>(list[i].bytes);
    if (seconds <= 0) continue;
    switch (list[i].lane) {
      case program::Lane::compute:
        if (list[i].flops > 0) {
          one.flops = list[i].flops;
          one.flop_seconds = seconds;
        } else {
          one.bytes = bytes;
          one.byte_seconds = bytes > 0 ? seconds : 0;
        }
        break;
      case program::Lane::comm:
        one.link_bytes_per_second = bytes / seconds;
        one.link_seconds = seconds;
        break;
      case program::Lane::storage:
      case program::Lane::copy_out:
      case program::Lane::copy_in:
        if (program::tier_of(compiled, list[i]) == program::Tier::nvme) {
          one.loaded_bytes = bytes;
          storage.add(intervals[i]);
        } else {
          one.hosted_bytes = bytes;
          host.add(intervals[i]);
        }
        break;
    }
    samples.add(one);
  }
  samples.load_seconds = storage.seconds();
  samples.host_seconds = host.seconds();
  return samples;
}

program::Rates measured_rates(const RateSamples& samples, const program::Rates& otherwise) {
  program::Rates rates = otherwise;
  if (samples.flop_seconds > 0) rates.flops_per_second = samples.flops / samples.flop_seconds;
  if (samples.byte_seconds > 0)
    rates.memory_bytes_per_second = samples.bytes / samples.byte_seconds;
  if (samples.load_seconds > 0)
    rates.storage_bytes_per_second = samples.loaded_bytes / samples.load_seconds;
  if (samples.host_seconds > 0)
    rates.host_bytes_per_second = samples.hosted_bytes / samples.host_seconds;
  if (samples.link_bytes_per_second > 0)
    rates.link_bytes_per_second = samples.link_bytes_per_second;
  if (samples.link_seconds > 0) rates.link_latency = samples.link_seconds;
  return rates;
}

}  // namespace trireme::report
