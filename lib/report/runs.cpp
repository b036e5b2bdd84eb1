#include "lib/report/runs.hpp"

#include "io/metrics/write_file.hpp"
#include "kernels/base/error.hpp"
#include "lib/deck/deck.hpp"
#include "lib/engine/run_folder.hpp"
#include "lib/report/report.hpp"
#include "lib/report/usage.hpp"

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <set>

namespace trireme::report {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;

constexpr char kDeckName[] = "deck.resolved.json";

Json read_object(const fs::path& file, std::string_view expected) {
  const Json json = Json::parse(io::read_file(file, expected), nullptr, false);
  check(json.is_object(), Exit::kFile, "expected {} in {}, found no JSON object: is it damaged?",
        expected, file.string());
  return json;
}

int axis(const Json& deck, const char* name) {
  const auto parallel = deck.find("parallel");
  if (parallel == deck.end() || !parallel->is_object()) return 1;
  const auto found = parallel->find(name);
  return found != parallel->end() && found->is_number_integer() ? found->get<int>() : 1;
}

ExitRecord read_exit(const fs::path& run_dir) {
  const Json note = read_object(run_dir / engine::kExitName, "how a run ended");
  return {note.value("reason", "unknown"), note.value("code", 1)};
}

/// A run that ended with an error has no report: only its notes.
Run read_failed(const fs::path& run_dir) {
  Run run{run_dir.string(), {}, {}, false};
  RunReport& report = run.report;
  report.exit = read_exit(run_dir);
  if (fs::exists(run_dir / io::kLogName)) run.log = io::read_log(run_dir / io::kLogName);
  fill_from_log(report, run.log);
  if (!fs::exists(run_dir / kDeckName)) return run;
  report.deck = io::read_file(run_dir / kDeckName, "a resolved deck");
  const Json deck = Json::parse(report.deck, nullptr, false);
  report.grid.data = axis(deck, "data");
  report.grid.tensor = axis(deck, "tensor");
  report.grid.pipeline = axis(deck, "pipeline");
  report.world_size = report.grid.data * report.grid.tensor * report.grid.pipeline;
  return run;
}

void add_runs(const fs::path& folder, std::vector<fs::path>& found) {
  if (is_run(folder)) {
    found.push_back(folder);
    return;
  }
  std::set<fs::path> below;
  for (const auto& entry : fs::directory_iterator(folder))
    if (entry.is_directory() && !entry.is_symlink()) below.insert(entry.path());
  for (const fs::path& one : below) add_runs(one, found);
}

bool is_axis(const std::string& key) {
  return key == "parallel.data" || key == "parallel.tensor" || key == "parallel.pipeline";
}

std::string shown(const std::string& json) {
  if (json == "absent") return "-";
  const bool text = json.size() >= 2 && json.front() == '"';
  return text ? json.substr(1, json.size() - 2) : json;
}

std::string last_part(const std::string& key) { return key.substr(key.rfind('.') + 1); }

}  // namespace

bool failed(const Run& run) {
  const int code = run.report.exit.code;
  return !run.reported ||
         (code != static_cast<int>(Exit::kOk) && code != static_cast<int>(Exit::kStopped));
}

bool is_run(const fs::path& folder) {
  return fs::exists(folder / kReportName) || fs::exists(folder / io::kLogName) ||
         fs::exists(folder / engine::kExitName);
}

std::vector<fs::path> find_runs(const fs::path& path) {
  std::vector<fs::path> found;
  if (fs::is_directory(path)) add_runs(path, found);
  if (found.empty()) found.push_back(path);
  return found;
}

Run read_run(const fs::path& run_dir) {
  if (!fs::exists(run_dir / kReportName) && fs::exists(run_dir / engine::kExitName))
    return read_failed(run_dir);
  Run run{run_dir.string(), read_report(run_dir), {}};
  run.log = io::read_log(run_dir / io::kLogName);
  add_usage(run.report, run_dir);
  // A part that fails after the run was resumed leaves the report of the part before.
  if (fs::exists(run_dir / engine::kExitName))
    if (const ExitRecord last = read_exit(run_dir); last.code != run.report.exit.code)
      run.report.exit = last;
  return run;
}

std::vector<std::string> short_names(std::span<const Run> runs) {
  std::vector<std::string> names;
  for (const Run& run : runs) {
    std::string name = fs::path(run.name).lexically_normal().string();
    while (name.size() > 1 && name.back() == '/') name.pop_back();
    names.push_back(name);
  }
  const auto shared = [&](std::size_t size) {
    return std::all_of(names.begin(), names.end(), [&](const std::string& name) {
      return name.compare(0, size, names[0], 0, size) == 0;
    });
  };
  std::size_t cut = 0;
  for (std::size_t at = 0; names.size() > 1 && at < names[0].size(); ++at)
    if (names[0][at] == '/' && shared(at + 1)) cut = at + 1;
  for (std::string& name : names) name.erase(0, cut);
  return names;
}

std::vector<DeckColumn> deck_columns(std::span<const Run> runs) {
  const auto has_deck = [](const Run& run) { return !run.report.deck.empty(); };
  const auto first = std::find_if(runs.begin(), runs.end(), has_deck);
  std::map<std::string, DeckColumn> columns;
  for (std::size_t i = 0; i < runs.size(); ++i) {
    if (!has_deck(runs[i])) continue;
    for (const deck::Change& change : deck::changes(first->report.deck, runs[i].report.deck)) {
      if (is_axis(change.key)) continue;
      DeckColumn& column = columns[change.key];
      if (column.values.empty()) column.values.assign(runs.size(), shown(change.before));
      column.values[i] = shown(change.after);
    }
  }
  std::map<std::string, int> parts;
  for (const auto& [key, column] : columns) ++parts[last_part(key)];
  const std::string none = "-";
  std::vector<DeckColumn> list;
  for (auto& [key, column] : columns) {
    column.key = key;
    column.name = parts[last_part(key)] == 1 ? last_part(key) : key;
    for (std::size_t i = 0; i < runs.size(); ++i)
      if (!has_deck(runs[i])) column.values[i] = none;
    list.push_back(std::move(column));
  }
  return list;
}

}  // namespace trireme::report
