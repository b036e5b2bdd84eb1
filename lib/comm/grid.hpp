#pragma once
// The process grid data x tensor x pipeline and its groups, as arithmetic: no MPI, no tables, so
// that one rank can check a grid of any size.

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

namespace trireme::comm {

/// The groups a rank belongs to. Programs name peers and groups by these, never by world rank.
enum class GroupKind : std::uint8_t {
  tensor,    ///< ranks that share (data, pipeline): one layer's columns and rows
  data,      ///< ranks that share (tensor, pipeline): replicas or ZeRO shards of one stage
  shard,     ///< consecutive members of a data group that hold one copy of the state together
  replica,   ///< members of a data group with the same place in their shard groups
  pipeline,  ///< ranks that share (data, tensor): the stages, in order
  tied,      ///< first and last stage of one pipeline: the two holders of a tied embedding
  world,     ///< all ranks
};
inline constexpr int kGroupKinds = 7;
std::string_view name_of(GroupKind kind);

struct Coordinates {
  int data = 0;
  int tensor = 0;
  int pipeline = 0;
  friend bool operator==(const Coordinates&, const Coordinates&) = default;
};

/// An arithmetic sequence of world ranks: member i is first + i * stride. Sums over a group run in
/// this order.
struct Group {
  GroupKind kind = GroupKind::world;
  int first = 0;
  int stride = 1;
  int count = 1;  ///< 0: the rank that asked is in no such group (tied, a stage in the middle)

  int rank(int index) const { return first + index * stride; }
  /// Position of a world rank in the group; -1 for a stranger.
  int index_of(int rank) const;
  /// "data group {0, 2, 4, 6}"; long ones "{0, 8, ..., 9992} (1250 ranks)"
  std::string text() const;
  friend bool operator==(const Group&, const Group&) = default;
};

/// rank = (pipeline * data_size + data) * tensor_size + tensor: tensor varies fastest, then data,
/// then pipeline, so that the chattiest groups share a node.
class ProcessGrid {
 public:
  /// A grid of one rank.
  ProcessGrid() = default;
  /// Sizes must be positive (exit 2). State is divided over the whole data axis.
  ProcessGrid(int data, int tensor, int pipeline);
  /// Grid for exactly `ranks` ranks; any of the sizes may be 0 = derive: data takes
  /// what the others leave; tensor and pipeline derive to 1. A grid that does not fit is exit 2 and
  /// the message names the nearest grid that does.
  static ProcessGrid fit(int ranks, int data, int tensor, int pipeline);

  /// The same grid with state divided over `shard` consecutive data coordinates and replicated over
  /// the data / shard groups of them (MiCS: Zhang et al., arXiv 2205.00119, sec. 3.2); 0 = the
  /// whole data axis, one replica. Must divide data (exit 2).
  ProcessGrid with_shard(int shard) const;

  int data() const { return data_; }
  int tensor() const { return tensor_; }
  int pipeline() const { return pipeline_; }
  /// Data ranks that hold one copy of the state together, and how many such copies there are.
  int shard() const { return shard_; }
  int replicas() const { return data_ / shard_; }
  int size() const { return data_ * tensor_ * pipeline_; }
  /// Number of members of a rank's group of this kind (2 or 1 for tied).
  int size(GroupKind kind) const;

  int rank(const Coordinates& at) const;
  Coordinates coordinates(int rank) const;
  /// The group of this kind that `rank` belongs to.
  Group group(GroupKind kind, int rank) const;
  /// How many groups of this kind there are, and which of them `rank` is in (-1: in none).
  int groups(GroupKind kind) const;
  int group_id(GroupKind kind, int rank) const;

  /// "data 2 x tensor 2 x pipeline 2 = 8 ranks"; with more than one replica of the state "data 4 x
  /// ... = 16 ranks, shard 2"
  std::string text() const;
  friend bool operator==(const ProcessGrid&, const ProcessGrid&) = default;

 private:
  int data_ = 1;
  int tensor_ = 1;
  int pipeline_ = 1;
  int shard_ = 1;
};

/// Which rank holds what, for people: one line a stage with its ranks by data replica, compact when
/// the grid is large. `stage_holds(stage)` says what a stage holds ("blocks 0-5") and may be empty.
std::string grid_plan(const ProcessGrid& grid,
                      const std::function<std::string(int stage)>& stage_holds = {});

}  // namespace trireme::comm
