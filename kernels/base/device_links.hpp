#pragma once
// Transfers between the devices of several processes, as work in a stream: NCCL's with CUDA (RCCL's
// would be HIP's). Bytes are moved and never added up.
//
// A link joins a few members, numbered from 0, each with a device of its own. What is given to a
// stream runs there in order, one after another, and ends once the other members' devices have come
// to their part of it: a link is a lane that blocks. It is safe as long as all members give what
// they do together in one order, over all links of a stream (DESIGN section 7, rule 1). Nothing has
// tags: the k-th send from a to b meets the k-th receive of b from a.
//
// Errors: Exit::kUsage where the library is missing or too old; Exit::kPeer for what goes wrong
// between members and for what takes longer than the link's limit. No call blocks longer than that.

#include "kernels/base/device.hpp"

#include <array>
#include <cstdint>
#include <span>
#include <string>

namespace trireme {

/// "NCCL 2.28.9": what moves bytes between devices here.
std::string describe_links();

/// Of memory that members' pieces are gathered in to be worked on.
inline constexpr std::int64_t kLinkAlignment = 256;

/// What the members of one link have in common: made by one of them, given to the others.
using LinkKey = std::array<char, 128>;
LinkKey make_link_key();

/// One end of a transfer with another member.
struct LinkMove {
  void* data = nullptr;  ///< device memory; of a send only read
  std::int64_t bytes = 0;
  int member = 0;
  bool sends = false;
};

class DeviceLink {
 public:
  /// Collective over the members, on the selected device.
  DeviceLink(const LinkKey& key, int members, int index, double limit_seconds);
  /// All its work is done, or it was abandoned.
  ~DeviceLink();
  DeviceLink(const DeviceLink&) = delete;
  DeviceLink& operator=(const DeviceLink&) = delete;

  // Each is given to `stream` whole when the call returns; memory belongs to it until it is done.
  /// All at once, in no order among each other.
  void exchange(std::span<const LinkMove> moves, const Stream& stream);
  /// whole [members x bytes] receives everyone's part, which may be its own place there.
  void all_gather(const void* part, void* whole, std::int64_t bytes, const Stream& stream);
  /// data[bytes] of member `root` goes to all.
  void broadcast(void* data, std::int64_t bytes, int root, const Stream& stream);

  /// What went wrong since, here or with another member; empty while all is well. Cheap.
  std::string wrong() const;
  /// Ends what is on its way, finished or not, so that nobody waits for it; at any time, from any
  /// thread, but not beside another call of this link. Nothing can be given to it any more.
  void abandon() noexcept;

 private:
  void* handle_;
};

}  // namespace trireme
