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
#include <numeric>

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
    return fmt::format("c{}", (at + 1) % 10);
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

/// Two bars a rank: planned (pale) above used.
std::string picture(const std::vector<const Memory*>& entries, const std::vector<int>& ranks,
                    const Purposes& purposes, const std::string& tier) {
  std::map<int, std::pair<std::int64_t, std::int64_t>> totals;
  for (const Memory* entry : entries) {
    totals[entry->rank].first += entry->planned;
    totals[entry->rank].second += entry->used;
  }
  std::int64_t largest = 1;
  for (const auto& [rank, total] : totals) largest = std::max({largest, total.first, total.second});

  Svg svg(kRow * static_cast<double>(ranks.size()), "Memory by rank and purpose: " + tier);
  for (std::size_t row = 0; row < ranks.size(); ++row) {
    const double top = kRow * static_cast<double>(row);
    svg.text(0, top + 15, -8, fmt::format("rank {}", ranks[row]), "tick end");
    double planned_at = 0;
    double used_at = 0;
    for (const Memory* entry : entries) {
      if (entry->rank != ranks[row]) continue;
      const double planned = static_cast<double>(entry->planned) / static_cast<double>(largest);
      const double used = static_cast<double>(entry->used) / static_cast<double>(largest);
      const std::string tip =
          fmt::format("rank {} · {}\nplanned {}, used {}", entry->rank, entry->purpose,
                      format_bytes(static_cast<double>(entry->planned)),
                      format_bytes(static_cast<double>(entry->used)));
      const std::string css = purposes.css(entry->purpose);
      svg.rect(planned_at, top, planned, 5, "bar pale " + css, tip);
      svg.rect(used_at, top + 6, used, 14, "bar " + css, tip);
      planned_at += planned;
      used_at += used;
    }
    const auto& [planned, used] = totals[ranks[row]];
    svg.text(1, top + 9, 8, format_bytes(static_cast<double>(used)), "name start");
    svg.text(1, top + 22, 8, fmt::format("of {}", format_bytes(static_cast<double>(planned))),
             "small start");
  }
  return "<div class=\"box memory\">" + svg.take() + "</div>";
}

struct Sum {
  std::int64_t planned = 0;
  std::int64_t used = 0;
  std::int64_t planned_max = 0;
  std::int64_t used_max = 0;

  void add(std::int64_t plan, std::int64_t use) {
    planned += plan;
    used += use;
    planned_max = std::max(planned_max, plan);
    used_max = std::max(used_max, use);
  }
};

std::string table(const RunReport& report) {
  std::vector<std::pair<std::string, std::string>> order;  // (tier, purpose)
  std::map<std::pair<std::string, std::string>, Sum> sums;
  std::map<int, std::pair<std::int64_t, std::int64_t>> by_rank;
  for (const Memory& entry : report.memory) {
    const std::pair key(entry.tier, entry.purpose);
    if (!sums.count(key)) order.push_back(key);
    sums[key].add(entry.planned, entry.used);
    by_rank[entry.rank].first += entry.planned;
    by_rank[entry.rank].second += entry.used;
  }
  Sum all;
  for (const auto& [rank, total] : by_rank) all.add(total.first, total.second);

  using enum Table::Align;
  Table table({{"Purpose", kText},
               {"Tier", kText},
               {"Planned, largest rank"},
               {"Used, largest rank"},
               {"Planned, all ranks"},
               {"Used, all ranks"},
               {"Used of plan"}});
  const auto row = [&](const std::string& purpose, const std::string& tier, const Sum& sum,
                       std::string_view css) {
    table.row({purpose, tier, format_bytes(static_cast<double>(sum.planned_max)),
               format_bytes(static_cast<double>(sum.used_max)),
               format_bytes(static_cast<double>(sum.planned)),
               format_bytes(static_cast<double>(sum.used)),
               format_share(static_cast<double>(sum.used) / static_cast<double>(sum.planned))},
              css);
  };
  for (const auto& key : order) row(key.second, key.first, sums[key], "");
  row("all", "", all, "total");
  return table.take();
}

std::string resident(const RunReport& report) {
  if (report.peak_rss.empty()) return "";
  const auto [least, most] = std::minmax_element(report.peak_rss.begin(), report.peak_rss.end());
  const auto sum = std::accumulate(report.peak_rss.begin(), report.peak_rss.end(), std::int64_t{0});
  return fmt::format(
      "<p class=\"note\">The operating system saw at most {} to {} resident a rank, {} over all "
      "ranks: the program, its libraries and MPI are in these.</p>",
      format_bytes(static_cast<double>(*least)), format_bytes(static_cast<double>(*most)),
      format_bytes(static_cast<double>(sum)));
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
    html += picture(entries, ranks, purposes, tier);
  }
  if (!report.memory.empty()) {
    html +=
        "<p class=\"note\">Pale: planned. Solid: used, the allocator's high-water mark. Beside: "
        "used of planned.";
    if (report.world_size > kMostRanks) {
      html +=
          fmt::format(" {} of {} ranks are shown, evenly spread.", ranks.size(), report.world_size);
    }
    html += "</p>" + table(report);
  }
  return html + resident(report) + "</section>";
}

}  // namespace trireme::report
