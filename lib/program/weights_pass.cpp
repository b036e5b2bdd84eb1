// Fourth pass: weights that are divided over ranks or live on another tier are brought into a live
// buffer before each use.
//
// A use is the forward of a block on one micro-batch, or its recomputation and backward. Between
// two uses a live buffer is kept where the deck's reuse distance and its bound on live parameters
// let it; and it is filled ahead of its first use as far as the prefetch bucket reaches. All of
// this is decided on the list, so it is exact and the same on all members of a group.

#include "lib/program/unit_ops.hpp"

#include <algorithm>
#include <map>
#include <optional>

namespace trireme::program {
namespace {

struct Use {
  std::int32_t unit = 0;
  std::int32_t block = 0;
  std::int32_t micro = 0;
  bool forward = true;
  std::vector<std::size_t> positions;  // instructions in the order of the grid
};

/// One filling of a live buffer: uses [first, last] of its unit read it.
struct Filling {
  std::int32_t unit = 0;
  std::size_t first = 0;  // in the stage's uses
  std::size_t last = 0;
  std::size_t ahead = 0;  // use before which it is filled
};

class Weights {
 public:
  Weights(GridProgram grid, const models::Model& model, const Options& options,
          const ResidentTable& resident)
      : grid_(std::move(grid)), ops_(grid_, model, options, resident) {}
  GridProgram run();

 private:
  std::vector<Use> uses_of(std::int32_t stage) const;
  std::vector<Filling> fillings_of(const std::vector<Use>& uses) const;
  bool keeps(const std::vector<Use>& uses, std::size_t from, std::size_t next) const;
  void look_ahead(std::int32_t stage, const std::vector<Use>& uses,
                  std::vector<Filling>& fillings) const;
  void fill(std::int32_t stage, std::int32_t unit, BufferId live);
  std::int64_t size(const Use& use) const { return ops_.unit(use.unit).body; }
  bool moves(BufferId id) const {
    const Buffer& buffer = ops_.buffer(id);
    return buffer.purpose == Purpose::weights && buffer.part != Part::tail &&
           ops_.residence(buffer.owner).weights_move;
  }

