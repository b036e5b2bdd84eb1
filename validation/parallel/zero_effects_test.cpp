// Every key of ZeRO, offload and I/O changes what a step does: the same deck with and without it
// compiles to programs that differ in the way the key is for, or moves its bytes in another way.
// What the keys become in the deck is validation/unit/deck/zero_keys_test.cpp's.

#include "lib/deck/table.hpp"
#include "validation/harness/engine_run.hpp"
#include "validation/harness/runtime_fixture.hpp"
#include "validation/unit/deck/try_deck.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <unistd.h>

#include <map>
#include <set>

namespace trireme::validation {
namespace {

using engine::Setup;
using program::Instruction;
using program::Kind;
using program::Lane;
using program::Tier;

const auto* const kRuntime = with_runtime(1);

const std::vector<Instruction>& list_of(const Setup& setup) {
  return setup.training.stages[0].instructions;
}

template <Kind kind>
double count(const Setup& setup) {
  double n = 0;
  for (const Instruction& i : list_of(setup)) n += i.kind == kind ? 1 : 0;
  return n;
}

/// Bytes of model state between steps.
template <Tier tier>
double state(const Setup& setup) {
  return static_cast<double>(setup.resident.bytes(0, tier));
}

/// Bytes of a tier that a step needs besides.
template <Tier tier>
double transient(const Setup& setup) {
  return static_cast<double>(setup.training.memory.at(0, tier)) - state<tier>(setup);
}

/// How often compute waits for a lane.
template <Lane lane>
double waits(const Setup& setup) {
  double n = 0;
  for (const Instruction& i : list_of(setup))
    for (const std::int32_t wait : i.waits)
      n += i.lane == Lane::compute && list_of(setup)[static_cast<std::size_t>(wait)].lane == lane;
  return n;
}

/// Segments that run between the first filling of a live buffer and its first use, over all of
/// them.
double lead(const Setup& setup) {
  std::map<program::BufferId, double> filled;  // segments before it
  double segments = 0;
  double sum = 0;
  for (const Instruction& i : list_of(setup)) {
    for (const program::BufferId id : i.writes)
      if (setup.training.buffers[static_cast<std::size_t>(id)].purpose ==
          program::Purpose::live_weights)
        filled.emplace(id, segments);
    if (i.kind != Kind::segment) continue;
    for (const program::BufferId id : i.reads)
      if (const auto at = filled.find(id); at != filled.end()) {
        sum += segments - at->second;
        at->second = segments;
      }
    ++segments;
  }
  return sum;
}

/// Elements that every rank keeps whole.
double whole(const Setup& setup) {
  double n = 0;
  for (const nn::Unit& unit : setup.model.units)
    n += static_cast<double>(unit.elements - unit.body);
  return n;
}

double chunk(const Setup& setup) { return static_cast<double>(setup.model.units[1].chunk); }

using Overrides = std::vector<std::string>;

enum class Turn { up, down };

struct KeyEffect {
  std::string key;
  std::string value;
  Overrides situation;
  double (*measure)(const Setup&);
  Turn turn;
};

const std::string kZero = "zero_optimization.";
const std::string kOptimizer = kZero + "offload_optimizer.";
const std::string kParam = kZero + "offload_param.";
const std::string kSplitAll = kZero + "stage3_param_persistence_threshold=0";

const Overrides kNothing = {};
const Overrides kStage1 = {kZero + "stage=1"};
const Overrides kStage2 = {kZero + "stage=2", "parallel.zero.reduce_per=step"};
const Overrides kSplitStage2 = {kZero + "stage=2", "parallel.zero.reduce_per=step", kSplitAll};
const Overrides kStage3 = {kZero + "stage=3", kSplitAll};
const Overrides kNvme = {kOptimizer + "device=nvme", kOptimizer + "nvme_path=/tmp",
                         kZero + "sub_group_size=4096"};
const Overrides kPipelined = {kOptimizer + "device=nvme", kOptimizer + "nvme_path=/tmp",
                              kZero + "sub_group_size=4096", kOptimizer + "pipeline_read=true"};
const Overrides kNvmeParam = {kParam + "device=nvme", kParam + "nvme_path=/tmp",
                              kParam + "max_in_cpu=0", kSplitAll};

const std::vector<KeyEffect> kEffects = {
    {kZero + "stage", "1", kNothing, state<Tier::device>, Turn::down},
    {kZero + "stage", "2", kStage1, state<Tier::device>, Turn::down},
    {kZero + "stage", "3", kSplitStage2, state<Tier::device>, Turn::down},
    {kZero + "mics_shard_size", "2", kStage1, state<Tier::device>, Turn::up},
    {kZero + "round_robin_gradients", "true", kStage1, chunk, Turn::down},
    {"parallel.zero.partition", "cyclic", kStage1, chunk, Turn::down},
    {"parallel.zero.reduce_per", "micro_batch", kStage2, count<Kind::reduce_scatter>, Turn::up},
    {"parallel.zero.gather_per", "step", kStage3, count<Kind::all_gather>, Turn::down},
    {"parallel.zero.update_per", "unit", {"gradient_clipping=0"}, state<Tier::device>, Turn::down},
    {kZero + "overlap_comm", "false", kNothing, waits<Lane::comm>, Turn::up},
    {kZero + "overlap_comm", "false", kStage3, lead, Turn::down},
    {kZero + "reduce_scatter", "false", kStage1, count<Kind::reduce_scatter>, Turn::down},
    {kZero + "reduce_bucket_size", "4096", kNothing, count<Kind::all_reduce>, Turn::up},
    {kZero + "reduce_bucket_size", "4096", kStage2, count<Kind::reduce_scatter>, Turn::up},
    {kZero + "allgather_partitions", "false", kStage1, count<Kind::broadcast>, Turn::up},
    {kZero + "allgather_bucket_size", "4096", kStage1, count<Kind::all_gather>, Turn::up},
    {kZero + "allgather_bucket_size", "4096", kStage3, count<Kind::all_gather>, Turn::up},
    {kZero + "sub_group_size", "4096", {kOptimizer + "device=cpu"}, count<Kind::update>, Turn::up},
    {kZero + "stage3_prefetch_bucket_size", "0", kStage3, lead, Turn::down},
    {kZero + "stage3_max_live_parameters", "40000", kStage3, count<Kind::all_gather>, Turn::up},
    {kZero + "stage3_max_reuse_distance", "0", kStage3, count<Kind::all_gather>, Turn::up},
    {kZero + "stage3_param_persistence_threshold", "1000", {kZero + "stage=3"}, whole, Turn::down},
    {kZero + "stage3_model_persistence_threshold", "100", {kZero + "stage=3"}, whole, Turn::down},
    {kOptimizer + "device", "cpu", kNothing, state<Tier::host>, Turn::up},
    {kOptimizer + "device", "nvme", {kOptimizer + "nvme_path=/tmp"}, state<Tier::nvme>, Turn::up},
    {kOptimizer + "buffer_count", "1", kPipelined, transient<Tier::host>, Turn::down},
    {kOptimizer + "pipeline_read", "true", kNvme, transient<Tier::host>, Turn::up},
    {kOptimizer + "pipeline_write", "true", kNvme, waits<Lane::storage>, Turn::down},
    {kOptimizer + "ratio", "0.5", {kOptimizer + "device=cpu"}, state<Tier::host>, Turn::down},
    {kZero + "cpu_offload", "true", kNothing, state<Tier::host>, Turn::up},
    {kParam + "device", "cpu", {kSplitAll}, state<Tier::host>, Turn::up},
    {kParam + "buffer_count", "1", kNvmeParam, lead, Turn::down},
    {kParam + "buffer_size", "4096", kNvmeParam, count<Kind::fetch>, Turn::up},
    {kParam + "max_in_cpu", "1e5", kNvmeParam, state<Tier::host>, Turn::up},
    {kZero + "cpu_offload_param", "true", {kSplitAll}, state<Tier::host>, Turn::up},
};

/// Four ranks and two micro-batches.
deck::Deck deck_in(const Overrides& situation, const Overrides& more) {
  Overrides all = {"gradient_accumulation_steps=2"};
  all.insert(all.end(), situation.begin(), situation.end());
  all.insert(all.end(), more.begin(), more.end());
  return deck::testing::resolve_text(deck::testing::small_deck(), all, 4);
}

TEST(ZeroEffects, EveryKeyTurnsWhatItIsFor) {
  for (const KeyEffect& effect : kEffects) {
    SCOPED_TRACE(
        fmt::format("{}={} with {}", effect.key, effect.value, fmt::join(effect.situation, " ")));
    const engine::Setup without(deck_in(effect.situation, {}));
    const engine::Setup with(deck_in(effect.situation, {effect.key + "=" + effect.value}));
    const double before = effect.measure(without);
    const double after = effect.measure(with);
    if (effect.turn == Turn::up)
      EXPECT_GT(after, before);
    else
      EXPECT_LT(after, before);
  }
}

/// Sub-groups of masters that are read before each update, less the updates already made: as many
/// as there are buffers, within a unit too.
TEST(ZeroEffects, SubGroupsAreReadAsFarAheadAsThereAreBuffers) {
  constexpr double kBuffers = 3;
  for (const std::string per : {"step", "unit"}) {
    const engine::Setup setup(deck_in(
        kPipelined,
        {kOptimizer + "buffer_count=3", "gradient_clipping=0", "parallel.zero.update_per=" + per}));
    double read = 0;
    double updated = 0;
    double full = 0;
    for (const Instruction& i : list_of(setup)) {
      const auto content = [&](program::BufferId id) {
        return setup.training.buffers[static_cast<std::size_t>(id)].content;
      };
      if (i.kind == Kind::fetch && content(i.reads[0]) == program::Purpose::masters) ++read;
      if (i.kind != Kind::update || i.part == program::Part::tail) continue;
      EXPECT_GE(read, updated + 1);
      EXPECT_LE(read, updated + kBuffers);
      full += read == updated + kBuffers ? 1 : 0;
      ++updated;
    }
    EXPECT_GT(full, 0.5 * updated) << per;
  }
}

/// Keys whose effect only a run shows: the tests below.
const std::set<std::string> kShownByRuns = {
    kOptimizer + "nvme_path",   kParam + "nvme_path", "aio.block_size",     "aio.queue_depth",
    "aio.intra_op_parallelism", "aio.single_submit",  "aio.overlap_events", "aio.checksum"};

TEST(ZeroEffects, NoKeyIsLeftOut) {
  std::set<std::string> keys;
  for (const deck::Section& section : deck::sections())
    for (const deck::Row& row : section.rows)
      if (row.status == deck::Status::works &&
          (row.path.starts_with(kZero) || row.path.starts_with("aio.") ||
           row.path.starts_with("parallel.zero.")))
        keys.insert(std::string(row.path));
  std::set<std::string> shown = kShownByRuns;
  for (const KeyEffect& effect : kEffects) shown.insert(effect.key);
  EXPECT_EQ(shown, keys);
}

deck::Deck run_deck(const comm::World& world, const Overrides& more) {
  Overrides all = {kOptimizer + "device=nvme",
                   kOptimizer + "nvme_path=" + std::filesystem::temp_directory_path().string(),
                   "train_batch_size=" + std::to_string(world.size())};
  all.insert(all.end(), more.begin(), more.end());
  return deck::testing::resolve_text(deck::testing::small_deck(), all, world.size());
}

/// What the storage lane's engine counts in two steps.
io::aio::Counters counters(const comm::World& world, const Overrides& more) {
  EngineRun run(world, run_deck(world, more));
  run.step();
  run.step();
  return run.store().transfers().counters();
}

TEST(ZeroEffects, KeysOfIoChangeItsCounters) {
  const comm::World world;
  const Overrides small = {"aio.block_size=4096"};
  const auto with = [&](const std::string& key) { return counters(world, {small[0], key}); };
  const io::aio::Counters base = counters(world, small);
  EXPECT_LT(counters(world, {}).requests, base.requests);  // block_size
  EXPECT_EQ(base.most_in_flight, 8);
  EXPECT_EQ(with("aio.queue_depth=2").most_in_flight, 2);
  EXPECT_EQ(base.threads_used, 1);
  EXPECT_EQ(with("aio.intra_op_parallelism=2").threads_used, 2);
  EXPECT_LT(base.submits, base.requests);
  const io::aio::Counters single = with("aio.single_submit=true");
  EXPECT_EQ(single.submits, single.requests);
  EXPECT_LT(with("aio.overlap_events=false").submits, base.submits);
}

/// Breaks a block of the swap file behind the engine's back.
void damage(state::Store& store) {
  const io::aio::SwapFile& file = store.swap();
  alignas(io::aio::kAlignment) static std::byte page[io::aio::kAlignment];
  std::fill(std::begin(page), std::end(page), std::byte{0x3c});
  ASSERT_EQ(pwrite(file.descriptor(), page, sizeof(page), 0), static_cast<ssize_t>(sizeof(page)));
}

TEST(ZeroEffects, ChecksumsFindWhatStorageBroke) {
  const comm::World world;
  for (const bool checksum : {false, true}) {
    EngineRun run(world, run_deck(world, {fmt::format("aio.checksum={}", checksum)}));
    run.step();
    damage(run.store());
    if (checksum)
      EXPECT_THROW(run.step(), Error);
    else
      EXPECT_NO_THROW(run.step());
  }
}

TEST(ZeroEffects, TheFolderIsWhereTheFileGoes) {
  const comm::World world;
  for (const std::string& section : {kOptimizer, kParam}) {
    const deck::Deck deck = deck::testing::resolve_text(
        deck::testing::small_deck(),
        {section + "device=nvme", section + "nvme_path=/no/such/folder", kParam + "max_in_cpu=0",
         kSplitAll, "train_batch_size=" + std::to_string(world.size())},
        world.size());
    try {
      EngineRun run(world, deck);
      FAIL() << "there is no such folder";
    } catch (const Error& error) {
      EXPECT_NE(error.text().find("/no/such/folder"), std::string::npos) << error.text();
    }
  }
}

}  // namespace
}  // namespace trireme::validation
