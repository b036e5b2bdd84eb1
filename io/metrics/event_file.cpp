#include "io/metrics/event_file.hpp"

#include "kernels/base/error.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <bit>
#include <chrono>
#include <cstring>

namespace trireme::io {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kVersion = "brain.Event:2";
constexpr std::size_t kMostScalars = 64;
constexpr std::size_t kLongestTag = 64;

std::uint32_t masked_crc(std::string_view bytes) {
  return std::rotr(crc32c(bytes), 15) + 0xa282ead8U;
}

/// Protobuf keys: field number and wire type.
enum Key : std::uint8_t {
  kWallTime = 1 << 3 | 1,
  kStep = 2 << 3 | 0,
  kFileVersion = 3 << 3 | 2,
  kSummary = 5 << 3 | 2,
  kSessionLog = 7 << 3 | 2,
  kSummaryValue = 1 << 3 | 2,
  kTag = 1 << 3 | 2,
  kSimpleValue = 2 << 3 | 5,
  kStatus = 1 << 3 | 0,
};

/// Writes protobuf fields one behind the other; the buffer is large enough for what is written.
class Encoder {
 public:
  explicit Encoder(char* begin) : begin_(begin), at_(begin) {}

  void key(Key key) { *at_++ = static_cast<char>(key); }
  void varint(std::uint64_t value) {
    for (; value >= 0x80; value >>= 7) *at_++ = static_cast<char>(value | 0x80);
    *at_++ = static_cast<char>(value);
  }
  template <class Unsigned>
  void fixed(Unsigned value) {
    for (std::size_t i = 0; i < sizeof value; ++i) *at_++ = static_cast<char>(value >> (8 * i));
  }
  void text(std::string_view text) {
    varint(text.size());
    std::memcpy(at_, text.data(), text.size());
    at_ += text.size();
  }
  std::span<const char> bytes() const { return {begin_, at_}; }

 private:
  char* begin_;
  char* at_;
};

constexpr std::size_t varint_size(std::uint64_t value) {
  std::size_t size = 1;
  for (; value >= 0x80; value >>= 7) ++size;
  return size;
}

/// Bytes of a Summary.Value: its tag and its number.
std::size_t value_size(const Scalar& scalar) {
  return 1 + varint_size(scalar.tag.size()) + scalar.tag.size() + 1 + sizeof(float);
}

Encoder begin_event(char* buffer, std::int64_t step) {
  const std::chrono::duration<double> now = std::chrono::system_clock::now().time_since_epoch();
  Encoder event(buffer);
  event.key(kWallTime);
  event.fixed(std::bit_cast<std::uint64_t>(now.count()));
  event.key(kStep);
  event.varint(static_cast<std::uint64_t>(step));
  return event;
}

fs::path fresh_name(const fs::path& folder) {
  std::error_code problem;
  fs::create_directories(folder, problem);
  check(!problem, Exit::kFile, "can't make the folder {} for events: {}", folder.string(),
        problem.message());
  std::array<char, 256> host{};
  gethostname(host.data(), host.size() - 1);
  const auto now = std::chrono::duration_cast<std::chrono::seconds>(
      std::chrono::system_clock::now().time_since_epoch());
  for (int n = 0;; ++n) {
    fs::path file = folder / fmt::format("events.out.tfevents.{:010}.{}.{}.{}", now.count(),
                                         host.data(), getpid(), n);
    if (!fs::exists(file)) return file;
  }
}

constexpr std::array<std::uint32_t, 256> crc_table() {
  std::array<std::uint32_t, 256> table{};
  for (std::uint32_t i = 0; i < 256; ++i) {
    std::uint32_t value = i;
    for (int bit = 0; bit < 8; ++bit) value = (value >> 1) ^ ((value & 1U) ? 0x82F63B78U : 0U);
    table[i] = value;
  }
  return table;
}

constexpr std::array<std::uint32_t, 256> kCrcTable = crc_table();

}  // namespace

std::uint32_t crc32c(std::string_view bytes) {
  std::uint32_t crc = ~0U;
  for (const char c : bytes)
    crc = (crc >> 8) ^ kCrcTable[(crc ^ static_cast<unsigned char>(c)) & 0xFFU];
  return ~crc;
}

EventFile::EventFile(const fs::path& folder, std::int64_t first_step) : file_(fresh_name(folder)) {
  std::array<char, 64> buffer{};
  Encoder version = begin_event(buffer.data(), 0);
  version.key(kFileVersion);
  version.text(kVersion);
  append(version.bytes());
  Encoder start = begin_event(buffer.data(), first_step);
  start.key(kSessionLog);
  start.varint(2);
  start.key(kStatus);
  start.varint(1);
  append(start.bytes());
}

void EventFile::write(std::int64_t step, std::span<const Scalar> scalars) {
  std::size_t size = 0;
  for (const Scalar& scalar : scalars) {
    check(scalar.tag.size() <= kLongestTag, Exit::kUnexpected, "a tag of {} bytes is too long: {}",
          scalar.tag.size(), scalar.tag);
    size += 1 + varint_size(value_size(scalar)) + value_size(scalar);
  }
  check(scalars.size() <= kMostScalars, Exit::kUnexpected, "expected at most {} scalars, found {}",
        kMostScalars, scalars.size());
  std::array<char, kMostScalars*(kLongestTag + 16) + 32> buffer;
  Encoder event = begin_event(buffer.data(), step);
  event.key(kSummary);
  event.varint(size);
  for (const Scalar& scalar : scalars) {
    event.key(kSummaryValue);
    event.varint(value_size(scalar));
    event.key(kTag);
    event.text(scalar.tag);
    event.key(kSimpleValue);
    event.fixed(std::bit_cast<std::uint32_t>(static_cast<float>(scalar.value)));
  }
  append(event.bytes());
}

void EventFile::append(std::span<const char> event) {
  Encoder record(record_.data());
  record.fixed(static_cast<std::uint64_t>(event.size()));
  record.fixed(masked_crc({record_.data(), 8}));
  std::memcpy(record_.data() + 12, event.data(), event.size());
  Encoder tail(record_.data() + 12 + event.size());
  tail.fixed(masked_crc({event.data(), event.size()}));
  file_.append({record_.data(), event.size() + 16});
}

}  // namespace trireme::io
