// What a reader sees first, and what he looks up last.

#include "lib/report/format.hpp"
#include "lib/report/page/frame.hpp"
#include "lib/report/page/html.hpp"
#include "lib/report/page/sections.hpp"
#include "lib/report/report.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace trireme::report {
namespace {

/// How the run ended, in a word and a colour.
std::pair<std::string_view, std::string_view> state_of(int code) {
  switch (code) {
    case 0: return {"finished", "good"};
    case 10: return {"stopped early, can go on", "fair"};
    default: return {"failed", "bad"};
  }
}

std::string grid_text(const RunReport& report) {
  const Grid& grid = report.grid;
  return fmt::format("data {} × tensor {} × pipeline {} = {} rank{} on {} node{}", grid.data,
                     grid.tensor, grid.pipeline, report.world_size,
                     report.world_size == 1 ? "" : "s", report.nodes, report.nodes == 1 ? "" : "s");
}

std::string expect_pill(const Expect& expect) {
  std::string name = expect.quantity;
  std::replace(name.begin(), name.end(), '_', ' ');
  const bool met = expect.verdict == "met";
  const std::string found =
      std::isfinite(expect.found) ? format_number(expect.found, 3) : std::string("none");
  return pill(met                          ? "good"
              : expect.verdict == "missed" ? "bad"
                                           : "fair",
              "expectation " + expect.verdict,
              fmt::format("{} {}, expected {} to {}", name, found, format_number(expect.low, 2),
                          format_number(expect.high, 2)));
}

std::string tile(std::string_view name, const std::string& value, const std::string& more) {
  const std::size_t space = value.rfind(' ');
  // "5.24 M": the number large, its unit small.
  const std::string number = value.substr(0, space);
  const std::string unit = space == std::string::npos ? "" : value.substr(space + 1);
  return fmt::format(
      "<div class=\"tile\"><h3>{}</h3><p class=\"value\">{}<small>{}</small></p><p>{}</p></div>",
      escape(name), escape(number), escape(unit), escape(more));
}

/// "2 on 1 machine, oversubscribed: 8 threads"
std::string cores_text(const RunReport& report) {
  const Environment& environment = report.environment;
  if (environment.cores == 0) return "";
  const std::string cores =
      fmt::format("{} on {}", environment.cores, counted(environment.machines, "machine"));
  if (!oversubscribed(report)) return cores;
  return fmt::format("{}, oversubscribed: {} threads", cores,
                     std::int64_t{report.world_size} * environment.threads);
}

using Facts = std::vector<std::pair<std::string, std::string>>;

std::string facts(const Facts& list) {
  std::string html = "<dl>";
  for (const auto& [name, value] : list) {
    if (value.empty()) continue;
    html += fmt::format("<div><dt>{}</dt><dd>{}</dd></div>", escape(name), escape(value));
  }
  return html + "</dl>";
}

}  // namespace

std::string header_section(const RunReport& report) {
  const auto [state, css] = state_of(report.exit.code);
  std::string pills = pill(css, state, report.exit.reason);
  if (report.expect) pills += expect_pill(*report.expect);
  std::string html =
      page_header(report.app + " · run report", report.title,
                  fmt::format("{} · {} parameters · {} · {}", report.model.family,
                              format_count(static_cast<double>(report.model.parameters)),
                              report.dtype, grid_text(report)),
                  pills);
  if (!report.warnings.empty()) {
    html += fmt::format("<section class=\"warnings\"><h2>{} warning{}</h2><ul>",
                        report.warnings.size(), report.warnings.size() == 1 ? "" : "s");
    for (const std::string& warning : report.warnings) {
      html += "<li>" + escape(warning) + "</li>";
    }
    html += "</ul></section>";
  }
  return html;
}

std::string tiles_section(const RunReport& report) {
  const StepSeconds& step = report.step_seconds;
  const LargestRank memory = largest_rank(report);
  const bool validated = std::isfinite(report.loss.validation);
  std::string html = "<section class=\"tiles\">";
  html += tile(validated ? "Validation loss" : "Loss",
               format_number(validated ? report.loss.validation : report.loss.last, 3),
               fmt::format("training {} → {}", format_number(report.loss.first, 3),
                           format_number(report.loss.last, 3)));
  html += tile("Tokens a second", format_speed(report.tokens_per_second),
               fmt::format("{} a rank", format_speed(report.tokens_per_second /
                                                     static_cast<double>(report.world_size))));
  html += tile("Share of GEMM peak", format_share(report.mfu),
               fmt::format("peak {}", format_rate(report.peak.flops, "FLOP/s")));
  html +=
      tile("Step time", format_seconds(step.median),
           fmt::format("5 % to 95 %: {} to {}", format_seconds(step.p5), format_seconds(step.p95)));
  html += tile("Trained on", format_count(static_cast<double>(report.tokens)) + " tokens",
               fmt::format("{} steps", format_integer(report.steps)));
  html += tile("Bubble", format_share(report.bubble.measured),
               fmt::format("schedule predicts {}", format_share(report.bubble.predicted)));
  html += tile("Memory, largest rank",
               format_bytes(std::isnan(memory.used) ? memory.planned : memory.used),
               fmt::format("planned {}", format_bytes(memory.planned)));
  html += tile("Wall time", format_seconds(report.seconds), report.environment.finished);
  return html + "</section>";
}

std::string setting_section(const RunReport& report) {
  const Environment& environment = report.environment;
  const Model& model = report.model;
  std::string libraries;
  for (const auto& [name, version] : environment.libraries) {
    libraries += (libraries.empty() ? "" : ", ") + name + " " + version;
  }
  const Facts run = {{"command", report.command},
                     {"program", fmt::format("{} {} ({})", report.app, report.version, report.git)},
                     {"started", environment.started},
                     {"finished", environment.finished},
                     {"host", environment.host},
                     {"processor", environment.cpu},
                     {"instructions", environment.isa},
                     {"threads a rank", fmt::format("{}", environment.threads)},
                     {"cores", cores_text(report)},
                     {"compiler", environment.compiler},
                     {"libraries", libraries}};
  const Facts shape = {
      {"grid", grid_text(report)},
      {"schedule", fmt::format("{}, {} micro-batches, {} virtual stage{}", report.grid.schedule,
                               report.grid.micro_batches, report.grid.virtual_stages,
                               report.grid.virtual_stages == 1 ? "" : "s")},
      {"sequence parallel", report.grid.sequence_parallel ? "yes" : "no"},
      {"device", report.device},
      {"dtype", report.dtype},
      {"model", fmt::format("{}, {} layers, width {}, {} heads", model.family, model.layers,
                            model.width, model.heads)},
      {"parameters", format_integer(model.parameters)},
      {"context", format_integer(model.context) + " tokens"},
      {"vocabulary", format_integer(model.vocabulary) + " tokens"},
      {"batch", format_integer(model.batch_tokens) + " tokens a step"}};
  std::string html =
      "<section><h2>Setting</h2><div class=\"two\">" + facts(shape) + facts(run) + "</div>";
  if (!report.deck.empty()) {
    html +=
        "<details><summary>Resolved deck</summary><pre>" + escape(report.deck) + "</pre></details>";
  }
  return html + "</section>";
}

}  // namespace trireme::report
