#include "lib/engine/unit_work.hpp"

#include "kernels/elementwise/elementwise.hpp"
#include "kernels/elementwise/exact_sum.hpp"

#include <algorithm>

namespace trireme::engine {

using program::Buffer;
using program::Kind;
using program::Part;
using program::Purpose;

namespace {

std::span<float> floats(float* first, std::int64_t count) {
  return {first, static_cast<std::size_t>(count)};
}

/// What of these elements lies in a piece, counted from its first; empty where nothing does.
Range part_of(const Range& elements, const Range& piece) {
  const Range both = overlap(elements, piece);
  return both.size() > 0 ? Range{both.begin - piece.begin, both.end - piece.begin} : Range{};
}

/// The same of each range.
std::vector<Range> parts_of(const std::vector<Range>& ranges, const Range& piece) {
  std::vector<Range> parts;
  for (const Range& range : ranges)
    if (const Range part = part_of(range, piece); part.size() > 0) parts.push_back(part);
  return parts;
}

}  // namespace

UnitWork::UnitWork(const program::Compiled& compiled, const program::Instruction& instruction,
                   state::Store& store, const deck::OptimizerConfig& optimizer, DType compute,
                   const comm::Coordinates& at)
    : instruction_(instruction),
      store_(store),
      optimizer_(optimizer),
      compute_(compute),
      space_(store.gpu() && !program::on_host(compiled.buffers, instruction) ? MemorySpace::device
                                                                             : MemorySpace::host),
      unit_(*store.unit(instruction.unit).unit),
      primary_(store.unit(instruction.unit).primary) {
  if (instruction.kind == Kind::clear) {
    resolve_clear(compiled);
  } else {
    resolve_pieces(compiled, at);
  }
}

/// Zeros between parameters: sums and norms run over them.
void UnitWork::resolve_clear(const program::Compiled& compiled) {
  const Buffer& buffer = compiled.buffers[static_cast<std::size_t>(instruction_.writes[0])];
  auto* values = reinterpret_cast<float*>(store_.at(buffer));
  for (const Range& gap : unit_.gaps())
    if (const Range inside = overlap(gap, {0, unit_.body}); inside.size() > 0)
      cleared_.push_back(floats(values + inside.begin, inside.size()));
}

void UnitWork::resolve_pieces(const program::Compiled& compiled, const comm::Coordinates& at) {
  for (const auto* ids : {&instruction_.reads, &instruction_.writes})
    for (const program::BufferId id : *ids) {
      const Buffer& buffer = compiled.buffers[static_cast<std::size_t>(id)];
      if (buffer.content == Purpose::optimizer && buffer.owner == instruction_.unit)
        tensor_norms_ = {reinterpret_cast<kernels::LambNorms*>(store_.at(buffer)),
                         unit_.parameters.size()};
    }
  speaks_in_tensor_ = at.tensor == 0;
  speaks_ = instruction_.part == Part::share || store_.seat().share == 0 || unit_.ranks == 1;
  state::for_each_run(unit_, instruction_.part, instruction_.elements, store_.seat().share,
                      [&](const state::Run& run) {
                        Piece piece;
                        piece.flat = run.flat;
                        resolve_memory(compiled, run, piece);
                        if (instruction_.kind == Kind::norm && counts(at))
                          piece.counted = parts_of(optim::norm_ranges(unit_, at.tensor), run.flat);
                        if (!tensor_norms_.empty())
                          add_tensors(piece);
                        else if (instruction_.kind == Kind::update)
                          piece.undecayed = parts_of(optim::undecayed_ranges(unit_), run.flat);
                        pieces_.push_back(std::move(piece));
                      });
}

/// Every logical gradient element counts once over the world.
bool UnitWork::counts(const comm::Coordinates& at) const {
  if (!primary_) return false;
  return instruction_.part == Part::share ? store_.seat().replica == 0 : at.data == 0;
}

/// The buffer among the instruction's that holds this state, or a copy of it; null when none does.
const Buffer* UnitWork::holder(const program::Compiled& compiled, Purpose content,
                               std::int32_t number) const {
  for (const auto* ids : {&instruction_.writes, &instruction_.reads})
    for (const program::BufferId id : *ids) {
      const Buffer& buffer = compiled.buffers[static_cast<std::size_t>(id)];
      if (buffer.owner == instruction_.unit && buffer.content == content && buffer.slot == number)
        return &buffer;
    }
  return nullptr;
}

void UnitWork::resolve_memory(const program::Compiled& compiled, const state::Run& run,
                              Piece& piece) const {
  const auto memory = [&](const Buffer& buffer) {
    const std::int64_t size = buffer.bytes / buffer.elements.size();
    return store_.at(buffer) + state::element_in(buffer, instruction_.part, run) * size;
  };
  const auto values = [&](const Buffer& buffer) {
    return floats(reinterpret_cast<float*>(memory(buffer)), run.flat.size());
  };
  const auto buffer_at = [&](program::BufferId id) -> const Buffer& {
    return compiled.buffers[static_cast<std::size_t>(id)];
  };
  if (instruction_.kind == Kind::norm || instruction_.kind == Kind::accumulate) {
    piece.source = values(buffer_at(instruction_.reads[0])).data();
    if (instruction_.kind == Kind::accumulate)
      piece.target = values(buffer_at(instruction_.writes[0])).data();
    return;
  }
  piece.memory.space = space_;
  const Buffer* masters = holder(compiled, Purpose::masters);
  const Buffer* weights = holder(compiled, Purpose::weights);
  piece.memory.master = values(masters ? *masters : *weights);
  if (masters && weights)
    piece.memory.weights = {memory(*weights), Shape{run.flat.size()}, compute_, 0, space_};
  if (instruction_.kind == Kind::round) return;
  piece.memory.gradient = values(*holder(compiled, Purpose::gradients));
  for (std::size_t m = 0; m < optim::state_names(optimizer_).size(); ++m)
    piece.memory.states[m] =
        values(*holder(compiled, Purpose::moments, static_cast<std::int32_t>(m)));
}

void UnitWork::add_tensors(Piece& piece) const {
  const std::vector<optim::TensorSpan> all = optim::tensor_spans(unit_);
  for (std::size_t i = 0; i < all.size(); ++i) {
    const Range inside = part_of(all[i].elements, piece.flat);
    if (inside.size() == 0) continue;
    piece.tensors.push_back({inside, all[i].decays, all[i].divided});
    const bool mine = speaks_ && (all[i].divided || speaks_in_tensor_);
    piece.norms.push_back(instruction_.kind == Kind::update || mine ? &tensor_norms_[i] : nullptr);
  }
}

void UnitWork::norm() const {
  const bool device = space_ == MemorySpace::device;
  const auto limbs = (device ? store_.device_scalars() : store_.scalars())
                         .subspan(static_cast<std::size_t>(program::kScalars));
  for (const Piece& piece : pieces_)
    for (const Range& range : piece.counted)
      kernels::add_exact_squares(floats(piece.source + range.begin, range.size()),
                                 piece.flat.begin + range.begin, limbs, space_);
}

void UnitWork::trust(const optim::StepScalars& scalars) const {
  if (instruction_.accumulate == 0)
    zero({reinterpret_cast<float*>(tensor_norms_.data()), tensor_norms_.size_bytes() / 4});
  for (const Piece& piece : pieces_)
    optim::lamb_begin(optimizer_, scalars, piece.tensors, piece.memory, piece.norms);
}

void UnitWork::update(const optim::StepScalars& scalars) const {
  for (const Piece& piece : pieces_)
    if (tensor_norms_.empty())
      optim::update_unit(optimizer_, scalars, piece.undecayed, piece.memory);
    else
      optim::lamb_finish(optimizer_, scalars, piece.tensors, piece.norms, piece.memory);
}

void UnitWork::zero(std::span<float> values) const {
  if (space_ == MemorySpace::host)
    std::fill(values.begin(), values.end(), 0.0f);
  else
    kernels::fill(view(values.data(), std::ssize(values)), 0);
}

void UnitWork::run(const optim::StepScalars& scalars) {
  switch (instruction_.kind) {
    case Kind::clear:
      for (const std::span<float> gap : cleared_) zero(gap);
      return;
    case Kind::accumulate:
      for (const Piece& piece : pieces_) {
        const TensorView source = view(piece.source, piece.flat.size());
        const TensorView target = view(piece.target, piece.flat.size());
        instruction_.accumulate ? kernels::add(target, source, target)
                                : kernels::copy(source, target);
      }
      return;
    case Kind::round:
      for (const Piece& piece : pieces_)
        kernels::copy(view(piece.memory.master.data(), piece.flat.size()), piece.memory.weights);
      return;
    case Kind::norm: return norm();
    case Kind::trust: return trust(scalars);
    case Kind::update: return update(scalars);
    default: break;
  }
  fail(Exit::kUnexpected, "a {} instruction works on no unit", program::name_of(instruction_.kind));
}

}  // namespace trireme::engine
