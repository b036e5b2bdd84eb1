#include "io/metrics/log_file.hpp"
#include "io/metrics/log_lines.hpp"
#include "io/metrics/write_file.hpp"
#include "kernels/base/error.hpp"

#include <nlohmann/json.hpp>

namespace trireme::io {
namespace {

using Json = nlohmann::json;

double number(const Json& line, const char* key) {
  const Json& value = line.at(key);
  return value.is_null() ? kUnknown : value.get<double>();
}

StepRecord step_record(const Json& line) {
  StepRecord record;
  record.step = line.at("step");
  record.tokens = line.at("tokens");
  record.loss = number(line, "loss");
  record.grad_norm = number(line, "grad_norm");
  record.lr = number(line, "lr");
  record.loss_scale = number(line, "loss_scale");
  record.seconds = number(line, "seconds");
  record.tokens_per_second = number(line, "tokens_per_second");
  record.mfu = number(line, "mfu");
  return record;
}

void add_event(const Json& line, LogContents& log) {
  const std::string kind = line.at("event");
  const std::int64_t step = line.at("step");
  const std::string time = line.at("time");
  if (kind == "evaluation") {
    log.evaluations.push_back({step, line.at("tokens"), number(line, "loss"), line.at("evaluated"),
                               number(line, "seconds"), time});
  } else if (kind == "checkpoint") {
    log.checkpoints.push_back(
        {step, line.at("path"), line.at("bytes"), number(line, "seconds"), time});
  } else if (kind == "start") {
    log.starts.push_back({step, line.at("ranks"), line.at("nodes"), line.at("scheduler"),
                          line.at("job"), line.at("queue"), line.at("hosts"), line.at("restarts"),
                          number(line, "queue_seconds"), time});
  } else if (kind == "resume") {
    log.resumes.push_back({step, line.at("path"), line.at("changes"), time});
  } else if (kind == "warning") {
    log.warnings.push_back({step, line.at("text"), time});
  } else if (kind == "stop") {
    log.stops.push_back({step, line.at("reason"), line.at("code"), time});
    log.starts_before_stop.push_back(log.starts.size());
  }
}

void add_line(std::string_view text, LogContents& log) {
  const Json line = Json::parse(text);
  if (line.contains("event"))
    add_event(line, log);
  else
    log.steps.push_back(step_record(line));
}

}  // namespace

bool for_each_line(const std::filesystem::path& file, const LineVisitor& visit) {
  const std::string text = read_file(file, "a run's log");
  std::string_view rest = text;
  std::int64_t number_of_line = 0;
  while (!rest.empty()) {
    ++number_of_line;
    const std::size_t end = rest.find('\n');
    const bool last = end == std::string_view::npos || end + 1 == rest.size();
    const std::string_view line = rest.substr(0, end);
    rest = end == std::string_view::npos ? std::string_view{} : rest.substr(end + 1);
    try {
      visit(line, Json::parse(line).at("step").get<std::int64_t>());
    } catch (const Json::exception& trouble) {
      // A kill or a full disk cuts the last line short, and only that one.
      check(last, Exit::kFile, "expected one JSON object with a step in line {} of {}, found {}",
            number_of_line, file.string(), trouble.what());
      visit(line, std::nullopt);
      return true;
    }
    if (end == std::string_view::npos) return false;
  }
  return false;
}

LogContents read_log(const std::filesystem::path& file) {
  LogContents log;
  std::int64_t number_of_line = 0;
  log.torn = for_each_line(file, [&](std::string_view line, std::optional<std::int64_t> step) {
    ++number_of_line;
    if (!step) return;
    try {
      add_line(line, log);
    } catch (const Json::exception& trouble) {
      fail(Exit::kFile, "expected a step or an event in line {} of {}, found {}", number_of_line,
           file.string(), trouble.what());
    }
  });
  return log;
}

}  // namespace trireme::io
