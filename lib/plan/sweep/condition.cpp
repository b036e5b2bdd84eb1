#include "lib/plan/sweep/condition.hpp"

#include "kernels/base/error.hpp"

#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>
#include <cmath>
#include <variant>

namespace trireme::plan {

using Operand = std::variant<double, bool, std::string>;

struct Condition::Node {
  std::string what;  ///< an operator, "key", or "" for a constant
  Operand constant;  ///< also a key's name
  std::vector<std::shared_ptr<const Node>> of;
};

namespace {

using Tree = std::shared_ptr<const Condition::Node>;
constexpr int kDeepest = 64;  ///< parentheses and signs inside each other

Tree node(std::string what, std::vector<Tree> of) {
  return std::make_shared<Condition::Node>(Condition::Node{std::move(what), {}, std::move(of)});
}
Tree leaf(std::string what, Operand value) {
  return std::make_shared<Condition::Node>(Condition::Node{std::move(what), std::move(value), {}});
}

bool is_letter(char c) {
  return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_' || c == '.';
}

/// Recursive descent; each level takes the operators of one precedence.
class Parser {
 public:
  Parser(std::string_view text, std::vector<std::string>& keys) : text_(text), keys_(keys) {}

  Tree whole() {
    Tree tree = either();
    check(next() == '\0', Exit::kUsage, "expected an operator or the end, found \"{}\"",
          text_.substr(at_));
    return tree;
  }

 private:
  Tree either() {
    Tree left = both();
    while (take_word("or") || take("||")) left = node("or", {left, both()});
    return left;
  }
  Tree both() {
    Tree left = negation();
    while (take_word("and") || take("&&")) left = node("and", {left, negation()});
    return left;
  }
  Tree negation() {
    const Depth deeper(depth_);
    if (next() == '!' && text_.substr(at_, 2) != "!=") return ++at_, node("not", {negation()});
    return take_word("not") ? node("not", {negation()}) : comparison();
  }
  Tree comparison() {
    Tree left = sum();
    const std::string sign = any_of({"==", "!=", "<=", ">=", "<", ">"});
    if (sign.empty()) return left;
    left = node(sign, {left, sum()});
    check(any_of({"==", "!=", "<=", ">=", "<", ">"}).empty(), Exit::kUsage,
          "expected one comparison at a time; join two with and");
    return left;
  }
  Tree sum() {
    Tree left = product();
    for (std::string sign; !(sign = any_of({"+", "-"})).empty();)
      left = node(sign, {left, product()});
    return left;
  }
  Tree product() {
    Tree left = signed_one();
    for (std::string sign; !(sign = any_of({"*", "/", "%"})).empty();)
      left = node(sign, {left, signed_one()});
    return left;
  }
  Tree signed_one() {
    const Depth deeper(depth_);
    return take("-") ? node("-", {leaf("", 0.0), signed_one()}) : one();
  }

  Tree one() {
    if (take("(")) {
      Tree inside = either();
      check(take(")"), Exit::kUsage, "expected \")\", found \"{}\"", text_.substr(at_));
      return inside;
    }
    const char first = next();
    if (first == '"' || first == '\'') return quoted(first);
    std::size_t end = at_;
    if (std::isdigit(static_cast<unsigned char>(first)) != 0) return number();
    while (end < text_.size() && is_letter(text_[end])) ++end;
    check(end > at_, Exit::kUsage, "expected a key, a number or \"(\", found {}",
          first == '\0' ? "the end" : "\"" + std::string(text_.substr(at_)) + "\"");
    const std::string word(text_.substr(at_, end - at_));
    at_ = end;
    if (word == "true" || word == "false") return leaf("", word == "true");
    if (std::find(keys_.begin(), keys_.end(), word) == keys_.end()) keys_.push_back(word);
    return leaf("key", word);
  }

  Tree number() {
    double value = 0;
    const char* const begin = text_.data() + at_;
    const auto [end, error] = std::from_chars(begin, text_.data() + text_.size(), value);
    check(error == std::errc{}, Exit::kUsage, "expected a number, found \"{}\"", text_.substr(at_));
    at_ += static_cast<std::size_t>(end - begin);
    return leaf("", value);
  }

  Tree quoted(char quote) {
    const auto end = text_.find(quote, at_ + 1);
    check(end != std::string_view::npos, Exit::kUsage, "expected the text {} to end",
          text_.substr(at_));
    Tree tree = leaf("", std::string(text_.substr(at_ + 1, end - at_ - 1)));
    at_ = end + 1;
    return tree;
  }

