#include "io/aio/parts.hpp"

#include "io/aio/kernel.hpp"
#include "kernels/base/checked.hpp"

#include <algorithm>
#include <cstring>
#include <utility>

namespace trireme::io::aio {
namespace {

/// Fewer bytes in whole blocks go through the page cache: a request past it costs as much time.
constexpr std::int64_t kWorthwhile = 64 << 10;
/// Bytes between parts that are read rather than passed over by another request.
constexpr std::int64_t kReadThrough = 64 << 10;

/// Two threads that block: one's request is in the device while the other's returns.
constexpr Settings kSettings{.block_size = kWindowBytes,
                             .queue_depth = 1,
                             .threads = 2,
                             .single_submit = true,
                             .overlap_events = true,
                             .max_transfers = kWindows};

std::int64_t block_of(std::int64_t offset) { return offset / kAlignment * kAlignment; }

}  // namespace

// ---- writing ---------------------------------------------------------------------------------

PartsWriter::PartsWriter(NamedFile& file)
    : file_(file), engine_(kSettings, {}, blocking_kernel()) {}

void PartsWriter::write(const FilePart& part, const std::byte* from) {
  for (std::int64_t row = 0; row < part.rows; ++row) {
    std::int64_t at = part.offset + row * part.stride;
    const std::int64_t end = at + part.bytes;
    while (at < end) {
      if (filling_ && filling_->end != at) flush();
      if (!filling_) open(at);
      const std::int64_t count = std::min(end, filling_->begin + kWindowBytes) - at;
      std::memcpy(filling_->at(at), from, static_cast<std::size_t>(count));
      from += count;
      at += count;
      filling_->end = at;
      if (at == filling_->begin + kWindowBytes) flush();
    }
  }
}

void PartsWriter::open(std::int64_t offset) {
  if (pool_.free() == 0) {
    const Window oldest = writing_.front();
    writing_.pop_front();
    engine_.wait(*oldest.transfer);
    pool_.give_back(oldest.memory);
  }
  filling_ = Window{pool_.take(), block_of(offset), offset, std::nullopt};
  first_ = offset;
}

void PartsWriter::flush() {
  Window window = *std::exchange(filling_, std::nullopt);
  const auto cached = [&](std::int64_t begin, std::int64_t end) {
    file_.write_cached(begin, {window.at(begin), static_cast<std::size_t>(end - begin)});
  };
  const std::int64_t begin = round_up(first_, kAlignment);
  const std::int64_t end = block_of(window.end);
  if (end - begin < kWorthwhile || !file_.direct()) {
    cached(first_, window.end);
    pool_.give_back(window.memory);
    return;
  }
  cached(first_, begin);
  cached(end, window.end);
  window.transfer =
      engine_.write(file_, begin, {window.at(begin), static_cast<std::size_t>(end - begin)});
  writing_.push_back(window);
}

void PartsWriter::finish() {
  if (filling_) flush();
  for (; !writing_.empty(); writing_.pop_front()) {
    engine_.wait(*writing_.front().transfer);
    pool_.give_back(writing_.front().memory);
  }
}

// ---- reading ---------------------------------------------------------------------------------

std::optional<Dealing::Piece> Dealing::next() {
  if (part_ == parts_.size()) return std::nullopt;
  const FilePart& part = parts_[part_];
  Piece piece;
  piece.offset = part.offset + row_ * part.stride + in_row_;
  const bool near = piece.offset >= end_ && piece.offset - end_ <= kReadThrough;
  piece.opens = !near || piece.offset >= limit_;
  if (piece.opens) limit_ = block_of(piece.offset) + kWindowBytes;
  piece.bytes = std::min(part.bytes - in_row_, limit_ - piece.offset);
  end_ = piece.offset + piece.bytes;
  in_row_ += piece.bytes;
  if (in_row_ == part.bytes) {
    in_row_ = 0;
    if (++row_ == part.rows) {
      row_ = 0;
      ++part_;
    }
  }
  return piece;
}

PartsReader::PartsReader(NamedFile& file, std::vector<FilePart> parts)
    : file_(file),
      parts_(std::move(parts)),
      ahead_(parts_),
      copied_(parts_),
      engine_(kSettings, {}, blocking_kernel()) {
  for (const FilePart& part : parts_)
    check(part.bytes > 0 && part.rows > 0, Exit::kUnexpected, "{}: an empty part at offset {}",
          file_.name(), part.offset);
  opens_next_ = ahead_.next();
  read_ahead();
}

void PartsReader::read_ahead() {
  while (opens_next_ && pool_.free() > 0) {
    Window window{pool_.take(), block_of(opens_next_->offset),
                  opens_next_->offset + opens_next_->bytes, std::nullopt};
    while ((opens_next_ = ahead_.next()) && !opens_next_->opens)
      window.end = opens_next_->offset + opens_next_->bytes;
    start(window);
    windows_.push_back(window);
  }
}

void PartsReader::start(Window& window) {
  // Whole blocks, as far as the file has them; the rest is at its very end.
  const std::int64_t whole = std::clamp(round_up(window.end, kAlignment), window.begin,
                                        std::max(window.begin, block_of(file_.bytes())));
  if (whole > window.begin)
    window.transfer = engine_.read(
        file_, window.begin, window.memory.first(static_cast<std::size_t>(whole - window.begin)));
  if (window.end > whole)
    file_.read_cached(whole, {window.at(whole), static_cast<std::size_t>(window.end - whole)});
}

void PartsReader::read(std::byte* to) {
  check(next_ < parts_.size(), Exit::kUnexpected, "{}: part {} of {} is read", file_.name(),
        next_ + 1, parts_.size());
  const FilePart& part = parts_[next_++];
  for (std::int64_t left = part.bytes * part.rows; left > 0;) {
    const Dealing::Piece piece = *copied_.next();
    if (piece.opens) {
      if (std::exchange(copying_, true)) {
        pool_.give_back(windows_.front().memory);
        windows_.pop_front();
        read_ahead();
      }
      Window& window = windows_.front();
      if (window.transfer) engine_.wait(*std::exchange(window.transfer, std::nullopt));
    }
    std::memcpy(to, windows_.front().at(piece.offset), static_cast<std::size_t>(piece.bytes));
    to += piece.bytes;
    left -= piece.bytes;
  }
}

}  // namespace trireme::io::aio
