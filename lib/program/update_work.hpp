#pragma once
// What updating one unit takes: the sub-groups it is cut into, and for each of them what is
// fetched, done and stored.

#include "lib/program/unit_ops.hpp"

#include <cstddef>
#include <map>
#include <optional>
#include <utility>
#include <vector>

namespace trireme::program {

/// Elements that are updated with one instruction.
struct SubGroup {
  std::int32_t stage = 0;
  std::int32_t unit = 0;
  Part part = Part::body;
  Range elements;
};

/// A sub-group's instructions by phase: what may run ahead, the work, what may lag.
struct Phases {
  std::vector<Instruction> fetch;
  std::vector<Instruction> work;
  std::vector<Instruction> store;
  std::vector<Instruction> behind;  ///< collectives once the unit is complete
  /// Position in the order before which the work may not be: where its gradients are complete.
  std::size_t position = 0;
};

class UpdateWork {
 public:
  /// `grid` gets the buffers of what is fetched; `when`: the condition of all instructions.
  UpdateWork(GridProgram& grid, const models::Model& model, const Options& options,
             const ResidentTable& resident, When when)
      : options_(options), resident_(resident), ops_(grid, model, options, resident), when_(when) {}

  /// Everything a stage does to a unit: optimizer steps, or with Kind::round weights from masters;
  /// then the weights' way back to all who hold them. Never empty.
  std::vector<Phases> of_unit(std::int32_t stage, std::int32_t unit, Kind kind);
  /// Squared norms of what memory holds of a unit's gradient; what left for storage was counted on
  /// its way.
  std::vector<Instruction> norms(std::int32_t stage, std::int32_t unit) const;

  UnitOps& ops() { return ops_; }

 private:
  enum class Access { read, write, both };

  std::vector<SubGroup> sub_groups(std::int32_t stage, std::int32_t unit) const;
  std::vector<SubGroup> cut(std::int32_t stage, std::int32_t unit, bool tail) const;
  BufferId home(const SubGroup& group, Purpose purpose, std::int32_t number = 0) const;
  BufferId gradient_at(BufferId home) const;
  BufferId here(const SubGroup& group, BufferId home, Access access, Phases& phases);
  BufferId gradient(const SubGroup& group, Phases& phases);
  BufferId weights(const SubGroup& group, Phases& phases);
  void weights_back(std::int32_t stage, std::int32_t unit, Phases& phases);
  Phases update(const SubGroup& group, std::optional<BufferId> norms);
  Phases round(const SubGroup& group);
  Phases trust(const SubGroup& group, BufferId norms, bool first);
  void tensor_norms(std::int32_t stage, std::int32_t unit, std::vector<Phases>& list);
  bool masters_apart(const SubGroup& group) const {
    return resident_.master_purpose(group.stage, group.unit) == Purpose::masters;
  }

  const Options& options_;
  const ResidentTable& resident_;
  UnitOps ops_;
  When when_;
  std::map<std::pair<std::int32_t, std::int32_t>, BufferId> whole_;  // weights on their way back
};

}  // namespace trireme::program
