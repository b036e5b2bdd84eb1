#include "kernels/base/cpu_guard.hpp"

#include "trireme_cpu_needs.hpp"

#include <unistd.h>

#include <cstddef>

namespace trireme {
namespace {

void say(const char* text) {
  const char* end = text;
  while (*end) ++end;
  if (write(STDERR_FILENO, text, static_cast<std::size_t>(end - text)) < 0) return;
}

// Nothing but system calls: it runs before other constructors, and is compiled for any x86-64.
[[gnu::constructor(101)]] void require_instructions() {
  const char* missing = missing_instructions();
  if (!missing) return;
  say("this program was compiled for a CPU with ");
  say(missing);
  say(" (TRIREME_ARCH=");
  say(kBuiltFor);
  say("), which this one lacks; build it here, or with the preset cpu, which any x86-64-v3 runs\n");
  _exit(2);
}

}  // namespace

const char* built_for() { return kBuiltFor; }

}  // namespace trireme
