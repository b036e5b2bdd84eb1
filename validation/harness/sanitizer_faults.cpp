// Faults that a sanitizer build must report, and their sound twins that it must let pass:
//   sanitizer_faults overflow | scope | undefined | misaligned | cast | race | sound
// The compiler must not see them coming, so everything hangs on a number it cannot know.

#include <cstdint>
#include <cstdio>
#include <cstring>
#include <functional>
#include <limits>
#include <map>
#include <string>
#include <thread>
#include <vector>

namespace {

int read_past_the_end(int n) {
  std::vector<int> values(8, 1);
  return values.data()[n];
}

int read_after_its_scope(int n) {
  int* volatile kept = nullptr;  // out of sight of the compiler, which would warn
  {
    int values[8] = {1, 2, 3, 4, 5, 6, 7, 8};
    kept = values + n - 8;
  }
  return *kept;
}

int overflow_an_int(int n) { return std::numeric_limits<int>::max() - 8 + n + n; }

int read_at_an_odd_address(int n) {
  const std::vector<char> bytes(64, 1);
  return *reinterpret_cast<const int*>(bytes.data() + n - 7);
}

int cast_what_no_int_holds(int n) {
  const float large = 1e9F * static_cast<float>(n);
  return static_cast<int>(large);
}

int race_on_an_int(int n) {
  int shared = 0;
  std::thread other([&] {
    for (int i = 0; i < 1000 * n; ++i) shared = shared + 1;
  });
  for (int i = 0; i < 1000 * n; ++i) shared = shared + 1;
  other.join();
  return shared;
}

int sound(int n) {
  std::vector<int> values(8, n);
  int shared = values[7];
  std::thread other([&] { ++shared; });
  other.join();
  return shared;
}

}  // namespace

int main(int argc, char** argv) {
  const std::map<std::string, std::function<int(int)>> faults = {
      {"overflow", read_past_the_end},
      {"scope", read_after_its_scope},
      {"undefined", overflow_an_int},
      {"misaligned", read_at_an_odd_address},
      {"cast", cast_what_no_int_holds},
      {"race", race_on_an_int},
      {"sound", sound}};
  const auto fault = faults.find(argc == 2 ? argv[1] : "");
  if (fault == faults.end()) {
    std::fputs("sanitizer_faults wants the name of a fault\n", stderr);
    return 2;
  }
  std::printf("%d\n", fault->second(8 * argc / 2));  // 8
  return 0;
}
