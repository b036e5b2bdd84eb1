#include "lib/plan/sweep/sweep_table.hpp"

#include "io/hdf5/texts.hpp"
#include "kernels/base/error.hpp"
#include "lib/plan/sweep/axis_values.hpp"
#include "lib/report/compare.hpp"
#include "lib/report/csv.hpp"
#include "lib/report/number_field.hpp"
#include "lib/report/report.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <cmath>

namespace trireme::plan {
namespace {

namespace fs = std::filesystem;

/// Numbers of report.json that a table of runs is looked up for.
constexpr std::array<const char*, 12> kFields = {"steps",
                                                 "tokens",
                                                 "seconds",
                                                 "loss.first",
                                                 "loss.last",
                                                 "loss.validation",
                                                 "tokens_per_second",
                                                 "step_seconds.median",
                                                 "mfu",
                                                 "largest_rank.used",
                                                 "world_size",
                                                 "nodes"};
constexpr std::size_t kShown = 10;

void rank_points(SweepResults& results) {
  std::vector<PointResult*> finished;
  for (PointResult& one : results.points)
    if (one.status.state == PointState::finished && std::isfinite(one.objective))
      finished.push_back(&one);
  const double sign = results.record.objective.minimize ? 1 : -1;
  std::stable_sort(finished.begin(), finished.end(), [&](const auto* a, const auto* b) {
    return sign * a->objective < sign * b->objective;
  });
  for (std::size_t i = 0; i < finished.size(); ++i) finished[i]->rank = static_cast<int>(i) + 1;
}

std::string one_line(std::string text) {
  std::replace(text.begin(), text.end(), '\n', ' ');
  return text;
}

SweepColumn axis_column(const SweepResults& results, std::size_t axis) {
  std::vector<double> numbers;
  std::vector<std::string> texts;
  for (const PointResult& one : results.points) {
    const deck::Value& value = one.point.values[axis];
    if (const auto number = number_in(value)) numbers.push_back(*number);
    texts.push_back(value.text() ? *value.text() : deck::to_json(value));
  }
  const std::string name = "axis." + results.record.keys[axis];
  if (numbers.size() == results.points.size()) return {name, std::move(numbers)};
  return {name, std::move(texts)};
}

}  // namespace

std::size_t SweepResults::count(PointState state) const {
  return static_cast<std::size_t>(
      std::count_if(points.begin(), points.end(),
                    [&](const PointResult& one) { return one.status.state == state; }));
}

std::vector<std::size_t> SweepResults::ranked() const {
  std::vector<std::size_t> order;
  for (std::size_t i = 0; i < points.size(); ++i)
    if (points[i].rank > 0) order.push_back(i);
  std::sort(order.begin(), order.end(),
            [&](std::size_t a, std::size_t b) { return points[a].rank < points[b].rank; });
  return order;
}

SweepResults read_results(const fs::path& folder) {
  SweepResults results;
  results.record = read_record(folder);
  for (const SweepPoint& point : results.record.points) {
    PointResult one;
    one.point = point;
    one.status = status_of(folder, point);
    const fs::path run = folder / kPointsName / point.name;
    one.has_page = fs::exists(run / report::kPageName);
    const bool ended =
        one.status.state != PointState::waiting && one.status.state != PointState::running;
    if (ended && report::is_run(run)) {
      try {
        one.run = report::read_run(run);
        one.objective = report::number_field(one.run->report, results.record.objective.field);
      } catch (const Error& error) {
        results.unread.push_back(error.text());
      }
    }
    results.points.push_back(std::move(one));
  }
  rank_points(results);
  return results;
}

std::vector<SweepColumn> columns_of(const SweepResults& results) {
  std::vector<SweepColumn> columns;
  const auto texts = [&](const char* name, auto&& of) {
    std::vector<std::string> values;
    for (const PointResult& one : results.points) values.push_back(of(one));
    columns.push_back({name, std::move(values)});
  };
  const auto numbers = [&](const std::string& name, auto&& of) {
    std::vector<double> values;
    for (const PointResult& one : results.points) values.push_back(of(one));
    columns.push_back({name, std::move(values)});
  };
  texts("point", [](const PointResult& one) { return one.point.name; });
  texts("state", [](const PointResult& one) { return std::string(name_of(one.status.state)); });
  numbers("exit_code", [](const PointResult& one) {
    const bool ended =
        one.status.state != PointState::waiting && one.status.state != PointState::running;
    return ended ? one.status.code : report::kUnknown;
  });
  texts("reason", [](const PointResult& one) { return one_line(one.status.reason); });
  numbers("rank",
          [](const PointResult& one) { return one.rank > 0 ? one.rank : report::kUnknown; });
  numbers("objective", [](const PointResult& one) { return one.objective; });
  for (std::size_t axis = 0; axis < results.record.keys.size(); ++axis)
    columns.push_back(axis_column(results, axis));
  for (const char* field : kFields)
    numbers(field, [&](const PointResult& one) {
      return one.run ? report::number_field(one.run->report, field) : report::kUnknown;
    });
  return columns;
}

std::string sweep_csv(const std::vector<SweepColumn>& columns) {
  std::string text;
  for (const SweepColumn& column : columns)
    text += (text.empty() ? "" : ",") + report::csv_text(column.name);
  text += "\r\n";
  const std::size_t rows =
      std::visit([](const auto& values) { return values.size(); }, columns.front().values);
  for (std::size_t row = 0; row < rows; ++row) {
    std::string line;
    for (std::size_t i = 0; i < columns.size(); ++i) {
      if (i > 0) line += ',';
      if (const auto* texts = std::get_if<std::vector<std::string>>(&columns[i].values))
        line += report::csv_text((*texts)[row]);
      else if (const double value = std::get<0>(columns[i].values)[row]; std::isfinite(value))
        line += fmt::format("{}", value);
    }
    text += line + "\r\n";
  }
  return text;
}

void write_sweep_hdf5(const fs::path& file, const SweepResults& results,
                      const std::vector<SweepColumn>& columns) {
  const fs::path draft = file.string() + ".tmp";
  io::Hdf5File out(draft.string(), io::Hdf5File::Mode::replace);
  out.create_group("/points");
  std::vector<std::string> names;
  const auto rows = static_cast<std::int64_t>(results.points.size());
  for (const SweepColumn& column : columns) {
    names.push_back(column.name);
    const std::string path = "/points/" + column.name;
    if (const auto* texts = std::get_if<std::vector<std::string>>(&column.values)) {
      io::write_texts(out, path, *texts);
    } else {
      out.create_dataset(path, DType::f64, Shape{rows});
      out.write(path, {Shape{0}, Shape{rows}}, std::get<0>(column.values).data(), DType::f64);
    }
  }
  out.set_attribute("/points", "columns", fmt::format("{}", fmt::join(names, "\n")));
  out.set_attribute("/", "sweep", results.record.file.string());
  out.set_attribute("/", "objective", results.record.objective.field);
  out.set_attribute("/", "minimize", results.record.objective.minimize ? 1 : 0);
  out.close();
  std::error_code trouble;
  fs::rename(draft, file, trouble);
  check(!trouble, Exit::kFile, "can't write {}: {}", file.string(), trouble.message());
}

std::string sweep_text(const SweepResults& results) {
  const Objective& objective = results.record.objective;
  std::string text = fmt::format("{} points of {}:", results.points.size(),
                                 results.record.file.filename().string());
  for (const PointState state : {PointState::finished, PointState::interrupted, PointState::running,
                                 PointState::waiting, PointState::failed, PointState::refused})
    if (const std::size_t count = results.count(state); count > 0)
      text += fmt::format(" {} {}", count, name_of(state));
  text += fmt::format("\n{} {}:\n", objective.minimize ? "lowest" : "highest", objective.field);
  const std::vector<std::size_t> order = results.ranked();
  for (std::size_t i = 0; i < std::min(order.size(), kShown); ++i) {
    const PointResult& one = results.points[order[i]];
    text += fmt::format("{:>5}  {:<14.6g} {}\n", one.rank, one.objective, one.point.name);
  }
  if (order.empty()) text += "    no point has finished\n";
  for (const PointResult& one : results.points)
    if (one.status.state == PointState::failed || one.status.state == PointState::refused)
      text += fmt::format("{} (exit code {}) {}: {}\n", name_of(one.status.state), one.status.code,
                          one.point.name, one_line(one.status.reason));
  return text;
}

}  // namespace trireme::plan
