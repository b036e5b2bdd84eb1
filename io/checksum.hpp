#pragma once
// XXH3-64 (xxhash.com): a checksum against accidents, not against attackers. Bytes are hashed as
// they lie in memory; files of ours are little-endian.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>

namespace trireme::io {

/// Checksum of one piece of memory; seed 0. Equals the streaming form over the same bytes.
std::uint64_t checksum(const void* data, std::size_t bytes);

/// 16 hexadecimal digits, the form in which checksums stand in attributes and messages.
std::string checksum_text(std::uint64_t value);

/// Checksum of bytes that arrive in pieces.
class StreamingChecksum {
 public:
  StreamingChecksum();
  ~StreamingChecksum();
  StreamingChecksum(StreamingChecksum&&) noexcept;
  StreamingChecksum& operator=(StreamingChecksum&&) noexcept;

  void update(const void* data, std::size_t bytes);
  /// Checksum of everything so far; more may follow.
  std::uint64_t digest() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace trireme::io
