// Third pass: gradient sums, norm, agreement of the world, updates.
//
// A unit's gradient is summed over its data group right behind its last contribution, so that the
// sum overlaps what is left of backward. Tied units follow after all transfers (DESIGN section 7,
// rule 7).

#include "lib/program/compile.hpp"

#include <algorithm>
#include <map>

namespace trireme::program {
namespace {

/// Two f64 squared norms a tensor: of the weights and of the update.
constexpr std::int64_t kTensorNormBytes = 2 * std::int64_t{sizeof(double)};

class ReduceUpdate {
 public:
  ReduceUpdate(GridProgram grid, const models::Model& model, const Layout& layout,
               const Options& options, const ResidentTable& resident)
      : grid_(std::move(grid)),
        model_(model),
        layout_(layout),
        options_(options),
        resident_(resident) {}
  GridProgram run();

 private:
  void reduce(std::int32_t stage, std::int32_t unit);
  void tied(const std::vector<std::vector<std::int32_t>>& units);
  void finish(const std::vector<std::vector<std::int32_t>>& units);
  void update(std::int32_t stage, std::int32_t unit);
  Instruction on_unit(Kind kind, std::int32_t stage, std::int32_t unit) const;
  BufferId tensor_norms(std::int32_t stage, std::int32_t unit, std::int64_t bytes);
  const nn::Unit& unit_at(std::int32_t u) const {
    return model_.units[static_cast<std::size_t>(u)];
  }

