#pragma once
// A deck in the making: the value of every key of the table, and what was found wrong so far.
//
// Life of a draft: read_draft (parse, check each key by itself, overrides) -> resolve_* (derive
// "auto", contradictions between keys) -> throw what is wrong -> the typed Deck.

#include "lib/deck/deck.hpp"
#include "lib/deck/mistakes.hpp"
#include "lib/deck/table.hpp"
#include "lib/deck/value.hpp"

#include <functional>
#include <initializer_list>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace trireme::deck {

class Draft {
 public:
  struct Entry {
    Value value;         ///< given, or the default
    bool given = false;  ///< by the deck or an override
    std::string origin;  ///< "--set a.b=c" when an override gave it
  };

  /// All keys at their defaults; wildcard rows have no entry until one is given.
  explicit Draft(std::string deck_name);

  Mistakes mistakes;
  std::vector<Warning> warnings;

  /// Takes a value that passed its own check.
  void give(std::string_view path, Value value, std::string origin);
  /// Replaces a value by a derived one; it still counts as given if it was.
  void derive(std::string_view path, decltype(Value::data) data);
  /// Puts every key at or below `path` back to its default.
  void forget(std::string_view path);

  const Value& at(std::string_view path) const;
  bool given(std::string_view path) const;
  bool any_given_below(std::string_view path) const;
  /// Not given, "auto" or null: something is to be derived.
  bool open(std::string_view path) const;

  /// Values of keys whose type is certain. A wrong kind is a bug (Exit::kUnexpected).
  std::int64_t integer(std::string_view path) const;
  double number(std::string_view path) const;
  bool boolean(std::string_view path) const;
  const std::string& text(std::string_view path) const;
  /// The integer, nothing while it is "auto", null or faulty.
  std::optional<std::int64_t> known(std::string_view path) const;

  /// A mistake in one key, on its line.
  void wrong(std::string_view key, std::string text);
  /// A contradiction between keys, on the line of the last one given. Dropped when one of them is
  /// faulty by itself already.
  void conflict(std::initializer_list<std::string_view> keys, std::string text);
  void warn(std::string_view key, std::string text);

  /// Calls visit(path, entry) for every key, in the table's order, wildcard keys where their row
  /// is.
  void for_each(const std::function<void(std::string_view, const Entry&)>& visit) const;

 private:
  std::map<std::string, Entry, std::less<>> entries_;
};

/// Whether a row belongs to the optimizer or scheduler the draft chooses (rows without variants
/// always do).
bool applies(const Draft& draft, const Row& row);

/// Parses, applies aliases and overrides, checks every key by itself. Throws only when the text is
/// no JSON object; other mistakes are kept in the draft.
Draft read_draft(const Source& source, const std::vector<std::string>& overrides);

/// Each derives what is open in its sections and adds the contradictions it finds.
void resolve_model(Draft& draft);
void resolve_grid(Draft& draft, std::optional<std::int64_t> ranks);
/// Between grid and batch: derives the batch triple where the deck asks for elasticity.
void resolve_elastic(Draft& draft);
void resolve_batch(Draft& draft);
void resolve_run(Draft& draft);
void resolve_data(Draft& draft, const std::filesystem::path& folder);
/// Relative paths of a deck start at its folder; those that are derived ("auto") stay open.
void make_paths_absolute(Draft& draft, const std::filesystem::path& folder);
/// After the others: absolute paths, recomputation and micro-batches are settled.
void resolve_zero(Draft& draft);
void check_precision(Draft& draft);

/// All of the above; mistakes are kept in the draft.
Draft resolve_draft(const Source& source, const std::vector<std::string>& overrides,
                    std::optional<std::int64_t> ranks);

/// The typed deck of a draft without mistakes.
Deck build_deck(const Draft& draft, const std::filesystem::path& path);

/// What deck and overrides give, in the table's order, as JSON: a deck that loads to the same run.
std::string given_json(const Draft& draft);
/// The draft as JSON, all keys that apply, and its fingerprint.
std::string resolved_json(const Draft& draft);
std::string fingerprint(const Draft& draft);

}  // namespace trireme::deck
