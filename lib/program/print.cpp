#include "lib/program/print.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <map>

namespace trireme::program {
namespace {

/// " share [0, 4096)" where an instruction works on a part of a unit.
std::string elements_text(const Instruction& i) {
  constexpr std::array<std::string_view, 4> kParts{"", "body", "share", "tail"};
  if (i.part == Part::none || i.part == Part::body) return "";
  return fmt::format(" {} [{}, {})", kParts[static_cast<std::size_t>(i.part)], i.elements.begin,
                     i.elements.end);
}

/// What a collective or transfer carries: the purpose of its home, of a copy's source otherwise.
std::string_view moved_purpose(const Compiled& compiled, const Instruction& i) {
  const auto& ids = i.kind == Kind::store ? i.writes : i.reads;
  if (ids.empty()) return "";
  return name_of(compiled.buffers[static_cast<std::size_t>(ids[0])].purpose);
}

/// Text of an instruction, given names for its block, its step and its unit.
std::string text_of(const Compiled& compiled, const Instruction& i, const std::string& block,
                    const std::string& step, const std::string& unit) {
  const std::string elements = elements_text(i);
  const std::string_view purpose = moved_purpose(compiled, i);
  const std::string micro = i.micro >= 0 ? fmt::format(" m{}", i.micro) : "";
  const std::string_view what = i.pass == Pass::backward ? "gradient" : "activation";
  switch (i.kind) {
    case Kind::load: return fmt::format("load tokens{}", micro);
    case Kind::segment: return fmt::format("{} {}/{}{}", name_of(i.pass), block, step, micro);
    case Kind::send:
      return fmt::format("send {} before {}{} -> stage {}", what, block, micro, i.peer);
    case Kind::receive:
      return fmt::format("receive {} before {}{} <- stage {}", what, block, micro, i.peer);
    case Kind::clear: return fmt::format("clear gradients of {}{}", unit, micro);
    case Kind::accumulate: return fmt::format("accumulate {}{}", unit, elements);
    case Kind::norm: return fmt::format("norm {}{}", unit, elements);
    case Kind::decide: return "decide";
    case Kind::trust: return fmt::format("trust {}{}", unit, elements);
    case Kind::update: return fmt::format("update {}{}", unit, elements);
    case Kind::round: return fmt::format("round {}{}", unit, elements);
    case Kind::fetch:
    case Kind::store:
      if (i.unit < 0)
        return fmt::format("{} {}input of {}{}", name_of(i.kind),
                           i.group == Group::tensor ? "own part of " : "", block, micro);
      return fmt::format("{} {} of {}{}", name_of(i.kind), purpose, unit, elements);
    case Kind::all_reduce:
    case Kind::all_gather:
    case Kind::broadcast:
    case Kind::reduce_scatter: break;
  }
  if (i.block >= 0 && i.step < 0)
    return fmt::format("{} input of {}{} ({})", name_of(i.kind), block, micro, name_of(i.group));
  if (i.block >= 0)
    return fmt::format("{} {} {}/{}{} ({})", name_of(i.kind), name_of(i.pass), block, step, micro,
                       name_of(i.group));
  if (i.unit >= 0)
    return fmt::format("{} {} of {}{} ({})", name_of(i.kind), purpose, unit, elements,
                       name_of(i.group));
  return fmt::format("{} loss, norm, overflow, stop ({})", name_of(i.kind), name_of(i.group));
}

}  // namespace

std::string size_text(std::int64_t bytes) {
  if (bytes >= std::int64_t{1} << 30)
    return fmt::format("{:.2f} GiB", static_cast<double>(bytes) / (1 << 30));
  if (bytes >= 1 << 20) return fmt::format("{:.1f} MiB", static_cast<double>(bytes) / (1 << 20));
  if (bytes >= 1 << 10) return fmt::format("{:.1f} KiB", static_cast<double>(bytes) / (1 << 10));
  return fmt::format("{} B", bytes);
}

std::string describe(const models::Model& model, const Compiled& compiled, const Instruction& i) {
  std::string block;
  std::string step;
  if (i.block >= 0) {
    const models::Block& owner = model.blocks[static_cast<std::size_t>(i.block)];
    block = owner.name;
    const auto& steps = i.pass == Pass::backward ? owner.plan->backward : owner.plan->forward;
    if (i.step >= 0) step = steps[static_cast<std::size_t>(i.step)].name;
  }
  return text_of(compiled, i, block, step,
                 i.unit >= 0 ? model.units[static_cast<std::size_t>(i.unit)].name : "");
}

std::string describe(const Compiled& compiled, const Instruction& i) {
  return text_of(compiled, i, fmt::format("block {}", i.block), fmt::format("step {}", i.step),
                 fmt::format("unit {}", i.unit));
}

std::string print_program(const models::Model& model, const Compiled& compiled,
                          std::int32_t stage) {
  std::string out =
      fmt::format("{:>6}  {:<8} {:<58} {:>10}  {}\n", "id", "lane", "what", "bytes", "waits");
  const auto& list = compiled.stages[static_cast<std::size_t>(stage)].instructions;
  for (std::size_t i = 0; i < list.size(); ++i)
    out +=
        fmt::format("{:>6}  {:<8} {:<58} {:>10}  {}\n", i, name_of(list[i].lane),
                    describe(model, compiled, list[i]), size_text(list[i].bytes),
                    list[i].waits.empty() ? "-" : fmt::format("{}", fmt::join(list[i].waits, ",")));
  return out;
}

PurposeBytes memory_by_purpose(const Compiled& compiled, std::int32_t stage, Tier tier) {
  PurposeBytes result;
  const auto& list = compiled.stages[static_cast<std::size_t>(stage)].instructions;
  const auto for_each_transient = [&](const Instruction& instruction, const auto& visit) {
    for (const auto* ids : {&instruction.reads, &instruction.writes, &instruction.holds})
      for (const BufferId id : *ids) {
        const Buffer& buffer = compiled.buffers[static_cast<std::size_t>(id)];
        if (buffer.lifetime == Lifetime::step && buffer.tier == tier)
          visit(static_cast<std::size_t>(id), buffer);
      }
  };
  constexpr std::int32_t kNever = -1;
  std::vector<std::int32_t> last(compiled.buffers.size(), kNever);
  for (std::size_t i = 0; i < list.size(); ++i)
    for_each_transient(
        list[i], [&](std::size_t id, const Buffer&) { last[id] = static_cast<std::int32_t>(i); });

  std::array<std::int64_t, kPurposes> alive{};
  std::int64_t sum = 0;
  std::int64_t most = 0;
  std::vector<bool> born(compiled.buffers.size(), false);
  for (std::size_t i = 0; i < list.size(); ++i) {
    for_each_transient(list[i], [&](std::size_t id, const Buffer& buffer) {
      if (born[id]) return;
      born[id] = true;
      alive[static_cast<std::size_t>(buffer.purpose)] += buffer.bytes;
      sum += buffer.bytes;
    });
    if (sum > most) {
      most = sum;
      result.bytes = alive;
      result.peak = static_cast<std::int32_t>(i);
    }
    for_each_transient(list[i], [&](std::size_t id, const Buffer& buffer) {
      if (last[id] != static_cast<std::int32_t>(i)) return;
      last[id] = kNever;  // it may be named twice
      alive[static_cast<std::size_t>(buffer.purpose)] -= buffer.bytes;
      sum -= buffer.bytes;
    });
  }
  for (const Buffer& buffer : compiled.buffers)
    if (buffer.lifetime == Lifetime::resident && buffer.stage == stage && buffer.tier == tier)
      result.bytes[static_cast<std::size_t>(buffer.purpose)] += buffer.bytes;
  result.total = compiled.memory.at(stage, tier);
  return result;
}

std::string print_summary(const models::Model& model, const Compiled& compiled) {
  std::string out;
  for (std::size_t s = 0; s < compiled.stages.size(); ++s) {
    const auto& list = compiled.stages[s].instructions;
    std::map<Kind, int> kinds;
    for (const Instruction& i : list) ++kinds[i.kind];
    out += fmt::format("stage {}: {} instructions:", s, list.size());
    for (const auto& [kind, count] : kinds) out += fmt::format(" {} {}", count, name_of(kind));
    out += '\n';
    for (const Tier tier : {Tier::device, Tier::host, Tier::nvme}) {
      const PurposeBytes memory = memory_by_purpose(compiled, static_cast<std::int32_t>(s), tier);
      if (memory.total == 0) continue;
      out += fmt::format("         {} {}:", name_of(tier), size_text(memory.total));
      for (std::size_t p = 0; p < kPurposes; ++p)
        if (memory.bytes[p] > 0)
          out +=
              fmt::format(" {} {},", name_of(static_cast<Purpose>(p)), size_text(memory.bytes[p]));
      out.back() = ';';
      out +=
          memory.peak < 0
              ? " all the time\n"
              : fmt::format(" peak at {}, {}\n", memory.peak,
                            describe(model, compiled, list[static_cast<std::size_t>(memory.peak)]));
    }
  }
  return out;
}

}  // namespace trireme::program
