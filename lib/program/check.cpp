#include "lib/program/check.hpp"

#include "kernels/base/error.hpp"
#include "lib/program/print.hpp"
#include "lib/program/simulate.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <map>

namespace trireme::program {
namespace {

class Checker {
 public:
  explicit Checker(const Compiled& compiled) : compiled_(compiled) {}

  std::vector<std::string> run() {
    for (const StageProgram& stage : compiled_.stages) {
      lifetimes(stage);
      waits(stage);
      copies(stage);
    }
    events();
    if (found_.empty()) {
      const Simulation walk = simulate(compiled_);
      if (!walk.stuck.empty()) found_.push_back("deadlock: " + walk.stuck);
    }
    return std::move(found_);
  }

 private:
  template <class... Args>
  void defect(const StageProgram& stage, std::size_t i, fmt::format_string<Args...> text,
              Args&&... args) {
    found_.push_back(fmt::format("stage {}, instruction {} ({}): {}", stage.stage, i,
                                 describe(compiled_, stage.instructions[i]),
                                 fmt::format(text, std::forward<Args>(args)...)));
  }
  const Buffer& buffer(BufferId id) const {
    return compiled_.buffers[static_cast<std::size_t>(id)];
  }

  /// Written before read; inside the arena; no overlap with another buffer that is alive.
  void lifetimes(const StageProgram& stage) {
    std::vector<std::size_t> last(compiled_.buffers.size(), 0);
    const auto index = [](BufferId id) { return static_cast<std::size_t>(id); };
    for (std::size_t i = 0; i < stage.instructions.size(); ++i)
      for (const auto* ids : {&stage.instructions[i].reads, &stage.instructions[i].writes})
        for (const BufferId id : *ids) last[index(id)] = i;
    for (std::size_t i = 0; i < stage.instructions.size(); ++i)
      for (const BufferId id : stage.instructions[i].holds)
        last[index(id)] = std::max(last[index(id)], i);

    std::vector<bool> written(compiled_.buffers.size(), false);
    std::array<std::map<std::int64_t, BufferId>, kTiers> alive;  // by offset
    const auto alive_of = [&](BufferId id) -> std::map<std::int64_t, BufferId>& {
      return alive[static_cast<std::size_t>(buffer(id).tier)];
    };
    for (std::size_t i = 0; i < stage.instructions.size(); ++i) {
      const Instruction& instruction = stage.instructions[i];
      for (const BufferId id : instruction.reads)
        if (buffer(id).lifetime == Lifetime::step && !written[index(id)])
          defect(stage, i, "reads buffer {} ({}) before it is written", id,
                 name_of(buffer(id).purpose));
      for (const BufferId id : instruction.writes) {
        if (buffer(id).stage != stage.stage)
          defect(stage, i, "uses buffer {} of stage {}", id, buffer(id).stage);
        if (buffer(id).lifetime != Lifetime::step || written[index(id)]) continue;
        written[index(id)] = true;
        place(stage, i, id, compiled_.memory.at(stage.stage, buffer(id).tier), alive_of(id));
      }
      for (const auto* ids : {&instruction.reads, &instruction.writes, &instruction.holds})
        for (const BufferId id : *ids) {
          if (last[index(id)] != i) continue;
          const auto found = alive_of(id).find(buffer(id).offset);
          if (found != alive_of(id).end() && found->second == id) alive_of(id).erase(found);
        }
    }
  }

  void place(const StageProgram& stage, std::size_t i, BufferId id, std::int64_t arena,
             std::map<std::int64_t, BufferId>& alive) {
    const std::int64_t begin = buffer(id).offset;
    const std::int64_t end = begin + buffer(id).bytes;
    if (begin < 0 || end > arena) {
      defect(stage, i, "buffer {} lies at [{}, {}) of an arena of {} bytes", id, begin, end, arena);
      return;
    }
    const auto after = alive.lower_bound(begin);
    const auto clash = [&](BufferId other) {
      defect(stage, i, "buffer {} at [{}, {}) overlaps buffer {}, which is still in use", id, begin,
             end, other);
    };
    if (after != alive.end() && after->first < end) clash(after->second);
    if (after != alive.begin()) {
      const BufferId before = std::prev(after)->second;
      if (buffer(before).offset + buffer(before).bytes > begin) clash(before);
    }
    alive[begin] = id;
  }

