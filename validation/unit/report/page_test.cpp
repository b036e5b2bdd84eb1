// The page: well-formed whatever the run's texts hold, self-contained, and true to its numbers.

#include "lib/report/compare.hpp"
#include "lib/report/page/decimate.hpp"
#include "lib/report/page/gantt.hpp"
#include "lib/report/page/html.hpp"
#include "lib/report/page/scale.hpp"
#include "lib/report/regression.hpp"
#include "validation/unit/report/sample_report.hpp"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <regex>
#include <set>

namespace trireme::report {
namespace {

using Runs = std::vector<Run>;  // in a test body Run is GoogleTest's

/// Empty when every tag is closed in order, attributes are quoted and entities are known;
/// otherwise what is wrong. Stricter than browsers.
std::string malformed(const std::string& html) {
  static const std::set<std::string> kVoid = {"meta", "input"};
  static const std::regex kTag(
      R"re(^<(/?)([a-zA-Z][a-zA-Z0-9]*)((?: [a-zA-Z][a-zA-Z0-9-]*(?:="[^"<]*")?)*) ?(/?)>)re");
  static const std::regex kEntity("^&(amp|lt|gt|quot|#39);");
  std::vector<std::string> open;
  for (std::size_t at = html.find('\n') + 1; at < html.size();) {  // behind the doctype
    const std::size_t next = html.find_first_of("<>&", at);
    if (next == std::string::npos) break;
    const std::string rest = html.substr(next, 60);
    std::smatch match;
    if (html[next] == '>') return "stray > at " + rest;
    if (html[next] == '&') {
      if (!std::regex_search(rest, match, kEntity)) return "entity " + rest;
      at = next + static_cast<std::size_t>(match.length());
      continue;
    }
    const std::size_t end = html.find('>', next);
    const std::string tag = html.substr(next, end - next + 1);
    // Long attributes (paths) are cut before matching: std::regex recurses by length.
    const std::string cut = std::regex_replace(tag, std::regex(" d=\"[^\"]*\""), "");
    if (!std::regex_search(cut, match, kTag)) return "tag " + rest;
    const std::string name = match[2];
    at = end + 1;
    if (match[1] == "/") {
      if (open.empty() || open.back() != name) return "closing " + rest;
      open.pop_back();
    } else if (match[4] != "/" && !kVoid.count(name)) {
      open.push_back(name);
      if (name == "style") at = html.find("</style>", at);
    }
  }
  return open.empty() ? "" : "never closed: " + open.back();
}

std::string page_of(const sample::Sample& run) { return to_html(run.report, run.log); }

TEST(Page, IsWellFormedAndTheCheckSeesFaults) {
  const std::string page = page_of(sample::make(2, 2, 2, 400));
  EXPECT_EQ(malformed(page), "");
  for (const char* tag : {"</section>", "</td>", "</svg>", "</text>"}) {  // the planted faults
    std::string broken = page;
    broken.erase(broken.find(tag), std::string(tag).size());
    EXPECT_NE(malformed(broken), "") << tag;
  }
  std::string bare = page;
  bare.insert(bare.find("</h1>"), " a < b & c");
  EXPECT_NE(malformed(bare), "");
}

/// Thirty runs, two of them failed, with texts that would break a page that does not escape them.
Runs many_runs() {
  Runs runs;
  for (int i = 0; i < 30; ++i) {
    sample::Sample made = sample::make(1 + i % 2, 2, 1, 40 + i);
    if (i % 15 == 14) made.report.exit = {"<NaN> & more", 4};
    made.report.title = "\"a<b>\"";
    runs.push_back({fmt::format("runs/<{}>", i), made.report, made.log});
  }
  runs.push_back({"runs/empty", {}, {}, false});
  return runs;
}

std::string comparison_of(const Runs& runs) {
  return comparison_page(compare_sets(std::span(runs).first(20), std::span(runs).last(20), {}));
}

TEST(Page, NeedsNothingFromOutside) {
  const Runs runs = many_runs();
  for (const std::string& page :
       {page_of(sample::make(2, 2, 2, 400)), runs_page(runs), comparison_of(runs)}) {
    for (const char* outside :
         {"http:", "https:", "src=", "href=", "url(", "@import", "<script", "<link", "<iframe"}) {
      EXPECT_EQ(page.find(outside), std::string::npos) << outside;
    }
  }
}

