// Several runs as CSV and JSON.

#include "lib/report/compare.hpp"
#include "lib/report/csv.hpp"
#include "lib/report/report.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

namespace trireme::report {
namespace {

using Json = nlohmann::ordered_json;

/// The one list of columns of CSV and JSON, but for those of the decks.
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

std::string csv_cell(const Json& value) {
  if (value.is_null()) return "";
  if (value.is_string()) return csv_text(value.get<std::string>());
  if (value.is_number_float()) return csv_number(value.get<double>());
  return value.dump();
}

std::vector<Json> rows_of(std::span<const Run> runs) {
  std::vector<Json> rows;
  for (const Run& run : runs) rows.push_back(flat(run));
  for (const DeckColumn& column : deck_columns(runs))
    for (std::size_t i = 0; i < rows.size(); ++i) rows[i]["deck." + column.key] = column.values[i];
  return rows;
}

}  // namespace

std::string runs_csv(std::span<const Run> runs) {
  std::string text;
  for (const Json& row : rows_of(runs)) {
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
  for (Json& row : rows_of(runs)) array.push_back(std::move(row));
  return array.dump(1, ' ', false, Json::error_handler_t::replace) + "\n";
}

std::string steps_csv(std::span<const Run> runs) {
  std::string text =
      "run,step,tokens,loss,grad_norm,lr,loss_scale,seconds,tokens_per_second,mfu\r\n";
  for (const Run& run : runs) {
    for (const io::StepRecord& step : run.log.steps) {
      text += fmt::format("{},{},{}", csv_text(run.name), step.step, step.tokens);
      for (const double value : {step.loss, step.grad_norm, step.lr, step.loss_scale, step.seconds,
                                 step.tokens_per_second, step.mfu}) {
        text += ',' + csv_number(value);
      }
      text += "\r\n";
    }
  }
  return text;
}

}  // namespace trireme::report
