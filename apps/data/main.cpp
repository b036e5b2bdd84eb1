// trireme-data: text in, tokens out. One process, no ranks.
//
// Sample runs (apps/data/README.md shows what they print):
//   trireme-data tokenizer text.jsonl --vocab 8192 --out tokenizer.json
//   trireme-data tokenize text.jsonl --tokenizer tokenizer.json --out tokens.h5
//   trireme-data inspect tokens.h5 --tokenizer tokenizer.json

#include "apps/data/commands.hpp"
#include "io/version.hpp"
#include "kernels/base/error.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <CLI/CLI.hpp>

#include <algorithm>
#include <thread>

namespace {

using namespace trireme;

/// Options of every command that reads text.
void add_input(CLI::App& app, data::TextInput& input) {
  app.add_option("files", input.files, "JSON Lines (*.jsonl, *.ndjson) or plain text, UTF-8")
      ->required();
  app.add_option("--key", input.documents.key, "member of each JSON line that holds the text")
      ->capture_default_str();
  app.add_option("--document-separator", input.documents.separator,
                 "plain text: line between documents, \"\" = blank lines; default: a file is one "
                 "document");
  app.add_option("--threads", input.threads, "worker threads")
      ->check(CLI::Range(1, 1024))
      ->capture_default_str();
}

int run(int argc, char** argv) {
  // 1. The command line.
  CLI::App app("Trains tokenizers, turns text into token shards, shows what a shard holds.");
  app.set_help_flag();  // one --help shows the options of every command
  app.set_help_all_flag("-h,--help", "this text");
  app.set_version_flag("--version", io::version() + " " + io::commit());
  app.require_subcommand(1);
  const int cores = std::max(1, static_cast<int>(std::thread::hardware_concurrency()));

  data::TokenizerCommand train;
  train.input.threads = cores;
  train.specials = {"<|endoftext|>"};
  CLI::App* tokenizer = app.add_subcommand("tokenizer", "train a byte-level BPE");
  add_input(*tokenizer, train.input);
  tokenizer->add_option("--vocab", train.vocabulary, "tokens, the 256 bytes and specials included")
      ->required();
  tokenizer->add_option("--min-frequency", train.minimum_frequency, "rarer pairs are not merged");
  tokenizer->add_option("--special", train.specials, "special tokens, ids from 0 on")
      ->capture_default_str();
  tokenizer->add_option("--out", train.out, "tokenizer.json to write")->required();

  data::TokenizeCommand tokenize;
  tokenize.input.threads = cores;
  tokenize.eos = "<|endoftext|>";
  bool no_eos = false;
  CLI::App* shard = app.add_subcommand("tokenize", "encode text into a token shard");
  add_input(*shard, tokenize.input);
  shard->add_option("--tokenizer", tokenize.tokenizer, "tokenizer.json")->required();
  shard->add_option("--eos", tokenize.eos, "special token that ends each document")
      ->capture_default_str();
  shard->add_flag("--no-eos", no_eos, "end documents without a token");
  shard->add_option("--out", tokenize.out, "HDF5 file to write")->required();

  data::InspectCommand inspect;
  CLI::App* look = app.add_subcommand("inspect", "show a token file: shard, Megatron or llm.c");
  look->add_option("file", inspect.file, "token file")->required();
  look->add_option("--tokenizer", inspect.tokenizer, "decode with this tokenizer.json");
  look->add_option("--documents", inspect.documents, "how many of the first to show")
      ->capture_default_str();
  look->add_option("--characters", inspect.characters, "how much of each to show")
      ->capture_default_str();
  look->add_flag("--verify", inspect.verify, "read everything and compare the checksum");

  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : static_cast<int>(Exit::kUsage);
  }

  // 2. The command.
  if (tokenizer->parsed()) data::train(train);
  if (shard->parsed()) {
    if (no_eos) tokenize.eos.clear();
    tokenize.command_line = fmt::format("{}", fmt::join(argv, argv + argc, " "));
    data::tokenize(tokenize);
  }
  if (look->parsed()) data::inspect(inspect);
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    return run(argc, argv);
  } catch (const trireme::Error& error) {
    fmt::print(stderr, "trireme-data: {}\n", error.what());
    return error.exit_code();
  } catch (const std::exception& error) {
    fmt::print(stderr, "trireme-data: unexpected: {}\n", error.what());
    return static_cast<int>(trireme::Exit::kUnexpected);
  }
}
