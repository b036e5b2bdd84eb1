#include "lib/report/page/loss_figure.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <set>

namespace trireme::report {

LossFigure::LossFigure(std::span<const Run> runs) {
  std::set<std::int64_t> batches;
  for (const Run& run : runs)
    if (run.reported) batches.insert(run.report.model.batch_tokens);
  by_tokens_ = batches.size() > 1;
}

void LossFigure::add(const Run& run, std::string name, std::string css, bool faint) {
  std::vector<Sample> samples;
  for (const io::StepRecord& step : run.log.steps)
    samples.push_back({by_tokens_ ? step.tokens : step.step, step.loss});
  if (samples.empty()) return;
  samples = smoothed(samples, samples.size() / 100);
  extent_.add(samples);
  first_ = std::min(first_, static_cast<double>(samples.front().step));
  last_ = std::max(last_, static_cast<double>(samples.back().step));
  Curve curve{.name = std::move(name), .css = std::move(css), .samples = std::move(samples)};
  curve.faint = faint;
  curves_.push_back(std::move(curve));
}

std::string LossFigure::section(const std::string& note) const {
  if (extent_.empty()) return "";
  return loss_section("Training loss", picture(false), picture(true),
                      fmt::format("Mean cross-entropy a token in nats, by {}; runs of more than "
                                  "200 steps smoothed over 1 % of them. {}",
                                  by_tokens_ ? "tokens trained on" : "optimizer step", note));
}

std::string LossFigure::picture(bool logarithmic) const {
  LineChart chart{.label = "Training loss of all runs",
                  .x = logarithmic ? Scale::logarithmic(std::max(first_, 1.0), last_)
                                   : Scale::linear(first_, last_),
                  .y = Scale::rounded(extent_.low, extent_.high)};
  chart.height = 320;
  chart.curves = curves_;
  return draw(chart);
}

}  // namespace trireme::report
