// Memory: what the plan said and what the allocator handed out, by rank and purpose.

#include "lib/report/format.hpp"
#include "lib/report/page/html.hpp"
#include "lib/report/page/sections.hpp"
#include "lib/report/page/svg.hpp"
#include "lib/report/page/table.hpp"
#include "lib/report/report.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <optional>

namespace trireme::report {
namespace {

constexpr double kRow = 36;
constexpr int kMostRanks = 16;

/// Colours by first appearance, the same in picture and table.
class Purposes {
 public:
  explicit Purposes(const std::vector<Memory>& memory) {
    for (const Memory& entry : memory) {
      if (std::find(names_.begin(), names_.end(), entry.purpose) == names_.end()) {
        names_.push_back(entry.purpose);
      }
    }
  }
  const std::vector<std::string>& names() const { return names_; }
  std::string css(std::string_view purpose) const {
    const auto at = std::find(names_.begin(), names_.end(), purpose) - names_.begin();
    return fmt::format("c{}", (at + 1) % 13);  // c0 to c12 of style.cpp
  }

 private:
  std::vector<std::string> names_;
};

std::string legend(const Purposes& purposes) {
  std::string html = "<ul class=\"legend\">";
  for (const std::string& name : purposes.names()) {
    html += fmt::format("<li><i class=\"{}\"></i>{}</li>", purposes.css(name), escape(name));
  }
  return html + "</ul>";
}

struct RankTotal {
  std::int64_t planned = 0;
  std::int64_t used = 0;       ///< planned stands in where nothing was measured
  std::int64_t resident = -1;  ///< -1: not known
};

double share(std::int64_t part, std::int64_t whole) {
  return static_cast<double>(part) / static_cast<double>(whole);
}

std::string bytes(std::int64_t value) { return format_bytes(static_cast<double>(value)); }

/// One row of bars: what was used (where it was not measured by purpose, planned), above it in pale
/// what was planned, and a line at what the system counts for the whole process.
void draw_rank(Svg& svg, double top, const std::vector<const Memory*>& entries, int rank,
               const RankTotal& total, std::int64_t largest, const Purposes& purposes) {
  svg.text(0, top + 15, -8, fmt::format("rank {}", rank), "tick end");
  double planned_at = 0;
  double used_at = 0;
  for (const Memory* entry : entries) {
    if (entry->rank != rank) continue;
    const double planned = share(entry->planned, largest);
    const double used = share(entry->used.value_or(entry->planned), largest);
    const std::string tip =
        fmt::format("rank {} · {}\nplanned {}{}", rank, entry->purpose, bytes(entry->planned),
                    entry->used ? ", used " + bytes(*entry->used) : std::string());
    const std::string css = purposes.css(entry->purpose);
    if (entry->used) svg.rect(planned_at, top, planned, 5, "bar pale " + css, tip);
    svg.rect(used_at, top + 6, used, 14, "bar " + css, tip);
    planned_at += planned;
    used_at += used;
  }
  if (total.resident >= 0) {
    svg.vertical(share(total.resident, largest), top + 3, top + 23, "resident");
  }
  const std::int64_t shown = total.resident >= 0 ? total.resident : total.used;
  svg.text(1, top + 9, 8, bytes(shown), "name start");
  svg.text(1, top + 22, 8, "plan " + bytes(total.planned), "small start");
}

std::string picture(const RunReport& report, const std::vector<const Memory*>& entries,
                    const std::vector<int>& ranks, const Purposes& purposes,
                    const std::string& tier, bool shows_resident) {
  std::map<int, RankTotal> totals;
  for (const Memory* entry : entries) {
    totals[entry->rank].planned += entry->planned;
    totals[entry->rank].used += entry->used.value_or(entry->planned);
  }
  std::int64_t largest = 1;
  for (auto& [rank, total] : totals) {
    const auto r = static_cast<std::size_t>(rank);
    if (shows_resident && r < report.resident.size()) total.resident = report.resident[r];
    largest = std::max({largest, total.planned, total.used, total.resident});
  }
  Svg svg(kRow * static_cast<double>(ranks.size()), "Memory by rank and purpose: " + tier);
  for (std::size_t row = 0; row < ranks.size(); ++row) {
    draw_rank(svg, kRow * static_cast<double>(row), entries, ranks[row], totals[ranks[row]],
              largest, purposes);
  }
  return "<div class=\"box memory\">" + svg.take() + "</div>";
}

struct Sum {
  std::int64_t planned = 0;
  std::int64_t used = 0;
  std::int64_t planned_max = 0;
  std::int64_t used_max = 0;
  bool measured = true;  ///< all of them

