// Fifth pass: gradients are summed over tensor, data and tied groups and taken to where they stay.
//
// The sum of a unit starts right behind its last contribution, so that it overlaps what is left of
// backward. Up to ZeRO stage 1 a unit's gradient is one resident buffer, summed once. From stage 2
// on it is whole only while one micro-batch (or one step) contributes to it: a window. At a
// window's end it is summed, and each rank's share joins what it has; what waits for the sum is
// deferred behind the next window, so that compute does not stand still. Tied units follow after
// all transfers (DESIGN section 7, rule 7).

#include "lib/program/unit_ops.hpp"

#include <algorithm>
#include <map>
#include <optional>

namespace trireme::program {
namespace {

constexpr std::int64_t kFloat = sizeof(float);

/// Contributions to a unit's gradient that are summed together.
struct Window {
  std::int32_t stage = 0;
  std::int32_t unit = 0;
  std::int32_t number = 0;  ///< 0: what it leaves overwrites, later ones add
  bool last_one = true;     ///< of its unit
  std::vector<std::size_t> positions;
  BufferId buffer = -1;  ///< live gradient of the body, or its home
};

class Gradients {
 public:
  Gradients(GridProgram grid, const models::Model& model, const Layout& layout,
            const Options& options, const ResidentTable& resident)
      : grid_(std::move(grid)), layout_(layout), ops_(grid_, model, options, resident) {}
  GridProgram run();

 private:
  std::vector<Window> windows();
  void open(Window& window);
  void settle(const Window& window);
  void sum(const Window& window, std::optional<BufferId> share);
  void sum_tail(const Window& window);
  void leave(const Window& window, std::vector<Instruction>& deferred);
  void leave_to_storage(const Window& window, BufferId home, std::vector<Instruction>& deferred);
  void tied();
  std::optional<BufferId> direct_share(const Window& window) const;
  Instruction compute(Kind kind, const Window& window, BufferId home, Range elements) const;
  void flush(std::int32_t stage);
  void wait_for_sum(std::int32_t stage, std::size_t from);
  void hold(const std::vector<Window>& all);
  bool data_sums() const { return ops_.options().data > 1; }
  /// Whether what waits for a sum is deferred behind the next window.
  bool defers() const { return data_sums() && ops_.zero().overlap_comm; }
  /// Whether a window's sum has to be taken on to where it stays.
  bool joins(const Window& window) const {
    const Residence here = ops_.residence(window.unit);
    return here.gradients_leave && !here.gradients_used_up && !direct_share(window);
  }

