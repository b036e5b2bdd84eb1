#include "lib/report/page/gantt.hpp"

#include "kernels/base/checked.hpp"
#include "lib/report/format.hpp"
#include "lib/report/page/html.hpp"
#include "lib/report/page/scale.hpp"
#include "lib/report/page/svg.hpp"
#include "lib/report/report.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <map>
#include <set>

namespace trireme::report {
namespace {

struct LaneLook {
  std::string_view name;
  double top;     // pixels below the start of the rank's row
  double height;  // pixels
};

constexpr std::array<LaneLook, 3> kLanes = {
    {{"compute", 0, 15}, {"comm", 17, 7}, {"storage", 26, 4}}};
constexpr LaneLook kOtherLane = {"", 26, 4};
constexpr double kRow = 38;
constexpr double kPixel = 1.0 / 1100;     // of the breadth of a wide page
constexpr std::size_t kManySpans = 1500;  // on one lane of one rank
constexpr double kLetter = 0.0068;        // breadth of a letter inside a bar

const LaneLook& look_of(std::string_view lane) {
  const auto found = std::find_if(kLanes.begin(), kLanes.end(),
                                  [&](const LaneLook& look) { return look.name == lane; });
  return found == kLanes.end() ? kOtherLane : *found;
}

/// What one bar shows: one instruction, or several that fall on one pixel.
struct Bar {
  const Span* first;
  double start;
  double end;
  int count = 1;
};

std::vector<Bar> bars_of(std::vector<const Span*> spans, double step) {
  std::sort(spans.begin(), spans.end(),
            [](const Span* a, const Span* b) { return a->start < b->start; });
  const bool many = spans.size() > kManySpans;
  std::vector<Bar> bars;
  for (const Span* span : spans) {
    const double short_time = kPixel * step;
    if (many && !bars.empty() && bars.back().first->kind == span->kind &&
        span->end - bars.back().start < short_time) {
      bars.back().end = std::max(bars.back().end, span->end);
      ++bars.back().count;
    } else {
      bars.push_back({span, span->start, span->end});
    }
  }
  return bars;
}

std::string tip_of(const Bar& bar) {
  const std::string what = bar.count == 1 ? fmt::format("{} {}", bar.first->kind, bar.first->label)
                                          : fmt::format("{} x {}", bar.count, bar.first->kind);
  return fmt::format("rank {} · {} · {}\n{} from {} to {}", bar.first->rank, bar.first->lane, what,
                     format_seconds(bar.end - bar.start), format_seconds(bar.start),
                     format_seconds(bar.end));
}

/// All ranks there are, or evenly spread ones with the first and the last.
std::vector<int> shown_ranks(const Timeline& timeline, std::size_t most) {
  std::set<int> there;
  for (const Span& span : timeline.spans) there.insert(span.rank);
  std::vector<int> ranks(there.begin(), there.end());
  if (ranks.size() <= most) return ranks;
  std::vector<int> shown;
  for (const int i : timeline_ranks(narrow<int>(ranks.size()), narrow<int>(most))) {
    shown.push_back(ranks[static_cast<std::size_t>(i)]);
  }
  return shown;
}

std::string legend_of(const Timeline& timeline) {
  std::vector<std::string> kinds;  // in the order of their first start
  std::vector<const Span*> spans;
  for (const Span& span : timeline.spans) spans.push_back(&span);
  std::stable_sort(spans.begin(), spans.end(),
                   [](const Span* a, const Span* b) { return a->start < b->start; });
  for (const LaneLook& lane : kLanes) {
    for (const Span* span : spans) {
      if (span->lane != lane.name) continue;
      if (std::find(kinds.begin(), kinds.end(), span->kind) == kinds.end()) {
        kinds.push_back(span->kind);
      }
    }
  }
  std::string html = "<ul class=\"legend\">";
  while (!kinds.empty()) {  // kinds of one colour share an entry
    const std::string css = kind_class(kinds.front());
    std::string names;
    for (const std::string& kind : kinds) {
      if (kind_class(kind) == css) names += (names.empty() ? "" : ", ") + kind;
    }
    std::erase_if(kinds, [&](const std::string& kind) { return kind_class(kind) == css; });
    html += fmt::format("<li><i class=\"{}\"></i>{}</li>", css, escape(names));
  }
  return html + "</ul>";
}

/// "d1 t0 p2": tensor varies fastest, then data, then pipeline (DESIGN section 4).
std::string place_of(int rank, const Grid& grid) {
  return fmt::format("d{} t{} p{}", rank / grid.tensor % grid.data, rank % grid.tensor,
                     rank / (grid.tensor * grid.data));
}

void draw_lane(Svg& svg, const std::vector<const Span*>& spans, double top, double step) {
  for (const Bar& bar : bars_of(spans, step)) {
    const LaneLook& look = look_of(bar.first->lane);
    const double x = bar.start / step;
    const double width = std::max(bar.end - bar.start, 0.0) / step;
    svg.rect(x, top + look.top, std::max(width, kPixel), look.height,
             "bar " + kind_class(bar.first->kind), tip_of(bar));
    const auto letters = static_cast<double>(bar.first->label.size());
    if (look.height > 12 && bar.count == 1 && letters > 0 && width > kLetter * (letters + 1)) {
      svg.text(x + width / 2, top + look.top + 11, 0, bar.first->label, "inside middle");
    }
  }
}

}  // namespace

std::string kind_class(std::string_view kind) {
  constexpr std::array<std::pair<std::string_view, std::string_view>, 16> kClasses = {
      {{"forward", "c1"},
       {"recompute", "c7"},
       {"backward", "c2"},
       {"norm", "c3"},
       {"decide", "c3"},
       {"trust", "c3"},
       {"update", "c3"},
       {"send", "c4"},
       {"receive", "c8"},
       {"all-reduce", "c5"},
       {"reduce-scatter", "c6"},
       {"reduce", "c6"},
       {"all-gather", "c9"},
       {"gather", "c9"},
       {"fetch", "c9"},
       {"release", "c9"}}};  // load, store and what a later version adds: c0
  for (const auto& [name, css] : kClasses) {
    if (name == kind) return std::string(css);
  }
  return "c0";
}

GanttPicture draw_gantt(const Timeline& timeline, const Grid& grid, std::size_t most_ranks) {
  GanttPicture picture;
  const int world_size = grid.data * grid.tensor * grid.pipeline;
  if (timeline.spans.empty()) return picture;
  double step = 0;
  for (const Span& span : timeline.spans) step = std::max(step, span.end);
  if (!(step > 0)) return picture;
  const std::vector<int> ranks = shown_ranks(timeline, most_ranks);
  std::map<std::pair<int, std::string>, std::vector<const Span*>> lanes;
  for (const Span& span : timeline.spans) lanes[{span.rank, span.lane}].push_back(&span);

  const double height = kRow * static_cast<double>(ranks.size());
  Svg svg(height, fmt::format("Instructions of step {} by rank and lane", timeline.step));
  const Scale time = Scale::linear(0, step);
  const Unit unit = step < 2 ? Unit{1e3, " ms"} : Unit{1, " s"};
  for (const Tick& tick : time.ticks(8, unit)) {
    svg.vertical(tick.at, 0, height, "grid");
    svg.text(tick.at, height + 16, 0, tick.label, "tick middle");
  }
  for (std::size_t row = 0; row < ranks.size(); ++row) {
    const double top = kRow * static_cast<double>(row);
    svg.rect(0, top, 1, 15, "idle");
    svg.text(0, top + 12, -8, fmt::format("rank {}", ranks[row]), "tick end");
    if (world_size > 1) svg.text(0, top + 25, -8, place_of(ranks[row], grid), "small end");
    for (auto lane = lanes.lower_bound({ranks[row], ""});
         lane != lanes.end() && lane->first.first == ranks[row]; ++lane) {
      draw_lane(svg, lane->second, top, step);
    }
  }
  picture.svg = svg.take();
  picture.legend = legend_of(timeline);
  if (ranks.size() < static_cast<std::size_t>(world_size)) {
    picture.note = fmt::format("{} of {} ranks are shown, evenly spread over the grid.",
                               ranks.size(), world_size);
  }
  return picture;
}

}  // namespace trireme::report
