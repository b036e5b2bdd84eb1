#pragma once
// The memory space of kernel tests. One source of cases serves every back end: with
// TRIREME_TEST_SPACE=device in the environment every TestTensor's view lies in device memory, and
// the kernels that run are the device's: a GPU's (validation/gpu/run) or the emulated one's
// (validation/emulation).

#include "kernels/base/device.hpp"
#include "validation/harness/runtime_fixture.hpp"

#include <cstdint>
#include <span>
#include <vector>

namespace trireme::validation {

/// Write once a test file, at namespace scope, in place of with_runtime: with the Runtime comes,
/// where the space is the device, its back end with a stream for the test's thread.
const testing::Environment* with_runtime_and_device(int threads);
/// Its Runtime, while tests run.
const Runtime& test_runtime();
/// run.device of a deck in the test's space: "cuda" or "cpu".
const char* test_device();

/// Where TestTensors are viewed: host until the environment above has chosen the device.
MemorySpace test_space();

/// A run in the test's space may differ from the host's by so many bound(): 1 on the host. A device
/// has exponentials, quotients and roots of its own, and bound() is about orders of summation
/// alone.
double bounds_from_host();

/// Base of fixtures whose cases multiply in fp8: skipped, and counted, on a GPU that can't.
class Fp8Cases : public testing::Test {
 protected:
  void SetUp() override;
};

/// How many random cases a law tries: `few`, times what TRIREME_TEST_CASES in the environment says.
/// A GPU is done with many in the time that the emulated one takes for few.
int law_cases(int few);

/// Bytes that kernels see in the test's memory space: host memory whose copy in device memory is
/// made at the first view and read back when the values are asked for.
class SpaceBytes {
 public:
  SpaceBytes() = default;
  explicit SpaceBytes(std::vector<std::byte> bytes) : host_(std::move(bytes)) {}
  SpaceBytes(const SpaceBytes& other) : host_(other.read()) {}
  SpaceBytes& operator=(const SpaceBytes& other);
  SpaceBytes(SpaceBytes&&) = default;
  SpaceBytes& operator=(SpaceBytes&&) = default;

  /// What a kernel may read and write; valid until the object ends.
  void* view() const;
  /// The bytes as they are now.
  const std::vector<std::byte>& read() const;
  void write(std::size_t at, const void* from, std::size_t bytes);

 private:
  mutable std::vector<std::byte> host_;
  mutable DeviceMemory device_;
};

/// A vector of numbers that kernels see in the test's space: ids, moments, limbs.
template <class T>
class SpaceVector {
 public:
  explicit SpaceVector(const std::vector<T>& values)
      : size_(static_cast<std::int64_t>(values.size())),
        bytes_({reinterpret_cast<const std::byte*>(values.data()),
                reinterpret_cast<const std::byte*>(values.data() + values.size())}) {}
  T* data() const { return static_cast<T*>(bytes_.view()); }
  std::int64_t size() const { return size_; }
  std::span<T> span() const { return {data(), static_cast<std::size_t>(size_)}; }
  TensorView view() const { return view({size_}); }
  TensorView view(Shape shape) const { return {data(), shape, dtype_of<T>, 0, test_space()}; }
  std::vector<T> values() const {
    const auto& bytes = bytes_.read();
    const auto* first = reinterpret_cast<const T*>(bytes.data());
    return {first, first + size_};
  }

 private:
  std::int64_t size_;
  SpaceBytes bytes_;
};

/// Ids that do not change: read by the test on the host, by kernels in the test's space.
class TestIds {
 public:
  TestIds(std::vector<std::int32_t> ids) : ids_(std::move(ids)), bytes_(ids_) {}
  std::int32_t operator[](std::size_t i) const { return ids_[i]; }
  std::size_t size() const { return ids_.size(); }
  auto begin() const { return ids_.begin(); }
  auto end() const { return ids_.end(); }
  TensorView view() const { return bytes_.view(); }

 private:
  std::vector<std::int32_t> ids_;
  SpaceVector<std::int32_t> bytes_;
};

/// The ways a kernel is run in to give the same bits: on a device its own, twice.
inline std::span<const Way> ways() {
  const std::span<const Way> all(kEveryWay);
  return test_space() == MemorySpace::host ? all : all.first(2);
}

}  // namespace trireme::validation
