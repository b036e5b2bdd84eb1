// Every ZeRO, offload, I/O, activation and memory key: its default, the one field it changes, and
// the situations in which it changes nothing and must be warned of.
#include "lib/deck/parse.hpp"
#include "validation/unit/deck/try_deck.hpp"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <map>
#include <set>

namespace trireme::deck::testing {
namespace {

using Fields = std::map<std::string, std::string>;
using Overrides = std::vector<std::string>;

std::string name(Tier tier) {
  return tier == Tier::device ? "device" : tier == Tier::host ? "host" : "nvme";
}
std::string name(Per per) { return per == Per::step ? "step" : "micro_batch"; }

/// What this section of the deck became, by name.
Fields fields_of(const Deck& deck) {
  const ZeroConfig& z = deck.parallel.zero;
  const OffloadOptimizerConfig& o = z.offload_optimizer;
  const OffloadParamConfig& p = z.offload_param;
  const auto text = [](const auto& value) { return fmt::format("{}", value); };
  return {{"stage", text(z.stage)},
          {"cyclic", text(z.cyclic)},
          {"reduce_per", name(z.reduce_per)},
          {"gather_per", name(z.gather_per)},
          {"update_per", z.update_per == UpdatePer::unit ? "unit" : "step"},
          {"overlap_comm", text(z.overlap_comm)},
          {"reduce_scatter", text(z.reduce_scatter)},
          {"allgather_partitions", text(z.allgather_partitions)},
          {"reduce_bucket_size", text(z.reduce_bucket_size)},
          {"allgather_bucket_size", text(z.allgather_bucket_size)},
          {"sub_group_size", text(z.sub_group_size)},
          {"prefetch_bucket_size", text(z.prefetch_bucket_size)},
          {"max_live_parameters", text(z.max_live_parameters)},
          {"max_reuse_distance", text(z.max_reuse_distance)},
          {"param_persistence_threshold", text(z.param_persistence_threshold)},
          {"model_persistence_threshold", text(z.model_persistence_threshold)},
          {"shard_ranks", text(z.shard_ranks)},
          {"optimizer.tier", name(o.tier)},
          {"optimizer.buffer_count", text(o.buffer_count)},
          {"optimizer.pipeline_read", text(o.pipeline_read)},
          {"optimizer.pipeline_write", text(o.pipeline_write)},
          {"optimizer.ratio", text(o.ratio)},
          {"param.tier", name(p.tier)},
          {"param.buffer_count", text(p.buffer_count)},
          {"param.buffer_size", text(p.buffer_size)},
          {"param.max_in_cpu", text(p.max_in_cpu)},
          {"nvme_path", z.nvme_path.string()},
          {"aio.block_size", text(z.aio.block_size)},
          {"aio.queue_depth", text(z.aio.queue_depth)},
          {"aio.threads", text(z.aio.threads)},
          {"aio.single_submit", text(z.aio.single_submit)},
          {"aio.overlap_events", text(z.aio.overlap_events)},
          {"aio.checksum", text(z.aio.checksum)},
          {"recompute.tier", name(deck.activation_checkpointing.tier)},
          {"recompute.partition", text(deck.activation_checkpointing.partition)},
          {"device_memory", text(deck.run.device_memory)},
          {"host_memory", text(deck.run.host_memory)}};
}

/// One key in a situation where it matters, and those where it can't.
struct KeyCase {
  std::string key;
  std::string value;  ///< not the default
  std::string field;
  std::string becomes;
  Overrides matters;
  std::vector<Overrides> idle;
};

void PrintTo(const KeyCase& c, std::ostream* out) { *out << c.key; }

const std::string kZero = "zero_optimization.";
const std::string kOptimizer = kZero + "offload_optimizer.";
const std::string kParam = kZero + "offload_param.";
const std::string kActivation = "activation_checkpointing.";

const Overrides kStage0 = {};
const Overrides kStage1 = {kZero + "stage=1"};
const Overrides kStage2 = {kZero + "stage=2"};
const Overrides kStage3 = {kZero + "stage=3"};
const Overrides kAlone = {kZero + "stage=3", "parallel.tensor=2", "parallel.pipeline=2"};
const Overrides kCpuOptimizer = {kOptimizer + "device=cpu"};
const Overrides kNvmeOptimizer = {kOptimizer + "device=nvme", kOptimizer + "nvme_path=/a"};
const Overrides kNvmePipelined = {kOptimizer + "device=nvme", kOptimizer + "nvme_path=/a",
                                  kOptimizer + "pipeline_read=true"};
const Overrides kCpuParam = {kParam + "device=cpu"};
const Overrides kNvmeParam = {kParam + "device=nvme", kParam + "nvme_path=/a"};
const Overrides kNvmeUnlapped = {kParam + "device=nvme", kParam + "nvme_path=/a",
                                 kZero + "overlap_comm=false"};
const Overrides kRecompute = {kActivation + "enabled=true"};
const Overrides kNoRecompute = {kActivation + "enabled=false"};
const Overrides kRecomputeTensor = {kActivation + "enabled=true", "parallel.tensor=2"};
const Overrides kRecomputeSequence = {kActivation + "enabled=true", "parallel.tensor=2",
                                      "parallel.sequence=true"};

const std::vector<KeyCase> kCases = {
    {kZero + "stage", "1", "stage", "1", kStage0, {{"parallel.pipeline=4"}}},
    {kZero + "mics_shard_size", "2", "shard_ranks", "2", kStage1, {kStage0, kAlone}},
    {kZero + "round_robin_gradients", "true", "cyclic", "true", kStage2, {kStage0, kAlone}},
    {"parallel.zero.partition", "cyclic", "cyclic", "true", kStage1, {kStage0, kAlone}},
    {"parallel.zero.reduce_per", "step", "reduce_per", "step", kStage2, {kAlone}},
    {"parallel.zero.gather_per", "step", "gather_per", "step", kStage3, {kStage2, kAlone}},
    {"parallel.zero.update_per", "unit", "update_per", "unit", {"gradient_clipping=0"}, {}},
    {kZero + "overlap_comm", "false", "overlap_comm", "false", kStage0, {kAlone}},
    {kZero + "reduce_scatter", "false", "reduce_scatter", "false", kStage1, {kStage0, kAlone}},
    {kZero + "reduce_bucket_size", "1000", "reduce_bucket_size", "1000", kStage1, {kAlone}},
    {kZero + "allgather_partitions",
     "false",
     "allgather_partitions",
     "false",
     kStage2,
     {kStage0, kStage3, kAlone}},
    {kZero + "allgather_bucket_size",
     "2e8",
     "allgather_bucket_size",
     "200000000",
     kStage2,
     {kStage0, kAlone}},
    {kZero + "sub_group_size", "1e12", "sub_group_size", "1000000000000", kCpuOptimizer, {kStage3}},
    {kZero + "stage3_prefetch_bucket_size",
     "0",
     "prefetch_bucket_size",
     "0",
     kStage3,
     {kStage0, kStage2, kAlone}},
    {kZero + "stage3_max_live_parameters",
     "7",
     "max_live_parameters",
     "7",
     kCpuParam,
     {kStage0, kStage1, kAlone}},
    {kZero + "stage3_max_reuse_distance",
     "7",
     "max_reuse_distance",
     "7",
     kStage3,
     {kStage1, kCpuParam, kAlone}},
    {kZero + "stage3_param_persistence_threshold",
     "10",
     "param_persistence_threshold",
     "10",
     kCpuParam,
     {kStage2, kAlone}},
    {kZero + "stage3_model_persistence_threshold",
     "10",
     "model_persistence_threshold",
     "10",
     kStage3,
     {kStage2, kCpuParam, kAlone}},
    {kOptimizer + "device", "cpu", "optimizer.tier", "host", kStage0, {}},
    {kOptimizer + "nvme_path", "/b", "nvme_path", "/b", kNvmeOptimizer, {kStage0, kCpuOptimizer}},
    {kOptimizer + "buffer_count",
     "5",
     "optimizer.buffer_count",
     "5",
     kNvmePipelined,
     {kCpuOptimizer, kNvmeOptimizer, kNvmeParam}},
    {kOptimizer + "pipeline_read",
     "true",
     "optimizer.pipeline_read",
     "true",
     kNvmeOptimizer,
     {kCpuOptimizer}},
    {kOptimizer + "pipeline_write",
     "true",
     "optimizer.pipeline_write",
     "true",
     kNvmeOptimizer,
     {kCpuOptimizer}},
    {kOptimizer + "ratio", "0.25", "optimizer.ratio", "0.25", kCpuOptimizer, {kStage3, kCpuParam}},
    {kZero + "cpu_offload", "true", "optimizer.tier", "host", kStage2, {}},
    {kParam + "device", "cpu", "param.tier", "host", kStage2, {}},
    {kParam + "nvme_path", "/b", "nvme_path", "/b", kNvmeParam, {kCpuParam}},
    {kParam + "buffer_count",
     "9",
     "param.buffer_count",
     "9",
     kNvmeParam,
     {kCpuParam, kNvmeUnlapped}},
    {kParam + "buffer_size", "1e6", "param.buffer_size", "1000000", kNvmeParam, {kNvmeOptimizer}},
    {kParam + "max_in_cpu", "0", "param.max_in_cpu", "0", kNvmeParam, {kCpuParam}},
    {kZero + "cpu_offload_param", "true", "param.tier", "host", kStage3, {}},
    {"aio.block_size", "262144", "aio.block_size", "262144", kNvmeParam, {kStage3, kCpuParam}},
    {"aio.queue_depth", "32", "aio.queue_depth", "32", kNvmeOptimizer, {kCpuOptimizer}},
    {"aio.intra_op_parallelism", "4", "aio.threads", "4", kNvmeOptimizer, {kCpuOptimizer}},
    {"aio.single_submit", "true", "aio.single_submit", "true", kNvmeOptimizer, {kCpuOptimizer}},
    {"aio.overlap_events", "false", "aio.overlap_events", "false", kNvmeParam, {kCpuParam}},
    {"aio.checksum", "true", "aio.checksum", "true", kNvmeParam, {kStage0}},
    {kActivation + "device", "cpu", "recompute.tier", "host", kRecompute, {kNoRecompute}},
    {kActivation + "cpu_checkpointing",
     "true",
     "recompute.tier",
     "host",
     kRecompute,
     {kNoRecompute}},
    {kActivation + "partition_activations",
     "true",
     "recompute.partition",
     "true",
     kRecomputeTensor,
     {kNoRecompute, kRecompute, kRecomputeSequence}},
    {"run.device_memory", "4096", "device_memory", "4096", kStage0, {}},
    {"run.host_memory", "1 GiB", "host_memory", "1073741824", kStage0, {}},
};

/// Four ranks and two micro-batches, then the situation, then more.
Deck resolve_in(const Overrides& situation, const Overrides& more) {
  Overrides all = {"gradient_accumulation_steps=2"};
  all.insert(all.end(), situation.begin(), situation.end());
  all.insert(all.end(), more.begin(), more.end());
  return resolve_text(small_deck(), all, 4);
}

Overrides setting(const KeyCase& c) { return {c.key + "=" + c.value}; }

class ZeroKey : public ::testing::TestWithParam<KeyCase> {};

TEST_P(ZeroKey, ChangesItsFieldAndNoOther) {
  const KeyCase& c = GetParam();
  const Deck with = resolve_in(c.matters, setting(c));
  Fields expected = fields_of(resolve_in(c.matters, {}));
  ASSERT_NE(expected.at(c.field), c.becomes);
  expected[c.field] = c.becomes;
  EXPECT_EQ(fields_of(with), expected);
  EXPECT_FALSE(contains(warning_about(with, c.key), "no influence")) << warning_about(with, c.key);
}

TEST_P(ZeroKey, IsWarnedOfWhereItCantMatter) {
  const KeyCase& c = GetParam();
  for (const Overrides& situation : c.idle) {
    const Deck with = resolve_in(situation, setting(c));
    EXPECT_TRUE(contains(warning_about(with, c.key), "has no influence: "))
        << fmt::format("{}", fmt::join(situation, " "));
    EXPECT_EQ(warning_about(resolve_in(situation, {}), c.key), "");
  }
}

INSTANTIATE_TEST_SUITE_P(All, ZeroKey, ::testing::ValuesIn(kCases), [](const auto& tested) {
  std::string text = tested.param.key;
  for (char& letter : text)
    if (letter == '.') letter = '_';
  return text;
});

/// Keys that work and have no case above.
std::set<std::string> uncovered(const std::vector<KeyCase>& cases) {
  std::set<std::string> keys;
  for (const Section& section : sections())
    for (const Row& row : section.rows)
      if (row.status == Status::works &&
          (row.path.starts_with(kZero) || row.path.starts_with("aio.") ||
           row.path.starts_with("parallel.zero.") || row.path.starts_with(kActivation) ||
           row.path.ends_with("_memory")))
        keys.insert(std::string(row.path));
  for (const KeyCase& c : cases) keys.erase(c.key);
  return keys;
}

TEST(ZeroKeys, AllThatWorkAreCovered) {
  EXPECT_EQ(uncovered(kCases), (std::set<std::string>{kActivation + "enabled"}));
  auto fewer = kCases;
  fewer.pop_back();
  EXPECT_EQ(uncovered(fewer).size(), 2u);  // the law can fail
}

TEST(ZeroKeys, DefaultsAreDeepSpeeds) {
  // reference/deepspeed.md, section 2; the keys below the line are Trireme's.
  const std::map<std::string, std::string> defaults = {
      {kZero + "stage", "0"},
      {kZero + "overlap_comm", "null"},
      {kZero + "reduce_bucket_size", "5e8"},
      {kZero + "allgather_bucket_size", "5e8"},
      {kZero + "reduce_scatter", "true"},
      {kZero + "allgather_partitions", "true"},
      {kZero + "contiguous_gradients", "true"},
      {kZero + "round_robin_gradients", "false"},
      {kZero + "sub_group_size", "1e9"},
      {kZero + "stage3_prefetch_bucket_size", "5e7"},
      {kZero + "stage3_param_persistence_threshold", "1e5"},
      {kZero + "stage3_model_persistence_threshold", "9223372036854775807"},
      {kZero + "stage3_max_live_parameters", "1e9"},
      {kZero + "stage3_max_reuse_distance", "1e9"},
      {kZero + "stage3_gather_16bit_weights_on_model_save", "false"},
      {kZero + "zero_hpz_partition_size", "1"},
      {kZero + "zero_quantized_weights", "false"},
      {kZero + "zero_quantized_gradients", "false"},
      {kZero + "mics_shard_size", "-1"},
      {kZero + "cpu_offload", "null"},
      {kZero + "cpu_offload_param", "null"},
      {kZero + "cpu_offload_use_pin_memory", "null"},
      {kOptimizer + "device", "\"none\""},
      {kOptimizer + "nvme_path", "null"},
      {kOptimizer + "buffer_count", "4"},
      {kOptimizer + "pin_memory", "true"},
      {kOptimizer + "pipeline_read", "false"},
      {kOptimizer + "pipeline_write", "false"},
      {kOptimizer + "fast_init", "false"},
      {kOptimizer + "ratio", "1.0"},
      {kParam + "device", "\"none\""},
      {kParam + "nvme_path", "null"},
      {kParam + "buffer_count", "5"},
      {kParam + "buffer_size", "1e8"},
      {kParam + "max_in_cpu", "1e9"},
      {kParam + "pin_memory", "true"},
      {"aio.block_size", "1048576"},
      {"aio.queue_depth", "8"},
      {"aio.intra_op_parallelism", "1"},
      {"aio.single_submit", "false"},
      {"aio.overlap_events", "true"},
      {"aio.use_gds", "false"},
      {kActivation + "partition_activations", "false"},
      {kActivation + "cpu_checkpointing", "false"},
      {"gradient_predivide_factor", "1.0"},
      {"prescale_gradients", "false"},
      {"communication_data_type", "null"},
      // ----
      {"parallel.zero.partition", "\"range\""},
      {"parallel.zero.reduce_per", "\"auto\""},
      {"parallel.zero.gather_per", "\"micro_batch\""},
      {"parallel.zero.update_per", "\"step\""},
      {"aio.checksum", "false"},
      {kActivation + "device", "\"none\""},
      {"run.device_memory", "0"},
      {"run.host_memory", "0"},
  };
  for (const auto& [key, standard] : defaults) {
    const Row* row = find_row(key);
    ASSERT_NE(row, nullptr) << key;
    EXPECT_TRUE(*parse_value(row->standard) == *parse_value(standard))
        << key << " is " << row->standard << ", not " << standard;
  }
}

/// What an empty section resolves to is what the structs say by themselves.
TEST(ZeroKeys, DefaultsOfTableAndStructsAgree) {
  EXPECT_EQ(fields_of(load_text(small_deck())), fields_of(Deck{}));
}

/// Tiers, stages and their sizes may change when a run is resumed.
TEST(ZeroKeys, AreNoPartOfTheFingerprint) {
  const std::string base = resolve_in({}, {}).fingerprint;
  for (const KeyCase& c : kCases) {
    EXPECT_FALSE(in_fingerprint(c.key)) << c.key;
    EXPECT_EQ(resolve_in(c.matters, setting(c)).fingerprint, resolve_in(c.matters, {}).fingerprint)
        << c.key;
  }
  EXPECT_NE(resolve_in({}, {"run.seed=5"}).fingerprint, base);
}

TEST(ZeroKeys, ResolvedDecksLoadToThemselves) {
  for (const KeyCase& c : kCases) {
    const Deck first = resolve_in(c.matters, setting(c));
    const Deck second = resolve_text(first.resolved_json, {}, 4);
    EXPECT_EQ(fields_of(first), fields_of(second)) << c.key;
    EXPECT_EQ(first.resolved_json, second.resolved_json) << c.key;
  }
}

}  // namespace
}  // namespace trireme::deck::testing
