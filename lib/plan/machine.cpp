#include "lib/plan/machine.hpp"
#include <fmt/format.h>

#include "io/metrics/write_file.hpp"
#include "kernels/base/error.hpp"
#include "lib/deck/nearest.hpp"

#include <algorithm>
#include <limits>
#include <nlohmann/json.hpp>
#include <set>

namespace trireme::plan {
namespace {

using Json = nlohmann::json;

/// One object of the file. Collects mistakes; keys that nobody asked for are unknown.
class Section {
 public:
  Section(const Json& object, std::string path, std::string& mistakes)
      : object_(object), path_(std::move(path)), mistakes_(mistakes) {}

  ~Section() {
    std::vector<std::string_view> known(asked_.begin(), asked_.end());
    for (const auto& [key, value] : object_.items()) {
      if (asked_.contains(key)) continue;
      const std::string_view near = deck::nearest(key, known);
      mistake(key, near.empty() ? "unknown key"
                                : fmt::format("unknown key; nearest known: \"{}\"", near));
    }
  }
  Section(const Section&) = delete;
  Section& operator=(const Section&) = delete;

  void text(const char* key, std::string& value, bool required = false) {
    const Json* found = find(key, required);
    if (found == nullptr) return;
    if (!found->is_string()) return wrong(key, "a text", *found);
    value = found->get<std::string>();
  }

  void integer(const char* key, std::int64_t& value, std::int64_t least, bool required = false) {
    const Json* found = find(key, required);
    if (found == nullptr) return;
    if (!found->is_number_integer() || found->get<std::int64_t>() < least)
      return wrong(key, fmt::format("an integer of at least {}", least), *found);
    value = found->get<std::int64_t>();
  }

  /// A size or rate in units of `unit`; positive.
  template <class Number>
  void quantity(const char* key, Number& value, double unit, bool required = false) {
    const Json* found = find(key, required);
    if (found == nullptr) return;
    if (!found->is_number() || !(found->get<double>() > 0) || found->get<double>() > 1e9)
      return wrong(key, "a number above 0", *found);
    value = static_cast<Number>(found->get<double>() * unit);
  }

  void texts(const char* key, std::vector<std::string>& values) {
    const Json* found = find(key, false);
    if (found == nullptr) return;
    const bool fine = found->is_array() && std::all_of(found->begin(), found->end(),
                                                       [](const Json& v) { return v.is_string(); });
    if (!fine) return wrong(key, "a list of texts", *found);
    values = found->get<std::vector<std::string>>();
  }

  void variables(const char* key, std::map<std::string, std::string>& values) {
    const Json* found = find(key, false);
    if (found == nullptr) return;
    if (!found->is_object()) return wrong(key, "an object of texts", *found);
    for (const auto& [name, value] : found->items()) {
      const bool letters = !name.empty() && name.find_first_not_of(
                                                "ABCDEFGHIJKLMNOPQRSTUVWXYZabc"
                                                "defghijklmnopqrstuvwxyz_0123456"
                                                "789") == std::string::npos;
      if (!letters || (name[0] >= '0' && name[0] <= '9')) {
        mistake(key, fmt::format("\"{}\" is no name of a variable", name));
      } else if (!value.is_string()) {
        wrong((std::string(key) + "." + name).c_str(), "a text", value);
      } else {
        values[name] = value.get<std::string>();
      }
    }
  }

  /// The object at `key`, empty where it is absent.
  const Json& section(const char* key) {
    static const Json kEmpty = Json::object();
    const Json* found = find(key, false);
    if (found == nullptr) return kEmpty;
    if (found->is_object()) return *found;
    wrong(key, "an object", *found);
    return kEmpty;
  }

  void mistake(const std::string& key, const std::string& what) {
    mistakes_ += fmt::format("\n  {}{}: {}", path_, key, what);
  }

 private:
  const Json* find(const char* key, bool required) {
    asked_.insert(key);
    const auto found = object_.find(key);
    if (found != object_.end()) return &*found;
    if (required) mistake(key, "missing");
    return nullptr;
  }
  void wrong(const char* key, const std::string& wanted, const Json& found) {
    mistake(key, fmt::format("expected {}, found {}", wanted,
                             found.dump(-1, ' ', false, Json::error_handler_t::replace)));
  }

