// Loss and speed over steps.

#include "lib/report/format.hpp"
#include "lib/report/page/curves.hpp"
#include "lib/report/page/html.hpp"
#include "lib/report/page/sections.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace trireme::report {
namespace {

constexpr std::size_t kNoisyWindow = 8;

std::vector<Sample> resumes_of(const io::LogContents& log) {
  std::vector<Sample> marks;
  for (const auto& resume : log.resumes) marks.push_back({resume.step, 0});
  return marks;
}

/// Medians over about 1 % of the steps: a stall of one says nothing about its neighbours.
std::vector<Sample> medians(const std::vector<Sample>& samples, std::size_t window) {
  std::vector<Point> points;
  for (const Sample& sample : samples) {
    points.push_back({static_cast<double>(sample.step), sample.value});
  }
  std::vector<Sample> result;
  for (const Point& point : running_median(points, window, 600)) {
    result.push_back({std::llround(point.x), point.y});
  }
  return result;
}

LineChart loss_chart(const RunReport& report, const io::LogContents& log, bool logarithmic) {
  const auto training = samples_of(log.steps, &io::StepRecord::loss);
  const auto validation = samples_of(log.evaluations, &io::EvaluationEvent::loss);
  Extent extent;
  extent.add(training);
  extent.add(validation);
  const bool foretold = report.expect && report.expect->quantity == "validation_loss";
  if (foretold) extent.add({{0, report.expect->low}, {0, report.expect->high}});
  const auto first = static_cast<double>(log.steps.front().step);
  const auto last = static_cast<double>(log.steps.back().step);
  LineChart chart{.label = "Training and validation loss by step",
                  .x = logarithmic ? Scale::logarithmic(std::max(first, 1.0), last)
                                   : Scale::linear(first, last),
                  .y = Scale::rounded(extent.low, extent.high)};
  chart.height = 300;
  const std::size_t window = training.size() / 100;
  if (window > 2) {
    chart.curves.push_back({.name = "", .css = "c1", .samples = training, .faint = true});
    chart.curves.push_back(
        {.name = "training", .css = "c1", .samples = smoothed(training, window)});
  } else {
    chart.curves.push_back({.name = "training", .css = "c1", .samples = training});
  }
  if (!validation.empty()) {
    chart.curves.push_back(
        {.name = "validation", .css = "c2", .samples = validation, .dots = true});
  }
  if (foretold) {
    chart.reference = Reference{report.expect->low, report.expect->high,
                                "validation loss the deck expects at the end"};
  }
  chart.marks = resumes_of(log);
  return chart;
}

struct Small {
  const char* title;
  double io::StepRecord::*member;
  Unit unit;
  double reference;      ///< median
  std::string headline;  ///< the same, formatted
};

/// From zero to 2.5 medians at most: a stall of seconds must not flatten all the rest.
std::string small_chart(const Small& small, const io::LogContents& log) {
  const auto samples = samples_of(log.steps, small.member);
  Extent extent;
  extent.add(samples);
  if (extent.empty() || !std::isfinite(small.reference) || small.reference <= 0) return "";
  const double top = std::min(extent.high, 2.5 * small.reference);
  LineChart chart{.label = fmt::format("{} by step", small.title),
                  .x = Scale::linear(static_cast<double>(log.steps.front().step),
                                     static_cast<double>(log.steps.back().step)),
                  .y = Scale::rounded(0, 1.02 * top, 4),
                  .y_unit = small.unit};
  chart.height = 150;
  chart.x_ticks = 4;
  chart.y_ticks = 4;
  const std::size_t window = samples.size() / 100;
  const bool noisy = window > kNoisyWindow;  // single steps would fill the picture
  chart.curves.push_back(
      {.name = "", .css = "c1", .samples = samples, .faint = noisy, .filled = !noisy});
  if (noisy) {
    chart.curves.push_back(
        {.name = "", .css = "c1", .samples = medians(samples, window), .filled = true});
  }
  chart.reference = Reference{small.reference, small.reference, "median"};
  const auto above = std::count_if(samples.begin(), samples.end(), [&](const Sample& sample) {
    return sample.value > chart.y.high();
  });
  const double shown = extent.high * small.unit.factor;
  const std::string largest =
      shown < 1000 ? fmt::format("{:.3g}", shown) : format_integer(std::llround(shown));
  const std::string cut =
      above == 0 ? ""
                 : fmt::format(
                       "<p class=\"note\">{} step{} lie{} above the scale, the largest at "
                       "{}.</p>",
                       above, above == 1 ? "" : "s", above == 1 ? "s" : "",
                       largest + escape(small.unit.suffix));
  return fmt::format(
      "<figure class=\"small\"><figcaption><b>{}</b><span>{}</span></figcaption><div "
      "class=\"box\">{}</div>{}</figure>",
      small.title, escape(small.headline), draw(chart), cut);
}

}  // namespace

std::string learning_section(const RunReport& report, const io::LogContents& log) {
  Extent extent;
  extent.add(samples_of(log.steps, &io::StepRecord::loss));
  if (extent.empty()) return "";
  std::string note = "Mean cross-entropy a token in nats, by optimizer step.";
  const std::size_t window = log.steps.size() / 100;
  if (window > 2) {
    note +=
        fmt::format(" Strong line: mean over {} steps; pale: every step.", 2 * (window / 2) + 1);
  }
  if (log.torn) note += " The log's last line was cut short and is left out.";
  return loss_section("Loss", draw(loss_chart(report, log, false)),
                      draw(loss_chart(report, log, true)), note);
}

std::string speed_section(const RunReport& report, const io::LogContents& log) {
  if (log.steps.empty()) return "";
  const bool fast = report.step_seconds.median < 0.5;
  const Unit time = fast ? Unit{1e3, " ms"} : Unit{1, " s"};
  const bool thousands = report.tokens_per_second >= 2000;
  const Unit rate = thousands ? Unit{1e-3, "k"} : Unit{};
  const std::string figures =
      small_chart({"Step time", &io::StepRecord::seconds, time, report.step_seconds.median,
                   format_seconds(report.step_seconds.median)},
                  log) +
      small_chart({"Tokens a second", &io::StepRecord::tokens_per_second, rate,
                   report.tokens_per_second, format_speed(report.tokens_per_second)},
                  log) +
      small_chart({"Share of the GEMM peak (MFU)",
                   &io::StepRecord::mfu,
                   {100, " %"},
                   report.mfu,
                   format_share(report.mfu)},
                  log);
  if (figures.empty()) return "";
  std::string html = "<section><h2>Speed</h2><div class=\"three\">" + figures + "</div>";
  if (std::isfinite(report.peak.flops)) {
    html += fmt::format(
        "<p class=\"note\">MFU is model flops ({} a token) over the GEMM peak of all ranks "
        "together, <b>{}</b>: {}. Times are without evaluation and checkpoints.</p>",
        format_count(report.model.flops_per_token), format_rate(report.peak.flops, "FLOP/s"),
        escape(report.peak.source));
    if (const std::size_t window = log.steps.size() / 100; window > kNoisyWindow) {
      html +=
          fmt::format("<p class=\"note\">Strong line: median over {} steps; pale: every step.</p>",
                      2 * (window / 2) + 1);
    }
    if (report.mfu > 1) {
      html +=
          "<p class=\"note bad\">The share is above 100 %: the peak was measured while other work "
          "ran. Remove its file from the cache folder and run again.</p>";
    }
  }
  return html + "</section>";
}

}  // namespace trireme::report
