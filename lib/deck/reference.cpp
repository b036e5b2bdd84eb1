// The table as text: --help-deck and the page REFERENCE.md.
#include "lib/deck/deck.hpp"
#include "lib/deck/table.hpp"

#include <fmt/format.h>

#include <iterator>

namespace trireme::deck {

namespace {

std::string state_of(const Row& row) {
  switch (row.status) {
    case Status::works: return "works";
    case Status::not_yet: return fmt::format("not done yet; nearest: {}", row.note);
    case Status::no_influence: return fmt::format("no influence: {}", row.note);
    case Status::refused: return fmt::format("refused: {}", row.note);
  }
  return "?";
}

/// What to know of a row beyond type and default, as sentences.
std::string remarks(const Row& row) {
  std::string text(row.help);
  if (!row.unit.empty()) text += fmt::format(" [{}]", row.unit);
  if (!row.variants.empty()) text += fmt::format(". Only for {}", row.variants);
  if (!row.type.later.empty())
    text += fmt::format(". Not done yet: {}", fmt::join(row.type.later, ", "));
  if (!row.differs.empty()) text += fmt::format(". Note: {}", row.differs);
  return text;
}

/// Appends `text` in lines of at most 100 columns, each after `indent` blanks.
void wrap(std::string_view text, std::size_t indent, std::string& out) {
  std::size_t column = 0;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = std::min(text.find(' ', at), text.size());
    const std::size_t length = end - at;
    if (column != 0 && column + 1 + length > 100) {
      out += '\n';
      column = 0;
    }
    if (column == 0) {
      out.append(indent, ' ');
      column = indent;
    } else {
      out += ' ';
      ++column;
    }
    out += text.substr(at, length);
    column += length;
    at = end + 1;
  }
  out += '\n';
}

constexpr std::string_view kPageHead =
    R"(# Keys of a deck

Generated from the table in lib/deck/table_*.cpp; a test compares this page with it. The same table
checks decks and prints `trireme-pretrain --help-deck`.

A deck is JSON with `//` and `/* */` comments. Paths are relative to the deck. `--set a.b=c`
overrides a key (c is JSON, else a text). A DeepSpeed configuration is a valid deck: its keys keep
their names, defaults and units (DeepSpeed 0.19); keys marked **T** are Trireme's own. `"auto"` is
derived, or, where nothing can be, the default with a warning. A star in a key stands for any name.

- *works*: as described.
- *not done yet*: known; any value but the default is an error that names the nearest choice.
- *no influence*: known; any value but the default is a warning, which stands in the report.
- **F**: part of the fingerprint; a resumed run must have the same value.

)";

std::string in_cell(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c == '|') out += '\\';
    out += c;
  }
  return out;
}

}  // namespace

std::string help(std::string_view filter) {
  std::string out;
  for (const Section& section : sections()) {
    bool titled = false;
    for (const Row& row : section.rows) {
      if (row.path.find(filter) == std::string_view::npos) continue;
      if (!titled) {
        out += fmt::format("{}{}\n", out.empty() ? "" : "\n", section.title);
        wrap(section.about, 2, out);
      }
      titled = true;
      out += fmt::format("  {} = {}\n", row.path, row.standard);
      wrap(fmt::format("{}", describe(row.type)), 6, out);
      wrap(remarks(row), 6, out);
      if (row.status != Status::works) wrap(state_of(row), 6, out);
    }
  }
  return out;
}

std::string reference_page() {
  std::string out(kPageHead);
  for (const Section& section : sections()) {
    out += fmt::format("## {}\n\n{}\n\n", section.title, section.about);
    out += "| key | type | default | what | state |\n|---|---|---|---|---|\n";
    for (const Row& row : section.rows) {
      std::string marks;
      if (row.origin == Origin::trireme) marks += " **T**";
      if (in_fingerprint(row.path)) marks += " **F**";
      out += fmt::format("| `{}`{} | {} | {} | {} | {} |\n", row.path, marks,
                         in_cell(describe(row.type)),
                         row.required() ? "*required*" : fmt::format("`{}`", row.standard),
                         in_cell(remarks(row)), in_cell(state_of(row)));
    }
    out += '\n';
  }
  out += "## Other spellings\n\n| written | read as | |\n|---|---|---|\n";
  for (const Alias& alias : aliases())
    out += fmt::format("| `{}` | `{}` | {} |\n", alias.from, alias.to, alias.warning);
  return out;
}

}  // namespace trireme::deck