  GridProgram grid_;
  const models::Model& model_;
  const Layout& layout_;
  const Options& options_;
  const ResidentTable& resident_;
  std::vector<Instruction> out_;
};

Instruction ReduceUpdate::on_unit(Kind kind, std::int32_t stage, std::int32_t unit) const {
  Instruction made;
  made.kind = kind;
  made.stage = stage;
  made.unit = unit;
  return made;
}

/// Sums over the tensor group (the tail, where tokens were divided) and the data group.
void ReduceUpdate::reduce(std::int32_t stage, std::int32_t unit) {
  const nn::Unit& flat = unit_at(unit);
  const auto sum_over = [&](Group group, std::int64_t elements) {
    Instruction made = on_unit(Kind::all_reduce, stage, unit);
    made.lane = Lane::comm;
    made.group = group;
    made.bytes = elements * 4;
    made.reads = made.writes = {resident_.find(stage, unit, Purpose::gradients)};
    out_.push_back(std::move(made));
  };
  if (model_.placement.tensor > 1 && flat.tail_begin < flat.elements)
    sum_over(Group::tensor, flat.elements - flat.tail_begin);
  if (options_.data > 1) sum_over(Group::data, flat.elements);
}

void ReduceUpdate::tied(const std::vector<std::vector<std::int32_t>>& units) {
  for (std::size_t u = 0; u < model_.units.size(); ++u) {
    if (!model_.units[u].tied) continue;
    const auto unit = static_cast<std::int32_t>(u);
    std::vector<std::int32_t> holders;
    for (std::int32_t s = 0; s < layout_.stages; ++s) {
      const auto& here = units[static_cast<std::size_t>(s)];
      if (std::find(here.begin(), here.end(), unit) != here.end()) holders.push_back(s);
    }
    if (holders.size() < 2) continue;
    const std::int32_t event = grid_.events++;
    for (const std::int32_t stage : holders) {
      Instruction made = on_unit(Kind::all_reduce, stage, unit);
      made.lane = Lane::comm;
      made.group = Group::tied;
      made.event = event;
      made.bytes = unit_at(unit).elements * 4;
      made.reads = made.writes = {resident_.find(stage, unit, Purpose::gradients)};
      out_.push_back(std::move(made));
    }
  }
}

BufferId ReduceUpdate::tensor_norms(std::int32_t stage, std::int32_t unit, std::int64_t bytes) {
  Buffer buffer;
  buffer.stage = stage;
  buffer.owner = unit;
  buffer.purpose = Purpose::optimizer;
  buffer.bytes = bytes;
  grid_.buffers.push_back(buffer);
  return static_cast<BufferId>(grid_.buffers.size() - 1);
}

void ReduceUpdate::update(std::int32_t stage, std::int32_t unit) {
  const BufferId scalars = resident_.scalars(stage);
  const BufferId gradients = resident_.find(stage, unit, Purpose::gradients);
  const bool masters = model_.placement.compute != DType::f32;
  Instruction made = on_unit(Kind::update, stage, unit);
  made.when = When::applied;
  made.reads = {scalars, gradients};
  made.writes = {resident_.find(stage, unit, Purpose::weights)};
  if (masters) made.writes.push_back(resident_.find(stage, unit, Purpose::masters));
  std::vector<BufferId> moments;
  for (int m = 0; m < options_.moments; ++m)
    moments.push_back(resident_.find(stage, unit, Purpose::moments, m));
  const std::int64_t elements = unit_at(unit).elements;
  made.bytes = elements * (4 + 8 + 8 * options_.moments + (masters ? 2 : 0));

  if (options_.tensor_norms) {
    Instruction trust = on_unit(Kind::trust, stage, unit);
    trust.when = When::applied;
    trust.reads = made.reads;
    trust.reads.push_back(made.writes.back());
    const std::int64_t bytes =
        static_cast<std::int64_t>(unit_at(unit).parameters.size()) * kTensorNormBytes;
    const BufferId norms = tensor_norms(stage, unit, bytes);
    trust.writes = {norms};
    trust.writes.insert(trust.writes.end(), moments.begin(), moments.end());
    trust.bytes = made.bytes;
    out_.push_back(std::move(trust));
    if (model_.placement.tensor > 1) {
      Instruction sum = on_unit(Kind::all_reduce, stage, unit);
      sum.lane = Lane::comm;
      sum.group = Group::tensor;
      sum.reads = sum.writes = {norms};
      sum.bytes = bytes;
      out_.push_back(std::move(sum));
    }
    made.reads.push_back(norms);
    made.reads.insert(made.reads.end(), moments.begin(), moments.end());
  } else {
    made.writes.insert(made.writes.end(), moments.begin(), moments.end());
  }
  out_.push_back(std::move(made));
}

/// Norm partials, one all-reduce of the world, the decision, the updates: in this order on every
/// stage.
void ReduceUpdate::finish(const std::vector<std::vector<std::int32_t>>& units) {
  for (std::int32_t s = 0; s < layout_.stages; ++s)
    for (const std::int32_t unit : units[static_cast<std::size_t>(s)]) {
      Instruction norm = on_unit(Kind::norm, s, unit);
      norm.reads = {resident_.find(s, unit, Purpose::gradients)};
      norm.writes = {resident_.scalars(s)};
      norm.bytes = unit_at(unit).elements * 4;
      out_.push_back(std::move(norm));
    }
  const std::int32_t event = grid_.events++;
  for (std::int32_t s = 0; s < layout_.stages; ++s) {
    Instruction agree = on_unit(Kind::all_reduce, s, -1);
    agree.lane = Lane::comm;
    agree.group = Group::world;
    agree.event = event;
    agree.reads = agree.writes = {resident_.scalars(s)};
    agree.bytes = grid_.buffers[static_cast<std::size_t>(agree.reads[0])].bytes;
    out_.push_back(std::move(agree));
  }
  for (std::int32_t s = 0; s < layout_.stages; ++s) {
    if (!options_.shape.forward_only) {
      Instruction decide = on_unit(Kind::decide, s, -1);
      decide.reads = decide.writes = {resident_.scalars(s)};
      out_.push_back(std::move(decide));
      for (const std::int32_t unit : units[static_cast<std::size_t>(s)]) update(s, unit);
    }
  }
}

GridProgram ReduceUpdate::run() {
  std::vector<std::vector<std::int32_t>> units;
  for (std::int32_t s = 0; s < layout_.stages; ++s)
    units.push_back(options_.shape.forward_only ? std::vector<std::int32_t>{}
                                                : units_of_stage(model_, layout_, s));
  // Last instruction in the order that contributes to each gradient.
  std::map<std::pair<int, int>, std::size_t> last;
  for (std::size_t i = 0; i < grid_.order.size(); ++i)
    for (const BufferId id : grid_.order[i].writes) {
      const Buffer& buffer = grid_.buffers[static_cast<std::size_t>(id)];
      if (buffer.purpose == Purpose::gradients) last[{buffer.stage, buffer.owner}] = i;
    }
  std::multimap<std::size_t, std::pair<int, int>> after;
  for (const auto& [where, position] : last) after.emplace(position, where);

  for (std::size_t i = 0; i < grid_.order.size(); ++i) {
    out_.push_back(std::move(grid_.order[i]));
    for (auto [at, end] = after.equal_range(i); at != end; ++at)
      reduce(at->second.first, at->second.second);
  }
  tied(units);
  finish(units);
  grid_.order = std::move(out_);
  return std::move(grid_);
}

}  // namespace

GridProgram reduce_update_pass(GridProgram grid, const models::Model& model, const Layout& layout,
                               const Options& options, const ResidentTable& resident) {
  return ReduceUpdate(std::move(grid), model, layout, options, resident).run();
}

}  // namespace trireme::program
