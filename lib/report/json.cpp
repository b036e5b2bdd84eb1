// report.json: written and read through the one list of keys in fields.hpp.

#include "kernels/base/error.hpp"
#include "lib/report/fields.hpp"
#include "lib/report/report.hpp"

#include <algorithm>
#include <nlohmann/json.hpp>

namespace trireme::report {
namespace {

using Json = nlohmann::ordered_json;

template <class T>
concept Plain = std::is_arithmetic_v<T> || std::same_as<T, std::string>;

// ---- to JSON --------------------------------------------------------------------------------
// NaN and infinities become null when the text is made.

template <Plain T>
Json json_of(const T& value) {
  return value;
}

Json json_of(const std::map<std::string, std::string>& value) {
  Json object = Json::object();
  for (const auto& [name, text] : value) object[name] = text;
  return object;
}

template <class Struct>
Json json_of(const Struct& value);

template <class T>
Json json_of(const std::vector<T>& value) {
  Json array = Json::array();
  for (const T& one : value) array.push_back(json_of(one));
  return array;
}

template <class T>
Json json_of(const std::optional<T>& value) {
  return value ? json_of(*value) : Json();
}

template <class Struct>
Json json_of(const Struct& value) {
  Json object = Json::object();
  fields([&](const char* key, const auto& member) { object[key] = json_of(member); }, value);
  return object;
}

// ---- from JSON ------------------------------------------------------------------------------

/// Where in the file we are, for messages: "report.json: memory[3].planned".
using Place = std::string;

template <Plain T>
void read(const Json& json, T& value, const Place& place) {
  if constexpr (std::floating_point<T>) {
    if (json.is_null()) {
      value = kUnknown;
      return;
    }
  }
  try {
    json.get_to(value);
  } catch (const Json::exception&) {
    fail(Exit::kFile, "expected a {} in {}, found {}",
         std::same_as<T, std::string> ? "text"
         : std::same_as<T, bool>      ? "true or false"
                                      : "number",
         place, json.dump(-1, ' ', false, Json::error_handler_t::replace));
  }
}

void read(const Json& json, std::map<std::string, std::string>& value, const Place& place) {
  check(json.is_object(), Exit::kFile, "expected an object in {}, found {}", place,
        json.type_name());
  for (const auto& [name, text] : json.items()) read(text, value[name], place + "." + name);
}

template <class Struct>
void read(const Json& json, Struct& value, const Place& place);

template <class T>
void read(const Json& json, std::vector<T>& value, const Place& place) {
  check(json.is_array(), Exit::kFile, "expected an array in {}, found {}", place, json.type_name());
  value.resize(json.size());
  for (std::size_t i = 0; i < json.size(); ++i) {
    read(json[i], value[i], fmt::format("{}[{}]", place, i));
  }
}

template <class T>
void read(const Json& json, std::optional<T>& value, const Place& place) {
  if (!json.is_null()) read(json, value.emplace(), place);
}

template <class Struct>
void read(const Json& json, Struct& value, const Place& place) {
  check(json.is_object(), Exit::kFile, "expected an object in {}, found {}", place,
        json.type_name());
  fields(
      [&](const char* key, auto& member) {
        const auto found = json.find(key);
        check(found != json.end(), Exit::kFile, "expected the key \"{}\" in {}, found none", key,
              place);
        read(*found, member, fmt::format("{}.{}", place, key));
      },
      value);
}

}  // namespace

std::string to_json(const RunReport& report) {
  Json object = {{"schema_version", kSchemaVersion}};
  object.update(json_of(report));
  return object.dump(1, ' ', false, Json::error_handler_t::replace) + "\n";
}

RunReport from_json(std::string_view text, std::string_view source) {
  const Json json = Json::parse(text, nullptr, false);
  check(json.is_object(), Exit::kFile,
        "expected a run's report in {}, found {} bytes that are no JSON object: the file is torn "
        "or something else",
        source, text.size());
  const auto version = json.find("schema_version");
  const bool known = version != json.end() && version->is_number_integer() &&
                     version->get<std::int64_t>() >= 1 &&
                     version->get<std::int64_t>() <= kSchemaVersion;
  check(known, Exit::kFile,
        "expected schema_version 1 to {} in {}, found {}: read it with the Trireme that wrote it",
        kSchemaVersion, source, version == json.end() ? "none" : version->dump());
  RunReport report;
  read(json, report, Place(source));
  const Grid& grid = report.grid;
  check(std::min({grid.data, grid.tensor, grid.pipeline, report.world_size}) >= 1, Exit::kFile,
        "expected sizes of at least 1 in {}.grid and world_size, found data {}, tensor {}, "
        "pipeline {}, world_size {}",
        source, grid.data, grid.tensor, grid.pipeline, report.world_size);
  return report;
}

}  // namespace trireme::report
