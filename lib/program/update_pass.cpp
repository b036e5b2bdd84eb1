// Sixth pass: norm, agreement of the world, updates, and the weights' way back to all who hold
// them.
//
// What an update needs and storage keeps is fetched before it and stored behind it, by sub-groups,
// so many ahead as the deck's buffers allow. Updates are a phase behind the agreement, or, with
// update_per unit, each follows its gradient (DESIGN section 7, rule 7): backward hides them, and
// what it says to the world is then only what is logged.

#include "lib/program/update_work.hpp"

#include <algorithm>
#include <iterator>

namespace trireme::program {
namespace {

constexpr std::int64_t kFloat = sizeof(float);

/// The sub-groups of one stage on their way into the order. Fetches are emitted so many sub-groups
/// ahead of the work as there are buffers besides the one at work; where reads or writes are not
/// pipelined, the next piece of work waits for them.
class Stream {
 public:
  Stream(std::vector<Phases> list, UnitOps& ops)
      : list_(std::move(list)), ops_(ops), offload_(ops.zero().offload_optimizer) {
    if (offload_.pipeline_read)
      ahead_ = static_cast<std::size_t>(std::max<std::int64_t>(1, offload_.buffer_count) - 1);
  }

  /// Fetches that may start at this position of the order, before any work.
  void begin(std::size_t position, std::vector<Instruction>& out) { fetch(0, position, out); }

  /// Everything whose place is at or before this position.
  void run_to(std::size_t position, std::vector<Instruction>& out) {
    for (; next_ < list_.size() && list_[next_].position <= position; ++next_) {
      fetch(next_, position, out);
      work(list_[next_], out);
    }
  }

 private:
  static void append(std::vector<Instruction>& from, std::vector<Instruction>& to) {
    std::move(from.begin(), from.end(), std::back_inserter(to));
  }

  void fetch(std::size_t now, std::size_t position, std::vector<Instruction>& out) {
    for (; fetched_ < list_.size() && fetched_ <= now + ahead_; ++fetched_) {
      if (fetched_ > now && passes_a_store(now, fetched_)) return;
      if (list_[fetched_].position > position && awaits_gradient(list_[fetched_])) return;
      append(list_[fetched_].fetch, out);
    }
  }

  /// A fetch may not pass the store of what it reads: LAMB visits its moments twice.
  bool passes_a_store(std::size_t from, std::size_t to) const {
    for (const Instruction& fetch : list_[to].fetch)
      for (std::size_t k = from; k < to; ++k)
        for (const Instruction& store : list_[k].store)
          if (store.writes[0] == fetch.reads[0] &&
              overlap(store.elements, fetch.elements).size() > 0)
            return true;
    return false;
  }

  bool awaits_gradient(const Phases& phases) const {
    return std::any_of(phases.fetch.begin(), phases.fetch.end(), [&](const Instruction& fetch) {
      return ops_.buffer(fetch.reads[0]).content == Purpose::gradients;
    });
  }

  void work(Phases& now, std::vector<Instruction>& out) {
    if (written_ >= 0 && !now.work.empty()) {
      now.work.front().reads.push_back(written_);
      written_ = -1;
    }
    append(now.work, out);
    if (!now.store.empty() && !offload_.pipeline_write) {
      written_ = ops_.scratch(now.store.back().stage, -1, kFloat);
      now.store.back().writes.push_back(written_);
    }
    append(now.store, out);
    append(now.behind, out);
  }

  std::vector<Phases> list_;
  UnitOps& ops_;
  const deck::OffloadOptimizerConfig& offload_;
  std::size_t ahead_ = 0;
  std::size_t next_ = 0;
  std::size_t fetched_ = 0;
  BufferId written_ = -1;
};

class Update {
 public:
  Update(GridProgram grid, const models::Model& model, const Layout& layout, const Options& options,
         const ResidentTable& resident, When when)
      : grid_(std::move(grid)),
        model_(model),
        layout_(layout),
        resident_(resident),
        work_(grid_, model, options, resident, when),
        early_(options.zero.update_per == deck::UpdatePer::unit),
        training_(!options.shape.forward_only) {}

