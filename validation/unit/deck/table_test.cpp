// The table itself: complete for DeepSpeed, without repetition, sound, and the page made from it.
#include "lib/deck/table.hpp"
#include "lib/deck/check.hpp"
#include "lib/deck/nearest.hpp"
#include "lib/deck/parse.hpp"
#include "validation/unit/deck/try_deck.hpp"

#include "trireme_paths.hpp"

#include <gtest/gtest.h>

#include <fstream>
#include <set>
#include <sstream>

namespace trireme::deck::testing {
namespace {

const std::filesystem::path kRoot = trireme::kSourceDir;

std::string read_text(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

template <class Visit>
void for_each_row(Visit visit) {
  for (const Section& section : sections())
    for (const Row& row : section.rows) visit(row);
}

std::vector<std::string_view> repeated(const std::vector<Section>& table) {
  std::set<std::string_view> seen;
  std::vector<std::string_view> again;
  for (const Section& section : table)
    for (const Row& row : section.rows)
      if (!seen.insert(row.path).second) again.push_back(row.path);
  return again;
}

TEST(Table, NoKeyHasTwoRows) {
  EXPECT_TRUE(repeated(sections()).empty());
  std::vector<Section> planted = sections();
  planted.front().rows.push_back(planted.back().rows.front());
  EXPECT_EQ(repeated(planted).size(), 1u);
}

TEST(Table, NoKeyIsAlsoASection) {
  for_each_row([](const Row& row) { EXPECT_FALSE(is_section(row.path)) << row.path; });
}

TEST(Table, DefaultsFitTheirTypes) {
  for_each_row([](const Row& row) {
    if (row.required()) return;
    auto value = parse_value(row.standard);
    ASSERT_TRUE(value) << row.path << ": " << row.standard;
    if (row.path.ends_with('*') && value->is_null()) return;
    const auto text = misfit(row.type, *value);
    EXPECT_FALSE(text) << row.path << ": " << *text;
  });
}

TEST(Table, EveryRowHelps) {
  for_each_row([](const Row& row) {
    EXPECT_FALSE(row.help.empty()) << row.path;
    EXPECT_EQ(row.status == Status::works, row.note.empty()) << row.path;
  });
}

/// Paths of deepspeed_keys.txt: every key of DeepSpeed 0.19's schema, one a line, # comments.
std::vector<std::string> deepspeed_keys() {
  std::istringstream file(read_text(kRoot / "validation/unit/deck/deepspeed_keys.txt"));
  std::vector<std::string> keys;
  for (std::string line; std::getline(file, line);)
    if (!line.empty() && line[0] != '#') keys.push_back(line);
  return keys;
}

/// The table's spelling of a path: aliases of it or of its section.
std::string canonical(const std::string& path) {
  for (const Alias& alias : aliases()) {
    if (path == alias.from) return std::string(alias.to);
    if (path.starts_with(std::string(alias.from) + "."))
      return std::string(alias.to) + path.substr(alias.from.size());
  }
  return path;
}

TEST(Table, KnowsEveryDeepSpeedKey) {
  const auto keys = deepspeed_keys();
  EXPECT_GT(keys.size(), 300u);
  for (const std::string& key : keys) EXPECT_NE(find_row(canonical(key)), nullptr) << key;
  EXPECT_EQ(find_row("zero_optimization.no_such_key"), nullptr);
}

TEST(Table, NamesTheOriginOfItsKeysRightly) {
  std::set<std::string> known;
  for (const std::string& key : deepspeed_keys()) known.insert(canonical(key));
  for_each_row([&](const Row& row) {
    if (row.path.find('*') != std::string_view::npos) return;
    EXPECT_EQ(row.origin == Origin::deepspeed, known.contains(std::string(row.path))) << row.path;
  });
}

TEST(Table, AliasesLeadToKeys) {
  for (const Alias& alias : aliases()) {
    EXPECT_TRUE(find_row(alias.to) || is_section(alias.to)) << alias.from;
    EXPECT_EQ(find_row(alias.from), nullptr) << alias.from;
  }
}

TEST(Table, ReferencePageIsInSync) {
  const std::string page = reference_page();
  if (page != read_text(kRoot / "lib/deck/REFERENCE.md")) {
    const auto fresh = std::filesystem::path(trireme::kBinaryDir) / "REFERENCE.md";
    std::ofstream(fresh, std::ios::binary) << page;
    FAIL() << "lib/deck/REFERENCE.md differs from the table; copy " << fresh << " over it";
  }
}

TEST(Table, HelpShowsEveryKeyOrThoseAskedFor) {
  const std::string all = help();
  for_each_row([&](const Row& row) {
    EXPECT_NE(all.find(fmt::format("  {} = {}\n", row.path, row.standard)), std::string::npos)
        << row.path;
  });
  const std::string some = help("fp16.");
  EXPECT_NE(some.find("fp16.hysteresis"), std::string::npos);
  EXPECT_EQ(some.find("model.layers"), std::string::npos);
  std::istringstream lines(all);
  for (std::string line; std::getline(lines, line);) EXPECT_LE(line.size(), 100u) << line;
}

TEST(Nearest, CountsEdits) {
  EXPECT_EQ(edit_distance("stage", "stage"), 0u);
  EXPECT_EQ(edit_distance("stagee", "stage"), 1u);
  EXPECT_EQ(edit_distance("satge", "stage"), 1u);
  EXPECT_EQ(edit_distance("Stage", "stage"), 0u);
  EXPECT_EQ(edit_distance("", "abc"), 3u);
  EXPECT_EQ(edit_distance("abc", ""), 3u);
  EXPECT_EQ(nearest("stagee", {"state", "stage"}), "stage");
  EXPECT_EQ(nearest("zzz", {"stage"}), "");
}

}  // namespace
}  // namespace trireme::deck::testing
