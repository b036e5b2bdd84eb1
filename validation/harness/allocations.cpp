#include "validation/harness/allocations.hpp"

#include <cxxabi.h>
#include <execinfo.h>
#include <link.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <new>

namespace {

constexpr int kFrames = 24;
constexpr int kStacks = 4;

struct Stack {
  std::array<void*, kFrames> frames{};
  std::atomic<int> depth{0};  // 0: not complete
};

std::atomic<bool> watching{false};
std::atomic<std::int64_t> allocations{0};
std::array<Stack, kStacks> stacks;

/// Where the code of libraries lies that take memory behind their C interfaces: oneDNN builds a map
/// of its arguments at each execution; what NVIDIA's do is theirs.
struct CodeRange {
  std::uintptr_t begin = 0;
  std::uintptr_t end = 0;
};
constexpr const char* kLibraries[]{"libdnnl", "libcuda", "libcublas", "libcudnn", "libnccl"};
struct CodeRanges {
  std::array<CodeRange, 16> all;
  std::size_t count = 0;
};

int add_library(dl_phdr_info* info, std::size_t, void* found) {
  auto& ranges = *static_cast<CodeRanges*>(found);
  const auto is_it = [&](const char* name) {
    return std::strstr(info->dlpi_name, name) != nullptr;
  };
  if (std::none_of(std::begin(kLibraries), std::end(kLibraries), is_it)) return 0;
  for (int i = 0; i < info->dlpi_phnum && ranges.count < ranges.all.size(); ++i) {
    const auto& header = info->dlpi_phdr[i];
    if (header.p_type != PT_LOAD || !(header.p_flags & PF_X)) continue;
    const std::uintptr_t begin = info->dlpi_addr + header.p_vaddr;
    ranges.all[ranges.count++] = {begin, begin + header.p_memsz};
  }
  return 0;
}

bool called_by_library(const void* caller) {
  static const CodeRanges ranges = [] {
    CodeRanges found;
    dl_iterate_phdr(add_library, &found);
    return found;
  }();
  const auto at = reinterpret_cast<std::uintptr_t>(caller);
  return std::any_of(ranges.all.begin(),
                     ranges.all.begin() + static_cast<std::ptrdiff_t>(ranges.count),
                     [&](const CodeRange& range) { return at >= range.begin && at < range.end; });
}

void count(const void* caller) {
  if (!watching.load(std::memory_order_relaxed) || called_by_library(caller)) return;
  const std::int64_t number = allocations.fetch_add(1, std::memory_order_relaxed);
  if (number >= kStacks) return;
  Stack& stack = stacks[static_cast<std::size_t>(number)];
  stack.depth = backtrace(stack.frames.data(), kFrames);
}

/// "program(mangled+0x1f) [0x...]" with the name readable.
std::string readable(const std::string& symbol) {
  const std::size_t open = symbol.find('(');
  const std::size_t plus = symbol.find('+', open);
  if (open == std::string::npos || plus == std::string::npos) return symbol;
  int status = 0;
  const std::unique_ptr<char, void (*)(void*)> name(
      abi::__cxa_demangle(symbol.substr(open + 1, plus - open - 1).c_str(), nullptr, nullptr,
                          &status),
      std::free);
  return status == 0 ? name.get() : symbol;
}

}  // namespace

[[gnu::noinline]] void* operator new(std::size_t bytes) {
  count(__builtin_return_address(0));
  if (void* memory = std::malloc(bytes == 0 ? 1 : bytes)) return memory;
  throw std::bad_alloc();
}
[[gnu::noinline]] void operator delete(void* memory) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }

namespace trireme::validation {

AllocationWatch::AllocationWatch() {
  void* frame = nullptr;
  backtrace(&frame, 1);  // loads what it needs at its first call
  for (Stack& stack : stacks) stack.depth = 0;
  allocations = 0;
  watching = true;
}

AllocationWatch::~AllocationWatch() { watching = false; }

std::int64_t AllocationWatch::count() const { return allocations; }

std::string AllocationWatch::where() const {
  watching = false;
  std::string text;
  for (const Stack& stack : stacks) {
    const int depth = stack.depth;
    const std::unique_ptr<char*, void (*)(void*)> symbols(
        backtrace_symbols(stack.frames.data(), depth), std::free);
    for (int i = 0; i < depth; ++i) text += readable(symbols.get()[i]) + "\n";
    if (depth > 0) text += "\n";
  }
  return text;
}

}  // namespace trireme::validation
