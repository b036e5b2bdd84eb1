#include "lib/report/page/curves.hpp"

#include "lib/report/page/html.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace trireme::report {

void Extent::add(const std::vector<Sample>& samples) {
  for (const Sample& sample : samples) {
    if (!std::isfinite(sample.value)) continue;
    low = std::min(low, sample.value);
    high = std::max(high, sample.value);
  }
}

std::vector<Sample> smoothed(const std::vector<Sample>& samples, std::size_t window) {
  if (window <= 2) return samples;
  std::vector<Point> points;
  for (const Sample& sample : samples) points.push_back({0, sample.value});
  const auto means = smooth(points, window);
  std::vector<Sample> result = samples;
  for (std::size_t i = 0; i < result.size(); ++i) result[i].value = means[i].y;
  return result;
}

std::string loss_section(const std::string& title, const std::string& linear,
                         const std::string& logarithmic, const std::string& note) {
  return fmt::format(
      "<section class=\"loss\"><h2>{}</h2>"
      "<input type=\"radio\" name=\"x\" id=\"x-linear\" checked>"
      "<input type=\"radio\" name=\"x\" id=\"x-log\">"
      "<div class=\"switch\">steps: <label for=\"x-linear\">linear</label>"
      "<label for=\"x-log\">logarithmic</label></div>"
      "<div class=\"box labelled linear\">{}</div>"
      "<div class=\"box labelled log\">{}</div><p class=\"note\">{}</p></section>",
      escape(title), linear, logarithmic, note);
}

}  // namespace trireme::report