  char next() {
    while (at_ < text_.size() && std::isspace(static_cast<unsigned char>(text_[at_])) != 0) ++at_;
    return at_ < text_.size() ? text_[at_] : '\0';
  }
  bool take(std::string_view sign) {
    next();
    if (text_.substr(at_, sign.size()) != sign) return false;
    at_ += sign.size();
    return true;
  }
  bool take_word(std::string_view word) {
    next();
    const std::size_t end = at_ + word.size();
    if (text_.substr(at_, word.size()) != word || (end < text_.size() && is_letter(text_[end])))
      return false;
    at_ = end;
    return true;
  }
  std::string any_of(std::initializer_list<std::string_view> signs) {
    for (const std::string_view sign : signs)
      if (take(sign)) return std::string(sign);
    return "";
  }

  struct Depth {
    explicit Depth(int& depth) : depth_(depth) {
      check(++depth_ <= kDeepest, Exit::kUsage, "expected at most {} levels", kDeepest);
    }
    ~Depth() { --depth_; }
    Depth(const Depth&) = delete;
    Depth& operator=(const Depth&) = delete;
    int& depth_;
  };

  std::string_view text_;
  std::vector<std::string>& keys_;
  std::size_t at_ = 0;
  int depth_ = 0;
};

std::string shown(const Operand& value) {
  if (const double* number = std::get_if<double>(&value)) return fmt::format("{}", *number);
  if (const bool* truth = std::get_if<bool>(&value)) return *truth ? "true" : "false";
  return '"' + std::get<std::string>(value) + '"';
}

template <class Kind>
const Kind& as(const Operand& value, std::string_view kind, std::string_view what) {
  const Kind* found = std::get_if<Kind>(&value);
  check(found != nullptr, Exit::kUsage, "{} takes {}, found {}", what, kind, shown(value));
  return *found;
}

Operand operand_of(const deck::Value& value) {
  if (const auto* integer = value.integer()) return static_cast<double>(*integer);
  if (const auto* number = std::get_if<double>(&value.data)) return *number;
  if (const bool* truth = value.boolean()) return *truth;
  if (const std::string* text = value.text()) return *text;
  return deck::to_json(value);
}

bool compare(const std::string& sign, const Operand& a, const Operand& b) {
  check(a.index() == b.index(), Exit::kUsage, "{} compares {} with {}, which are not alike", sign,
        shown(a), shown(b));
  if (sign == "==") return a == b;
  if (sign == "!=") return a != b;
  const double x = as<double>(a, "numbers", sign);
  const double y = as<double>(b, "numbers", sign);
  return sign == "<" ? x < y : sign == "<=" ? x <= y : sign == ">" ? x > y : x >= y;
}

double calculate(char sign, double a, double b) {
  switch (sign) {
    case '+': return a + b;
    case '-': return a - b;
    case '*': return a * b;
    default: break;
  }
  check(b != 0, Exit::kUsage, "{} {} 0 is no number", a, sign);
  return sign == '/' ? a / b : std::fmod(a, b);
}

Operand evaluate(const Condition::Node& tree,
                 const std::function<deck::Value(const std::string&)>& value_of) {
  if (tree.what.empty()) return tree.constant;
  if (tree.what == "key") return operand_of(value_of(std::get<std::string>(tree.constant)));
  const Operand left = evaluate(*tree.of[0], value_of);
  const auto truth = [&](const Operand& value) {
    return as<bool>(value, "true or false", tree.what);
  };
  if (tree.what == "not") return !truth(left);
  if (tree.what == "and" && !truth(left)) return false;
  if (tree.what == "or" && truth(left)) return true;
  const Operand right = evaluate(*tree.of[1], value_of);
  if (tree.what == "and" || tree.what == "or") return truth(right);
  if (std::string_view("+-*/%").find(tree.what) != std::string_view::npos)
    return calculate(tree.what[0], as<double>(left, "numbers", tree.what),
                     as<double>(right, "numbers", tree.what));
  return compare(tree.what, left, right);
}

}  // namespace

Condition::Condition(std::string text) : text_(std::move(text)) {
  root_ = Parser(text_, keys_).whole();
}

bool Condition::holds(const std::function<deck::Value(const std::string&)>& value_of) const {
  return as<bool>(evaluate(*root_, value_of), "true or false", "a constraint");
}

}  // namespace trireme::plan
