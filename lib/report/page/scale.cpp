#include "lib/report/page/scale.hpp"

#include "kernels/base/error.hpp"

#include <algorithm>
#include <cmath>

namespace trireme::report {
namespace {

/// The largest of 1, 2, 5 x 10^n that gives at least `count` steps over `span`, or nearly so.
double round_step(double span, int count) {
  const double raw = span / count;
  const double power = std::pow(10.0, std::floor(std::log10(raw)));
  const double mantissa = raw / power;
  const double round = mantissa < 1.5 ? 1 : mantissa < 3.5 ? 2 : mantissa < 7.5 ? 5 : 10;
  return round * power;
}

/// As many decimals as steps of `step` need to differ.
std::string label(double value, double step, const Unit& unit) {
  const double shown = value * unit.factor;
  const double shown_step = step * unit.factor;
  const int decimals = std::max(0, static_cast<int>(std::ceil(-std::log10(shown_step) - 1e-9)));
  if (shown == 0 && !unit.suffix.starts_with(' ')) return "0";  // not "0k"
  if (decimals == 0 && unit.suffix.empty() && shown_step >= 1000) {
    return fmt::format("{:g}k", shown / 1000);
  }
  return fmt::format("{:.{}f}{}", shown, decimals, unit.suffix);
}

std::string log_label(double value, const Unit& unit) {
  const double shown = value * unit.factor;
  if (shown >= 1e6) return fmt::format("{:g}M{}", shown / 1e6, unit.suffix);
  if (shown >= 1e3) return fmt::format("{:g}k{}", shown / 1e3, unit.suffix);
  return fmt::format("{:g}{}", shown, unit.suffix);
}

}  // namespace

Scale Scale::linear(double low, double high) {
  check(std::isfinite(low) && std::isfinite(high), Exit::kUnexpected,
        "expected finite ends of an axis, found {} and {}", low, high);
  if (low < high) return {low, high, false};
  const double pad = low == 0 ? 1 : 0.05 * std::abs(low);
  return {high - pad, low + pad, false};
}

Scale Scale::logarithmic(double low, double high) {
  check(low > 0 && std::isfinite(high), Exit::kUnexpected,
        "expected a logarithmic axis above zero, found {} to {}", low, high);
  return {low, high > low ? high : 2 * low, true};
}

Scale Scale::rounded(double low, double high, int about_ticks) {
  Scale scale = linear(low, high);
  const double exact_low = scale.low_;
  const double exact_high = scale.high_;
  // Rounding widens the axis, which can ask for a wider step: stable after one or two rounds.
  double step = 0;
  for (int round = 0; round < 3; ++round) {
    const double wanted = round_step(scale.high_ - scale.low_, about_ticks);
    if (wanted == step) break;
    step = wanted;
    scale.low_ = step * std::floor(exact_low / step + 1e-9);
    scale.high_ = step * std::ceil(exact_high / step - 1e-9);
  }
  return scale;
}

double Scale::operator()(double value) const {
  if (log_) return std::log(value / low_) / std::log(high_ / low_);
  return (value - low_) / (high_ - low_);
}

std::vector<Tick> Scale::ticks(int count, const Unit& unit) const {
  std::vector<Tick> ticks;
  if (!log_) {
    const double step = round_step(high_ - low_, count);
    const double slack = 1e-6 * step;
    for (auto i = std::llround(std::ceil((low_ - slack) / step));
         static_cast<double>(i) * step <= high_ + slack; ++i) {
      const double value = static_cast<double>(i) * step;
      ticks.push_back({(*this)(value), label(value, step, unit)});
    }
    return ticks;
  }
  const double decades = std::log10(high_ / low_);
  for (double power = std::pow(10.0, std::floor(std::log10(low_))); power <= high_; power *= 10) {
    for (const double part : {1.0, 2.0, 5.0}) {
      const double value = part * power;
      if (value < low_ * (1 - 1e-9) || value > high_ * (1 + 1e-9)) continue;
      if (part != 1.0 && 3 * decades > count + 1) continue;
      ticks.push_back({(*this)(value), log_label(value, unit)});
    }
  }
  return ticks;
}

}  // namespace trireme::report
