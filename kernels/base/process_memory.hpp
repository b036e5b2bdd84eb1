#pragma once
// What the operating system says about this process's memory. Linux; all of it is 0 where /proc is
// not there.

#include <cstdint>

namespace trireme {

/// Resident bytes, a page that n processes share counted as 1/n (PSS), so that the ranks of a node
/// add up. Takes milliseconds on large processes.
std::int64_t proportional_set_bytes();
/// Largest resident set so far; shared pages count for every process.
std::int64_t peak_resident_bytes();
/// Bytes of [begin, begin + bytes) whose pages are in memory: touched and not swapped out. The
/// range is mapped. Allocates nothing.
std::int64_t bytes_in_memory(const void* begin, std::int64_t bytes);

}  // namespace trireme
