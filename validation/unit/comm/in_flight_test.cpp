// How many operations overlap depends on timing; what they cost must not.

#include "validation/harness/allocations.hpp"
#include "validation/unit/comm/collective_cases.hpp"

namespace trireme::comm::test {
namespace {

using validation::AllocationWatch;

class InFlight : public testing::TestWithParam<Way> {};
INSTANTIATE_TEST_SUITE_P(Comm, InFlight, testing::ValuesIn(ways()),
                         [](const auto& way) { return name_of(way.param); });

constexpr std::int64_t kCount = 3000;

/// `overlapping` sends to the next rank, receives from the one before, sums, and broadcasts, all
/// started before the first is waited for. Requests come from outside: they would allocate.
void exchange(Setting& setting, int overlapping, std::vector<Request>& requests) {
  Communicator& all = setting.all();
  const int n = all.size();
  const int next = (all.index() + 1) % n;
  const int before = (all.index() + n - 1) % n;
  requests.clear();
  setting.forget_all();
  for (int i = 0; i < overlapping; ++i) {
    requests.push_back(all.receive(setting.take<float>(kCount), kCount, DType::f32, before, 0));
    requests.push_back(all.send(setting.take<float>(kCount), kCount, DType::f32, next, 0));
    requests.push_back(all.all_reduce(setting.take<float>(kCount), kCount, DType::f32));
    requests.push_back(all.broadcast(setting.take<float>(kCount), kCount, DType::f32, i % n));
  }
  for (Request& request : requests) all.wait(request);
}

TEST_P(InFlight, MoreAtOnceThanEverBeforeAllocateNothing) {
  Setting setting(GetParam());
  constexpr int kMost = 12;
  std::vector<Request> requests;
  requests.reserve(4 * kMost);
  exchange(setting, 1, requests);
  const AllocationWatch watch;
  exchange(setting, kMost, requests);
  const std::int64_t made = watch.count();
  EXPECT_EQ(made, 0) << watch.where();
}

TEST(InFlight, TheWatchSeesWhatADescriptionAllocates) {
  Setting setting(Way::messages);
  const AllocationWatch watch;
  const std::string text = setting.all().describe(Request());
  EXPECT_EQ(watch.count(), 1);
  EXPECT_NE(watch.where().find("Communicator::describe"), std::string::npos) << watch.where();
}

}  // namespace
}  // namespace trireme::comm::test
