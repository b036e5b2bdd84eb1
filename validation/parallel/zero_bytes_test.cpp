// Bytes sent for ZeRO are those of theory: with n ranks that divide P elements each of them moves
// (n-1)/n P elements a gather or a reduce-scatter, twice that an all-reduce (Rajbhandari et al.,
// SC 2020, sec. 7; Thakur et al., IJHPCA 2005, for the collectives). Counted in the transport, on
// both of its paths. What theory leaves out is itemised: padding, tensors that stay whole, tied
// parameters, agreement of the world.

#include "kernels/elementwise/exact_sum.hpp"
#include "validation/harness/engine_run.hpp"
#include "validation/harness/runtime_fixture.hpp"
#include "validation/harness/tiny_models.hpp"

#include <fmt/format.h>

#include <cstdio>

namespace trireme::validation {
namespace {

const auto* const kRuntime = with_runtime(1);
constexpr std::int64_t kUnlimited = std::int64_t{1} << 40;

/// A way to divide state, and how often a step moves the parameters: as reductions (in f32, each
/// (n-1)/n P) and as gathers (in the weights' type).
struct Form {
  const char* name;
  std::int64_t reductions;  ///< a step
  bool by_micro;            ///< reductions are a micro-batch's, not a step's
  std::int64_t gathers;     ///< a step; -1: for each use
  void (*set)(deck::ZeroConfig&);
};

const Form kForms[] = {
    {"stage 0: 2P", 2, false, 0, [](deck::ZeroConfig& z) { z.stage = 0; }},
    {"stage 1: P + P", 1, false, 1, [](deck::ZeroConfig& z) { z.stage = 1; }},
    {"stage 1 by all-reduce: 2P + P", 2, false, 1,
     [](deck::ZeroConfig& z) {
       z.stage = 1;
       z.reduce_scatter = false;
     }},
    {"stage 1 by broadcasts: P + P", 1, false, 1,
     [](deck::ZeroConfig& z) {
       z.stage = 1;
       z.allgather_partitions = false;
     }},
    {"stage 2 once: P + P", 1, false, 1, [](deck::ZeroConfig& z) { z.stage = 2; }},
    {"stage 2 by micro-batch: mP + P", 1, true, 1,
     [](deck::ZeroConfig& z) {
       z.stage = 2;
       z.reduce_per = deck::Per::micro_batch;
     }},
    {"stage 2 by all-reduce and micro-batch: 2mP + P", 2, true, 1,
     [](deck::ZeroConfig& z) {
       z.stage = 2;
       z.reduce_per = deck::Per::micro_batch;
       z.reduce_scatter = false;
     }},
    {"stage 3 by micro-batch: mP + 2mP", 1, true, -1,
     [](deck::ZeroConfig& z) {
       z.stage = 3;
       z.reduce_per = deck::Per::micro_batch;
       z.max_reuse_distance = 0;
     }},
    {"stage 3 held and once: P + P", 1, false, 1,
     [](deck::ZeroConfig& z) {
       z.stage = 3;
       z.gather_per = deck::Per::step;
       z.max_reuse_distance = kUnlimited;
     }},
};

/// What a form meets: dtype, partition, transport, sizes of pieces, axes besides data.
struct Setting {
  bool bf16 = false;
  bool cyclic = false;
  bool messages = false;
  bool small_pieces = false;
  std::int64_t micros = 1;
  std::int64_t tensor = 1;
  std::int64_t pipeline = 1;
  std::int64_t whole_up_to = 0;
  bool groups = false;  ///< state divided inside half of the data axis

