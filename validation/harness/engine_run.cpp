#include "validation/harness/engine_run.hpp"

#include "kernels/base/random.hpp"
#include "lib/engine/open_device.hpp"
#include "lib/models/build.hpp"
#include "lib/program/compile.hpp"
#include "validation/harness/device_fixture.hpp"

#include <mpi.h>

#include <algorithm>
#include <cmath>
#include <cstring>

namespace trireme::validation {
namespace {

constexpr std::int64_t kDocument = 3;

std::size_t at(std::int64_t i) { return static_cast<std::size_t>(i); }

std::uint32_t word(std::int64_t step, std::int64_t sample, std::int64_t position) {
  const Philox philox(91);
  return philox.at(static_cast<std::uint64_t>(1000 * step + sample),
                   static_cast<std::uint64_t>(position))[0];
}

/// Added to norms and biases, which start as ones and zeros, so that nothing is symmetric.
float offset_of(std::int64_t element, const std::string& name) {
  return 0.2f * static_cast<float>((element * 7 + static_cast<std::int64_t>(name.size())) % 5 - 2);
}

/// Where a value lies: part of the unit, element of its flat buffer.
struct Where {
  program::Part part = program::Part::body;
  std::int64_t flat = 0;
};

/// Calls visit(unit, parameter, logical element, value, Where) for every element of this state
/// that the rank holds of logical tensors; `tensor_rank` says whose part it is taken for.
template <class Visit>
void for_each_value(state::Store& store, const engine::Place& seat, std::int64_t tensor_rank,
                    const StateName& name, state::Store::Access access, const Visit& visit) {
  for (const state::UnitState& unit : store.units())
    store.visit(unit, name.purpose, name.number, access, [&](const state::Held& held) {
      for (std::size_t p = 0; p < unit.unit->parameters.size(); ++p) {
        const nn::PlacedParameter& placed = unit.unit->parameters[p];
        const nn::Parameter& parameter = placed.parameter;
        const bool matrix = parameter.shape.rank() == 2;
        const std::int64_t width = matrix ? parameter.shape[1] : 1;
        const Range mine = nn::local_range(parameter, seat.grid.tensor(), tensor_rank);
        const bool by_rows = parameter.split_dim == 0;
        const std::int64_t row = by_rows ? mine.begin : 0;
        const std::int64_t column = parameter.split_dim == 1 ? mine.begin : 0;
        for (const nn::Rectangle& part :
             nn::rectangles(placed, held.flat, by_rows ? mine.size() : placed.local[0])) {
          float* value = held.values.data() + (part.flat - held.flat.begin);
          std::int64_t flat = part.flat;
          for (std::int64_t r = part.rows.begin; r < part.rows.end; ++r)
            for (std::int64_t c = part.columns.begin; c < part.columns.end; ++c)
              visit(unit, p, (row + r) * width + column + c, *value++, Where{held.part, flat++});
        }
      }
    });
}

void scramble(state::Store& store, const engine::Place& place) {
  for_each_value(store, place, place.at.tensor, {program::Purpose::masters, 0},
                 state::Store::Access::update,
                 [&](const state::UnitState& unit, std::size_t p, std::int64_t logical,
                     float& value, const Where&) {
                   const nn::Parameter& parameter = unit.unit->parameters[p].parameter;
                   if (parameter.shape.rank() == 1)
                     value += offset_of(logical, nn::logical_name(*unit.unit, parameter));
                 });
}

program::Compiled& broken(engine::Setup& setup, const EngineFaults& faults) {
  if (faults.program) faults.program(setup.training);
  return setup.training;
}

}  // namespace

deck::Deck engine_deck(const deck::ModelConfig& model) {
  deck::Deck deck;
  deck.model = model;
  deck.optimizer.weight_decay = 0.1;
  deck.run.seed = 7;
  deck.run.max_steps = 1000;
  deck.run.device = test_device();
  return deck;
}

deck::Deck two_micro_batches(const comm::World& world, const deck::ModelConfig& model) {
  deck::Deck deck = engine_deck(model);
  deck.parallel.data = world.size();
  deck.batch.global = 2 * world.size();
  deck.batch.accumulation = 2;
  return deck;
}

std::int32_t MadeTokens::input(std::int64_t step, std::int64_t sample,
                               std::int64_t position) const {
  return static_cast<std::int32_t>(word(step, sample, position) %
                                   static_cast<std::uint64_t>(vocabulary));
}

std::int32_t MadeTokens::target(std::int64_t step, std::int64_t sample,
                                std::int64_t position) const {
  return (sample + position) % 7 == 3 ? -1 : input(step, sample, position + 1);
}

std::int32_t MadeTokens::document(std::int64_t position) const {
  return static_cast<std::int32_t>(position / kDocument * kDocument);
}

comm::CommOptions patient_comm() {
  comm::CommOptions options;
  options.deadline_seconds = 30;
  options.look = std::chrono::seconds(10);  // whoever is not rung is seen to be slow
  return options;
}

EngineRun::EngineRun(const comm::World& world, const deck::Deck& deck, const EngineFaults& faults,
                     const engine::ExecutorOptions& options, const comm::CommOptions& comm)
    : world_(world),
      faults_(faults),
      setup_(engine::open_device(world, deck)),
      place_{setup_.grid, setup_.grid.coordinates(world.rank())},
      store_(world, setup_.model, setup_.layout, setup_.resident, setup_.options,
             state::seat_of(setup_.model, place_.at),
             {&setup_.training, &setup_.evaluation, &setup_.refresh}),
      communicators_(world, setup_.grid, comm,
                     setup_.options.device_links ? &store_.gpu()->comm : nullptr),
      control_(deck),
      training_(
          setup_.model, broken(setup_, faults), store_, communicators_, place_,
          setup_.deck.optimizer, load(),
          [this](double, double squares) {
            return control_.decide({squares, !std::isfinite(squares), 1.0});
          },
          engine::with_graphs(options, deck)),
      evaluation_(setup_.model, setup_.evaluation, store_, communicators_, place_,
                  setup_.deck.optimizer, load(), nullptr, engine::with_graphs({}, deck)),
      refresh_(setup_.model, setup_.refresh, store_, communicators_, place_, setup_.deck.optimizer,
               nullptr, nullptr) {
  communicators_.attach(&store_.arena());
  store_.initialise(deck.run.seed, place_.at.tensor, setup_.grid.tensor());
  scramble(store_, place_);
  refresh_.run({});
}

engine::LoadBatch EngineRun::load() {
  return [this](std::int64_t first, const TensorView& tokens, const TensorView& documents) {
    if (!fed_.empty()) return load_fed(first, tokens, documents);
    const MadeTokens made{setup_.deck.model.vocabulary, setup_.deck.model.context};
    const std::int64_t width = (tokens ? tokens : documents).width();
    std::int64_t counted = 0;
    for (std::int64_t i = 0; i < width; ++i) {
      const std::int64_t sample = first + i / made.sequence;
      const std::int64_t position = i % made.sequence;
      if (documents) documents.as<std::int32_t>()[i] = made.document(position);
      if (!tokens) continue;
      const bool blank = sample == faults_.blank_sample;
      const std::int32_t target = blank ? -1 : made.target(step_, sample, position);
      tokens.as<std::int32_t>()[i] = made.input(step_, sample, position);
      tokens.as<std::int32_t>()[width + i] = target;
      counted += target >= 0 ? 1 : 0;
    }
    return counted;
  };
}

std::int64_t EngineRun::load_fed(std::int64_t first, const TensorView& tokens,
                                 const TensorView& documents) {
  const deck::BatchConfig& batch = setup_.deck.batch;
  const LocalBatch& fed = fed_.at(at((step_ * batch.global + first) / batch.micro));
  if (tokens) std::ranges::copy(fed.tokens, tokens.as<std::int32_t>());
  if (documents) std::ranges::copy(fed.documents, documents.as<std::int32_t>());
  const auto targets = fed.tokens.begin() + std::ssize(fed.tokens) / 2;
  return std::count_if(targets, fed.tokens.end(), [](std::int32_t target) { return target >= 0; });
}

engine::StepInput EngineRun::input() const {
  engine::StepInput input;
  input.scalars.seed = setup_.deck.run.seed;
  input.scalars.step = step_;
  input.scalars.gradient_scale = faults_.gradient_factor * control_.loss_scale() /
                                 static_cast<double>(setup_.tokens_per_step());
  input.samples_per_replica = setup_.deck.batch.micro * setup_.deck.batch.accumulation;
  input.update = control_.ahead();
  return input;
}

engine::StepResult EngineRun::step() {
  const engine::StepResult result = training_.run(input());
  loss_ = result.loss_sum;
  ++step_;
  return result;
}

double EngineRun::evaluate() {
  engine::StepInput forward = input();
  forward.scalars.training = false;
  return evaluation_.run(forward).loss_sum;
}

StepOutcome EngineRun::outcome() {
  const GatherOptions options{.equal_replicas = !faults_.program && !faults_.swap_shards,
                              .swap_shards = faults_.swap_shards,
                              .own_shares = setup_.deck.parallel.zero.stage == 1};
  StepOutcome made =
      gather_whole(world_, setup_.model, place_, store_, {program::Purpose::gradients, 0}, options);
  made.loss = loss_;
  return made;
}

StepOutcome EngineRun::masters() {
  const GatherOptions options{.equal_replicas = !faults_.program};
  return gather_whole(world_, setup_.model, place_, store_, {program::Purpose::masters, 0},
                      options);
}

void poison(state::Store& store, const state::UnitState& unit) {
  store.visit(unit, program::Purpose::masters, 0, state::Store::Access::update,
              [](const state::Held& held) {
                if (held.flat.begin == 0) held.values[0] = std::numeric_limits<float>::quiet_NaN();
              });
}

StepOutcome gather_whole(const comm::World& world, const models::Model& model,
                         const engine::Place& place, state::Store& store, const StateName& name,
                         const GatherOptions& options) {
  StepOutcome made;
  std::vector<std::size_t> first;  // by unit: its first tensor
  for (std::size_t u = 0; u < model.units.size(); ++u) {
    first.push_back(made.tensors.size());
    for (std::size_t p = 0; p < model.units[u].parameters.size(); ++p) {
      const nn::Parameter& parameter = model.units[u].parameters[p].parameter;
      made.tensors.push_back({nn::logical_name(model.units[u], parameter), static_cast<int>(u),
                              static_cast<int>(p), parameter.shape});
      made.gradients.emplace_back(at(parameter.shape.elements()));
    }
  }
  std::int64_t shard = place.at.tensor;
  if (options.swap_shards && shard < 2) shard = 1 - shard;
  const auto visit_mine = [&](const auto& visit) {
    for_each_value(store, place, shard, name, state::Store::Access::read,
                   [&](const state::UnitState& unit, std::size_t p, std::int64_t logical,
                       float value, const Where& where) {
                     const bool own = where.flat / std::max<std::int64_t>(unit.unit->chunk, 1) %
                                          unit.unit->ranks ==
                                      store.seat().share;
                     const bool whole = where.part == program::Part::body;
                     if (options.own_shares && whole && !own) return;
                     const bool share = !whole || (options.own_shares && unit.unit->ranks > 1);
                     visit(unit, first[at(unit.index)] + p, at(logical), static_cast<double>(value),
                           where.part == program::Part::tail ? false : share);
                   });
  };
  visit_mine([&](const state::UnitState& unit, std::size_t tensor, std::size_t i, double value,
                 bool share) {
    const nn::Parameter& parameter =
        unit.unit->parameters[at(made.tensors[tensor].index)].parameter;
    const bool mine = share ? store.seat().replica == 0 : place.at.data == 0;
    if (unit.primary && mine && (parameter.split_dim >= 0 || place.at.tensor == 0))
      made.gradients[tensor][i] = value;
  });
  for (std::vector<double>& whole : made.gradients)
    MPI_Allreduce(MPI_IN_PLACE, whole.data(), narrow<int>(static_cast<std::int64_t>(whole.size())),
                  MPI_DOUBLE, MPI_SUM, world.comm());
  if (!options.equal_replicas) return made;
  visit_mine([&](const state::UnitState&, std::size_t tensor, std::size_t i, double value, bool) {
    const double whole = made.gradients[tensor][i];
    check(value == whole || std::isnan(value), Exit::kUnexpected,
          "replicas of {} disagree at {}: {} and {}", made.tensors[tensor].name, i, value, whole);
  });
  return made;
}

namespace {

models::Model reference_model(const deck::Deck& deck) {
  nn::Placement placement;
  placement.sequence = deck.model.context;
  placement.compute = deck.precision.compute;
  placement.products.fp8 = deck.precision.fp8;  // the host has no tf32
  placement.attention_across_documents = deck.data.attention_across_documents;
  return models::build_language_model(deck.model, placement);
}

}  // namespace

ReferenceRun::ReferenceRun(const deck::Deck& deck)
    : deck_(deck), model_(reference_model(deck)), run_(model_), control_(deck) {
  run_.initialise(deck.run.seed);
  for (const LocalTensor& tensor : run_.tensors()) {
    if (tensor.shape.rank() != 1) continue;
    std::vector<double> values = run_.get(tensor);
    for (std::size_t i = 0; i < values.size(); ++i)
      values[i] = static_cast<double>(static_cast<float>(values[i]) +
                                      offset_of(static_cast<std::int64_t>(i), tensor.name));
    run_.set(tensor, values);
  }
}

std::vector<LocalBatch> ReferenceRun::batches() const {
  const MadeTokens made{deck_.model.vocabulary, deck_.model.context};
  std::vector<LocalBatch> all(at(deck_.batch.global));
  for (std::int64_t sample = 0; sample < deck_.batch.global; ++sample) {
    LocalBatch& batch = all[at(sample)];
    for (std::int64_t i = 0; i < made.sequence; ++i)
      batch.tokens.push_back(made.input(step_, sample, i));
    for (std::int64_t i = 0; i < made.sequence; ++i)
      batch.tokens.push_back(made.target(step_, sample, i));
    if (!deck_.data.attention_across_documents)
      for (std::int64_t i = 0; i < made.sequence; ++i) batch.documents.push_back(made.document(i));
  }
  return all;
}

StepOutcome ReferenceRun::step() {
  nn::StepScalars scalars;
  scalars.seed = deck_.run.seed;
  scalars.step = step_;
  scalars.gradient_scale =
      control_.loss_scale() / static_cast<double>(deck_.batch.global * deck_.model.context);
  StepOutcome made = validation::outcome(run_, batches(), scalars);
  const double squares = run_.sum_of_squares();
  const optim::StepDecision decision = control_.decide({squares, !std::isfinite(squares), 1.0});
  if (decision.apply) run_.update(deck_.optimizer, decision.scalars);
  ++step_;
  return made;
}

}  // namespace trireme::validation
