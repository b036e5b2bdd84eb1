// Types and rows of the deck table: how they are built and described.
#include "lib/deck/table.hpp"

#include <fmt/format.h>

#include <iterator>

namespace trireme::deck {

Type Type::from(double x) const {
  Type t = *this;
  t.minimum = x;
  return t;
}
Type Type::above(double x) const {
  Type t = *this;
  t.minimum = x;
  t.minimum_excluded = true;
  return t;
}
Type Type::up_to(double x) const {
  Type t = *this;
  t.maximum = x;
  return t;
}
Type Type::below(double x) const {
  Type t = up_to(x);
  t.maximum_excluded = true;
  return t;
}
Type Type::or_null() const {
  Type t = *this;
  t.kinds |= kNull;
  return t;
}
Type Type::or_list() const {
  Type t = *this;
  t.elements = t.kinds;
  t.kinds |= kList;
  return t;
}
Type Type::derived() const {
  Type t = *this;
  t.automatic = Auto::derived;
  return t;
}
Type Type::or_auto() const {
  Type t = *this;
  t.automatic = Auto::standard;
  return t;
}
Type Type::not_yet(std::vector<std::string_view> texts) const {
  Type t = *this;
  t.later = std::move(texts);
  return t;
}
Type Type::any_case() const {
  Type t = *this;
  t.fold_case = true;
  return t;
}

namespace {

Type of_kind(unsigned kind) {
  Type t;
  t.kinds = kind;
  return t;
}

}  // namespace

Type boolean() { return of_kind(kBoolean); }
Type integer() { return of_kind(kInteger); }
Type bytes() {
  Type t = of_kind(kInteger | kText).from(0);
  t.sizes = true;
  return t;
}
Type number() { return of_kind(kNumber); }
Type text() { return of_kind(kText); }
Type any() { return of_kind(kAny); }
Type choice(std::vector<std::string_view> choices) {
  Type t = of_kind(kText);
  t.choices = std::move(choices);
  return t;
}
Type list_of(const Type& element) {
  Type t = element;
  t.elements = t.kinds;
  t.kinds = kList;
  return t;
}

namespace {

std::string range_text(const Type& type) {
  std::string text;
  if (type.minimum)
    text += fmt::format(" {} {}", type.minimum_excluded ? ">" : ">=", *type.minimum);
  if (type.maximum)
    text += fmt::format("{} {} {}", text.empty() ? "" : " and",
                        type.maximum_excluded ? "<" : "<=", *type.maximum);
  return text;
}

std::string choice_text(const Type& type) {
  std::string text;
  for (const std::string_view choice : type.choices)
    text += fmt::format("{}\"{}\"", text.empty() ? "" : ", ", choice);
  return text;
}

/// The words for the kinds in `kinds`, in a fixed order.
std::vector<std::string> kind_words(const Type& type, unsigned kinds) {
  std::vector<std::string> words;
  if (kinds & kAny) words.push_back("any JSON");
  if (kinds & kBoolean) words.push_back("true or false");
  if (kinds & kInteger) words.push_back("an integer" + range_text(type));
  if (kinds & kNumber) words.push_back("a number" + range_text(type));
  if (kinds & kText) {
    if (type.sizes)
      words.push_back("a size such as \"4 GiB\"");
    else if (type.choices.empty())
      words.push_back("a text");
    else
      words.push_back(type.choices.size() == 1 ? choice_text(type) : "one of " + choice_text(type));
  }
  return words;
}

std::string join(const std::vector<std::string>& words) {
  std::string text;
  for (const std::string& word : words) text += (text.empty() ? "" : ", or ") + word;
  return text;
}

}  // namespace

std::string describe(const Type& type) {
  std::vector<std::string> words = kind_words(type, type.kinds);
  if (type.kinds & kList) words.push_back("a list, each " + join(kind_words(type, type.elements)));
  if (type.kinds & kNull) words.push_back("null");
  if (type.automatic != Auto::no) words.push_back("\"auto\"");
  return join(words);
}

Row works(std::string_view path, Type type, std::string_view standard, std::string_view unit,
          std::string_view help) {
  Row row;
  row.path = path;
  row.type = std::move(type);
  row.standard = standard;
  row.unit = unit;
  row.help = help;
  return row;
}

Row ours(std::string_view path, Type type, std::string_view standard, std::string_view unit,
         std::string_view help) {
  Row row = works(path, std::move(type), standard, unit, help);
  row.origin = Origin::trireme;
  return row;
}

Row not_yet(std::string_view path, Type type, std::string_view standard, std::string_view nearest,
            std::string_view help) {
  Row row = works(path, std::move(type), standard, "", help);
  row.status = Status::not_yet;
  row.note = nearest;
  return row;
}

Row idle(std::string_view path, Type type, std::string_view standard, std::string_view why,
         std::string_view help) {
  Row row = works(path, std::move(type), standard, "", help);
  row.status = Status::no_influence;
  row.note = why;
  return row;
}

Row only_for(std::string_view variants, Row row) {
  row.variants = variants;
  return row;
}

std::vector<Row> joined(std::vector<std::vector<Row>> parts) {
  std::vector<Row> all;
  for (auto& part : parts)
    all.insert(all.end(), std::make_move_iterator(part.begin()),
               std::make_move_iterator(part.end()));
  return all;
}

}  // namespace trireme::deck
