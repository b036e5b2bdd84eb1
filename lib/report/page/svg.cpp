#include "lib/report/page/svg.hpp"

#include "lib/report/page/html.hpp"

#include <fmt/format.h>

#include <cmath>
#include <iterator>

namespace trireme::report {
namespace {

/// Paths live on a square of this side that is stretched over the picture.
constexpr double kSide = 10000;

std::string title(std::string_view tip) {
  return tip.empty() ? "" : fmt::format("<title>{}</title>", escape(tip));
}

bool drawable(const Point& point) { return std::isfinite(point.x) && std::isfinite(point.y); }

void append_place(std::string& path, char command, const Point& point) {
  fmt::format_to(std::back_inserter(path), "{}{:.0f} {:.0f}", command, kSide * point.x,
                 kSide * (1 - point.y));
}

}  // namespace

std::string percent(double share) { return fmt::format("{:.6g}%", 100 * share); }

Svg::Svg(double height, std::string_view label)
    : height_(height),
      body_(fmt::format("<svg class=\"plot\" height=\"{:g}\" role=\"img\" aria-label=\"{}\">",
                        height, escape(label))) {}

void Svg::rect(double x, double y, double width, double height, std::string_view css,
               std::string_view tip) {
  body_ += fmt::format(
      "<rect class=\"{}\" x=\"{}\" y=\"{:.5g}\" width=\"{}\" height=\"{:.5g}\">{}</rect>", css,
      percent(x), y, percent(width), height, title(tip));
}

void Svg::horizontal(double y, std::string_view css, double from, double to) {
  body_ += fmt::format("<line class=\"{}\" x1=\"{}\" x2=\"{}\" y1=\"{:.5g}\" y2=\"{:.5g}\"/>", css,
                       percent(from), percent(to), y, y);
}

void Svg::vertical(double x, double from, double to, std::string_view css) {
  body_ += fmt::format("<line class=\"{}\" x1=\"{}\" x2=\"{}\" y1=\"{:.5g}\" y2=\"{:.5g}\"/>", css,
                       percent(x), percent(x), from, to);
}

void Svg::dot(double x, double y, double radius, std::string_view css, std::string_view tip) {
  body_ += fmt::format("<circle class=\"{}\" cx=\"{}\" cy=\"{:.5g}\" r=\"{:g}\">{}</circle>", css,
                       percent(x), y, radius, title(tip));
}

void Svg::text(double x, double y, double dx, std::string_view text, std::string_view css) {
  body_ += fmt::format("<text class=\"{}\" x=\"{}\" y=\"{:.5g}\" dx=\"{:g}\">{}</text>", css,
                       percent(x), y, dx, escape(text));
}

void Svg::path(const std::vector<Point>& points, std::string_view css) {
  std::string path;
  bool pen_down = false;
  for (const Point& point : points) {
    if (!drawable(point)) {
      pen_down = false;
      continue;
    }
    append_place(path, pen_down ? 'L' : 'M', point);
    pen_down = true;
  }
  stretched(path, css);
}

void Svg::area(const std::vector<Point>& points, std::string_view css) {
  std::string path;
  double last_x = 0;
  bool pen_down = false;
  const auto close = [&] {
    if (!pen_down) return;
    append_place(path, 'L', {last_x, 0});
    path += 'Z';
    pen_down = false;
  };
  for (const Point& point : points) {
    if (!drawable(point)) {
      close();
      continue;
    }
    if (!pen_down) append_place(path, 'M', {point.x, 0});
    append_place(path, 'L', point);
    pen_down = true;
    last_x = point.x;
  }
  close();
  stretched(path, css);
}

void Svg::stretched(const std::string& path, std::string_view css) {
  if (path.empty()) return;
  body_ += fmt::format(
      "<svg viewBox=\"0 0 {0:g} {0:g}\" preserveAspectRatio=\"none\" width=\"100%\" "
      "height=\"{1:g}\"><path class=\"{2}\" d=\"{3}\"/></svg>",
      kSide, height_, css, path);
}

std::string Svg::take() { return std::move(body_) + "</svg>"; }

}  // namespace trireme::report
