#include "kernels/base/error.hpp"
#include "lib/deck/draft.hpp"

#include <fstream>
#include <sstream>

namespace trireme::deck {

Source read_source(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  if (file) text << file.rdbuf();
  check(static_cast<bool>(file) && !std::filesystem::is_directory(path), Exit::kFile,
        "the deck {} can't be read; is the path right?", path.string());
  return {text.str(), std::filesystem::absolute(path).lexically_normal()};
}

Draft resolve_draft(const Source& source, const std::vector<std::string>& overrides,
                    std::optional<std::int64_t> ranks) {
  Draft draft = read_draft(source, overrides);
  resolve_model(draft);
  resolve_grid(draft, ranks);
  resolve_elastic(draft);
  resolve_batch(draft);
  resolve_run(draft);
  resolve_data(draft, source.path.parent_path());
  resolve_zero(draft);
  check_precision(draft);
  return draft;
}

Deck load(const Source& source, const std::vector<std::string>& overrides,
          std::optional<std::int64_t> ranks) {
  Draft draft = resolve_draft(source, overrides, ranks);
  draft.mistakes.throw_if_any();
  return build_deck(draft, source.path);
}

Deck load(const std::filesystem::path& path, const std::vector<std::string>& overrides,
          std::optional<std::int64_t> ranks) {
  return load(read_source(path), overrides, ranks);
}

}  // namespace trireme::deck
