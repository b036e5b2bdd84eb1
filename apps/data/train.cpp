#include "apps/data/commands.hpp"
#include "apps/data/progress.hpp"
#include "io/text/ordered_pipeline.hpp"
#include "io/text/trainer.hpp"
#include "kernels/base/error.hpp"

#include <fmt/format.h>

#include <utility>

namespace trireme::data {

void train(const TokenizerCommand& command) {
  // 1. Count the words, each thread its own.
  io::BatchReader reader(command.input.files, command.input.documents);
  std::vector<io::WordCounter> counters(static_cast<std::size_t>(command.input.threads));
  double counting = 0;
  std::int64_t documents = 0;
  {
    Progress progress("counting words", reader.bytes_total());
    std::int64_t done = 0;
    io::run_ordered<io::TextBatch>(
        command.input.threads, [&](io::TextBatch& batch) { return reader.next(batch); },
        [&](int worker, const io::TextBatch& batch) {
          std::int64_t found = 0;
          auto& counter = counters[static_cast<std::size_t>(worker)];
          io::for_each_document(batch, command.input.documents, [&](std::string_view document) {
            counter.add(document);
            ++found;
          });
          return std::pair{found, static_cast<std::int64_t>(batch.bytes.size())};
        },
        [&](const std::pair<std::int64_t, std::int64_t>& result) {
          documents += result.first;
          progress.update(done += result.second);
        });
    for (std::size_t i = 1; i < counters.size(); ++i) counters[0].merge(std::move(counters[i]));
    counting = progress.seconds();
  }
  check(!counters[0].counts().empty(), Exit::kFile,
        "the input held no text to train on: check the files");

  // 2. Merge the most frequent pairs.
  const Progress merging("merging", 0);
  const io::Tokenizer tokenizer =
      io::train_tokenizer(counters[0], {.vocabulary_size = command.vocabulary,
                                        .minimum_frequency = command.minimum_frequency,
                                        .specials = command.specials});

  // 3. Write.
  tokenizer.save(command.out);
  if (tokenizer.vocabulary_size() < command.vocabulary)
    fmt::print(stderr, "warning: the text has pairs for {} tokens only, {} were asked for\n",
               tokenizer.vocabulary_size(), command.vocabulary);
  fmt::print("{}: {} tokens from {} documents, {:.1f} MB, {} distinct words; hash {}\n",
             command.out, tokenizer.vocabulary_size(), documents,
             static_cast<double>(reader.bytes_read()) / 1e6, counters[0].counts().size(),
             tokenizer.hash());
  fmt::print("{:.2f} s counting on {} threads, {:.2f} s merging\n", counting, command.input.threads,
             merging.seconds());
}

}  // namespace trireme::data