TEST(Page, PagesOfManyRunsAreWellFormed) {
  const Runs runs = many_runs();
  EXPECT_EQ(malformed(runs_page(runs)), "");
  EXPECT_EQ(malformed(comparison_of(runs)), "");
  EXPECT_EQ(malformed(runs_page({})), "");
  EXPECT_EQ(malformed(comparison_page(compare_sets({}, {}, {}))), "");
  const std::string page = runs_page(runs);
  EXPECT_NE(page.find("★"), std::string::npos);
  EXPECT_NE(page.find("&lt;NaN&gt; &amp; more"), std::string::npos);
  for (const char* odd : {"nan", "\"inf"}) EXPECT_EQ(page.find(odd), std::string::npos) << odd;
}

// Every text of a report reaches the page only escaped.
TEST(Page, HostileTextsStayText) {
  const std::string hostile = "\"'><script>alert(1)</script>&lt;</svg></style>\x01\xFF\xC0\xAF";
  sample::Sample run = sample::make(2, 2, 2, 40);
  RunReport& report = run.report;
  for (std::string* text : {&report.app,
                            &report.version,
                            &report.git,
                            &report.command,
                            &report.title,
                            &report.device,
                            &report.dtype,
                            &report.grid.schedule,
                            &report.model.family,
                            &report.peak.source,
                            &report.exit.reason,
                            &report.environment.host,
                            &report.environment.cpu,
                            &report.environment.isa,
                            &report.environment.compiler,
                            &report.environment.started,
                            &report.environment.finished,
                            &report.deck,
                            &report.expect->quantity,
                            &report.expect->verdict}) {
    *text = hostile;
  }
  report.environment.libraries[hostile] = hostile;
  report.warnings.push_back(hostile);
  report.memory.push_back({0, hostile, hostile, 1, 1});
  report.memory.push_back({1, hostile, hostile, 1, std::nullopt});
  report.comm.push_back({hostile, hostile, 1, 1, 1});
  report.io.push_back({hostile, hostile, 1, 1, 1});
  report.regions.push_back({hostile, 1, 0, 0, 0});
  report.checkpoints.push_back({1, hostile, 1, 1});
  report.timeline.spans.push_back({0, "compute", hostile, hostile, 0, 0.8});
  report.timeline.spans.push_back({0, hostile, "send", hostile, 0, 0.1});
  const std::string page = page_of(run);
  EXPECT_EQ(malformed(page), "");
  EXPECT_EQ(page.find("<script"), std::string::npos);
  EXPECT_EQ(page.find('\x01'), std::string::npos);
  EXPECT_EQ(page.find('\xFF'), std::string::npos);
  const std::string safe = escape("\"'><script>alert(1)</script>&lt;</svg></style>");
  std::size_t seen = 0;
  for (std::size_t at = page.find(safe); at != std::string::npos; at = page.find(safe, at + 1)) {
    ++seen;
  }
  EXPECT_GE(seen, 30u);
}

TEST(Page, EscapeKeepsGoodTextAndReplacesTheRest) {
  EXPECT_EQ(escape("a<b>&\"'"), "a&lt;b&gt;&amp;&quot;&#39;");
  EXPECT_EQ(escape("\xC3\xA9 \xE2\x82\xAC \xF0\x9F\x9A\xA3\n\t"),
            "\xC3\xA9 \xE2\x82\xAC \xF0\x9F\x9A\xA3\n\t");
  const std::string bad = "\xEF\xBF\xBD";
  EXPECT_EQ(escape("\xC3"), bad);            // cut short
  EXPECT_EQ(escape("\xC3<"), bad + "&lt;");  // and it hides no tag
  EXPECT_EQ(escape("\xE2\x82"), bad + bad);
  EXPECT_EQ(escape("\xC0\xBC"), bad + bad);            // overlong "<"
  EXPECT_EQ(escape("\xED\xA0\x80"), bad + bad + bad);  // surrogate
  EXPECT_EQ(escape(std::string_view("\0\x7F", 2)), bad + bad);
}