  const Json& object_;
  std::string path_;
  std::string& mistakes_;
  std::set<std::string> asked_;
};

void check_launcher(const Machine& machine, Section& section) {
  const std::set<std::string> known{"ranks",   "ranks_per_node", "nodes",
                                    "threads", "hostfile",       "job"};
  const std::string& line = machine.launcher;
  for (auto open = line.find('{'); open != std::string::npos; open = line.find('{', open + 1)) {
    const auto close = std::min(line.find('}', open), line.size());
    if (const std::string name = line.substr(open + 1, close - open - 1); !known.contains(name))
      section.mistake("launcher",
                      fmt::format("{{{}}} is none of {}", name, fmt::join(known, ", ")));
  }
  if (!line.empty() && line.find("{ranks}") == std::string::npos)
    section.mistake("launcher",
                    "expected {ranks} in it, so that it starts as many as the grid has");
}

void read_into(const Json& json, Machine& machine, std::string& mistakes) {
  Section top(json, "", mistakes);
  top.text("description", machine.description);
  top.text("scheduler", machine.scheduler, true);
  if (const std::string& name = machine.scheduler;
      !name.empty() && name != "slurm" && name != "pbs")
    top.mistake("scheduler", fmt::format("expected \"slurm\" or \"pbs\", found \"{}\"", name));
  top.texts("modules", machine.modules);
  top.text("launcher", machine.launcher, true);
  check_launcher(machine, top);
  top.variables("environment", machine.environment);
  top.integer("nodes", machine.nodes, 1, true);
  top.integer("ranks_per_node", machine.ranks_per_node, 1, true);
  top.integer("max_minutes", machine.max_minutes, 1);
  top.integer("end_margin_seconds", machine.end_margin_seconds, 0);
  top.integer("patience", machine.patience, 1);

  Section node(top.section("node"), "node.", mistakes);
  node.integer("cores", machine.node.cores, 1, true);
  node.integer("gpus", machine.node.gpus, 0);
  node.quantity("memory_gib", machine.node.memory, 1024.0 * 1024 * 1024, true);
  node.quantity("tflops_fp32", machine.node.flops_fp32, 1e12);
  node.quantity("tflops_16bit", machine.node.flops_16bit, 1e12);
  node.text("nvme_path", machine.node.nvme_path);
  if (machine.ranks_per_node > machine.node.cores)
    top.mistake("ranks_per_node", fmt::format("{} ranks are more than node.cores {}",
                                              machine.ranks_per_node, machine.node.cores));

  Section rates(top.section("bandwidth_gb"), "bandwidth_gb.", mistakes);
  rates.quantity("memory", machine.bandwidth.memory, 1e9);
  rates.quantity("network", machine.bandwidth.network, 1e9);
  rates.quantity("nvme_read", machine.bandwidth.nvme_read, 1e9);
  rates.quantity("nvme_write", machine.bandwidth.nvme_write, 1e9);
  rates.quantity("file_system", machine.bandwidth.file_system, 1e9);
}

}  // namespace

Machine read_machine(const std::filesystem::path& file) {
  const std::string text = io::read_file(file, "a machine file");
  Machine machine;
  machine.name = file.stem().string();
  std::string mistakes;
  try {
    const Json json = Json::parse(text, nullptr, true, true);
    check(json.is_object(), Exit::kUsage, "expected a JSON object in the machine file {}",
          file.string());
    read_into(json, machine, mistakes);
  } catch (const Json::exception& trouble) {
    fail(Exit::kUsage, "expected JSON with comments in the machine file {}, found {}",
         file.string(), trouble.what());
  }
  check(mistakes.empty(), Exit::kUsage, "the machine file {} has mistakes:{}", file.string(),
        mistakes);
  return machine;
}

std::string shell_word(std::string_view text) {
  std::string word = "'";
  for (const char c : text) word += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return word + "'";
}

std::string shell_text(const Machine& machine) {
  std::string text = fmt::format(
      "machine={}\nscheduler={}\nmodules={}\nlauncher={}\nmachine_nodes={}\n"
      "machine_ranks_per_node={}\nmachine_cores={}\nmax_minutes={}\nend_margin={}\npatience={}\n",
      shell_word(machine.name), machine.scheduler,
      shell_word(fmt::format("{}", fmt::join(machine.modules, " "))), shell_word(machine.launcher),
      machine.nodes, machine.ranks_per_node, machine.node.cores, machine.max_minutes,
      machine.end_margin_seconds, machine.patience);
  for (const auto& [name, value] : machine.environment)
    text += fmt::format("export {}={}\n", name, shell_word(value));
  return text;
}

}  // namespace trireme::plan
