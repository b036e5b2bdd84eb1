#pragma once
// The one table of deck keys. Checking, defaults, --set, --help-deck, REFERENCE.md, the resolved
// deck and the fingerprint all read it; nothing about a key is said anywhere else.
//
// Rows stand in table_*.cpp, a file a subject. A path component "*" stands for any name.

#include "lib/deck/value.hpp"

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace trireme::deck {

enum Kind : unsigned {
  kNull = 1,
  kBoolean = 2,
  kInteger = 4,  ///< 5e8 counts as an integer
  kNumber = 8,
  kText = 16,
  kList = 32,
  kAny = 64,  ///< any JSON; never looked into
};

/// What "auto" means for a key.
enum class Auto {
  no,        ///< not allowed
  derived,   ///< Trireme works it out
  standard,  ///< a Hugging Face placeholder: the default is taken, with a warning
};

struct Type {
  unsigned kinds = kAny;
  unsigned elements = 0;                  ///< kinds of a list's elements
  std::vector<std::string_view> choices;  ///< of a text, or of a list's texts; empty = any text
  std::vector<std::string_view> later;    ///< texts that are known and not done yet
  bool sizes = false;                     ///< texts are sizes, which become bytes
  bool fold_case = false;                 ///< choices are matched whatever the case
  std::optional<double> minimum;          ///< of a number or a list's numbers
  bool minimum_excluded = false;
  std::optional<double> maximum;
  bool maximum_excluded = false;
  Auto automatic = Auto::no;

  Type from(double x) const;   ///< >= x
  Type above(double x) const;  ///< > x
  Type up_to(double x) const;  ///< <= x
  Type below(double x) const;  ///< < x
  Type or_null() const;
  Type or_list() const;  ///< one, or a list of such
  Type derived() const;  ///< "auto" is worked out
  Type or_auto() const;  ///< "auto" takes the default
  Type not_yet(std::vector<std::string_view> texts) const;
  Type any_case() const;
};
Type boolean();
Type integer();
Type bytes();  ///< an integer >= 0, or a text such as "4 GiB"
Type number();
Type text();
Type choice(std::vector<std::string_view> choices);
Type list_of(const Type& element);
Type any();

/// "an integer >= 1 or "auto"": for messages and the reference.
std::string describe(const Type& type);

enum class Origin { deepspeed, trireme };
enum class Status {
  works,
  not_yet,       ///< anything but the default is an error
  no_influence,  ///< anything but the default is a warning
  refused,       ///< anything but the default is an error that says what to use
};

struct Row {
  std::string_view path;
  Type type;
  std::string_view standard;  ///< the default as JSON; "required" = must be given. A new key's is
                              ///< what was done before it: runs of earlier versions go on
  std::string_view unit;
  std::string_view help;
  Origin origin = Origin::deepspeed;
  Status status = Status::works;
  std::string_view note;      ///< not_yet: nearest choice; no_influence, refused: why
  std::string_view variants;  ///< blank-separated types (of optimizer, scheduler) it belongs to
  std::string_view differs;   ///< how the default differs between DeepSpeed versions

  bool required() const { return standard == "required"; }
};

/// Rows in the making: a default row is a DeepSpeed key that works.
Row works(std::string_view path, Type type, std::string_view standard, std::string_view unit,
          std::string_view help);
Row ours(std::string_view path, Type type, std::string_view standard, std::string_view unit,
         std::string_view help);
Row not_yet(std::string_view path, Type type, std::string_view standard, std::string_view nearest,
            std::string_view help);
Row idle(std::string_view path, Type type, std::string_view standard, std::string_view why,
         std::string_view help);
Row only_for(std::string_view variants, Row row);
/// All rows of the parts, in order.
std::vector<Row> joined(std::vector<std::vector<Row>> parts);

struct Section {
  std::string_view title;
  std::string_view about;
  std::vector<Row> rows;
};
const std::vector<Section>& sections();

/// Row of a concrete path ("a.b.c"), wildcards matched; null when unknown.
const Row* find_row(std::string_view path);
/// True when a known key lies below `path`.
bool is_section(std::string_view path);
/// Names that may follow `path` ("" = top level), wildcards left out.
std::vector<std::string_view> names_below(std::string_view path);
/// True when rows below `path` take any name.
bool takes_any_name(std::string_view path);

/// Another spelling of a key or section that DeepSpeed, its documents or its users know.
struct Alias {
  std::string_view from;
  std::string_view to;
  std::string_view warning;  ///< empty = none
};
const std::vector<Alias>& aliases();

/// Whether a resumed run must have the same value: model, data, optimizer, scheduler, precision,
/// global batch and seed.
bool in_fingerprint(std::string_view path);

}  // namespace trireme::deck