TEST(Page, EmptyAndOddRunsHavePages) {
  EXPECT_EQ(malformed(to_html(RunReport{}, {})), "");
  sample::Sample one = sample::make(1, 1, 1, 1, 1);
  EXPECT_EQ(malformed(page_of(one)), "");
  one.log.steps[0].loss = kUnknown;
  EXPECT_EQ(malformed(page_of(one)), "");
  sample::Sample diverged = sample::make(1, 1, 1, 50);
  for (std::size_t i = 20; i < 50; ++i) diverged.log.steps[i].loss = kUnknown;
  diverged.log.steps[3].loss = INFINITY;
  diverged.report.exit = {"the loss is NaN", 4};
  const std::string page = page_of(diverged);
  EXPECT_EQ(malformed(page), "");
  EXPECT_EQ(page.find("nan"), std::string::npos);
  EXPECT_EQ(page.find("\"inf"), std::string::npos);
  EXPECT_NE(page.find("failed"), std::string::npos);
}

TEST(Page, ExpectedBandFarFromTheCurveIsOnTheChart) {
  sample::Sample run = sample::make(1, 1, 1, 9);
  run.report.expect = judge("validation_loss", 1.0, 1.2, run.report.loss.validation);
  const std::string page = page_of(run);
  const std::size_t band = page.find("class=\"band\"");
  ASSERT_NE(band, std::string::npos);
  const double y = std::stod(page.substr(page.find(" y=\"", band) + 4, 8));
  EXPECT_GT(y, 200);  // of 300 pixels, above the axis
  EXPECT_LT(y, 299);
}

TEST(Page, OnlyStepsAboveTheAxisAreCalledSo) {
  sample::Sample run = sample::make(1, 1, 1, 20);
  for (auto& step : run.log.steps) step.seconds = 1;
  run.log.steps[0].seconds = 2.4;  // above 2.5 medians x 0.9, below the rounded end of the axis
  fill_from_log(run.report, run.log);
  EXPECT_EQ(page_of(run).find("above the scale"), std::string::npos);
  run.log.steps[0].seconds = 9;
  EXPECT_NE(page_of(run).find("1 step lies above the scale"), std::string::npos);
}

TEST(Page, BrokenRegionSumIsSaid) {
  sample::Sample run = sample::make(2, 2, 2, 400);
  EXPECT_EQ(page_of(run).find("The regions miss"), std::string::npos);
  run.report.regions.pop_back();
  run.report.regions.pop_back();
  run.report.regions.pop_back();
  EXPECT_NE(page_of(run).find("The regions miss"), std::string::npos);
}

TEST(Page, LongRunsAndLargeGridsStaySmall) {
  const std::string page = page_of(sample::make(16, 8, 8, 50000, 32));
  EXPECT_LT(page.size(), 2'000'000u);
  EXPECT_NE(page.find("16 of 1024 ranks are shown"), std::string::npos);
}

TEST(Page, TimelineMergesOnlyWhatFallsOnOnePixel) {
  Timeline timeline;
  for (int i = 0; i < 20000; ++i) {
    timeline.spans.push_back({0, "comm", "send", "x", i * 1e-4, i * 1e-4 + 0.9e-4});
  }
  const std::string svg = draw_gantt(timeline, Grid{}).svg;
  const auto bars = std::count(svg.begin(), svg.end(), '\n');  // each tip has one line's end
  EXPECT_LT(bars, 1200);
  EXPECT_GT(bars, 900);
  timeline.spans.resize(1000);
  const std::string all = draw_gantt(timeline, Grid{}).svg;
  EXPECT_EQ(std::count(all.begin(), all.end(), '\n'), 1000);
}

TEST(Decimate, KeepsExtremesEndsAndBreaks) {
  std::vector<Point> points;
  const int count = 100000;
  for (int i = 0; i < count; ++i) {
    points.push_back({static_cast<double>(i) / (count - 1), std::sin(0.001 * i)});
  }
  points[31337].y = 17;
  points[77777].y = -9;
  points[50000].y = NAN;
  const auto kept = decimate(points, 500);
  EXPECT_LE(kept.size(), 5u * 500u);
  const auto has = [&](double y) {
    return std::any_of(kept.begin(), kept.end(), [&](const Point& p) { return p.y == y; });
  };
  EXPECT_TRUE(has(17));
  EXPECT_TRUE(has(-9));
  EXPECT_EQ(std::count_if(kept.begin(), kept.end(), [](const Point& p) { return std::isnan(p.y); }),
            1);
  EXPECT_EQ(kept.front().x, 0);
  EXPECT_EQ(kept.back().x, 1);
  EXPECT_TRUE(std::is_sorted(kept.begin(), kept.end(),
                             [](const Point& a, const Point& b) { return a.x < b.x; }));
  // Planted fault: taking every 50th point instead loses the peaks.
  bool peak = false;
  for (int i = 0; i < count; i += 50) peak = peak || points[static_cast<std::size_t>(i)].y == 17;
  EXPECT_FALSE(peak);
}

