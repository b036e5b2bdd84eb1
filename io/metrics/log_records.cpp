#include "io/metrics/log_records.hpp"

#include "io/metrics/step_line.hpp"

#include <fmt/chrono.h>

#include <cmath>
#include <ctime>
#include <nlohmann/json.hpp>

namespace trireme::io {
namespace {

using Json = nlohmann::ordered_json;

/// "event" first, then when, then the rest: lines stay readable as text.
Json event(const char* kind, std::int64_t step, const std::string& time) {
  return {{"event", kind}, {"time", time.empty() ? utc_now() : time}, {"step", step}};
}

std::string text_of(const Json& line) {
  return line.dump(-1, ' ', false, Json::error_handler_t::replace);
}

struct Formatter {
  std::string operator()(const StepRecord& record) const {
    StepLine line;
    return std::string(format_step(record, line));
  }

  std::string operator()(const EvaluationEvent& record) const {
    Json line = event("evaluation", record.step, record.time);
    line["tokens"] = record.tokens;
    line["loss"] = record.loss;
    line["evaluated"] = record.evaluated;
    line["seconds"] = record.seconds;
    return text_of(line);
  }

  std::string operator()(const CheckpointEvent& record) const {
    Json line = event("checkpoint", record.step, record.time);
    line["path"] = record.path;
    line["bytes"] = record.bytes;
    line["seconds"] = record.seconds;
    return text_of(line);
  }

  std::string operator()(const StartEvent& record) const {
    Json line = event("start", record.step, record.time);
    line["ranks"] = record.ranks;
    line["nodes"] = record.nodes;
    line["scheduler"] = record.scheduler;
    line["job"] = record.job;
    line["queue"] = record.queue;
    line["hosts"] = record.hosts;
    line["restarts"] = record.restarts;
    line["queue_seconds"] = record.queue_seconds;
    return text_of(line);
  }

  std::string operator()(const ResumeEvent& record) const {
    Json line = event("resume", record.step, record.time);
    line["path"] = record.path;
    line["changes"] = record.changes;
    return text_of(line);
  }

  std::string operator()(const WarningEvent& record) const {
    Json line = event("warning", record.step, record.time);
    line["text"] = record.text;
    return text_of(line);
  }

  std::string operator()(const StopEvent& record) const {
    Json line = event("stop", record.step, record.time);
    line["reason"] = record.reason;
    line["code"] = record.code;
    return text_of(line);
  }
};

char* append_number(char* at, std::string_view key, double value) {
  if (!std::isfinite(value)) return fmt::format_to(at, ",\"{}\":null", key);
  if (value == 0 && std::signbit(value)) return fmt::format_to(at, ",\"{}\":-0.0", key);
  return fmt::format_to(at, ",\"{}\":{}", key, value);  // shortest text with the same bits
}

}  // namespace

std::string_view format_step(const StepRecord& record, StepLine& line) {
  char* at = fmt::format_to(line.data(), "{{\"step\":{},\"tokens\":{}", record.step, record.tokens);
  at = append_number(at, "loss", record.loss);
  at = append_number(at, "grad_norm", record.grad_norm);
  at = append_number(at, "lr", record.lr);
  at = append_number(at, "loss_scale", record.loss_scale);
  at = append_number(at, "seconds", record.seconds);
  at = append_number(at, "tokens_per_second", record.tokens_per_second);
  at = append_number(at, "mfu", record.mfu);
  *at++ = '}';
  return {line.data(), static_cast<std::size_t>(at - line.data())};
}

std::int64_t step_of(const LogRecord& record) {
  return std::visit([](const auto& one) { return one.step; }, record);
}

std::string to_line(const LogRecord& record) { return std::visit(Formatter{}, record); }

std::string utc_now() {
  return fmt::format("{:%Y-%m-%dT%H:%M:%SZ}", fmt::gmtime(std::time(nullptr)));
}

}  // namespace trireme::io
