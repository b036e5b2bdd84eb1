// Reduce-scatters and all-gathers over parts that lie apart: the bits of the contiguous ones, gaps
// as they were, bytes as theory counts them, on every way bytes can travel.

#include "kernels/base/error.hpp"
#include "validation/unit/comm/collective_cases.hpp"

#include <span>

namespace trireme::comm::test {
namespace {

const auto* const kRuntime = validation::with_runtime_and_device(1);

class OnEveryWay : public testing::TestWithParam<Way> {};
INSTANTIATE_TEST_SUITE_P(Comm, OnEveryWay, testing::ValuesIn(ways()),
                         [](const auto& way) { return name_of(way.param); });

// Empty, small, either side of the small-message limit of 2, 4 and 8 members, parts larger than a
// chunk, more than one round of staging; without a gap, with small ones, with much larger ones.
constexpr Parts kParts[] = {{0, 0},     {0, 9},       {1, 1},       {1, 4},       {5, 6},
                            {127, 300}, {128, 128},   {129, 1000},  {512, 515},   {513, 1096},
                            {513, 513}, {4099, 4100}, {4099, 6001}, {4099, 5003}, {20021, 20022}};

std::int64_t extent(const Parts& parts, int members) {
  return parts.part == 0 ? 0 : (members - 1) * parts.stride + parts.part;
}

/// Member that element e of the whole belongs to, -1 for a gap.
int owner(const Parts& parts, std::int64_t e) {
  return e % parts.stride < parts.part ? static_cast<int>(e / parts.stride) : -1;
}

/// Where a buffer lies: as the way says, or on odd ranks in plain memory, so that members differ.
template <class T>
T* place_for(Setting& setting, std::int64_t count, bool mixed, std::vector<T>& plain) {
  if (!mixed || setting.world().rank() % 2 == 0) return setting.take<T>(count);
  plain.resize(static_cast<std::size_t>(count) + 1);
  return plain.data();
}

struct Form {
  bool in_place = true;
  bool mixed = false;
};
constexpr Form kForms[] = {{true, false}, {false, false}, {true, true}, {false, true}};
/// All forms of small parts; large ones, whose data takes long to make and compare, take turns.
std::span<const Form> forms(const Parts& parts) {
  const std::span<const Form> all(kForms);
  return parts.part < 1000 ? all : all.subspan(static_cast<std::size_t>(parts.stride % 4), 1);
}

/// Elements of the result that are wrong. `told` is what the communicator is told about the parts.
template <class T>
std::int64_t wrong_after_reduce_scatter(Setting& setting, Communicator& group, const Parts& parts,
                                        const Parts& told, int salt, const Form& form) {
  setting.forget_all();
  const std::int64_t count = extent(parts, group.size());
  const std::int64_t begin = group.index() * parts.stride;
  std::vector<T> plain, plain_shard;
  T* whole = place_for(setting, count, form.mixed, plain);
  T* shard =
      form.in_place ? whole + begin : place_for(setting, parts.part, form.mixed, plain_shard);
  fill(whole, count, setting.world().rank(), salt);
  Request request = group.reduce_scatter(whole, shard, told, dtype_of<T>);
  group.wait(request);
  std::int64_t wrong = wrong_sums(shard, begin, parts.part, group.group(), salt);
  for (std::int64_t e = 0; e < count; ++e)
    if (!form.in_place || owner(parts, e) != group.index())
      wrong += !same_bits(whole[e], contribution<T>(setting.world().rank(), e, salt));
  return wrong;
}

template <class T>
std::int64_t wrong_after_all_gather(Setting& setting, Communicator& group, const Parts& parts,
                                    const Parts& told, int salt, const Form& form) {
  setting.forget_all();
  const std::int64_t count = extent(parts, group.size());
  const std::int64_t begin = group.index() * parts.stride;
  std::vector<T> plain, plain_shard;
  T* whole = place_for(setting, count, form.mixed, plain);
  T* shard =
      form.in_place ? whole + begin : place_for(setting, parts.part, form.mixed, plain_shard);
  for (std::int64_t e = 0; e < count; ++e) whole[e] = contribution<T>(-1, e, salt);
  for (std::int64_t e = 0; e < parts.part; ++e)
    shard[e] = contribution<T>(setting.world().rank(), begin + e, salt);
  Request request = group.all_gather(shard, whole, told, dtype_of<T>);
  group.wait(request);
  std::int64_t wrong = 0;
  for (std::int64_t e = 0; e < count; ++e) {
    const int member = owner(parts, e);
    const int rank = member < 0 ? -1 : group.group().rank(member);
    wrong += !same_bits(whole[e], contribution<T>(rank, e, salt));
  }
  return wrong;
}

/// Expects no wrong element from `wrong(T{}, parts, salt, form)`, over all parts, forms and types.
template <class Wrong>
void expect_right_parts(int salt, const Wrong& wrong) {
  for (const Parts& parts : kParts)
    for (const Form& form : forms(parts)) {
      EXPECT_EQ(wrong(float{}, parts, ++salt, form), 0) << parts.part << " every " << parts.stride;
      EXPECT_EQ(wrong(BFloat16{}, parts, ++salt, form), 0)
          << parts.part << " every " << parts.stride;
    }
}

TEST_P(OnEveryWay, ReduceScatterSumsMyPartAndLeavesTheRest) {
  Setting setting(GetParam());
  expect_right_parts(1, [&]<class T>(T, const Parts& parts, int salt, const Form& form) {
    return wrong_after_reduce_scatter<T>(setting, setting.all(), parts, parts, salt, form);
  });
}

TEST_P(OnEveryWay, AllGatherPutsPartsInPlaceAndLeavesTheGaps) {
  Setting setting(GetParam());
  expect_right_parts(1000, [&]<class T>(T, const Parts& parts, int salt, const Form& form) {
    return wrong_after_all_gather<T>(setting, setting.all(), parts, parts, salt, form);
  });
}

TEST_P(OnEveryWay, PartsOfShardAndReplicaGroups) {
  const int ranks = World().size();
  if (ranks < 4) return;  // np 4 and 8 run it
  const int tensor = ranks / 4;
  Setting setting(GetParam(), ProcessGrid(4, tensor, 1).with_shard(2));
  int salt = 2000;
  for (const GroupKind kind : {GroupKind::shard, GroupKind::replica}) {
    Communicator& group = setting[kind];
    ASSERT_EQ(group.size(), 2);
    for (const Parts& parts : {Parts{7, 10}, Parts{4099, 5000}}) {
      EXPECT_EQ(wrong_after_reduce_scatter<float>(setting, group, parts, parts, ++salt, kForms[0]),
                0);
      EXPECT_EQ(wrong_after_all_gather<float>(setting, group, parts, parts, ++salt, kForms[1]), 0);
    }
  }
}

/// A buffer of shards, moved bucket by bucket, all in flight at once, in the arena and outside.
TEST_P(OnEveryWay, BucketsOfAShardedBufferInFlightTogether) {
  Setting setting(GetParam());
  Communicator& all = setting.all();
  constexpr std::int64_t kShard = 20000;
  constexpr std::int64_t kBuckets[] = {1, 999, 5000, 3000, 11000};  // sum: kShard
  const std::int64_t count = all.size() * kShard;
  const std::int64_t mine = all.index() * kShard;
  for (const bool mixed : {false, true}) {
    setting.forget_all();
    std::vector<float> plain;
    float* whole = place_for(setting, count, mixed, plain);
    fill(whole, count, setting.world().rank(), 11);
    std::vector<Request> requests;
    for (int turn = 0; turn < 2; ++turn) {
      std::int64_t at = 0;
      for (const std::int64_t part : kBuckets) {
        float* shard = whole + mine + at;
        requests.push_back(
            turn == 0 ? all.reduce_scatter(whole + at, shard, Parts{part, kShard}, DType::f32)
                      : all.all_gather(shard, whole + at, Parts{part, kShard}, DType::f32));
        at += part;
      }
      for (auto request = requests.rbegin(); request != requests.rend(); ++request)
        all.wait(*request);
      requests.clear();
      if (turn == 0) {
        EXPECT_EQ(wrong_sums(whole + mine, mine, kShard, all.group(), 11), 0);
      }
    }
    // Together they are an all-reduce.
    EXPECT_EQ(wrong_sums(whole, 0, count, all.group(), 11), 0);
  }
}

TEST_P(OnEveryWay, AWrongStrideIsSeen) {
  if (World().size() == 1) return;  // one part lies nowhere else
  Setting setting(GetParam());
  int salt = 3000;
  for (const Parts& parts : {Parts{60, 70}, Parts{9000, 9500}}) {
    const Parts told{parts.part, parts.stride - 1};
    std::int64_t wrong[] = {
        wrong_after_reduce_scatter<float>(setting, setting.all(), parts, told, ++salt, kForms[1]),
        wrong_after_all_gather<float>(setting, setting.all(), parts, told, ++salt, kForms[1])};
    MPI_Allreduce(MPI_IN_PLACE, wrong, 2, MPI_INT64_T, MPI_SUM, setting.world().comm());
    EXPECT_GT(wrong[0], parts.part / 2);
    EXPECT_GT(wrong[1], parts.part / 2);
  }
}

TEST_P(OnEveryWay, SummingPartsInAnotherOrderIsSeen) {
  if (World().size() <= 2) return;  // of two numbers the sum does not know the order
  CommOptions options;
  options.faults.reversed_sums = true;
  Setting setting(GetParam(), {}, options);
  for (const Parts& parts : {Parts{100, 170}, Parts{9000, 9500}})
    EXPECT_GT(wrong_after_reduce_scatter<float>(setting, setting.all(), parts, parts, 5, kForms[0]),
              parts.part / 10);
}

TEST_P(OnEveryWay, PayloadOfPartsIsTheory) {
  Setting setting(GetParam());
  Communicator& all = setting.all();
  const int n = all.size();
  for (const Parts& parts : {Parts{0, 5}, Parts{16, 40}, Parts{9001, 12000}}) {
    setting.forget_all();
    auto* whole = setting.take<BFloat16>(n * parts.stride);
    BFloat16* shard = whole + all.index() * parts.stride;
    fill(whole, n * parts.stride, setting.world().rank(), 1);
    all.reset_traffic();
    constexpr int kCalls = 3;
    for (int i = 0; i < kCalls; ++i) {
      Request requests[] = {all.reduce_scatter(whole, shard, parts, DType::bf16),
                            all.all_gather(shard, whole, parts, DType::bf16)};
      for (Request& request : requests) all.wait(request);
    }
    // On every member, not only on average: parts are equal.
    const std::int64_t theory = kCalls * (n - 1) * parts.part * 2;
    for (const Operation operation : {Operation::reduce_scatter, Operation::all_gather}) {
      const OperationTraffic& counted = all.traffic()[operation];
      EXPECT_EQ(counted.calls, kCalls);
      EXPECT_EQ(counted.payload_bytes, theory);
      std::int64_t moved = counted.moved_bytes;
      MPI_Allreduce(MPI_IN_PLACE, &moved, 1, MPI_INT64_T, MPI_SUM, setting.world().comm());
      EXPECT_EQ(moved, n * theory) << name_of(operation) << " of " << parts.part;
    }
  }
}

TEST(Parts, ThatOverlapAreABugReport) {
  Setting setting(Way::arena);
  float data[64] = {};
  for (const Parts& bad : {Parts{3, 2}, Parts{-1, 2}}) {
    EXPECT_THROW(setting.all().reduce_scatter(data, data, bad, DType::f32), Error);
    EXPECT_THROW(setting.all().all_gather(data, data, bad, DType::f32), Error);
  }
}

TEST(Parts, MembersThatDisagreeAboutTheStrideAreToldSo) {
  World world;
  if (world.size() == 1) return;
  Setting setting(Way::arena);
  std::vector<float> data(1000);
  Communicator& all = setting.all();
  try {
    Request request =
        all.all_gather(data.data(), data.data(), Parts{2, world.rank() == 0 ? 3 : 4}, DType::f32);
    all.wait(request);
    ADD_FAILURE() << "other strides went unnoticed";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), Exit::kPeer);
    EXPECT_NE(error.text().find("gap 1"), std::string::npos) << error.text();
    EXPECT_NE(error.text().find("gap 2"), std::string::npos) << error.text();
  }
  world.barrier();
}

TEST(Parts, AloneIsACopy) {
  const auto self = make_self_communicator();
  const float shard[3] = {1, 2, 3};
  float whole[4] = {9, 9, 9, 9};
  Request request = self->all_gather(shard, whole, Parts{3, 100}, DType::f32);
  EXPECT_TRUE(self->progress(request));
  EXPECT_EQ(whole[2], 3);
  EXPECT_EQ(whole[3], 9);
}

}  // namespace
}  // namespace trireme::comm::test