  GridProgram grid_;
  UnitOps ops_;
};

std::vector<Use> Weights::uses_of(std::int32_t stage) const {
  std::vector<Use> uses;
  std::map<std::int32_t, std::size_t> current;  // unit -> its newest use
  for (std::size_t i = 0; i < grid_.order.size(); ++i) {
    const Instruction& instruction = grid_.order[i];
    if (instruction.stage != stage || instruction.kind != Kind::segment) continue;
    for (const BufferId id : instruction.reads) {
      if (!moves(id)) continue;
      const std::int32_t unit = ops_.buffer(id).owner;
      Use wanted{unit, instruction.block, instruction.micro, instruction.pass == Pass::forward, {}};
      const auto known = current.find(unit);
      const bool goes_on = known != current.end() && uses[known->second].block == wanted.block &&
                           uses[known->second].micro == wanted.micro &&
                           uses[known->second].forward == wanted.forward;
      if (!goes_on) {
        current[unit] = uses.size();
        uses.push_back(std::move(wanted));
      }
      uses[current[unit]].positions.push_back(i);
    }
  }
  return uses;
}

/// Whether what use `from` read may stay for use `next` of the same unit.
bool Weights::keeps(const std::vector<Use>& uses, std::size_t from, std::size_t next) const {
  const bool same_micro = uses[from].micro == uses[next].micro;
  if (!same_micro && ops_.zero().gather_per != deck::Per::step) return false;
  std::int64_t distance = 0;
  for (std::size_t k = from + 1; k < next; ++k) distance += size(uses[k]);
  return distance <= ops_.zero().max_reuse_distance;
}

std::vector<Filling> Weights::fillings_of(const std::vector<Use>& uses) const {
  std::vector<std::optional<std::size_t>> next(uses.size());  // use of the same unit
  std::map<std::int32_t, std::size_t> later;
  for (std::size_t k = uses.size(); k-- > 0;) {
    if (const auto found = later.find(uses[k].unit); found != later.end()) next[k] = found->second;
    later[uses[k].unit] = k;
  }
  std::vector<Filling> fillings;
  std::map<std::int32_t, std::size_t> kept;  // unit -> filling that waits for its next use
  std::int64_t live = 0;
  for (std::size_t k = 0; k < uses.size(); ++k) {
    const auto here = kept.find(uses[k].unit);
    std::size_t filling = fillings.size();
    if (here != kept.end()) {
      filling = here->second;
      fillings[filling].last = k;
    } else {
      // Room is made by letting go of what is needed last (Belady, IBM Systems Journal 1966).
      while (live + size(uses[k]) > ops_.zero().max_live_parameters && !kept.empty()) {
        const auto furthest =
            std::max_element(kept.begin(), kept.end(), [&](const auto& a, const auto& b) {
              return next[fillings[a.second].last] < next[fillings[b.second].last];
            });
        live -= ops_.unit(furthest->first).body;
        kept.erase(furthest);
      }
      fillings.push_back({uses[k].unit, k, k, k});
      live += size(uses[k]);
    }
    if (next[k] && keeps(uses, k, *next[k])) {
      kept[uses[k].unit] = filling;
    } else {
      kept.erase(uses[k].unit);
      live -= size(uses[k]);
    }
  }
  return fillings;
}

/// Moves fillings ahead of their first use: in order, no more elements at once than the prefetch
/// bucket holds, no more units from NVMe than have buffers, never above the bound on live
/// parameters.
void Weights::look_ahead(std::int32_t stage, const std::vector<Use>& uses,
                         std::vector<Filling>& fillings) const {
  if (!ops_.zero().overlap_comm) return;
  std::vector<std::int64_t> live(uses.size(), 0);
  for (const Filling& filling : fillings)
    for (std::size_t k = filling.first; k <= filling.last; ++k)
      live[k] += ops_.unit(filling.unit).body;
  std::vector<std::int64_t> ahead(uses.size(), 0);    // elements filled before their use
  std::vector<std::int64_t> reading(uses.size(), 0);  // units of them that come from NVMe
  std::size_t earliest = 0;
  for (Filling& filling : fillings) {
    const std::int64_t elements = ops_.unit(filling.unit).body;
    const BufferId home = ops_.resident().homes_of(stage, filling.unit, Purpose::weights, false)[0];
    const std::int64_t read = ops_.buffer(home).tier == Tier::nvme ? 1 : 0;
    while (filling.ahead > earliest) {
      const std::size_t k = filling.ahead - 1;
      if (ahead[k] + elements > ops_.zero().prefetch_bucket_size ||
          live[k] + elements > ops_.zero().max_live_parameters ||
          reading[k] + read > ops_.zero().offload_param.buffer_count)
        break;
      // The unit's own earlier filling ends first.
      if (uses[k].unit == filling.unit) break;
      ahead[k] += elements;
      live[k] += elements;
      reading[k] += read;
      --filling.ahead;
    }
    earliest = filling.ahead;
  }
}

void Weights::fill(std::int32_t stage, std::int32_t unit, BufferId live) {
  const Residence here = ops_.residence(unit);
  for (const BufferId home : ops_.resident().homes_of(stage, unit, Purpose::weights, false)) {
    const Buffer from = ops_.buffer(home);
    if (from.tier == Tier::device) {
      ops_.all_gather(stage, unit, home, live, When::always, ops_.zero().allgather_bucket_size);
      continue;
    }
    const std::int64_t step =
        round_up(ops_.zero().offload_param.buffer_size, ops_.model().placement.sharding.alignment);
    for (std::int64_t begin = 0; begin < from.elements.end; begin += step)
      ops_.move(Kind::fetch, stage, unit, home, live, from.part,
                {begin, std::min(begin + step, from.elements.end)}, When::always);
    if (here.weights_divided)
      ops_.all_gather(stage, unit, live, live, When::always, ops_.zero().allgather_bucket_size);
  }
}

GridProgram Weights::run() {
  std::multimap<std::size_t, std::pair<std::int32_t, BufferId>> before;  // position -> unit, live
  for (std::int32_t stage = 0; stage < grid_.stages; ++stage) {
    const std::vector<Use> uses = uses_of(stage);
    std::vector<Filling> fillings = fillings_of(uses);
    look_ahead(stage, uses, fillings);
    for (const Filling& filling : fillings) {
      const nn::Unit& flat = ops_.unit(filling.unit);
      const BufferId home =
          ops_.resident().homes_of(stage, filling.unit, Purpose::weights, false)[0];
      const BufferId live = ops_.copy_of(home, Purpose::live_weights, Tier::device, Part::body,
                                         {0, flat.body}, uses[filling.first].micro);
      before.emplace(uses[filling.ahead].positions.front(), std::pair{filling.unit, live});
      for (std::size_t k = filling.first; k <= filling.last; ++k) {
        if (uses[k].unit != filling.unit) continue;
        for (const std::size_t position : uses[k].positions)
          for (BufferId& id : grid_.order[position].reads)
            if (moves(id) && ops_.buffer(id).owner == filling.unit) id = live;
      }
    }
  }
  if (before.empty()) return std::move(grid_);
  std::vector<Instruction> out;
  out.reserve(grid_.order.size() + before.size());
  ops_.emit_into(out);
  for (std::size_t i = 0; i < grid_.order.size(); ++i) {
    const std::int32_t stage = grid_.order[i].stage;
    for (auto [at, end] = before.equal_range(i); at != end; ++at)
      fill(stage, at->second.first, at->second.second);
    out.push_back(std::move(grid_.order[i]));
  }
  grid_.order = std::move(out);
  return std::move(grid_);
}

}  // namespace

GridProgram weights_pass(GridProgram grid, const models::Model& model, const Options& options,
                         const ResidentTable& resident) {
  const bool whole = model.placement.sharding.ranks == 1 || options.zero.stage < 3;
  if (whole && options.zero.offload_param.tier == Tier::device) return grid;
  return Weights(std::move(grid), model, options, resident).run();
}

}  // namespace trireme::program
