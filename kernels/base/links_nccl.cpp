// Links by NCCL. Its communicators are of the kind that never blocks the host: a call may return
// before its work is in the stream, so each is followed until it is, or the link's limit is over.

#include "kernels/base/device_backend.hpp"
#include "kernels/base/device_cuda.hpp"
#include "kernels/base/nccl_functions.hpp"

#include <cuda_runtime.h>
#include <fmt/format.h>

#include <chrono>
#include <cstring>
#include <exception>
#include <memory>
#include <thread>

namespace trireme {
namespace {

using Clock = std::chrono::steady_clock;

std::string version_text(int version) {
  return fmt::format("{}.{}.{}", version / 10000, version / 100 % 100, version % 100);
}

/// The library, once it is known to be one that this program can use.
const NcclFunctions& nccl() {
  static const NcclFunctions functions = [] {
    const NcclFunctions found = load_nccl();
    int version = 0;
    found.get_version(&version);
    // The newer one's structures are not known to the older one.
    check(version / 100 >= NCCL_VERSION_CODE / 100, Exit::kUsage,
          "expected NCCL {} or newer, as this program was built with; found {}: put a newer "
          "libnccl.so.2 first on LD_LIBRARY_PATH, or set parallel.transport \"host\"",
          version_text(NCCL_VERSION_CODE), version_text(version));
    return found;
  }();
  return functions;
}

struct Link {
  ncclComm_t communicator = nullptr;
  double limit_seconds = 0;
  bool abandoned = false;
};
Link& link_of(void* handle) { return *static_cast<Link*>(handle); }

std::string text_of(ncclResult_t status, ncclComm_t communicator) {
  const char* more = nccl().last_error(communicator);
  return fmt::format("NCCL says \"{}\"{}{}", nccl().text_of(status), more && *more ? ": " : "",
                     more ? more : "");
}

void expect(ncclResult_t status, const char* what, ncclComm_t communicator) {
  if (status == ncclSuccess || status == ncclInProgress) return;
  fail(status == ncclInvalidArgument ? Exit::kUnexpected : Exit::kPeer, "{}: {}", what,
       text_of(status, communicator));
}

/// Until what was asked of the link last is in its stream, or a new link is joined.
void follow(const Link& link, const char* what) {
  const auto start = Clock::now();
  for (ncclResult_t state = ncclInProgress;;) {
    expect(nccl().get_state(link.communicator, &state), what, link.communicator);
    expect(state, what, link.communicator);
    if (state == ncclSuccess) return;
    const double waited = std::chrono::duration<double>(Clock::now() - start).count();
    check(link.limit_seconds <= 0 || waited < link.limit_seconds, Exit::kPeer,
          "{}: waited longer than {} s for the other members", what, link.limit_seconds);
    std::this_thread::yield();
  }
}

class NcclLinks final : public LinkBackend {
 public:
  std::string describe() override {
    int version = 0;
    nccl().get_version(&version);
    return "NCCL " + version_text(version);
  }

  LinkKey make_key() override {
    static_assert(sizeof(LinkKey) == sizeof(ncclUniqueId));
    ncclUniqueId id;
    expect(nccl().get_unique_id(&id), "starting a link", nullptr);
    LinkKey key;
    std::memcpy(key.data(), &id, sizeof(id));
    return key;
  }

  void* join(const LinkKey& key, int members, int index, double limit_seconds) override {
    ncclUniqueId id;
    std::memcpy(&id, key.data(), sizeof(id));
    ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
    config.blocking = 0;
    auto link = std::make_unique<Link>();
    link->limit_seconds = limit_seconds;
    constexpr char kWhat[] = "joining the devices of a group";
    expect(nccl().join(&link->communicator, members, id, index, &config), kWhat, nullptr);
    try {
      follow(*link, kWhat);
    } catch (const Error&) {
      nccl().abort(link->communicator);
      throw;
    }
    return link.release();
  }

  void leave(void* handle) noexcept override {
    const std::unique_ptr<Link> link(&link_of(handle));
    if (link->abandoned) return;
    if (std::uncaught_exceptions() > 0) {  // the other members may never come to leave
      nccl().abort(link->communicator);
      return;
    }
    try {
      expect(nccl().finalize(link->communicator), "leaving a link", link->communicator);
      follow(*link, "leaving a link");
      nccl().destroy(link->communicator);
    } catch (const Error&) {  // nobody is left who could be told
      nccl().abort(link->communicator);
    }
  }

  void exchange(void* handle, std::span<const LinkMove> moves, void* stream) override {
    constexpr char kWhat[] = "a transfer between devices";
    const Link& link = usable(handle);
    expect(nccl().group_start(), kWhat, link.communicator);
    ncclResult_t given =
        ncclSuccess;  // a group that was begun is ended, or abort would wait for it
    for (const LinkMove& m : moves) {
      const auto bytes = static_cast<std::size_t>(m.bytes);
      const ncclResult_t status =
          m.sends ? nccl().send(m.data, bytes, ncclUint8, m.member, link.communicator,
                                static_cast<cudaStream_t>(stream))
                  : nccl().receive(m.data, bytes, ncclUint8, m.member, link.communicator,
                                   static_cast<cudaStream_t>(stream));
      if (status != ncclSuccess && status != ncclInProgress) given = status;
      if (given != ncclSuccess) break;
    }
    const ncclResult_t ended = nccl().group_end();
    expect(given, kWhat, link.communicator);
    expect(ended, kWhat, link.communicator);
    follow(link, kWhat);
  }

  void all_gather(void* handle, const void* part, void* whole, std::int64_t bytes,
                  void* stream) override {
    constexpr char kWhat[] = "an all-gather between devices";
    const Link& link = usable(handle);
    expect(nccl().all_gather(part, whole, static_cast<std::size_t>(bytes), ncclUint8,
                             link.communicator, static_cast<cudaStream_t>(stream)),
           kWhat, link.communicator);
    follow(link, kWhat);
  }

  void broadcast(void* handle, void* data, std::int64_t bytes, int root, void* stream) override {
    constexpr char kWhat[] = "a broadcast between devices";
    const Link& link = usable(handle);
    expect(nccl().broadcast(data, data, static_cast<std::size_t>(bytes), ncclUint8, root,
                            link.communicator, static_cast<cudaStream_t>(stream)),
           kWhat, link.communicator);
    follow(link, kWhat);
  }

  std::string wrong(void* handle) override {
    const Link& link = link_of(handle);
    if (link.abandoned) return "the link was abandoned";
    ncclResult_t state = ncclSuccess;
    const ncclResult_t asked = nccl().get_state(link.communicator, &state);
    if (asked != ncclSuccess) return text_of(asked, link.communicator);
    if (state == ncclSuccess || state == ncclInProgress) return "";
    return text_of(state, link.communicator);
  }

  void abandon(void* handle) noexcept override {
    Link& link = link_of(handle);
    if (std::exchange(link.abandoned, true)) return;
    nccl().abort(link.communicator);
  }

 private:
  static const Link& usable(void* handle) {
    const Link& link = link_of(handle);
    check(!link.abandoned, Exit::kPeer, "a link between devices was abandoned");
    return link;
  }
};

}  // namespace

LinkBackend& nccl_links() {
  static NcclLinks links;
  return links;
}

}  // namespace trireme
