#include "kernels/base/device_links.hpp"

#include "kernels/base/device_backend.hpp"

namespace trireme {
namespace {

LinkBackend& links() { return device_backend().links(); }

}  // namespace

std::string describe_links() { return links().describe(); }
LinkKey make_link_key() { return links().make_key(); }

DeviceLink::DeviceLink(const LinkKey& key, int members, int index, double limit_seconds)
    : handle_(links().join(key, members, index, limit_seconds)) {}
DeviceLink::~DeviceLink() { links().leave(handle_); }

void DeviceLink::exchange(std::span<const LinkMove> moves, const Stream& stream) {
  links().exchange(handle_, moves, stream.handle());
}
void DeviceLink::all_gather(const void* part, void* whole, std::int64_t bytes,
                            const Stream& stream) {
  links().all_gather(handle_, part, whole, bytes, stream.handle());
}
void DeviceLink::broadcast(void* data, std::int64_t bytes, int root, const Stream& stream) {
  links().broadcast(handle_, data, bytes, root, stream.handle());
}

std::string DeviceLink::wrong() const { return links().wrong(handle_); }
void DeviceLink::abandon() noexcept { links().abandon(handle_); }

}  // namespace trireme
