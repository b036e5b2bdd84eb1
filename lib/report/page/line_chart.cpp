#include "lib/report/page/line_chart.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace trireme::report {
namespace {

constexpr int kColumns = 600;       // wide enough that thinning does not show at 1200 pixels
constexpr double kLineHeight = 14;  // between labels that would touch

class Plot {
 public:
  explicit Plot(const LineChart& chart) : chart_(chart), svg_(chart.height, chart.label) {}

  std::string draw() {
    axes();
    reference();
    for (const Curve& curve : chart_.curves) line(curve);
    end_labels();
    return svg_.take();
  }

 private:
  double down(double y) const { return chart_.height * (1 - y); }

  void axes() {
    for (const Tick& tick : chart_.y.ticks(chart_.y_ticks, chart_.y_unit)) {
      svg_.horizontal(down(tick.at), "grid");
      svg_.text(0, down(tick.at) + 4, -8, tick.label, "tick end");
    }
    svg_.horizontal(chart_.height, "axis");
    for (const Tick& tick : x_ticks()) {
      svg_.vertical(tick.at, chart_.height, chart_.height + 4, "axis");
      svg_.text(tick.at, chart_.height + 18, 0, tick.label, "tick middle");
    }
    for (const Sample& mark : chart_.marks) {
      const double x = chart_.x(static_cast<double>(mark.step));
      svg_.vertical(x, 0, chart_.height, "mark");
      svg_.text(x, 10, 4, "resumed", "tick start");
    }
  }

  std::vector<Tick> x_ticks() const {
    if (chart_.x_values.empty()) return chart_.x.ticks(chart_.x_ticks);
    std::vector<Tick> ticks;
    for (const std::int64_t value : chart_.x_values)
      ticks.push_back({chart_.x(static_cast<double>(value)), fmt::format("{}", value)});
    return ticks;
  }

  void reference() {
    if (!chart_.reference) return;
    const auto& [low, high, name] = *chart_.reference;
    const double top = std::clamp(chart_.y(high), 0.0, 1.0);
    const double bottom = std::clamp(chart_.y(low), 0.0, 1.0);
    if (low == high) {
      svg_.horizontal(down(top), "reference");
      svg_.text(1, down(top) + 4, 6, name, "tick start");
    } else {
      svg_.rect(0, down(top), 1, std::max(1.0, down(bottom) - down(top)), "band");
      svg_.text(0, down(top) + 12, 6, name, "tick start");
    }
  }

  void line(const Curve& curve) {
    std::vector<Point> points;
    points.reserve(curve.samples.size());
    for (const Sample& sample : curve.samples) {
      const double y = std::isfinite(sample.value) ? std::min(chart_.y(sample.value), 1.0) : NAN;
      points.push_back({chart_.x(static_cast<double>(sample.step)), y});
    }
    const auto kept = decimate(points, kColumns);
    if (curve.filled) svg_.area(kept, "area " + curve.css);
    svg_.path(kept, (curve.faint ? "line faint " : "line ") + curve.css);
    if (curve.dots) {
      for (std::size_t i = 0; i < points.size(); ++i) {
        if (std::isnan(points[i].y)) continue;
        const Sample& sample = curve.samples[i];
        svg_.dot(points[i].x, down(points[i].y), sample.open ? 4 : 3,
                 (sample.open ? "ring " : "dot ") + curve.css,
                 fmt::format("{} {}: {:.4g}{}", chart_.x_name, sample.step,
                             sample.value * chart_.y_unit.factor, chart_.y_unit.suffix));
      }
    }
    if (curve.name.empty()) return;
    const auto last = std::find_if(points.rbegin(), points.rend(),
                                   [](const Point& point) { return std::isfinite(point.y); });
    if (last != points.rend()) ends_.push_back({down(last->y), last->x, curve.name, curve.css});
  }

  /// Names beside the right ends of their curves, pushed apart where they would overlap.
  void end_labels() {
    std::sort(ends_.begin(), ends_.end(), [](const End& a, const End& b) { return a.y < b.y; });
    // A pass moves neighbours apart by halves; what it moves may touch the next, so several.
    for (std::size_t pass = 0; pass < 4 * ends_.size(); ++pass) {
      for (std::size_t i = 1; i < ends_.size(); ++i) {
        const double overlap = ends_[i - 1].y + kLineHeight - ends_[i].y;
        if (overlap <= 0) continue;
        ends_[i - 1].y -= overlap / 2;
        ends_[i].y += overlap / 2;
      }
    }
    for (const End& end : ends_) {
      svg_.text(1, end.y + 4, 8, end.name, "name start " + end.css);
    }
  }

  struct End {
    double y;
    double x;
    std::string name;
    std::string css;
  };

  const LineChart& chart_;
  Svg svg_;
  std::vector<End> ends_;
};

}  // namespace

std::string draw(const LineChart& chart) { return Plot(chart).draw(); }

}  // namespace trireme::report
