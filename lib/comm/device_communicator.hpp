#pragma once
// A communicator between device buffers: its operations are work in a stream of the rank's device,
// over a link (kernels/base/device_links.hpp). Private to this folder.
//
// Sums: each member sends the others their parts, an own kernel adds in group order what has come
// for this member, and an all-gather follows where all want all of it. That is the bytes of a ring
// and the bits of every other path; the link's own reductions have neither order nor bits to rely
// on.
//
// One stream serves all communicators of a rank: whatever the group, operations run in the order of
// their calls, which all members share (DESIGN section 7, rule 1). With a stream for each group two
// groups' operations could wait for each other's place on the device. Tags are not needed, and not
// sent: sends and receives of a pair meet in the order of their calls.

#include "kernels/base/device_links.hpp"
#include "lib/comm/communicator.hpp"
#include "lib/comm/operation_state.hpp"

#include <memory>
#include <span>
#include <vector>

namespace trireme::comm {

class DeviceCommunicator final : public Communicator {
 public:
  /// Collective over `members`, the group's ranks in group order. `stream` outlives this; a group
  /// of one joins no link.
  DeviceCommunicator(MPI_Comm members, const Group& group, int index, const CommOptions& options,
                     bool crowded, Doorbell& doorbell, Stream& stream);

  void attach(const SharedArena*) override {}
  void lend(std::span<std::byte> staging) override { staging_ = staging; }
  void abandon() noexcept override;

 protected:
  void begin(OperationState& op) override;
  bool advance(OperationState& op) override;
  Awaits awaited(const OperationState&) const override { return Awaits::poll; }
  std::string waiting_for(const OperationState& op) const override;

 private:
  void give(OperationState& op);
  void sum_parts(OperationState& op, std::byte* target);
  void gather_parts(OperationState& op, const std::byte* part);
  void copy_here(std::byte* to, const std::byte* from, std::int64_t bytes);
  void transfer(OperationState& op);
  void meet();
  std::int64_t piece_of(const OperationState& op, std::int64_t longest) const;
  /// Bytes of a member's part of the whole.
  Range bytes_of(const OperationState& op, int member) const;

  Stream& stream_;
  std::unique_ptr<DeviceLink> link_;  // null in a group of one
  std::span<std::byte> staging_;
  DeviceMemory tokens_;          // of barriers: a byte a member
  std::vector<LinkMove> moves_;  // scratch
};

}  // namespace trireme::comm