  GridProgram run();
  GridProgram refresh();

 private:
  /// Where in the order the gradients of a stage's units are complete, in that order.
  struct Complete {
    std::size_t begin = 0;  ///< the stage's first gradient
    std::vector<std::pair<std::size_t, std::int32_t>> units;
  };

  void norms(std::int32_t stage);
  void agree();
  void decide(std::int32_t stage);
  void phase(std::int32_t stage, Kind kind);
  std::vector<Complete> complete() const;
  void place(std::vector<Phases>& phases, std::int32_t stage, std::size_t begin, std::size_t end,
             bool summed) const;
  Stream behind_gradients(std::int32_t stage, const Complete& complete);
  void with_gradients();

  GridProgram grid_;
  const models::Model& model_;
  const Layout& layout_;
  const ResidentTable& resident_;
  UpdateWork work_;
  bool early_;
  bool training_;
  std::vector<Instruction> out_;
};

/// Weights are made of all masters, optimizer steps of what is trained.
void Update::phase(std::int32_t stage, Kind kind) {
  std::vector<Phases> list;
  const auto units = kind == Kind::update ? trained_units_of_stage : units_of_stage;
  for (const std::int32_t unit : units(model_, layout_, stage))
    std::ranges::move(work_.of_unit(stage, unit, kind), std::back_inserter(list));
  Stream(std::move(list), work_.ops()).run_to(0, out_);
}

void Update::norms(std::int32_t stage) {
  for (const std::int32_t unit : trained_units_of_stage(model_, layout_, stage))
    std::ranges::move(work_.norms(stage, unit), std::back_inserter(out_));
}

void Update::agree() {
  const std::int32_t event = grid_.events++;
  for (std::int32_t s = 0; s < layout_.stages; ++s) {
    Instruction agree = work_.ops().on_unit(Kind::all_reduce, Lane::comm, s, -1);
    agree.group = Group::world;
    agree.event = event;
    agree.reads = agree.writes = {resident_.scalars(s)};
    agree.bytes = resident_.at(resident_.scalars(s)).bytes;
    out_.push_back(std::move(agree));
  }
}

void Update::decide(std::int32_t stage) {
  Instruction decide = work_.ops().on_unit(Kind::decide, Lane::compute, stage, -1);
  decide.reads = decide.writes = {resident_.scalars(stage)};
  out_.push_back(std::move(decide));
}

std::vector<Update::Complete> Update::complete() const {
  std::vector<Complete> stages(static_cast<std::size_t>(layout_.stages));
  std::map<std::pair<std::int32_t, std::int32_t>, std::size_t> last;
  for (std::size_t i = 0; i < grid_.order.size(); ++i) {
    const Instruction& instruction = grid_.order[i];
    const auto note = [&](BufferId id) {
      const Buffer& buffer = grid_.buffers[static_cast<std::size_t>(id)];
      const bool gradient = buffer.content == Purpose::gradients;
      if (!gradient && buffer.content != Purpose::weights) return;
      if (model_.units[static_cast<std::size_t>(buffer.owner)].frozen) return;
      last[{instruction.stage, buffer.owner}] = i;
      std::size_t& begin = stages[static_cast<std::size_t>(instruction.stage)].begin;
      if (gradient && begin == 0) begin = i;
    };
    std::ranges::for_each(instruction.reads, note);
    std::ranges::for_each(instruction.writes, note);
  }
  for (const auto& [where, position] : last)
    stages[static_cast<std::size_t>(where.first)].units.emplace_back(position, where.second);
  for (Complete& stage : stages) std::ranges::sort(stage.units);
  return stages;
}

/// Spreads a unit's sub-groups over the compute between its gradient and the next one, so that what
/// they stream hides behind it. Where a sum completes the gradient they begin later, so that
/// compute does not stand still for it.
void Update::place(std::vector<Phases>& phases, std::int32_t stage, std::size_t begin,
                   std::size_t end, bool summed) const {
  double total = 0;
  const auto flops = [&](std::size_t i) {
    return grid_.order[i].stage == stage ? grid_.order[i].flops : 0;
  };
  for (std::size_t i = begin + 1; i <= end; ++i) total += flops(i);
  const auto count = static_cast<double>(phases.size());
  std::size_t position = begin;
  double done = 0;
  for (std::size_t k = 0; k < phases.size(); ++k) {
    const double share = static_cast<double>(summed ? k + 1 : k) / count;
    while (position < end && done < share * total) done += flops(++position);
    phases[k].position = position;
  }
}

Stream Update::behind_gradients(std::int32_t stage, const Complete& complete) {
  std::vector<Phases> list;
  for (std::size_t u = 0; u < complete.units.size(); ++u) {
    const auto [position, unit] = complete.units[u];
    const bool last = u + 1 == complete.units.size();
    const bool summed = work_.ops().zero().overlap_comm && grid_.order[position].lane == Lane::comm;
    std::vector<Phases> phases = work_.of_unit(stage, unit, Kind::update);
    std::vector<Instruction>& first = phases.front().work;
    std::ranges::move(work_.norms(stage, unit), std::inserter(first, first.begin()));
    place(phases, stage, position, last ? position : complete.units[u + 1].first, summed);
    std::ranges::move(phases, std::back_inserter(list));
  }
  return {std::move(list), work_.ops()};
}

void Update::with_gradients() {
  const std::vector<Complete> stages = complete();
  std::vector<Stream> streams;
  for (std::int32_t s = 0; s < layout_.stages; ++s)
    streams.push_back(behind_gradients(s, stages[static_cast<std::size_t>(s)]));
  for (std::size_t i = 0; i < grid_.order.size(); ++i) {
    const std::int32_t event = grid_.order[i].event;
    const auto stage = static_cast<std::size_t>(grid_.order[i].stage);
    if (i == stages[stage].begin) streams[stage].begin(i, out_);
    out_.push_back(std::move(grid_.order[i]));
    // The parts of an event stay neighbours.
    const bool goes_on =
        event >= 0 && i + 1 < grid_.order.size() && grid_.order[i + 1].event == event;
    if (goes_on) continue;
    for (Stream& stream : streams) stream.run_to(i, out_);
  }
}

GridProgram Update::run() {
  if (training_ && early_) {
    with_gradients();
  } else {
    out_ = std::move(grid_.order);
    for (std::int32_t s = 0; training_ && s < layout_.stages; ++s) norms(s);
  }
  agree();
  for (std::int32_t s = 0; training_ && s < layout_.stages; ++s) {
    decide(s);
    if (!early_) phase(s, Kind::update);
  }
  grid_.order = std::move(out_);
  return std::move(grid_);
}

GridProgram Update::refresh() {
  grid_.stages = layout_.stages;
  grid_.buffers = resident_.buffers();
  for (std::int32_t s = 0; s < layout_.stages; ++s) phase(s, Kind::round);
  agree();
  grid_.order = std::move(out_);
  return std::move(grid_);
}

}  // namespace

GridProgram update_pass(GridProgram grid, const models::Model& model, const Layout& layout,
                        const Options& options, const ResidentTable& resident) {
  const bool early = options.zero.update_per == deck::UpdatePer::unit;
  return Update(std::move(grid), model, layout, options, resident,
                early ? When::always : When::applied)
      .run();
}

GridProgram refresh_program(const models::Model& model, const Layout& layout,
                            const Options& options, const ResidentTable& resident) {
  return Update({}, model, layout, options, resident, When::always).refresh();
}

}  // namespace trireme::program
