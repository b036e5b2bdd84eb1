#include "io/aio/settings.hpp"

#include "kernels/base/error.hpp"

namespace trireme::io::aio {
namespace {

constexpr std::int64_t kLargestBlock = std::int64_t{1} << 30;  // the kernel moves 2 GiB at most
constexpr std::int64_t kDeepest = 65536;                       // contexts of the whole machine
constexpr std::int64_t kMostThreads = 256;

}  // namespace

void check_settings(const Settings& settings) {
  check(settings.block_size > 0 && settings.block_size % kAlignment == 0 &&
            settings.block_size <= kLargestBlock,
        Exit::kUsage, "aio.block_size: expected a multiple of {} up to {}, found {}", kAlignment,
        kLargestBlock, settings.block_size);
  check(settings.queue_depth > 0 && settings.queue_depth <= kDeepest, Exit::kUsage,
        "aio.queue_depth: expected 1 to {}, found {}", kDeepest, settings.queue_depth);
  check(settings.threads > 0 && settings.threads <= kMostThreads, Exit::kUsage,
        "aio.intra_op_parallelism: expected 1 to {}, found {}", kMostThreads, settings.threads);
  check(settings.max_transfers > 0, Exit::kUnexpected,
        "expected room for at least one transfer, found {}", settings.max_transfers);
}

}  // namespace trireme::io::aio
