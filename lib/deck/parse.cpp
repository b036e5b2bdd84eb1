#include "lib/deck/parse.hpp"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <iterator>

namespace trireme::deck {

namespace {

using Json = nlohmann::json;

struct Place {
  int line = 1;
  char last = '\0';
};

/// Walks over characters and counts lines; copies share one count, as the lexer copies it.
class CountingIterator {
 public:
  using iterator_category = std::input_iterator_tag;
  using value_type = char;
  using difference_type = std::ptrdiff_t;
  using pointer = const char*;
  using reference = const char&;

  CountingIterator(const char* at, Place* place) : at_(at), place_(place) {}
  reference operator*() const { return *at_; }
  CountingIterator& operator++() {
    place_->last = *at_;
    if (*at_ == '\n') ++place_->line;
    ++at_;
    return *this;
  }
  CountingIterator operator++(int) {
    CountingIterator before = *this;
    ++*this;
    return before;
  }
  friend bool operator==(const CountingIterator& a, const CountingIterator& b) {
    return a.at_ == b.at_;
  }
  friend bool operator!=(const CountingIterator& a, const CountingIterator& b) {
    return a.at_ != b.at_;
  }

 private:
  const char* at_;
  Place* place_;
};

/// Builds the Value tree from the parser's events.
class Builder : public nlohmann::json_sax<Json> {
 public:
  Builder(const Place& place, Mistakes* mistakes) : place_(place), mistakes_(mistakes) {}

  bool null() override { return put({}); }
  bool boolean(bool b) override { return put(b); }
  bool number_integer(std::int64_t i) override { return put(i); }
  bool number_unsigned(std::uint64_t u) override {
    // Beyond int64 the value is kept as a double: the table's range check then names it.
    if (std::in_range<std::int64_t>(u)) return put(static_cast<std::int64_t>(u));
    return put(static_cast<double>(u));
  }
  bool number_float(double d, const std::string&) override { return put(d); }
  bool string(std::string& s) override { return put(std::move(s)); }
  bool binary(Json::binary_t&) override { return false; }
  bool start_object(std::size_t) override { return open(Object{}); }
  bool start_array(std::size_t) override { return open(List{}); }
  bool end_object() override { return close(); }
  bool end_array() override { return close(); }

  bool key(std::string& name) override {
    frames_.back().key = name;
    frames_.back().line = place_.line;
    return true;
  }

  bool parse_error(std::size_t, const std::string&, const Json::exception& error) override {
    std::string text = error.what();
    if (const auto end = text.find(": "); end != std::string::npos) text = text.substr(end + 2);
    complain(fmt::format("the deck is not valid JSON: {}", text));
    return false;
  }

  Value take() { return std::move(root_); }

 private:
  using Data = decltype(Value::data);
  struct Frame {
    Value value;
    std::string key;  ///< of the member being read
    int line = 0;     ///< of that key
  };

  /// More levels than any key has; walking a value recurses, so that its depth must be bounded.
  static constexpr std::size_t kDeepest = 64;

  void complain(std::string text) {
    if (mistakes_ != nullptr) mistakes_->add(line(), "", std::move(text));
  }

  /// Line of the token just read: a number's end is only seen at the character after it.
  int line() const { return place_.line - (place_.last == '\n' ? 1 : 0); }

  bool put(Data data) {
    attach({std::move(data), line()});
    return true;
  }
  bool open(Data data) {
    if (frames_.size() == kDeepest) {
      complain(fmt::format("the deck is nested deeper than {} levels", kDeepest));
      return false;
    }
    frames_.push_back({{std::move(data), line()}, "", 0});
    return true;
  }
  bool close() {
    Value value = std::move(frames_.back().value);
    frames_.pop_back();
    attach(std::move(value));
    return true;
  }

  void attach(Value value) {
    if (frames_.empty()) {
      root_ = std::move(value);
      return;
    }
    Frame& frame = frames_.back();
    if (Object* object = frame.value.object()) {
      value.line = frame.line;
      if (const Value* first = find_member(*object, frame.key)) {
        if (mistakes_ != nullptr)
          mistakes_->add(frame.line, "",
                         fmt::format("duplicate key \"{}\": it stands in line {} already; keep one",
                                     frame.key, first->line));
        return;
      }
      object->emplace_back(frame.key, std::move(value));
    } else {
      std::get<List>(frame.value.data).push_back(std::move(value));
    }
  }

  const Place& place_;
  Mistakes* mistakes_;
  std::vector<Frame> frames_;
  Value root_;
};

std::optional<Value> parse(std::string_view text, Mistakes* mistakes) {
  Place place;
  Builder builder(place, mistakes);
  const bool ok = Json::sax_parse(CountingIterator(text.data(), &place),
                                  CountingIterator(text.data() + text.size(), &place), &builder,
                                  Json::input_format_t::json, true, true);
  if (!ok) return std::nullopt;
  return builder.take();
}

}  // namespace

std::optional<Object> parse_deck(std::string_view text, Mistakes& mistakes) {
  std::optional<Value> root = parse(text, &mistakes);
  if (!root) return std::nullopt;
  if (root->object() == nullptr) {
    mistakes.add(root->line, "", "a deck is one JSON object: { ... }");
    return std::nullopt;
  }
  return std::move(*root->object());
}

std::optional<Value> parse_value(std::string_view text) { return parse(text, nullptr); }

}  // namespace trireme::deck
