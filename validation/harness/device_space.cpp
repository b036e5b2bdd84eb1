// The choice of a test program's memory space, in a file of its own: only programs of kernel tests
// refer to a back end.

#include "validation/harness/device_fixture.hpp"

#include <cstdio>
#include <cstdlib>
#include <memory>
#include <optional>

namespace trireme::validation {
namespace {

constexpr int kSkipped = 77;  // SKIP_RETURN_CODE of the tests

class DeviceEnvironment : public RuntimeEnvironment {
 public:
  using RuntimeEnvironment::RuntimeEnvironment;
  void SetUp() override {
    RuntimeEnvironment::SetUp();
    if (test_space() == MemorySpace::host) return;
    DeviceBackend* backend = linked_device_backend();
    check(backend != nullptr, Exit::kUsage, "this test program was linked without a device");
    use_device_backend(*backend);
    try {
      select_device(0);
    } catch (const Error& error) {
      // No device is no fault of the kernels: the program ends here, and ctest counts a skip.
      const bool skip = std::getenv("TRIREME_SKIP_WITHOUT_DEVICE") != nullptr;
      std::fprintf(stderr, "%s: %s\n", skip ? "skipped" : "error", error.what());
      std::_Exit(skip ? kSkipped : static_cast<int>(Exit::kUnexpected));
    }
    stream_ = std::make_unique<Stream>();
    scope_.emplace(*stream_);
  }
  void TearDown() override {
    scope_.reset();
    stream_.reset();
    RuntimeEnvironment::TearDown();
  }

 private:
  std::unique_ptr<Stream> stream_;
  std::optional<StreamScope> scope_;
};

}  // namespace

namespace {

/// Several files of cases may be one program: the first one makes it.
const RuntimeEnvironment& environment(int threads) {
  static const auto* const only = static_cast<RuntimeEnvironment*>(
      testing::AddGlobalTestEnvironment(new DeviceEnvironment(threads)));
  return *only;
}

}  // namespace

const testing::Environment* with_runtime_and_device(int threads) { return &environment(threads); }

const Runtime& test_runtime() { return environment(1).runtime(); }

}  // namespace trireme::validation
