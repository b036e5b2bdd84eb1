// Headers of llm.c's and Megatron's token files.

#include "io/tokens/formats.hpp"

#include <array>
#include <cstring>

namespace trireme::io {
namespace {

// llm.c, dev/data/data_common.py: 256 int32 (magic, version, number of tokens, 0...), then tokens.
constexpr std::int64_t kLlmcHeader = 1024;
struct LlmcKind {
  std::int32_t magic;
  std::int32_t version;
  DType dtype;
};
constexpr std::array kLlmcKinds{LlmcKind{20240520, 1, DType::u16},
                                LlmcKind{20240801, 7, DType::u32}};

const LlmcKind* llmc_kind(std::int32_t magic) {
  for (const LlmcKind& kind : kLlmcKinds)
    if (kind.magic == magic) return &kind;
  return nullptr;
}

// Megatron, core/datasets/indexed_dataset.py, little-endian: 9 bytes of magic, u64 version, u8
// element type, u64 sequences, u64 document indices; then i32 lengths and i64 byte offsets by
// sequence, and i64 first sequences by document, one more than there are documents.
constexpr std::array<char, 9> kMegatronMagic{'M', 'M', 'I', 'D', 'I', 'D', 'X', 0, 0};
constexpr std::int64_t kMegatronHeader = 9 + 8 + 1 + 8 + 8;

template <class T>
T load(const std::byte* from) {
  T value;
  std::memcpy(&value, from, sizeof value);
  return value;
}

class MegatronDocuments : public DocumentIndex {
 public:
  MegatronDocuments(const FileBytes& index, std::int64_t sequences, std::int64_t indices,
                    std::int64_t width, std::int64_t tokens)
      : offsets_(index, kMegatronHeader + 4 * sequences, 8 * sequences),
        first_(index, kMegatronHeader + 12 * sequences, 8 * indices),
        sequences_(sequences),
        count_(indices - 1),
        width_(width),
        tokens_(tokens) {}

  std::int64_t count() const override { return count_; }
  std::int64_t begin(std::int64_t d) const override {
    const auto sequence = load<std::int64_t>(first_.data() + 8 * d);
    if (sequence < 0 || sequence >= sequences_) return tokens_;
    return load<std::int64_t>(offsets_.data() + 8 * sequence) / width_;
  }

 private:
  MappedBytes offsets_;
  MappedBytes first_;
  std::int64_t sequences_;
  std::int64_t count_;
  std::int64_t width_;
  std::int64_t tokens_;
};

}  // namespace

bool is_llmc(const FileBytes& file) {
  std::int32_t magic = 0;
  if (file.size() < 4) return false;
  file.read(0, &magic, 4);
  return llmc_kind(magic) != nullptr;
}

TokenSource::Layout read_llmc_layout(const FileBytes& file) {
  check(file.size() >= kLlmcHeader, Exit::kFile,
        "llm.c token file '{}' is truncated: expected a header of {} bytes, found {}", file.path(),
        kLlmcHeader, file.size());
  std::array<std::int32_t, 3> header{};
  file.read(0, header.data(), sizeof header);
  const LlmcKind& kind = *llmc_kind(header[0]);
  check(header[1] == kind.version, Exit::kFile,
        "llm.c token file '{}': expected version {} for magic {}, found {}", file.path(),
        kind.version, kind.magic, header[1]);
  const std::int64_t tokens = header[2];
  const std::int64_t expected =
      kLlmcHeader + tokens * static_cast<std::int64_t>(size_of(kind.dtype));
  check(file.size() == expected, Exit::kFile,
        "llm.c token file '{}' is truncated or damaged: its header says {} tokens = {} bytes, "
        "found {}: make it again",
        file.path(), tokens, expected, file.size());
  TokenSource::Layout layout;
  layout.dtype = kind.dtype;
  layout.tokens = tokens;
  layout.pieces = {{0, tokens, kLlmcHeader}};
  layout.documents = one_document(tokens);
  layout.provenance.format = "llm.c";
  return layout;
}

TokenSource::Layout read_megatron_layout(const FileBytes& file, const FileBytes& index) {
  std::array<std::byte, kMegatronHeader> header{};
  check(index.size() >= kMegatronHeader, Exit::kFile,
        "Megatron index '{}' is truncated: expected at least {} bytes, found {}", index.path(),
        kMegatronHeader, index.size());
  index.read(0, header.data(), kMegatronHeader);
  check(std::memcmp(header.data(), kMegatronMagic.data(), kMegatronMagic.size()) == 0 &&
            load<std::uint64_t>(header.data() + 9) == 1,
        Exit::kFile, "'{}' is no Megatron index: expected MMIDIDX, version 1, at its start",
        index.path());
  const auto code = load<std::uint8_t>(header.data() + 17);
  check(code == 8 || code == 4, Exit::kFile,
        "Megatron index '{}': expected tokens of type 8 (uint16) or 4 (int32), found type {}",
        index.path(), code);
  const auto sequences = load<std::int64_t>(header.data() + 18);
  const auto indices = load<std::int64_t>(header.data() + 26);
  const bool sound = sequences >= 0 && indices >= 2 && sequences <= index.size() / 12 &&
                     indices <= index.size() / 8 &&
                     index.size() >= kMegatronHeader + 12 * sequences + 8 * indices;
  check(sound, Exit::kFile,
        "Megatron index '{}' is truncated or damaged: {} sequences and {} document indices do not "
        "fit its {} bytes",
        index.path(), sequences, indices, index.size());

  TokenSource::Layout layout;
  layout.dtype = code == 8 ? DType::u16 : DType::i32;
  const auto width = static_cast<std::int64_t>(size_of(layout.dtype));
  layout.tokens = file.size() / width;
  std::int64_t expected = 0;
  if (sequences > 0) {
    const MappedBytes lengths(index, kMegatronHeader, 4 * sequences);
    const MappedBytes offsets(index, kMegatronHeader + 4 * sequences, 8 * sequences);
    expected = load<std::int64_t>(offsets.data() + 8 * (sequences - 1)) +
               width * load<std::int32_t>(lengths.data() + 4 * (sequences - 1));
  }
  check(file.size() == expected, Exit::kFile,
        "Megatron token file '{}' is truncated or not that of its index: the index says {} bytes, "
        "found {}",
        file.path(), expected, file.size());
  layout.pieces = {{0, layout.tokens, 0}};
  layout.documents =
      std::make_unique<MegatronDocuments>(index, sequences, indices, width, layout.tokens);
  layout.provenance.format = "megatron";
  return layout;
}

}  // namespace trireme::io
