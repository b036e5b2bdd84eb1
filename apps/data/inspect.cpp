#include "apps/data/commands.hpp"
#include "io/text/tokenizer.hpp"
#include "io/tokens/source.hpp"
#include "kernels/base/error.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <optional>

namespace trireme::data {
namespace {

void print_line(const char* name, const std::string& value) {
  if (!value.empty()) fmt::print("{:<16}{}\n", name, value);
}

void print_header(const io::TokenSource& source) {
  const io::Provenance& from = source.provenance();
  const double mean =
      static_cast<double>(source.tokens()) / static_cast<double>(source.documents());
  print_line("file", source.path());
  print_line("format", from.format);
  print_line("element type", std::string(name_of(source.dtype())));
  print_line("tokens", fmt::format("{}", source.tokens()));
  print_line("documents", fmt::format("{} ({:.1f} tokens on average)", source.documents(), mean));
  if (from.vocabulary_size > 0) print_line("vocabulary", fmt::format("{}", from.vocabulary_size));
  if (from.eos_id) print_line("end of text", fmt::format("{}", *from.eos_id));
  print_line("tokenizer hash", from.tokenizer_hash);
  print_line("checksum", from.checksum);
  print_line("sources", from.sources);
  print_line("command", from.command);
  print_line("written by", from.version.empty() ? "" : "trireme " + from.version);
}

}  // namespace

void inspect(const InspectCommand& command) {
  // 1. The header.
  const auto source = io::open_tokens(command.file);
  print_header(*source);

  // 2. The tokenizer, when there is one, must be the shard's own.
  std::optional<io::Tokenizer> tokenizer;
  if (!command.tokenizer.empty()) {
    tokenizer = io::Tokenizer::load(command.tokenizer);
    const std::string& made_with = source->provenance().tokenizer_hash;
    check(made_with.empty() || made_with == tokenizer->hash(), Exit::kFile,
          "'{}' was made with the tokenizer {}, '{}' is {}: give the tokenizer it was made with",
          command.file, made_with, command.tokenizer, tokenizer->hash());
  }

  // 3. The first documents.
  const std::int64_t shown = std::min(command.documents, source->documents());
  for (std::int64_t d = 0; d < shown; ++d) {
    const Range range = source->document(d);
    std::vector<std::uint32_t> ids(
        static_cast<std::size_t>(std::min(range.size(), command.characters)));
    source->read(range.begin, ids);
    std::string text = tokenizer ? tokenizer->decode(ids) : fmt::format("{}", fmt::join(ids, " "));
    const bool cut = range.size() > command.characters || std::ssize(text) > command.characters;
    if (tokenizer && std::ssize(text) > command.characters)
      text.resize(static_cast<std::size_t>(command.characters));
    fmt::print("\n--- document {} (tokens {} to {})\n{}{}\n", d, range.begin, range.end, text,
               cut ? " ..." : "");
  }

  // 4. The checksum of all tokens.
  if (command.verify) {
    source->verify();
    fmt::print("\nchecksum verified\n");
  }
}

}  // namespace trireme::data
