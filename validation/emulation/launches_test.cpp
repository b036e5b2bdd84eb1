// How many kernels a call launches: what a program of small tensors spends its time on.

#include "kernels/optimizer/optimizer.hpp"
#include "validation/emulation/emulation.hpp"
#include "validation/harness/reference_math.hpp"

#include <vector>

namespace trireme::kernels {
namespace {

const auto* const kRuntime = validation::with_runtime_and_device(1);
constexpr std::int64_t kCount = 4096;

template <class Call>
std::int64_t launches_of(const Call& call) {
  const std::int64_t before = emulation::launches();
  call();
  return emulation::launches() - before;
}

/// A range with so many stretches without decay, updated by AdamW, SGD and Lion.
std::vector<std::int64_t> launches_of_updates(std::int64_t stretches) {
  const auto made = [] { return validation::SpaceVector<float>(std::vector<float>(kCount)); };
  const auto p = made(), g = made(), m = made(), v = made();
  std::vector<Range> undecayed;
  for (std::int64_t i = 0; i < stretches; ++i) undecayed.push_back({8 * i + 3, 8 * i + 6});
  UpdateRange range{.master = p.span(),
                    .weights = {},
                    .gradient = g.span(),
                    .undecayed = undecayed,
                    .space = MemorySpace::device};
  return {launches_of([&] { adam_update({}, 1, range, m.span(), v.span()); }), launches_of([&] {
            sgd_update({0.9, 0, false}, 1, range, m.span());
          }),
          launches_of([&] { lion_update({}, range, m.span()); })};
}

TEST(Launches, OfAnUpdateAreOneWhateverItsParameters) {
  using Counts = std::vector<std::int64_t>;
  for (const std::int64_t stretches : {0, 1, 8, 64})
    EXPECT_EQ(launches_of_updates(stretches), Counts({1, 1, 1})) << stretches;
  // A launch's arguments have room for 64.
  EXPECT_EQ(launches_of_updates(65), Counts({2, 2, 2}));
  EXPECT_EQ(launches_of_updates(500), Counts({8, 8, 8}));
}

}  // namespace
}  // namespace trireme::kernels
