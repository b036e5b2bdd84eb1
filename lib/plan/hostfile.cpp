#include "lib/plan/hostfile.hpp"

#include "kernels/base/error.hpp"

#include <algorithm>
#include <charconv>
#include <map>
#include <set>

namespace trireme::plan {
namespace {

constexpr std::string_view kBlanks = " \t\r";

std::string_view trimmed(std::string_view text) {
  const auto begin = text.find_first_not_of(kBlanks);
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(kBlanks) - begin + 1);
}

std::vector<std::string_view> split(std::string_view text, char at) {
  std::vector<std::string_view> parts;
  for (;;) {
    const auto end = text.find(at);
    parts.push_back(text.substr(0, end));
    if (end == std::string_view::npos) return parts;
    text.remove_prefix(end + 1);
  }
}

/// The whole of `text` as a number of at least `least`; -1 when it is none.
std::int64_t number(std::string_view text, std::int64_t least) {
  std::int64_t value = -1;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() && end == text.data() + text.size() && value >= least ? value : -1;
}

/// Slots by host that one side of the grammar names.
std::map<std::string, std::set<std::int64_t>> named_slots(const std::vector<Host>& hosts,
                                                          std::string_view picks) {
  std::map<std::string, std::set<std::int64_t>> named;
  for (const std::string_view pick : split(picks, '@')) {
    const std::string name(trimmed(pick.substr(0, pick.find(':'))));
    const auto host =
        std::find_if(hosts.begin(), hosts.end(), [&](const Host& one) { return one.name == name; });
    check(host != hosts.end(), Exit::kUsage,
          "expected a host of the hostfile in \"{}\", found \"{}\"", picks, name);
    std::set<std::int64_t>& slots = named[name];
    if (pick.find(':') == std::string_view::npos) {
      for (std::int64_t slot = 0; slot < host->slots; ++slot) slots.insert(slot);
      continue;
    }
    for (const std::string_view text : split(pick.substr(pick.find(':') + 1), ',')) {
      const std::int64_t slot = number(trimmed(text), 0);
      check(slot >= 0 && slot < host->slots, Exit::kUsage,
            "expected slots 0 to {} of {} in \"{}\", found \"{}\"", host->slots - 1, name, picks,
            text);
      slots.insert(slot);
    }
  }
  return named;
}

}  // namespace

std::vector<Host> read_hostfile(std::string_view text, std::string_view file) {
  std::vector<Host> hosts;
  int number_of_line = 0;
  for (const std::string_view whole : split(text, '\n')) {
    ++number_of_line;
    const std::string_view line = trimmed(whole.substr(0, whole.find('#')));
    if (line.empty()) continue;
    const auto blank = line.find_first_of(kBlanks);
    const std::string name(line.substr(0, blank));
    const std::string_view rest =
        blank == std::string_view::npos ? "" : trimmed(line.substr(blank));
    const std::int64_t slots = rest.starts_with("slots=") ? number(rest.substr(6), 1) : -1;
    check(slots > 0, Exit::kUsage, "{}:{}: expected \"HOST slots=N\", found \"{}\"", file,
          number_of_line, line);
    check(std::none_of(hosts.begin(), hosts.end(),
                       [&](const Host& host) { return host.name == name; }),
          Exit::kUsage, "{}:{}: the host {} is named twice", file, number_of_line, name);
    hosts.push_back({name, slots});
  }
  check(!hosts.empty(), Exit::kUsage, "{} names no host", file);
  return hosts;
}

std::vector<Host> pick_hosts(const std::vector<Host>& hosts, std::string_view include,
                             std::string_view exclude) {
  check(include.empty() || exclude.empty(), Exit::kUsage,
        "--include and --exclude contradict each other: give one");
  if (include.empty() && exclude.empty()) return hosts;
  const auto named = named_slots(hosts, include.empty() ? exclude : include);
  std::vector<Host> left;
  for (const Host& host : hosts) {
    const auto found = named.find(host.name);
    const std::int64_t count =
        found == named.end() ? 0 : static_cast<std::int64_t>(found->second.size());
    const std::int64_t slots = include.empty() ? host.slots - count : count;
    if (slots > 0) left.push_back({host.name, slots});
  }
  check(!left.empty(), Exit::kUsage, "--exclude {} leaves no slot", exclude);
  return left;
}

std::string hostfile_text(const std::vector<Host>& hosts) {
  std::string text;
  for (const Host& host : hosts) text += fmt::format("{} slots={}\n", host.name, host.slots);
  return text;
}

}  // namespace trireme::plan
