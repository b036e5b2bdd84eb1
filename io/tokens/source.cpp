#include "io/tokens/source.hpp"

#include "io/checksum.hpp"

#include <algorithm>
#include <cstring>
#include <vector>

namespace trireme::io {
namespace {

/// Widens 16-bit ids that lie in the second half of `out` into all of it, front to back: the write
/// of element i never reaches the read of element i + 1.
void widen_in_place(std::span<std::uint32_t> out) {
  auto* bytes = reinterpret_cast<std::byte*>(out.data());
  const std::byte* narrow_ids = bytes + 2 * out.size();
  for (std::size_t i = 0; i < out.size(); ++i) {
    std::uint16_t id = 0;
    std::memcpy(&id, narrow_ids + 2 * i, 2);
    const std::uint32_t wide = id;
    std::memcpy(bytes + 4 * i, &wide, 4);
  }
}

}  // namespace

TokenSource::TokenSource(FileBytes file, Layout layout, std::int64_t vocabulary)
    : file_(std::move(file)), layout_(std::move(layout)) {
  const std::int64_t declared = layout_.provenance.vocabulary_size;
  check(vocabulary == 0 || declared <= vocabulary, Exit::kFile,
        "token file '{}' was made with a vocabulary of {}, the model has {}: give the model a "
        "vocabulary at least as large, or tokenize again",
        path(), declared, vocabulary);
  const std::int64_t by_type = layout_.dtype == DType::u16 ? 0x10000 : std::int64_t{1} << 31;
  vocabulary_ = vocabulary > 0 ? vocabulary : declared > 0 ? declared : by_type;
  check(layout_.tokens > 0, Exit::kFile,
        "token file '{}' is empty: expected at least one token; make it again with trireme-data "
        "tokenize",
        path());
  const DocumentIndex& documents = *layout_.documents;
  check(documents.count() > 0 && documents.begin(0) == 0 &&
            documents.begin(documents.count()) == layout_.tokens,
        Exit::kFile,
        "token file '{}': its document boundaries do not run from 0 to its {} tokens: the file is "
        "damaged",
        path(), layout_.tokens);
}

Range TokenSource::document(std::int64_t d) const {
  check(d >= 0 && d < documents(), Exit::kUnexpected, "document {} of {} in '{}'", d, documents(),
        path());
  return {layout_.documents->begin(d), layout_.documents->begin(d + 1)};
}

std::int64_t TokenSource::document_of(std::int64_t token) const {
  // The last document that begins at or before the token (empty documents before it are passed).
  std::int64_t low = 0;
  std::int64_t high = documents();
  while (high - low > 1) {
    const std::int64_t middle = low + (high - low) / 2;
    (layout_.documents->begin(middle) <= token ? low : high) = middle;
  }
  return low;
}

void TokenSource::read_raw(std::int64_t begin, std::int64_t count, void* out) const {
  check(begin >= 0 && count >= 0 && begin + count <= tokens(), Exit::kFile,
        "tokens [{}, {}) do not lie in '{}', which has {}", begin, begin + count, path(), tokens());
  const auto width = static_cast<std::int64_t>(size_of(layout_.dtype));
  auto piece = std::upper_bound(layout_.pieces.begin(), layout_.pieces.end(), begin,
                                [](std::int64_t at, const FilePiece& p) { return at < p.first; });
  auto* next = static_cast<std::byte*>(out);
  for (--piece; count > 0; ++piece) {
    const std::int64_t skip = begin - piece->first;
    const std::int64_t here = std::min(count, piece->elements - skip);
    file_.read(piece->offset + skip * width, next, here * width);
    next += here * width;
    begin += here;
    count -= here;
  }
}

void TokenSource::read(std::int64_t begin, std::span<std::uint32_t> out) const {
  const auto count = static_cast<std::int64_t>(out.size());
  if (count == 0) return;
  if (layout_.dtype == DType::u16) {
    read_raw(begin, count, reinterpret_cast<std::byte*>(out.data()) + 2 * out.size());
    widen_in_place(out);
  } else {
    read_raw(begin, count, out.data());
  }
  const auto worst = std::max_element(out.begin(), out.end());
  check(*worst < vocabulary_, Exit::kFile,
        "token file '{}': expected ids below {}, found {} at token {}: the file was made with "
        "another tokenizer or is damaged",
        path(), vocabulary_, *worst, begin + (worst - out.begin()));
}

void TokenSource::verify() const {
  check(!layout_.provenance.checksum.empty(), Exit::kFile,
        "token file '{}' ({}) carries no checksum to compare with", path(),
        layout_.provenance.format);
  constexpr std::int64_t kAtOnce = 1 << 20;
  const auto width = static_cast<std::int64_t>(size_of(layout_.dtype));
  std::vector<std::byte> buffer(static_cast<std::size_t>(kAtOnce * width));
  StreamingChecksum sum;
  for (std::int64_t begin = 0; begin < tokens(); begin += kAtOnce) {
    const std::int64_t count = std::min(kAtOnce, tokens() - begin);
    read_raw(begin, count, buffer.data());
    sum.update(buffer.data(), static_cast<std::size_t>(count * width));
  }
  const std::string found = checksum_text(sum.digest());
  check(found == layout_.provenance.checksum, Exit::kFile,
        "token file '{}' is damaged: expected checksum {}, found {}; make it again with "
        "trireme-data tokenize",
        path(), layout_.provenance.checksum, found);
}

}  // namespace trireme::io
