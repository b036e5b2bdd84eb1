// Event files read back, and cut where a run resumes.

#include "io/metrics/event_file.hpp"
#include "io/metrics/write_file.hpp"
#include "kernels/base/error.hpp"

#include <algorithm>
#include <bit>
#include <optional>
#include <string>

namespace trireme::io {
namespace {

namespace fs = std::filesystem;

std::uint64_t little_endian(std::string_view bytes) {
  std::uint64_t value = 0;
  for (std::size_t i = bytes.size(); i-- > 0;)
    value = value << 8 | static_cast<unsigned char>(bytes[i]);
  return value;
}

/// The next record's bytes, and `rest` behind it; nothing when it is cut short or damaged.
std::optional<std::string_view> next_record(std::string_view& rest) {
  constexpr std::size_t kHead = 12;
  constexpr std::size_t kTail = 4;
  const auto sound = [](std::string_view bytes, std::string_view sum) {
    return std::rotr(crc32c(bytes), 15) + 0xa282ead8U == little_endian(sum);
  };
  if (rest.size() < kHead || !sound(rest.substr(0, 8), rest.substr(8, 4))) return std::nullopt;
  const std::uint64_t size = little_endian(rest.substr(0, 8));
  if (size > rest.size() - kHead || rest.size() - kHead - size < kTail) return std::nullopt;
  const std::string_view bytes = rest.substr(kHead, size);
  if (!sound(bytes, rest.substr(kHead + size, kTail))) return std::nullopt;
  rest.remove_prefix(kHead + size + kTail);
  return bytes;
}

/// One protobuf field after the other; a message that is cut short ends there.
struct Field {
  std::uint64_t key = 0;    ///< number << 3 | wire type
  std::uint64_t value = 0;  ///< of a varint or of fixed bytes
  std::string_view bytes;   ///< of a text or a message
};

bool take_varint(std::string_view& rest, std::uint64_t& value) {
  value = 0;
  for (unsigned shift = 0; shift < 64 && !rest.empty(); shift += 7) {
    const auto byte = static_cast<unsigned char>(rest.front());
    rest.remove_prefix(1);
    value |= static_cast<std::uint64_t>(byte & 0x7FU) << shift;
    if (byte < 0x80U) return true;
  }
  return false;
}

bool take_field(std::string_view& rest, Field& field) {
  if (rest.empty() || !take_varint(rest, field.key)) return false;
  std::uint64_t size = 0;
  switch (field.key & 7U) {
    case 0: return take_varint(rest, field.value);
    case 1: size = 8; break;
    case 2:
      if (!take_varint(rest, size)) return false;
      break;
    case 5: size = 4; break;
    default: return false;
  }
  if (size > rest.size()) return false;
  field.bytes = rest.substr(0, size);
  if ((field.key & 7U) != 2) field.value = little_endian(field.bytes);
  rest.remove_prefix(size);
  return true;
}

std::pair<std::string, float> scalar_of(std::string_view message) {
  std::pair<std::string, float> scalar;
  for (Field field; take_field(message, field);) {
    if (field.key == (1 << 3 | 2)) scalar.first = field.bytes;
    if (field.key == (2 << 3 | 5))
      scalar.second = std::bit_cast<float>(static_cast<std::uint32_t>(field.value));
  }
  return scalar;
}

Event event_of(std::string_view message) {
  Event event;
  for (Field field; take_field(message, field);) {
    std::string_view inner = field.bytes;
    Field part;
    switch (field.key) {
      case 1 << 3 | 1: event.wall_time = std::bit_cast<double>(field.value); break;
      case 2 << 3 | 0: event.step = static_cast<std::int64_t>(field.value); break;
      case 3 << 3 | 2: event.version = field.bytes; break;
      case 5 << 3 | 2:
        while (take_field(inner, part))
          if (part.key == (1 << 3 | 2)) event.scalars.push_back(scalar_of(part.bytes));
        break;
      case 7 << 3 | 2:
        while (take_field(inner, part))
          if (part.key == (1 << 3 | 0)) event.start = part.value == 1;
        break;
      default: break;
    }
  }
  return event;
}

}  // namespace

std::vector<Event> read_events(const fs::path& file) {
  const std::string text = read_file(file, "TensorBoard events");
  std::string_view rest = text;
  std::vector<Event> events;
  while (const auto record = next_record(rest)) {
    events.push_back(event_of(*record));
    events.back().end = static_cast<std::int64_t>(text.size() - rest.size());
  }
  return events;
}

std::vector<fs::path> event_files(const fs::path& folder) {
  std::vector<fs::path> files;
  if (!fs::is_directory(folder)) return files;
  for (const auto& entry : fs::directory_iterator(folder))
    if (entry.path().filename().string().starts_with("events.out.tfevents."))
      files.push_back(entry.path());
  std::sort(files.begin(), files.end());
  return files;
}

void cut_events(const fs::path& folder, std::int64_t last_step) {
  for (const fs::path& file : event_files(folder)) {
    std::int64_t kept = 0;
    bool scalars = false;
    for (const Event& event : read_events(file)) {
      if (event.step > last_step) break;
      kept = event.end;
      scalars = scalars || !event.scalars.empty();
    }
    std::error_code problem;
    if (!scalars)
      fs::remove(file, problem);
    else if (kept < static_cast<std::int64_t>(fs::file_size(file)))
      fs::resize_file(file, static_cast<std::uintmax_t>(kept), problem);
    check(!problem, Exit::kFile, "can't cut {} at step {}: {}", file.string(), last_step,
          problem.message());
  }
}

}  // namespace trireme::io
