#include "kernels/base/error.hpp"

#include <fmt/format.h>

namespace trireme {
namespace {

int g_rank = -1;

std::string decorate(const std::string& text, const std::string& where) {
  if (g_rank < 0) return fmt::format("{} [{}]", text, where);
  return fmt::format("{} [rank {}, {}]", text, g_rank, where);
}

std::string short_place(const std::source_location& where) {
  std::string_view file = where.file_name();
  // Sources are named relative to the checkout (-ffile-prefix-map); absolute names come from
  // others.
  return fmt::format("{}:{}", file, where.line());
}

}  // namespace

Error::Error(Exit code, std::string text, std::string where)
    : std::runtime_error(decorate(text, where)),
      code_(code),
      text_(std::move(text)),
      where_(std::move(where)) {}

void set_error_rank(int rank) noexcept { g_rank = rank; }
int error_rank() noexcept { return g_rank; }

void throw_error(Exit code, std::string text, const std::source_location& where) {
  throw Error(code, std::move(text), short_place(where));
}

}  // namespace trireme