TEST(Decimate, ShortSeriesAreUntouched) {
  const std::vector<Point> points = {{0, 1}, {0.5, 2}, {1, 3}};
  EXPECT_EQ(decimate(points, 600).size(), 3u);
}

TEST(Decimate, SmoothKeepsEndsAndMeans) {
  std::vector<Point> points;
  for (int i = 0; i < 101; ++i) points.push_back({0.01 * i, i % 2 == 0 ? 1.0 : 3.0});
  const auto smoothed = smooth(points, 9);
  EXPECT_EQ(smoothed.front().y, points.front().y);
  EXPECT_NEAR(smoothed.back().y, 2.0, 0.25);
  EXPECT_NEAR(smoothed[50].y, 2.0, 0.2);
}

TEST(Decimate, MediansIgnoreStalls) {
  std::vector<Point> points;
  for (int i = 0; i < 1000; ++i) points.push_back({0.001 * i, i % 50 == 7 ? 100.0 : 1.0});
  const auto medians = running_median(points, 21, 100);
  EXPECT_LE(medians.size(), 101u);
  for (const Point& point : medians) EXPECT_EQ(point.y, 1.0);
  EXPECT_GT(smooth(points, 21)[500].y, 1.0);  // a mean would be moved
}

std::string labels(const Scale& scale, int count, const Unit& unit = {}) {
  std::string text;
  for (const Tick& tick : scale.ticks(count, unit)) text += (text.empty() ? "" : " ") + tick.label;
  return text;
}

TEST(Scale, TicksAreRoundAndInside) {
  EXPECT_EQ(labels(Scale::linear(0, 10), 5), "0 2 4 6 8 10");
  EXPECT_EQ(labels(Scale::linear(0.13, 0.97), 4), "0.2 0.4 0.6 0.8");
  EXPECT_EQ(labels(Scale::linear(0, 0.8), 4, {1e3, " ms"}), "0 ms 200 ms 400 ms 600 ms 800 ms");
  EXPECT_EQ(labels(Scale::linear(0, 4000), 4), "0 1k 2k 3k 4k");
  EXPECT_EQ(labels(Scale::logarithmic(1, 400), 8), "1 2 5 10 20 50 100 200");
  EXPECT_EQ(labels(Scale::logarithmic(1, 1e6), 8), "1 10 100 1k 10k 100k 1M");
  for (const auto& tick : Scale::linear(-3.7, 12.2).ticks(6)) {
    EXPECT_GE(tick.at, -1e-6);
    EXPECT_LE(tick.at, 1 + 1e-6);
  }
}

TEST(Scale, RoundedHoldsItsValuesAndEqualEndsWork) {
  const Scale scale = Scale::rounded(2.13, 8.87);
  EXPECT_LE(scale.low(), 2.13);
  EXPECT_GE(scale.high(), 8.87);
  for (const auto& [low, high] : {std::pair{8.351, 9.041}, {0.0, 1.04}, {0.0, 3.7}, {2.9, 8.8}}) {
    const auto ticks = Scale::rounded(low, high).ticks(5);
    EXPECT_NEAR(ticks.front().at, 0, 1e-9) << low;  // ticks stand at both ends
    EXPECT_NEAR(ticks.back().at, 1, 1e-9) << high;
  }
  const Scale point = Scale::rounded(5, 5);
  EXPECT_LT(point.low(), 5);
  EXPECT_GT(point.high(), 5);
  EXPECT_FALSE(point.ticks(5).empty());
  EXPECT_TRUE(std::isfinite(Scale::rounded(0, 0)(0)));
}

}  // namespace
}  // namespace trireme::report
