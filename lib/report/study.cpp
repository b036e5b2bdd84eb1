#include "lib/report/study.hpp"

#include "io/metrics/write_file.hpp"
#include "kernels/base/error.hpp"

#include <nlohmann/json.hpp>

namespace trireme::report {
namespace {

using Json = nlohmann::ordered_json;

/// The one list of keys: f(key, member) for each.
template <class F, class Point>
void point_fields(F&& f, Point& point) {
  f("kind", point.kind);
  f("run", point.run);
  f("ranks", point.ranks);
  f("nodes", point.nodes);
  f("ranks_per_node", point.ranks_per_node);
  f("threads", point.threads);
  f("data", point.data);
  f("tensor", point.tensor);
  f("pipeline", point.pipeline);
  f("batch", point.batch);
  f("micro", point.micro);
  f("refused", point.refused);
}

template <class F, class Of>
void study_fields(F&& f, Of& study) {
  f("deck", study.deck);
  f("machine", study.machine);
  f("description", study.description);
  f("planned", study.planned);
  f("steps", study.steps);
}

}  // namespace

void write_study(const std::filesystem::path& folder, const Study& study) {
  Json json;
  study_fields([&](const char* key, const auto& value) { json[key] = value; }, study);
  json["points"] = Json::array();
  for (const StudyPoint& point : study.points) {
    Json& entry = json["points"].emplace_back();
    point_fields([&](const char* key, const auto& value) { entry[key] = value; }, point);
  }
  io::write_file_atomically(folder / kStudyName,
                            json.dump(1, ' ', false, Json::error_handler_t::replace) + "\n");
}

Study read_study(const std::filesystem::path& folder) {
  const auto file = folder / kStudyName;
  check(std::filesystem::exists(file), Exit::kFile,
        "expected {} of a scaling study, found none: is {} the folder that was given as --run-dir?",
        file.string(), folder.string());
  const std::string text = io::read_file(file, "a scaling study");
  Study study;
  try {
    const Json json = Json::parse(text);
    study_fields([&](const char* key, auto& value) { json.at(key).get_to(value); }, study);
    for (const Json& entry : json.at("points"))
      point_fields([&](const char* key, auto& value) { entry.at(key).get_to(value); },
                   study.points.emplace_back());
  } catch (const Json::exception& trouble) {
    fail(Exit::kFile, "expected a scaling study in {}, found {}", file.string(), trouble.what());
  }
  return study;
}

}  // namespace trireme::report