  void add(std::int64_t plan, std::optional<std::int64_t> use) {
    planned += plan;
    planned_max = std::max(planned_max, plan);
    measured = measured && use.has_value();
    used += use.value_or(0);
    used_max = std::max(used_max, use.value_or(0));
  }
};

/// By tier: up to where buffers were used beside the plan, and what of it is in memory.
std::map<std::string, std::pair<Sum, Sum>> arenas(const RunReport& report) {
  std::map<std::string, std::pair<Sum, Sum>> sums;
  for (const Arena& arena : report.arena) {
    sums[arena.tier].first.add(arena.planned, arena.used);
    sums[arena.tier].second.add(0, arena.in_memory);
  }
  return sums;
}

std::string table(const RunReport& report) {
  std::vector<std::pair<std::string, std::string>> order;  // (tier, purpose)
  std::map<std::pair<std::string, std::string>, Sum> sums;
  std::map<std::string, std::map<int, Sum>> by_rank;  // of each tier
  for (const Memory& entry : report.memory) {
    const std::pair key(entry.tier, entry.purpose);
    if (!sums.count(key)) order.push_back(key);
    sums[key].add(entry.planned, entry.used);
    by_rank[entry.tier][entry.rank].add(entry.planned, entry.used);
  }
  using enum Table::Align;
  Table table({{"Purpose", kText},
               {"Tier", kText},
               {"Planned, largest rank"},
               {"Used, largest rank"},
               {"Planned, all ranks"},
               {"Used, all ranks"}});
  const auto row = [&](const std::string& purpose, const std::string& tier, const Sum& sum,
                       std::string_view css) {
    table.row({purpose, tier, bytes(sum.planned_max), sum.measured ? bytes(sum.used_max) : "-",
               bytes(sum.planned), sum.measured ? bytes(sum.used) : "-"},
              css);
  };
  for (const auto& key : order) row(key.second, key.first, sums[key], "");
  for (const auto& [tier, ranks] : by_rank) {
    Sum all;
    for (const auto& [rank, sum] : ranks)
      all.add(sum.planned, sum.measured ? std::optional(sum.used) : std::nullopt);
    row("all", tier, all, "total");
  }
  for (const auto& [tier, arena] : arenas(report)) {
    const auto& [used, in_memory] = arena;
    const std::string what = tier == "nvme" ? "swap file" : "arena";
    row(what + ", gaps between buffers included", tier, used, "");
    table.row(
        {what + ", by the system", tier, "", bytes(in_memory.used_max), "", bytes(in_memory.used)});
  }
  const auto process = [&](const std::string& when, const std::vector<std::int64_t>& ranks) {
    if (ranks.empty()) return;
    Sum sum;
    for (const std::int64_t one : ranks) sum.add(0, one);
    table.row({"whole process, by the system, " + when, "memory", "", bytes(sum.used_max), "",
               bytes(sum.used)});
  };
  process("before the arena", report.resident_base);
  process("after the first steps", report.resident_steady);
  process("at the end", report.resident);
  return table.take();
}

std::string legend_note(const RunReport& report) {
  const bool measured = std::any_of(report.memory.begin(), report.memory.end(),
                                    [](const Memory& entry) { return entry.used.has_value(); });
  std::string text = measured ? "Pale: planned. Solid: used, as measured: pages of model state "
                                "that are in memory, and the most that instructions had in use."
                              : "Bars: planned by purpose; use was not measured by purpose.";
  const bool hosted = std::any_of(report.memory.begin(), report.memory.end(),
                                  [](const Memory& entry) { return entry.tier == "host"; });
  const bool device = std::any_of(report.memory.begin(), report.memory.end(),
                                  [](const Memory& entry) { return entry.tier == "device"; });
  if (!report.resident.empty() && device && !hosted) {
    text +=
        " Line and number: resident memory of the process at the end by the system's count "
        "(PSS), the program, its libraries and MPI included.";
  }
  return text;
}

std::string resident(const RunReport& report) {
  if (report.peak_rss.empty()) return "";
  const auto [least, most] = std::minmax_element(report.peak_rss.begin(), report.peak_rss.end());
  return fmt::format(
      "<p class=\"note\">Largest resident set of a rank during the run: {} to {}; pages that ranks "
      "share count for each of them.</p>",
      bytes(*least), bytes(*most));
}

}  // namespace

std::string memory_section(const RunReport& report) {
  if (report.memory.empty() && report.peak_rss.empty()) return "";
  std::string html = "<section><h2>Memory</h2>";
  const Purposes purposes(report.memory);
  std::map<std::string, std::vector<const Memory*>> tiers;
  for (const Memory& entry : report.memory) tiers[entry.tier].push_back(&entry);
  const std::vector<int> ranks = timeline_ranks(report.world_size, kMostRanks);
  if (!report.memory.empty()) html += legend(purposes);
  for (const auto& [tier, entries] : tiers) {
    if (tiers.size() > 1) html += fmt::format("<h3>{}</h3>", escape(tier));
    // What a process holds in memory is the sum of its tiers there: no line in one of two.
    const bool alone = tier == "device" && !tiers.count("host");
    html += picture(report, entries, ranks, purposes, tier, alone);
  }
  if (!report.memory.empty()) {
    html += "<p class=\"note\">" + legend_note(report);
    if (report.world_size > kMostRanks) {
      html +=
          fmt::format(" {} of {} ranks are shown, evenly spread.", ranks.size(), report.world_size);
    }
    html += "</p>" + table(report);
  }
  return html + resident(report) + "</section>";
}

}  // namespace trireme::report
