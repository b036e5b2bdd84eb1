#include "apps/data/commands.hpp"
#include "apps/data/progress.hpp"
#include "io/text/ordered_pipeline.hpp"
#include "io/text/tokenizer.hpp"
#include "io/tokens/writer.hpp"
#include "kernels/base/error.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

namespace trireme::data {
namespace {

/// Ids of a batch's documents, one after another.
struct Encoded {
  std::vector<std::uint32_t> ids;
  std::vector<std::size_t> ends;
  std::int64_t bytes = 0;
};

}  // namespace

void tokenize(const TokenizeCommand& command) {
  // 1. The tokenizer and the token that ends each document.
  const auto tokenizer = io::Tokenizer::load(command.tokenizer);
  const auto eos = tokenizer.special_id(command.eos);
  check(
      eos.has_value() || command.eos.empty(), Exit::kUsage,
      "tokenizer '{}' has no special token '{}': name one of its own with --eos, or give --no-eos",
      command.tokenizer, command.eos);

  // 2. Input and output.
  io::BatchReader reader(command.input.files, command.input.documents);
  io::Provenance provenance{.tokenizer_hash = tokenizer.hash(),
                            .sources = fmt::format("{}", fmt::join(command.input.files, "\n")),
                            .command = command.command_line,
                            .vocabulary_size = tokenizer.vocabulary_size()};
  if (eos) provenance.eos_id = *eos;
  io::TokenWriter writer(command.out, std::move(provenance));

  // 3. Encode in parallel, write in order.
  std::vector<io::Encoder> encoders;
  for (int i = 0; i < command.input.threads; ++i) encoders.emplace_back(tokenizer);
  double seconds = 0;
  {
    Progress progress("tokenizing", reader.bytes_total());
    std::int64_t done = 0;
    io::run_ordered<io::TextBatch>(
        command.input.threads, [&](io::TextBatch& batch) { return reader.next(batch); },
        [&](int worker, const io::TextBatch& batch) {
          Encoded encoded;
          encoded.bytes = static_cast<std::int64_t>(batch.bytes.size());
          auto& encoder = encoders[static_cast<std::size_t>(worker)];
          io::for_each_document(batch, command.input.documents, [&](std::string_view document) {
            encoder.encode(document, encoded.ids);
            if (eos) encoded.ids.push_back(*eos);
            encoded.ends.push_back(encoded.ids.size());
          });
          return encoded;
        },
        [&](const Encoded& encoded) {
          std::size_t begin = 0;
          for (const std::size_t end : encoded.ends) {
            writer.append(std::span(encoded.ids).subspan(begin, end - begin));
            begin = end;
          }
          progress.update(done += encoded.bytes);
        });
    writer.finish();
    seconds = std::max(progress.seconds(), 1e-6);
  }

  // 4. Say what came out.
  const auto tokens = static_cast<double>(writer.tokens());
  const auto bytes = static_cast<double>(reader.bytes_read());
  fmt::print("{}: {} tokens in {} documents from {:.1f} MB ({:.2f} bytes a token)\n", command.out,
             writer.tokens(), writer.documents(), bytes / 1e6, bytes / tokens);
  fmt::print("{:.2f} s on {} threads: {:.2f} M tokens/s, {:.1f} MB/s\n", seconds,
             command.input.threads, tokens / 1e6 / seconds, bytes / 1e6 / seconds);
}

}  // namespace trireme::data
