#pragma once
// The three commands of trireme-data. Each prints its result to standard output, progress to
// standard error, and throws trireme::Error.

#include "io/text/documents.hpp"

#include <cstdint>
#include <string>
#include <vector>

namespace trireme::data {

struct TextInput {
  std::vector<std::string> files;
  io::DocumentOptions documents;
  int threads = 1;
};

struct TokenizerCommand {
  TextInput input;
  std::int64_t vocabulary = 0;
  std::int64_t minimum_frequency = 0;
  std::vector<std::string> specials;
  std::string out;
};
/// Trains a byte-level BPE and writes tokenizer.json.
void train(const TokenizerCommand& command);

struct TokenizeCommand {
  TextInput input;
  std::string tokenizer;
  std::string eos;  ///< special token that ends each document; empty = none
  std::string out;
  std::string command_line;  ///< goes into the shard
};
/// Encodes text into a token shard.
void tokenize(const TokenizeCommand& command);

struct InspectCommand {
  std::string file;
  std::string tokenizer;          ///< empty = ids instead of text
  std::int64_t documents = 3;     ///< how many of the first are shown
  std::int64_t characters = 400;  ///< bytes of text or tokens shown of each
  bool verify = false;
};
/// Prints what a token file says of itself, and its first documents.
void inspect(const InspectCommand& command);

}  // namespace trireme::data
