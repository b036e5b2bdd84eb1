#include "lib/plan/sweep/sweep_folder.hpp"

#include "io/metrics/log_file.hpp"
#include "io/metrics/write_file.hpp"
#include "kernels/base/error.hpp"
#include "lib/deck/parse.hpp"
#include "lib/engine/run_folder.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <set>

namespace trireme::plan {
namespace {

namespace fs = std::filesystem;
constexpr std::int64_t kSchema = 1;

deck::Value text(std::string value) { return {std::move(value), 0}; }

std::string record_json(const SweepDeck& sweep, const SweepPoints& points) {
  const std::vector<std::string> keys = sweep.keys();
  deck::List names;
  for (const std::string& key : keys) names.push_back(text(key));
  deck::List list;
  for (const SweepPoint& point : points.points) {
    deck::Object one{{"name", text(point.name)}, {"values", {deck::List(point.values), 0}}};
    if (!point.refused.empty()) one.emplace_back("refused", text(point.refused));
    list.push_back({std::move(one), 0});
  }
  deck::Object root{
      {"schema", {kSchema, 0}},
      {"sweep", text(sweep.file.string())},
      {"deck", text(sweep.base.string())},
      {"objective", text(sweep.objective.field)},
      {"minimize", {sweep.objective.minimize, 0}},
      {"axes", {std::move(names), 0}},
      {"points", {std::move(list), 0}},
  };
  return deck::to_pretty_json({std::move(root), 0});
}

/// Members of sweep.json, which only we write: anything amiss means damage.
class RecordReader {
 public:
  explicit RecordReader(std::string file) : file_(std::move(file)) {}

  template <class Kind>
  const Kind& member(const deck::Object& object, const char* key) const {
    const deck::Value* value = deck::find_member(object, key);
    const Kind* found = value ? std::get_if<Kind>(&value->data) : nullptr;
    check(found != nullptr, Exit::kFile,
          "expected \"{}\" in {}: is the file damaged? Submitting the sweep again writes it anew",
          key, file_);
    return *found;
  }

  const deck::Object& object(const deck::Value& value) const {
    check(value.object() != nullptr, Exit::kFile, "expected objects in {}: is the file damaged?",
          file_);
    return *value.object();
  }

