#include "lib/report/compare.hpp"

#include "kernels/base/error.hpp"
#include "lib/report/format.hpp"
#include "lib/report/report.hpp"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

namespace trireme::report {
namespace {

using Json = nlohmann::ordered_json;

/// The one list of columns of CSV and JSON.
Json flat(const Run& run) {
  const RunReport& report = run.report;
  const auto largest_rss = std::max_element(report.peak_rss.begin(), report.peak_rss.end());
  return {{"run", run.name},
          {"app", report.app},
          {"version", report.version},
          {"git", report.git},
          {"title", report.title},
          {"family", report.model.family},
          {"parameters", report.model.parameters},
          {"dtype", report.dtype},
          {"device", report.device},
          {"data", report.grid.data},
          {"tensor", report.grid.tensor},
          {"pipeline", report.grid.pipeline},
          {"schedule", report.grid.schedule},
          {"world_size", report.world_size},
          {"nodes", report.nodes},
          {"threads", report.environment.threads},
          {"isa", report.environment.isa},
          {"steps", report.steps},
          {"tokens", report.tokens},
          {"seconds", report.seconds},
          {"loss_first", report.loss.first},
          {"loss_last", report.loss.last},
          {"loss_validation", report.loss.validation},
          {"step_seconds_median", report.step_seconds.median},
          {"step_seconds_p5", report.step_seconds.p5},
          {"step_seconds_p95", report.step_seconds.p95},
          {"step_seconds_min", report.step_seconds.min},
          {"tokens_per_second", report.tokens_per_second},
          {"mfu", report.mfu},
          {"peak_flops", report.peak.flops},
          {"bubble_predicted", report.bubble.predicted},
          {"bubble_measured", report.bubble.measured},
          {"memory_planned_largest_rank", largest_rank(report).planned},
          {"memory_used_largest_rank", largest_rank(report).used},
          {"peak_rss_largest_rank", largest_rss == report.peak_rss.end() ? 0 : *largest_rss},
          {"warnings", report.warnings.size()},
          {"verdict", report.expect ? Json(report.expect->verdict) : Json()},
          {"exit_code", report.exit.code},
          {"exit_reason", report.exit.reason}};
}

/// RFC 4180: quotes around what holds a comma, a quote or a line's end.
std::string csv_text(const std::string& text) {
  if (text.find_first_of(",\"\r\n") == std::string::npos) return text;
  std::string quoted = "\"";
  for (const char c : text) {
    if (c == '"') quoted += '"';
    quoted += c;
  }
  return quoted + '"';
}

std::string csv_cell(const Json& value) {
  if (value.is_null()) return "";
  if (value.is_string()) return csv_text(value.get<std::string>());
  if (value.is_number_float()) {
    const auto number = value.get<double>();
    return std::isfinite(number) ? fmt::format("{}", number) : "";
  }
  return value.dump();
}

std::string grid_of(const RunReport& report) {
  return fmt::format("{}x{}x{}", report.grid.data, report.grid.tensor, report.grid.pipeline);
}

}  // namespace

Run read_run(const std::filesystem::path& run_dir) {
  Run run{run_dir.string(), read_report(run_dir), {}};
  run.log = io::read_log(run_dir / io::kLogName);
  return run;
}

std::string runs_table(std::span<const Run> runs) {
  std::vector<std::vector<std::string>> rows = {{"run", "model", "dtype", "d x t x p", "steps",
                                                 "tokens", "loss", "validation", "step", "tokens/s",
                                                 "MFU", "bubble", "memory", "exit"}};
  for (const Run& run : runs) {
    const RunReport& report = run.report;
    rows.push_back({run.name,
                    fmt::format("{} {}", report.model.family,
                                format_count(static_cast<double>(report.model.parameters))),
                    report.dtype, grid_of(report), format_integer(report.steps),
                    format_count(static_cast<double>(report.tokens)),
                    format_number(report.loss.last, 4), format_number(report.loss.validation, 4),
                    format_seconds(report.step_seconds.median),
                    format_speed(report.tokens_per_second), format_share(report.mfu),
                    format_share(report.bubble.measured), format_bytes(largest_rank(report).used),
                    fmt::format("{}", report.exit.code)});
  }
  std::vector<std::size_t> widths(rows[0].size(), 0);
  for (const auto& row : rows) {
    for (std::size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], row[i].size());
  }
  std::string text;
  for (const auto& row : rows) {
    for (std::size_t i = 0; i < row.size(); ++i) {
      const bool left = i < 4;  // texts left, numbers right
      text += left ? fmt::format("{:<{}}", row[i], widths[i])
                   : fmt::format("{:>{}}", row[i], widths[i]);
      text += i + 1 < row.size() ? "  " : "\n";
    }
  }
  return text;
}

std::string runs_csv(std::span<const Run> runs) {
  std::string text;
  for (const Run& run : runs) {
    const Json row = flat(run);
    const auto line = [&](auto cell) {
      std::string joined;
      for (const auto& [key, value] : row.items()) {
        if (!joined.empty()) joined += ',';
        joined += cell(key, value);
      }
      return joined + "\r\n";
    };
    if (text.empty()) text = line([](const std::string& key, const Json&) { return key; });
    text += line([](const std::string&, const Json& value) { return csv_cell(value); });
  }
  return text;
}

std::string runs_json(std::span<const Run> runs) {
  Json array = Json::array();
  for (const Run& run : runs) array.push_back(flat(run));
  return array.dump(1, ' ', false, Json::error_handler_t::replace) + "\n";
}

std::string steps_csv(std::span<const Run> runs) {
  std::string text =
      "run,step,tokens,loss,grad_norm,lr,loss_scale,seconds,tokens_per_second,mfu\r\n";
  const auto number = [](double value) {
    return std::isfinite(value) ? fmt::format(",{}", value) : std::string(",");
  };
  for (const Run& run : runs) {
    for (const io::StepRecord& step : run.log.steps) {
      text += fmt::format("{},{},{}", csv_text(run.name), step.step, step.tokens);
      for (const double value : {step.loss, step.grad_norm, step.lr, step.loss_scale, step.seconds,
                                 step.tokens_per_second, step.mfu}) {
        text += number(value);
      }
      text += "\r\n";
    }
  }
  return text;
}

}  // namespace trireme::report
