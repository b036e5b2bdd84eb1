#pragma once
// Counts what this process takes from operator new, on all its threads, and says where. A test that
// asks links allocations.cpp, which replaces operator new.
//
// What oneDNN takes inside execute(), and NVIDIA's libraries inside their calls, is their own and
// not counted: it is told by the code that calls operator new. Open MPI and libgomp are C and take
// their memory from malloc, which is not looked at.

#include <cstdint>
#include <string>

namespace trireme::validation {

/// Counts from its construction on. One at a time.
class AllocationWatch {
 public:
  AllocationWatch();
  ~AllocationWatch();
  AllocationWatch(const AllocationWatch&) = delete;
  AllocationWatch& operator=(const AllocationWatch&) = delete;

  std::int64_t count() const;
  /// Call stacks of the first few allocations, innermost call first. Ends the watch.
  std::string where() const;
};

}  // namespace trireme::validation