  std::string text() const {
    return fmt::format("{}{}{}{} x{} tensor {} pipeline {}{}{}", bf16 ? "bf16" : "f32",
                       cyclic ? " cyclic" : "", messages ? " messages" : "",
                       small_pieces ? " small pieces" : "", micros, tensor, pipeline,
                       whole_up_to > 0 ? " small tensors whole" : "", groups ? " groups" : "");
  }
};

/// Every two values of different columns meet once at least.
std::vector<Setting> settings(int ranks) {
  const std::int64_t half = ranks % 2 == 0 && ranks > 2 ? 2 : 1;
  return {{false, false, false, false, 1, 1, 1, 0, false},
          {true, true, true, true, 3, 1, 1, 100, ranks == 4},
          {true, false, true, false, 2, half, 1, 0, ranks == 8},
          {false, true, false, true, 4, 1, half, 100, ranks == 8}};
}

deck::Deck deck_of(const Form& form, const Setting& s, int ranks, bool tied) {
  deck::ModelConfig model = tied ? tiny_gpt() : tiny_llama();
  model.hidden = 64;
  model.ffn_hidden = 96;
  model.layers = 3;
  deck::Deck deck = engine_deck(model);
  deck.parallel.tensor = s.tensor;
  deck.parallel.pipeline = s.pipeline;
  deck.parallel.data = ranks / (s.tensor * s.pipeline);
  deck.batch.accumulation = s.micros;
  deck.batch.global = s.micros * deck.parallel.data;
  deck.precision.compute = s.bf16 ? DType::bf16 : DType::f32;
  deck::ZeroConfig& zero = deck.parallel.zero;
  zero.cyclic = s.cyclic;
  zero.param_persistence_threshold = s.whole_up_to;
  if (s.small_pieces) zero.reduce_bucket_size = zero.allgather_bucket_size = 4096;
  if (s.groups) zero.shard_ranks = deck.parallel.data / 2;
  form.set(zero);
  return deck;
}

/// Bytes by item of a step, over all ranks of the world.
struct Items {
  double parameters = 0;  ///< what theory speaks of
  double padding = 0;     ///< the same for elements between and behind parameters
  double replicas = 0;    ///< sums over ranks that hold the same share
  double whole = 0;       ///< sums of tensors that stay whole
  double tied = 0;
  double world = 0;

