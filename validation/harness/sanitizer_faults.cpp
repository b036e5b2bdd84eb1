// Faults that a sanitizer build must report: sanitizer_faults overflow | undefined | race.

#include <cstdio>
#include <cstring>
#include <limits>
#include <thread>
#include <vector>

namespace {

int read_past_the_end(int n) {
  std::vector<int> values(8, 1);
  return values.data()[n];
}

int overflow_an_int(int n) { return std::numeric_limits<int>::max() - 8 + n + n; }

int race_on_an_int(int n) {
  int shared = 0;
  std::thread other([&] {
    for (int i = 0; i < 1000 * n; ++i) shared = shared + 1;
  });
  for (int i = 0; i < 1000 * n; ++i) shared = shared + 1;
  other.join();
  return shared;
}

}  // namespace

int main(int argc, char** argv) {
  const char* fault = argc == 2 ? argv[1] : "";
  const int n = 8 * argc / 2;  // 8, and the compiler does not know it
  if (std::strcmp(fault, "overflow") == 0) std::printf("%d\n", read_past_the_end(n));
  if (std::strcmp(fault, "undefined") == 0) std::printf("%d\n", overflow_an_int(n));
  if (std::strcmp(fault, "race") == 0) std::printf("%d\n", race_on_an_int(n));
  std::puts("the fault went unseen");
  return 0;
}