 private:
  std::string file_;
};

/// What a job script noted: the exit code, and why, a line each.
PointStatus noted_end(const fs::path& file) {
  const std::string note = io::read_file(file, "how a point's job ended");
  const auto line = note.find('\n');
  PointStatus status{PointState::failed, 1, ""};
  try {
    status.code = std::stoi(note);
  } catch (const std::exception&) {
    fail(Exit::kFile, "expected an exit code in {}, found \"{}\"", file.string(),
         note.substr(0, line));
  }
  if (line != std::string::npos) status.reason = note.substr(line + 1);
  while (!status.reason.empty() && status.reason.back() == '\n') status.reason.pop_back();
  return status;
}

void classify(PointStatus& status) {
  status.state = status.code == static_cast<int>(Exit::kOk)        ? PointState::finished
                 : status.code == static_cast<int>(Exit::kStopped) ? PointState::interrupted
                                                                   : PointState::failed;
}

}  // namespace

std::string_view name_of(PointState state) {
  switch (state) {
    case PointState::waiting: return "waiting";
    case PointState::running: return "running";
    case PointState::finished: return "finished";
    case PointState::interrupted: return "interrupted";
    case PointState::failed: return "failed";
    case PointState::refused: return "refused";
  }
  return "";
}

SweepRecord read_record(const fs::path& folder) {
  const fs::path file = folder / kSweepName;
  check(fs::exists(file), Exit::kFile,
        "expected the folder of a sweep at {}, found no {} in it; trireme-plan sweep and "
        "jobs/submit write one",
        folder.string(), kSweepName);
  const deck::Value root =
      deck::parse_value(io::read_file(file, "a sweep")).value_or(deck::Value{});
  const RecordReader read(file.string());
  const deck::Object& top = read.object(root);
  check(read.member<std::int64_t>(top, "schema") <= kSchema, Exit::kFile,
        "{} was written by a later version", file.string());
  SweepRecord record;
  record.file = read.member<std::string>(top, "sweep");
  record.base = read.member<std::string>(top, "deck");
  record.objective = {read.member<std::string>(top, "objective"),
                      read.member<bool>(top, "minimize")};
  for (const deck::Value& key : read.member<deck::List>(top, "axes"))
    record.keys.push_back(key.text() ? *key.text() : "");
  for (const deck::Value& value : read.member<deck::List>(top, "points")) {
    const deck::Object& one = read.object(value);
    SweepPoint point;
    point.name = read.member<std::string>(one, "name");
    point.values = read.member<deck::List>(one, "values");
    check(point.values.size() == record.keys.size(), Exit::kFile,
          "expected {} values of point {} in {}, found {}: is the file damaged?",
          record.keys.size(), point.name, file.string(), point.values.size());
    if (const deck::Value* refused = deck::find_member(one, "refused"))
      point.refused = refused->text() ? *refused->text() : "unknown";
    record.points.push_back(std::move(point));
  }
  return record;
}

PointStatus status_of(const fs::path& folder, const SweepPoint& point) {
  if (!point.refused.empty())
    return {PointState::refused, static_cast<int>(Exit::kUsage), point.refused};
  const fs::path run = folder / kPointsName / point.name;
  const fs::path end = run / "job" / "end";
  PointStatus status;
  const bool ended = fs::exists(end);
  if (ended) {
    status = noted_end(end);
    classify(status);
  }
  // The program's own record says more than an exit code does.
  if (engine::has_exit(run)) {
    const deck::Value root =
        deck::parse_value(io::read_file(run / engine::kExitName, "how a run ended"))
            .value_or(deck::Value{});
    const RecordReader read((run / engine::kExitName).string());
    const deck::Object& note = read.object(root);
    status.code = static_cast<int>(read.member<std::int64_t>(note, "code"));
    status.reason = read.member<std::string>(note, "reason");
    classify(status);
  } else if (!ended && fs::exists(run / io::kLogName)) {
    status = {PointState::running, 0, "no end is recorded: it runs, or was lost with its job"};
  }
  return status;
}

SweepChange write_folder(const fs::path& folder, const SweepDeck& sweep,
                         const SweepPoints& points) {
  SweepChange change;
  change.fresh = !fs::exists(folder / kSweepName);
  std::set<std::string> before;
  if (!change.fresh)
    for (const SweepPoint& point : read_record(folder).points) before.insert(point.name);
  std::error_code trouble;
  fs::create_directories(folder / kPointsName, trouble);
  check(!trouble, Exit::kFile, "can't make the folder {}: {}", folder.string(), trouble.message());
  for (const SweepPoint& point : points.points) {
    if (!change.fresh && before.erase(point.name) == 0) change.added.push_back(point.name);
    const PointStatus status = status_of(folder, point);
    ++change.states[status.state];
    if (status.state == PointState::refused) continue;
    if (status.state != PointState::finished) change.todo.push_back(point.name);
    fs::create_directories(folder / kPointsName / point.name, trouble);
    check(!trouble, Exit::kFile, "can't make the folder of point {}: {}", point.name,
          trouble.message());
    io::write_file_atomically(folder / kPointsName / point.name / "deck.json", point.deck);
  }
  change.removed.assign(before.begin(), before.end());
  io::write_file_atomically(
      folder / kTodoName,
      change.todo.empty() ? "" : fmt::format("{}\n", fmt::join(change.todo, "\n")));
  io::write_file_atomically(folder / kSweepName, record_json(sweep, points));
  return change;
}

std::string describe(const SweepChange& change, const SweepPoints& points) {
  std::string line = fmt::format("{} points", points.points.size());
  if (points.left_out > 0) line += fmt::format(", {} left out by constraints", points.left_out);
  if (points.twice > 0) line += fmt::format(", {} drawn twice", points.twice);
  line += "\n";
  for (const auto& [state, count] : change.states)
    line += fmt::format("  {:>5} {}\n", count, name_of(state));
  const auto list = [&](const char* what, const std::vector<std::string>& names) {
    if (names.empty()) return;
    line += fmt::format("the sweep has changed: {} points {}\n", names.size(), what);
    for (const std::string& name : names) line += fmt::format("  {}\n", name);
  };
  list("are new", change.added);
  list("are no longer in it; their runs stay", change.removed);
  for (const SweepPoint& point : points.points)
    if (!point.refused.empty()) line += fmt::format("refused {}: {}\n", point.name, point.refused);
  return line + fmt::format("{} points to run\n", change.todo.size());
}

}  // namespace trireme::plan