  void waits(const StageProgram& stage) {
    const auto needed = waits_of(stage, compiled_.memory);
    for (std::size_t i = 0; i < stage.instructions.size(); ++i) {
      const auto& has = stage.instructions[i].waits;
      for (const std::int32_t wait : has)
        if (wait < 0 || wait >= static_cast<std::int32_t>(i))
          defect(stage, i, "waits for {}, not behind it", wait);
      for (const std::int32_t wait : needed[i])
        if (std::find(has.begin(), has.end(), wait) == has.end())
          defect(stage, i, "does not wait for instruction {}, whose bytes it uses", wait);
    }
  }

  /// What leaves for another tier, comes back or is gathered is still the same block's and
  /// micro-batch's.
  void copies(const StageProgram& stage) {
    for (std::size_t i = 0; i < stage.instructions.size(); ++i) {
      const Instruction& instruction = stage.instructions[i];
      const bool moves = instruction.kind == Kind::fetch || instruction.kind == Kind::store ||
                         instruction.kind == Kind::all_gather;
      if (!moves || instruction.unit >= 0 || instruction.step >= 0) continue;
      for (const auto* ids : {&instruction.reads, &instruction.writes})
        for (const BufferId id : *ids)
          if (buffer(id).owner != instruction.block || buffer(id).micro != instruction.micro)
            defect(stage, i, "buffer {} holds block {}'s input of micro-batch {}", id,
                   buffer(id).owner, buffer(id).micro);
    }
  }

  /// Members of each event: transfers in pairs that agree, world and tied collectives with all
  /// their stages.
  void events() {
    struct Member {
      const StageProgram* stage;
      std::size_t index;
    };
    std::map<std::int32_t, std::vector<Member>> members;
    for (const StageProgram& stage : compiled_.stages)
      for (std::size_t i = 0; i < stage.instructions.size(); ++i) {
        const Instruction& instruction = stage.instructions[i];
        const bool transfer = instruction.kind == Kind::send || instruction.kind == Kind::receive;
        const bool spans = instruction.group == Group::world || instruction.group == Group::tied;
        if (instruction.lane == Lane::comm && instruction.when != When::always && !transfer &&
            instruction.group == Group::world)
          defect(stage, i, "an agreement of the world may depend on no condition");
        if (transfer || spans) members[instruction.event].push_back({&stage, i});
      }
    for (const auto& [event, list] : members) {
      const Member& first = list.front();
      const Instruction& a = first.stage->instructions[first.index];
      for (const Member& other : list)
        if (compiled_.over_links(other.stage->instructions[other.index]) != compiled_.over_links(a))
          defect(*first.stage, first.index, "event {} goes over links on some stages only", event);
      if (a.kind == Kind::send || a.kind == Kind::receive) {
        if (list.size() != 2) {
          defect(*first.stage, first.index, "event {} has {} ends, expected a send and a receive",
                 event, list.size());
          continue;
        }
        const Instruction& b = list[1].stage->instructions[list[1].index];
        if (a.kind == b.kind || a.peer != b.stage || b.peer != a.stage)
          defect(*first.stage, first.index, "event {} does not meet its other end on stage {}",
                 event, a.peer);
        if (a.bytes != b.bytes)
          defect(*first.stage, first.index, "event {} sends {} bytes and receives {}", event,
                 a.bytes, b.bytes);
      } else {
        const std::size_t expected = a.group == Group::world ? compiled_.stages.size() : 2;
        if (list.size() != expected)
          defect(*first.stage, first.index, "event {} over {} has {} stages, expected {}", event,
                 name_of(a.group), list.size(), expected);
      }
    }
  }

  const Compiled& compiled_;
  std::vector<std::string> found_;
};

}  // namespace

std::vector<std::string> defects(const Compiled& compiled) { return Checker(compiled).run(); }

void check_programs(const Compiled& compiled) {
  std::vector<std::string> found = defects(compiled);
  if (found.empty()) return;
  constexpr std::size_t kShown = 5;
  const std::size_t total = found.size();
  if (total > kShown) found.resize(kShown);
  fail(Exit::kUnexpected, "the step program is unsound, {} defects; the first:\n  {}", total,
       fmt::join(found, "\n  "));
}

}  // namespace trireme::program