  double data() const { return parameters + padding + replicas + whole; }
};

/// Uses of a unit a micro-batch that cost a gather: forward and backward of a layer; the forward of
/// the embedding, whose backward reads no weights; one for the head, whose backward follows at once
/// (but two for its norm where the head's matrix is the tied one, a unit of its own between).
std::int64_t uses_of(const engine::Setup& setup, std::int32_t stage, std::int32_t unit) {
  std::int64_t uses = 0;
  const auto& blocks = setup.model.blocks;
  for (std::size_t b = 0; b < blocks.size(); ++b)
    for (const int u : blocks[b].units) {
      if (u != unit || setup.layout.stage_of_block(static_cast<std::int32_t>(b)) != stage) continue;
      const bool tied = setup.model.units[static_cast<std::size_t>(u)].tied;
      const bool at_once = b + 1 == blocks.size() && (tied || blocks[b].units.size() == 1);
      uses += b == 0 || at_once ? 1 : 2;
    }
  return uses;
}

Items theory(const engine::Setup& setup, const Form& form, std::int32_t stage) {
  Items items;
  const deck::Deck& deck = setup.deck;
  const deck::ZeroConfig& zero = deck.parallel.zero;
  const auto n = static_cast<double>(deck.parallel.data);
  const auto m = static_cast<double>(deck.batch.accumulation);
  const auto weight = static_cast<double>(size_of(deck.precision.compute));
  for (const std::int32_t u : program::units_of_stage(setup.model, setup.layout, stage)) {
    const nn::Unit& unit = setup.model.units[static_cast<std::size_t>(u)];
    double used = 0;
    for (const nn::PlacedParameter& placed : unit.parameters)
      if (placed.offset < unit.body) used += static_cast<double>(placed.elements());
    const auto body = static_cast<double>(unit.body);
    const double shard = zero.stage == 0 ? n : static_cast<double>(unit.ranks);
    const double members = form.reductions == 2 ? n : shard;  // an all-reduce spans all replicas
    const double times = form.by_micro ? m : 1;
    const double gathers = form.gathers >= 0 ? static_cast<double>(form.gathers)
                                             : m * static_cast<double>(uses_of(setup, stage, u));
    const double an_element =
        (members - 1) / members * 4 * static_cast<double>(form.reductions) * times +
        (shard - 1) / shard * weight * gathers;
    items.parameters += an_element * used;
    items.padding += an_element * (body - used);
    const double copies = n / shard;
    if (form.reductions == 1)
      items.replicas += 2 * (copies - 1) / copies * body / shard * 4 * times;
    const double tail = static_cast<double>(unit.elements - unit.body);
    items.whole += 2 * (n - 1) / n * tail * 4;
    if (unit.tied && deck.parallel.pipeline > 1)
      items.tied += (zero.stage > 0 ? body / shard : body) * 4 + tail * 4;
  }
  const auto ranks = static_cast<double>(setup.grid.size());
  items.world =
      2 * (ranks - 1) / ranks * 8 * static_cast<double>(program::kScalars + kernels::kExactLimbs);
  return items;
}

double payload(const EngineRun& run, std::initializer_list<comm::GroupKind> groups) {
  double bytes = 0;
  for (const comm::GroupKind group : groups)
    for (const comm::OperationTraffic& row : run.communicators()[group].traffic().by_operation)
      bytes += static_cast<double>(row.payload_bytes);
  return bytes;
}

double over_world(double value) {
  MPI_Allreduce(MPI_IN_PLACE, &value, 1, MPI_DOUBLE, MPI_SUM, MPI_COMM_WORLD);
  return value;
}

constexpr std::initializer_list<comm::GroupKind> kData = {
    comm::GroupKind::data, comm::GroupKind::shard, comm::GroupKind::replica};

struct Counted {
  Items want;
  double data = 0;
  double tied = 0;
  double world = 0;
};

/// Bytes of the second step.
Counted counted(const comm::World& world, const deck::Deck& deck, const Form& form, bool messages,
                const EngineFaults& faults = {}) {
  comm::CommOptions comm = patient_comm();
  comm.shared_memory = !messages;
  EngineRun run(world, deck, faults, {}, comm);
  run.step();
  for (int g = 0; g < comm::kGroupKinds; ++g)
    run.communicators()[static_cast<comm::GroupKind>(g)].reset_traffic();
  run.step();
  Counted made;
  const Items mine = theory(run.setup(), form, run.place().at.pipeline);
  made.want = {over_world(mine.parameters), over_world(mine.padding), over_world(mine.replicas),
               over_world(mine.whole),      over_world(mine.tied),    over_world(mine.world)};
  made.data = over_world(payload(run, kData));
  made.tied = over_world(payload(run, {comm::GroupKind::tied}));
  made.world = over_world(payload(run, {comm::GroupKind::world}));
  return made;
}

constexpr double kByte = 0.5;  // sums of fractions of whole bytes

TEST(ZeroBytes, AreThoseOfTheory) {
  const comm::World world;
  for (const Form& form : kForms)
    for (const Setting& setting : settings(world.size())) {
      SCOPED_TRACE(fmt::format("{}, {}", form.name, setting.text()));
      const bool tied = setting.bf16;
      const Counted bytes =
          counted(world, deck_of(form, setting, world.size(), tied), form, setting.messages);
      EXPECT_NEAR(bytes.data, bytes.want.data(), kByte);
      EXPECT_NEAR(bytes.tied, bytes.want.tied, kByte);
      EXPECT_NEAR(bytes.world, bytes.want.world, kByte);
      if (world.rank() == 0 && &form == &kForms[7])
        std::printf(
            "%s, %s: %.0f of parameters, %.0f padding, %.0f replicas, %.0f whole, "
            "%.0f tied, %.0f world\n",
            form.name, setting.text().c_str(), bytes.want.parameters, bytes.want.padding,
            bytes.want.replicas, bytes.want.whole, bytes.want.tied, bytes.want.world);
    }
}

/// The same pieces cost the same bytes whatever the partition, the path and the buckets.
TEST(ZeroBytes, PaddingIsSmall) {
  const comm::World world;
  for (const bool cyclic : {false, true}) {
    const Setting setting{.cyclic = cyclic};
    const Counted bytes =
        counted(world, deck_of(kForms[7], setting, world.size(), false), kForms[7], false);
    EXPECT_LT(bytes.want.padding, (cyclic ? 0.4 : 0.2) * bytes.want.parameters);
  }
}

/// The first instruction of this kind on the data axis, in every stage.
program::Instruction& first_of(program::StageProgram& stage, program::Kind kind) {
  for (program::Instruction& instruction : stage.instructions)
    if (instruction.kind == kind && instruction.unit >= 0) return instruction;
  fail(Exit::kUnexpected, "the program has no {}", program::name_of(kind));
}

TEST(ZeroBytes, BreakWithAnExtraGatherAndADroppedReduction) {
  const comm::World world;
  const Form& form = kForms[7];
  const deck::Deck deck = deck_of(form, {}, world.size(), false);
  const EngineFaults extra{.program = [](program::Compiled& compiled) {
    for (program::StageProgram& stage : compiled.stages)
      stage.instructions.push_back(
          program::Instruction(first_of(stage, program::Kind::all_gather)));
  }};
  const EngineFaults dropped{.program = [](program::Compiled& compiled) {
    for (program::StageProgram& stage : compiled.stages) {
      program::Instruction& sum = first_of(stage, program::Kind::reduce_scatter);
      sum.bytes = 0;
      sum.elements = {};
    }
  }};
  const Counted more = counted(world, deck, form, false, extra);
  EXPECT_GT(more.data, more.want.data() + kByte);
  const Counted less = counted(world, deck, form, false, dropped);
  EXPECT_LT(less.data, less.want.data() - kByte);
}

}  // namespace
}  // namespace trireme::validation
