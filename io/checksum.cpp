#include "io/checksum.hpp"

#include "kernels/base/error.hpp"

#include <fmt/format.h>
#include <xxhash.h>

namespace trireme::io {

std::uint64_t checksum(const void* data, std::size_t bytes) { return XXH3_64bits(data, bytes); }

std::string checksum_text(std::uint64_t value) { return fmt::format("{:016x}", value); }

struct StreamingChecksum::State {
  struct Free {
    void operator()(XXH3_state_t* state) const { XXH3_freeState(state); }
  };
  std::unique_ptr<XXH3_state_t, Free> hash{XXH3_createState()};
};

StreamingChecksum::StreamingChecksum() : state_(std::make_unique<State>()) {
  check(state_->hash != nullptr, Exit::kUnexpected, "no memory for the state of a checksum");
  XXH3_64bits_reset(state_->hash.get());
}
StreamingChecksum::~StreamingChecksum() = default;
StreamingChecksum::StreamingChecksum(StreamingChecksum&&) noexcept = default;
StreamingChecksum& StreamingChecksum::operator=(StreamingChecksum&&) noexcept = default;

void StreamingChecksum::update(const void* data, std::size_t bytes) {
  XXH3_64bits_update(state_->hash.get(), data, bytes);
}

std::uint64_t StreamingChecksum::digest() const { return XXH3_64bits_digest(state_->hash.get()); }

}  // namespace trireme::io
