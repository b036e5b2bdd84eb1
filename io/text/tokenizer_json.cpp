// tokenizer.json: reading with every unsupported wish named, writing as Hugging Face does.

#include "io/text/byte_alphabet.hpp"
#include "io/text/tokenizer.hpp"
#include "kernels/base/error.hpp"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <fstream>

namespace trireme::io {
namespace {

using Json = nlohmann::json;
using OrderedJson = nlohmann::ordered_json;  // for writing: keys stay in Hugging Face's order

/// Reads one file; every failure is an Exit::kFile that names it.
class TokenizerReader {
 public:
  explicit TokenizerReader(std::string path) : path_(std::move(path)) {}

  Tokenizer read() {
    std::ifstream in(path_, std::ios::binary);
    expect(in.good(), "expected a tokenizer.json, can't open it: check the path");
    const Json root = Json::parse(in, nullptr, false);
    expect(root.is_object(), "is not JSON, or was cut off: expected a tokenizer.json");
    const Json& model = member(root, "model");
    expect_supported(root, model);
    read_vocabulary(model);
    read_added_tokens(root);
    for (std::size_t id = 0; id < tokens_.size(); ++id)
      expect(present_[id], fmt::format("no token has the id {}: ids must have no gaps", id));
    read_merges(model);
    return Tokenizer(std::move(tokens_), std::move(merges_), std::move(specials_));
  }

 private:
  void expect(bool ok, const std::string& problem) const {
    check(ok, Exit::kFile, "tokenizer '{}': {}", path_, problem);
  }

  const Json& member(const Json& object, const char* key) const {
    expect(object.is_object() && object.contains(key), fmt::format("the key '{}' is missing", key));
    return object[key];
  }

  /// Absent, null, false, 0, "" and [] all mean that a wish is not made.
  static bool asks(const Json& object, const char* key) {
    if (!object.contains(key)) return false;
    const Json& value = object[key];
    if (value.is_boolean()) return value.get<bool>();
    if (value.is_number()) return value.get<double>() != 0;
    if (value.is_string()) return !value.get_ref<const std::string&>().empty();
    return !value.is_null() && !value.empty();
  }

  static bool is_byte_level(const Json& part) {
    return part.is_object() && part.value("type", "") == "ByteLevel";
  }

  void expect_supported(const Json& root, const Json& model) const {
    expect(model.value("type", "BPE") == "BPE", "expected a model of type BPE");
    for (const char* key : {"dropout", "continuing_subword_prefix", "end_of_word_suffix",
                            "byte_fallback", "ignore_merges"})
      expect(!asks(model, key), fmt::format("the model's '{}' is not supported", key));
    expect(!asks(root, "normalizer"), "a normalizer is not supported");
    const Json& words = member(root, "pre_tokenizer");
    expect(
        is_byte_level(words) && !asks(words, "add_prefix_space") && words.value("use_regex", true),
        "expected the pre-tokenizer ByteLevel with add_prefix_space = false and GPT-2's pattern");
    expect(!asks(root, "post_processor") || is_byte_level(root["post_processor"]),
           "a post-processor that adds tokens is not supported");
  }

  void put(std::uint32_t id, std::string bytes) {
    expect(id < (1u << 24), fmt::format("the id {} is too large", id));
    if (id >= tokens_.size()) {
      tokens_.resize(id + 1);
      present_.resize(id + 1);
    }
    expect(!present_[id] || tokens_[id] == bytes, fmt::format("two tokens have the id {}", id));
    tokens_[id] = std::move(bytes);
    present_[id] = true;
  }

  void read_vocabulary(const Json& model) {
    const Json& vocabulary = member(model, "vocab");
    expect(vocabulary.is_object(), "'vocab' is no object");
    for (const auto& [text, id] : vocabulary.items()) {
      expect(id.is_number_unsigned(), fmt::format("the token '{}' has no id", text));
      // A special token may stand here too, as itself: then it is no text of the byte alphabet,
      // or it is one and reads the same.
      put(id.get<std::uint32_t>(), bytes_from_printable(text).value_or(text));
      ids_[text] = id.get<std::uint32_t>();
    }
  }

