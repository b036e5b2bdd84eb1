#pragma once
// Where the model state of every stage lives between its uses: tier, part and offset of each
// buffer. The same ids and offsets in every program of a run.

#include "lib/models/model.hpp"
#include "lib/program/instruction.hpp"

#include <array>
#include <cstdint>
#include <map>
#include <span>
#include <tuple>
#include <vector>

namespace trireme::program {

struct Layout;
struct Options;

/// f64 elements at the start of the scalars buffer; the exact sum of squares follows.
inline constexpr std::int64_t kScalars = 16;

/// Alignment of what moves between tiers, bytes: what O_DIRECT asks of memory and file.
inline constexpr std::int64_t kStorageAlignment = 4096;

/// How one unit is shared and where its parts live, from the deck's ZeRO section. With one rank to
/// share nothing is divided, whatever the stage.
struct Residence {
  bool optimizer_divided = false;  ///< masters and moments
  bool gradients_leave = false;    ///< summed by micro-batch or step into where they stay
  bool gradients_divided = false;  ///< they stay as shares
  /// The update follows at once and takes them from where they are made: homes without bytes.
  bool gradients_used_up = false;
  bool weights_divided = false;
  bool weights_move = false;      ///< not whole on the device: brought in for use
  bool separate_masters = false;  ///< masters are not the weights themselves
  Tier optimizer = Tier::device;
  Tier gradients = Tier::device;
  Tier weights = Tier::device;
};
Residence residence_of(const models::Model& model, const Options& options, std::int32_t unit);

class ResidentTable {
 public:
  ResidentTable(const models::Model& model, const Layout& layout, const Options& options);

  const std::vector<Buffer>& buffers() const { return buffers_; }

  /// Every buffer of this purpose of a unit, body (or share) before tail, by element. Empty where
  /// the stage has none: masters that are the weights, a unit of another stage.
  std::vector<BufferId> homes(std::int32_t stage, std::int32_t unit, Purpose purpose,
                              std::int32_t number = 0) const;
  /// Those that hold the tail, or those that do not.
  std::vector<BufferId> homes_of(std::int32_t stage, std::int32_t unit, Purpose purpose, bool tail,
                                 std::int32_t number = 0) const;
  /// The f32 values that are trained: masters, or the weights where those are the masters.
  Purpose master_purpose(std::int32_t stage, std::int32_t unit) const;

  /// The stage's scalars: f64 [kScalars + kExactLimbs], see engine.
  BufferId scalars(std::int32_t stage) const { return homes(stage, -1, Purpose::scalars)[0]; }
  /// What the kernels of a stage on a device apart work in: the largest need of a step of its
  /// blocks and of its units' norms and updates, one after another in one stream. Empty without
  /// such a device.
  std::vector<BufferId> workspace(std::int32_t stage) const {
    return homes(stage, -1, Purpose::workspace);
  }
  /// First byte behind the resident region of a stage in a tier.
  std::int64_t bytes(std::int32_t stage, Tier tier) const {
    return end_[static_cast<std::size_t>(stage)][static_cast<std::size_t>(tier)];
  }
  const Buffer& at(BufferId id) const { return buffers_[static_cast<std::size_t>(id)]; }

 private:
  using Key = std::tuple<std::int32_t, std::int32_t, Purpose, std::int32_t>;
  std::vector<Buffer> buffers_;
  std::map<Key, std::pair<BufferId, BufferId>> ranges_;  // ids [first, last)
  std::vector<std::array<std::int64_t, kTiers>> end_;
};

}  // namespace trireme::program
