#pragma once
// Inline SVG whose shapes stretch with the page while its text and strokes keep their size: places
// across are percentages, places down are pixels. Colours are CSS classes (style.cpp).

#include "lib/report/page/decimate.hpp"

#include <string>
#include <string_view>

namespace trireme::report {

class Svg {
 public:
  /// A picture as wide as its box and `height` pixels high; `label` is read out by screen readers.
  /// Shapes may reach outside of it into the padding of the box.
  Svg(double height, std::string_view label);

  /// A rectangle over [x, x + width] of the breadth (0 to 1); `tip` shows on pointing at it.
  void rect(double x, double y, double width, double height, std::string_view css,
            std::string_view tip = {});
  void horizontal(double y, std::string_view css, double from = 0, double to = 1);
  void vertical(double x, double from, double to, std::string_view css);
  void dot(double x, double y, double radius, std::string_view css, std::string_view tip = {});
  /// `dx` in pixels; `css` names the anchor (start, middle, end) and look.
  void text(double x, double y, double dx, std::string_view text, std::string_view css);
  /// A line through points on [0, 1] x [0, 1], y upward over the full height. A NaN breaks it.
  void path(const std::vector<Point>& points, std::string_view css);
  /// The area between the line and y = 0.
  void area(const std::vector<Point>& points, std::string_view css);

  double height() const { return height_; }
  /// The finished picture.
  std::string take();

 private:
  void stretched(const std::string& path, std::string_view css);
  double height_;
  std::string body_;
};

/// "37.5%" of a share; short, since pages hold thousands of them.
std::string percent(double share);

}  // namespace trireme::report