  void read_added_tokens(const Json& root) {
    if (!asks(root, "added_tokens")) return;
    for (const Json& added : root["added_tokens"]) {
      const std::string text = member(added, "content");
      for (const char* key : {"single_word", "lstrip", "rstrip"})
        expect(
            !asks(added, key),
            fmt::format("the special token '{}' asks for '{}', which is not supported", text, key));
      const auto id = member(added, "id").get<std::uint32_t>();
      put(id, text);
      specials_.push_back({text, id});
    }
  }

  void read_merges(const Json& model) {
    for (const Json& merge : member(model, "merges")) {
      std::string left;
      std::string right;
      if (merge.is_string()) {  // the older form, "left right"
        const auto& text = merge.get_ref<const std::string&>();
        const std::size_t space = text.find(' ');
        expect(space != std::string::npos, fmt::format("the merge '{}' is no pair", text));
        left = text.substr(0, space);
        right = text.substr(space + 1);
      } else {
        expect(
            merge.is_array() && merge.size() == 2 && merge[0].is_string() && merge[1].is_string(),
            "a merge is no pair of tokens");
        left = merge[0];
        right = merge[1];
      }
      merges_.push_back({id_of(left), id_of(right), id_of(left + right)});
    }
  }

  std::uint32_t id_of(const std::string& text) const {
    const auto found = ids_.find(text);
    expect(found != ids_.end(), fmt::format("a merge names '{}', which is no token", text));
    return found->second;
  }

  std::string path_;
  std::vector<std::string> tokens_;
  std::vector<bool> present_;
  std::unordered_map<std::string, std::uint32_t> ids_;
  std::vector<Tokenizer::Merge> merges_;
  std::vector<Tokenizer::Special> specials_;
};

OrderedJson byte_level(bool add_prefix_space) {
  return {{"type", "ByteLevel"},
          {"add_prefix_space", add_prefix_space},
          {"trim_offsets", true},
          {"use_regex", true}};
}

}  // namespace

Tokenizer Tokenizer::load(const std::string& path) { return TokenizerReader(path).read(); }

void Tokenizer::save(const std::string& path) const {
  std::vector<std::string> text;
  for (const std::string& token : tokens_) text.push_back(printable_from_bytes(token));
  OrderedJson added = OrderedJson::array();
  for (const Special& special : specials_) {
    text[special.id] = special.text;
    added.push_back({{"id", special.id},
                     {"content", special.text},
                     {"single_word", false},
                     {"lstrip", false},
                     {"rstrip", false},
                     {"normalized", false},
                     {"special", true}});
  }
  OrderedJson vocabulary = OrderedJson::object();
  // The object's own lookup of each new key would make this quadratic.
  auto& entries = vocabulary.get_ref<OrderedJson::object_t&>();
  for (std::size_t id = 0; id < text.size(); ++id) entries.emplace_back(text[id], id);
  OrderedJson merges = OrderedJson::array();
  for (const Merge& merge : merges_)
    merges.push_back(OrderedJson::array({text[merge.left], text[merge.right]}));

  const OrderedJson root{{"version", "1.0"},
                         {"truncation", nullptr},
                         {"padding", nullptr},
                         {"added_tokens", std::move(added)},
                         {"normalizer", nullptr},
                         {"pre_tokenizer", byte_level(false)},
                         {"post_processor", nullptr},
                         {"decoder", byte_level(true)},
                         {"model",
                          {{"type", "BPE"},
                           {"dropout", nullptr},
                           {"unk_token", nullptr},
                           {"continuing_subword_prefix", nullptr},
                           {"end_of_word_suffix", nullptr},
                           {"fuse_unk", false},
                           {"byte_fallback", false},
                           {"ignore_merges", false},
                           {"vocab", std::move(vocabulary)},
                           {"merges", std::move(merges)}}}};
  std::ofstream out(path, std::ios::binary);
  out << root.dump(2);
  out.close();
  check(out.good(), Exit::kFile, "writing '{}' failed: is there space, and may you write there?",
        path);
}

}  // namespace trireme::io
