#pragma once
// Errors of the whole suite: one exception type, one exit code per kind of trouble, no macros.
//
// A message says what was expected, what was found and what to do about it. The place in the source
// is taken from the caller, the rank from set_error_rank(); both are appended when the message is
// built. Exceptions travel up to main, which prints what() and returns exit_code().

#include <fmt/core.h>

#include <source_location>
#include <stdexcept>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

namespace trireme {

/// Exit codes of every program (DESIGN section 4). 0 is never returned on failure.
enum class Exit : int {
  kOk = 0,          ///< the run's length is reached
  kUnexpected = 1,  ///< a bug, or a comparison that failed
  kUsage = 2,       ///< bad deck or arguments
  kFile = 3,        ///< file or disk
  kNumbers = 4,     ///< NaN, infinity, diverged
  kPeer = 5,        ///< another rank, communication or watchdog
  kStopped = 10,    ///< stopped early with a good checkpoint: submit again
};

class Error : public std::runtime_error {
 public:
  /// `text` is the whole message for people; `where` is "file:line" of the code that noticed.
  Error(Exit code, std::string text, std::string where);

  Exit code() const noexcept { return code_; }
  int exit_code() const noexcept { return static_cast<int>(code_); }
  /// The message without rank and place: what tests compare and what a deck's list of mistakes
  /// shows.
  const std::string& text() const noexcept { return text_; }
  const std::string& where() const noexcept { return where_; }

 private:
  Exit code_;
  std::string text_;
  std::string where_;
};

/// Rank named in messages made from now on by this process; -1 (the default) names none.
void set_error_rank(int rank) noexcept;
int error_rank() noexcept;

/// A format string that remembers where it was written.
template <class... Args>
struct LocatedFormat {
  template <class Text>
  requires std::convertible_to<const Text&, std::string_view>
  consteval LocatedFormat(const Text& format,
                          std::source_location place = std::source_location::current())
      : text(format), where(place) {}

  fmt::format_string<Args...> text;
  std::source_location where;
};

[[noreturn]] void throw_error(Exit code, std::string text, const std::source_location& where);

/// Throws Error(code) with the formatted message.
template <class... Args>
[[noreturn]] void fail(Exit code, LocatedFormat<std::type_identity_t<Args>...> format,
                       Args&&... args) {
  throw_error(code, fmt::format(format.text, std::forward<Args>(args)...), format.where);
}

/// Throws Error(code) with the formatted message unless `ok`. The arguments are always evaluated,
/// the message is formatted only on failure.
template <class... Args>
void check(bool ok, Exit code, LocatedFormat<std::type_identity_t<Args>...> format,
           Args&&... args) {
  if (!ok) [[unlikely]]
    throw_error(code, fmt::format(format.text, std::forward<Args>(args)...), format.where);
}

}  // namespace trireme