  GridProgram grid_;
  const Layout& layout_;
  UnitOps ops_;
  std::vector<Instruction> out_;
  std::map<std::int32_t, std::vector<Instruction>> deferred_;  // by stage
  std::map<std::int32_t, BufferId> token_;  // by stage: compute waits for who wrote it
};

std::vector<Window> Gradients::windows() {
  std::map<std::pair<std::int32_t, std::int32_t>, std::vector<Window>> by_unit;
  std::map<std::pair<std::int32_t, std::int32_t>, std::int32_t> newest_micro;
  for (std::size_t i = 0; i < grid_.order.size(); ++i) {
    const Instruction& instruction = grid_.order[i];
    if (instruction.kind != Kind::segment) continue;
    for (const BufferId id : instruction.writes) {
      const Buffer& buffer = ops_.buffer(id);
      if (buffer.purpose != Purpose::gradients) continue;
      const std::pair where{instruction.stage, buffer.owner};
      std::vector<Window>& list = by_unit[where];
      const bool by_micro = ops_.residence(buffer.owner).gradients_leave &&
                            ops_.zero().reduce_per == deck::Per::micro_batch;
      if (list.empty() || (by_micro && newest_micro[where] != instruction.micro)) {
        Window window;
        window.stage = instruction.stage;
        window.unit = buffer.owner;
        window.number = static_cast<std::int32_t>(list.size());
        list.push_back(window);
        newest_micro[where] = instruction.micro;
      }
      std::vector<std::size_t>& positions = list.back().positions;
      if (positions.empty() || positions.back() != i) positions.push_back(i);
    }
  }
  std::vector<Window> all;
  for (auto& [where, list] : by_unit)
    for (std::size_t k = 0; k < list.size(); ++k) {
      list[k].last_one = k + 1 == list.size();
      open(list[k]);
      all.push_back(std::move(list[k]));
    }
  std::stable_sort(all.begin(), all.end(), [](const Window& a, const Window& b) {
    return a.positions.back() < b.positions.back();
  });
  return all;
}

/// Gives a window its buffer, and its contributors the order to overwrite or to add.
void Gradients::open(Window& window) {
  const auto homes = ops_.resident().homes_of(window.stage, window.unit, Purpose::gradients, false);
  if (homes.empty()) return;  // all of it is tail
  window.buffer = homes[0];
  if (!ops_.residence(window.unit).gradients_leave) return;
  const Instruction& first = grid_.order[window.positions.front()];
  window.buffer = ops_.copy_of(homes[0], Purpose::live_gradients, Tier::device, Part::body,
                               {0, ops_.unit(window.unit).body}, first.micro);
  const std::pair first_writer{first.block, first.micro};
  for (const std::size_t position : window.positions) {
    Instruction& writer = grid_.order[position];
    for (BufferId& id : writer.writes)
      if (std::find(homes.begin(), homes.end(), id) != homes.end()) id = window.buffer;
    // Homes may be several; the live buffer is one.
    const auto one = std::find(writer.writes.begin(), writer.writes.end(), window.buffer);
    writer.writes.erase(std::remove(std::next(one), writer.writes.end(), window.buffer),
                        writer.writes.end());
    const auto& units = ops_.model().blocks[static_cast<std::size_t>(writer.block)].units;
    for (std::size_t p = 0; p < units.size(); ++p) {
      if (units[p] != window.unit) continue;
      const std::uint32_t bit = 1u << p;
      const bool adds = std::pair{writer.block, writer.micro} != first_writer;
      writer.accumulate = adds ? writer.accumulate | bit : writer.accumulate & ~bit;
    }
  }
}

/// Where the sum may put the share at once: an empty home in one piece in the device's arena.
std::optional<BufferId> Gradients::direct_share(const Window& window) const {
  const Residence here = ops_.residence(window.unit);
  if (!here.gradients_leave || !here.gradients_divided || window.number > 0) return {};
  if (!data_sums() || !ops_.zero().reduce_scatter) return {};
  const auto homes = ops_.resident().homes_of(window.stage, window.unit, Purpose::gradients, false);
  if (homes.size() != 1 || ops_.buffer(homes[0]).tier != Tier::device) return {};
  return homes[0];
}

void Gradients::sum(const Window& window, std::optional<BufferId> share) {
  const nn::Unit& flat = ops_.unit(window.unit);
  const Residence here = ops_.residence(window.unit);
  const Range partial = overlap(flat.partial, {0, flat.body});
  if (ops_.model().placement.tensor > 1 && partial.size() > 0)
    ops_.all_reduce(window.stage, window.unit, Group::tensor, window.buffer, Part::body, partial);
  if (!data_sums()) return;
  if (!here.optimizer_divided || !ops_.zero().reduce_scatter) {
    ops_.all_reduce(window.stage, window.unit, Group::data, window.buffer, Part::body,
                    {0, flat.body});
    return;
  }
  const BufferId into = share.value_or(window.buffer);
  ops_.reduce_scatter(window.stage, window.unit, window.buffer, into);
  if (ops_.replicas() > 1)
    ops_.all_reduce(window.stage, window.unit, Group::replica, into, Part::share,
                    {0, flat.share()});
}

void Gradients::sum_tail(const Window& window) {
  const nn::Unit& flat = ops_.unit(window.unit);
  for (const BufferId tail :
       ops_.resident().homes_of(window.stage, window.unit, Purpose::gradients, true)) {
    const Range partial = overlap(flat.partial, {flat.body, flat.elements});
    if (ops_.model().placement.tensor > 1 && partial.size() > 0)
      ops_.all_reduce(window.stage, window.unit, Group::tensor, tail, Part::tail,
                      {partial.begin - flat.body, partial.end - flat.body});
    if (data_sums())
      ops_.all_reduce(window.stage, window.unit, Group::data, tail, Part::tail,
                      ops_.buffer(tail).elements);
  }
}

Instruction Gradients::compute(Kind kind, const Window& window, BufferId home,
                               Range elements) const {
  Instruction made = ops_.on_unit(kind, Lane::compute, window.stage, window.unit,
                                  ops_.buffer(home).part, elements);
  made.bytes = elements.size() * kFloat;
  return made;
}

/// The share of a summed window joins what earlier windows left on storage.
void Gradients::leave_to_storage(const Window& window, BufferId home,
                                 std::vector<Instruction>& deferred) {
  const Buffer to = ops_.buffer(home);
  for (const Range piece :
       ops_.pieces(window.unit, Part::body, to.elements, ops_.zero().sub_group_size)) {
    BufferId from = window.buffer;
    if (window.number > 0) {
      from = ops_.copy_of(home, Purpose::staging, Tier::host, to.part, piece);
      ops_.move(Kind::fetch, window.stage, window.unit, home, from, to.part, piece, When::always);
    }
    std::vector<Instruction> steps;
    ops_.emit_into(steps);
    if (window.number > 0) {
      Instruction add = compute(Kind::accumulate, window, home, piece);
      add.accumulate = 1;
      add.reads = {window.buffer, from};
      add.writes = {from};
      ops_.emit(std::move(add));
    }
    if (window.last_one) {
      Instruction norm = compute(Kind::norm, window, home, piece);
      norm.reads = {from};
      norm.writes = {ops_.resident().scalars(window.stage)};
      ops_.emit(std::move(norm));
    }
    ops_.move(Kind::store, window.stage, window.unit, from, home, to.part, piece, When::always);
    ops_.emit_into(out_);
    std::move(steps.begin(), steps.end(), std::back_inserter(deferred));
  }
}

void Gradients::leave(const Window& window, std::vector<Instruction>& deferred) {
  for (const BufferId home :
       ops_.resident().homes_of(window.stage, window.unit, Purpose::gradients, false)) {
    const Buffer& to = ops_.buffer(home);
    if (to.tier == Tier::nvme) {
      leave_to_storage(window, home, deferred);
      continue;
    }
    Instruction join = compute(Kind::accumulate, window, home, to.elements);
    join.accumulate = window.number > 0 ? 1 : 0;
    join.reads = {window.buffer};
    if (window.number > 0) join.reads.push_back(home);
    join.writes = {home};
    deferred.push_back(std::move(join));
  }
}

void Gradients::flush(std::int32_t stage) {
  std::vector<Instruction>& waiting = deferred_[stage];
  std::move(waiting.begin(), waiting.end(), std::back_inserter(out_));
  waiting.clear();
}

/// Without overlap: the stage's next compute instruction reads what its newest sum writes.
void Gradients::wait_for_sum(std::int32_t stage, std::size_t from) {
  if (ops_.zero().overlap_comm) return;
  for (std::size_t i = out_.size(); i-- > from;) {
    if (out_[i].lane != Lane::comm) continue;
    const BufferId token = ops_.scratch(stage, -1, kFloat);
    out_[i].writes.push_back(token);
    token_[stage] = token;
    return;
  }
}

void Gradients::settle(const Window& window) {
  const std::size_t before = out_.size();
  if (window.buffer >= 0) {
    sum(window, direct_share(window));
    // Before this window fetches what an earlier one of its unit is about to store.
    if (defers()) flush(window.stage);
    std::vector<Instruction> deferred;
    if (joins(window)) leave(window, deferred);
    std::move(deferred.begin(), deferred.end(), std::back_inserter(deferred_[window.stage]));
    if (!defers()) flush(window.stage);
  }
  if (window.last_one) sum_tail(window);
  wait_for_sum(window.stage, before);
}

/// A live gradient whose sum nothing later reads keeps its bytes until the next window is complete,
/// so that backward does not wait for the sum.
void Gradients::hold(const std::vector<Window>& all) {
  if (!defers()) return;
  std::map<std::int32_t, const Window*> newest;
  for (const Window& window : all) {
    if (window.buffer < 0 || !ops_.residence(window.unit).gradients_leave) continue;
    const Window*& previous = newest[window.stage];
    if (previous && !joins(*previous))
      grid_.order[window.positions.back()].holds.push_back(previous->buffer);
    previous = &window;
  }
}

/// Adds up the two copies of a tied unit's gradient, or of this rank's share of it.
void Gradients::tied() {
  for (std::size_t u = 0; u < ops_.model().units.size(); ++u) {
    if (!ops_.model().units[u].tied) continue;
    const auto unit = static_cast<std::int32_t>(u);
    std::vector<std::int32_t> holders;
    for (std::int32_t s = 0; s < layout_.stages; ++s)
      if (!ops_.resident().homes(s, unit, Purpose::weights).empty()) holders.push_back(s);
    if (holders.size() < 2) continue;
    const bool divided = ops_.residence(unit).optimizer_divided;
    const auto homes = ops_.resident().homes(holders[0], unit, Purpose::gradients);
    for (std::size_t h = 0; h < homes.size(); ++h) {
      const Buffer& home = ops_.buffer(homes[h]);
      // After a reduce-scatter in place only the own share of a whole buffer is a sum.
      const bool share_of_whole = divided && home.part == Part::body;
      const Part part = share_of_whole ? Part::share : home.part;
      const Range all = share_of_whole ? Range{0, ops_.unit(unit).share()} : home.elements;
      const Part cut = share_of_whole ? Part::share : Part::body;
      for (const Range piece : ops_.pieces(unit, cut, all, ops_.zero().reduce_bucket_size)) {
        const std::int32_t event = grid_.events++;
        for (const std::int32_t stage : holders) {
          Instruction made = ops_.on_unit(Kind::all_reduce, Lane::comm, stage, unit, part, piece);
          made.group = Group::tied;
          made.event = event;
          made.bytes = piece.size() * kFloat;
          made.reads = made.writes = {ops_.resident().homes(stage, unit, Purpose::gradients)[h]};
          out_.push_back(std::move(made));
        }
      }
    }
  }
}

GridProgram Gradients::run() {
  const std::vector<Window> all = windows();
  hold(all);
  std::multimap<std::size_t, const Window*> begins;
  std::multimap<std::size_t, const Window*> ends;
  for (const Window& window : all) {
    if (window.buffer >= 0 && ops_.residence(window.unit).gradients_leave)
      begins.emplace(window.positions.front(), &window);
    ends.emplace(window.positions.back(), &window);
  }
  out_.reserve(grid_.order.size() + 4 * all.size());
  ops_.emit_into(out_);
  for (std::size_t i = 0; i < grid_.order.size(); ++i) {
    for (auto [at, end] = begins.equal_range(i); at != end; ++at) {
      const Window& window = *at->second;
      Instruction clear = ops_.on_unit(Kind::clear, Lane::compute, window.stage, window.unit);
      clear.writes = {window.buffer};
      out_.push_back(std::move(clear));
    }
    Instruction& next = grid_.order[i];
    if (const auto token = token_.find(next.stage);
        token != token_.end() && next.lane == Lane::compute) {
      next.reads.push_back(token->second);
      token_.erase(token);
    }
    out_.push_back(std::move(next));
    for (auto [at, end] = ends.equal_range(i); at != end; ++at) settle(*at->second);
  }
  for (std::int32_t stage = 0; stage < grid_.stages; ++stage) flush(stage);
  tied();
  grid_.order = std::move(out_);
  return std::move(grid_);
}

}  // namespace

GridProgram gradients_pass(GridProgram grid, const models::Model& model, const Layout& layout,
                           const Options& options, const ResidentTable& resident) {
  return Gradients(std::move(grid), model, layout, options, resident).run();
}

}  // namespace trireme::program
