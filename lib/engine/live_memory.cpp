#include "lib/engine/live_memory.hpp"

#include "kernels/base/checked.hpp"

#include <algorithm>
#include <map>

namespace trireme::engine {

LiveMemory::LiveMemory(const program::Compiled& compiled, std::int32_t stage) {
  const auto& list = compiled.stages[static_cast<std::size_t>(stage)].instructions;
  std::map<program::BufferId, std::int32_t> known;
  for (const program::Instruction& instruction : list) {
    Touched& touched = touched_.emplace_back();
    for (const auto* ids : {&instruction.reads, &instruction.writes})
      for (const program::BufferId id : *ids) {
        const program::Buffer& buffer = compiled.buffers[static_cast<std::size_t>(id)];
        std::int64_t& end = touched.end[index(buffer.tier)];
        end = std::max(end, buffer.offset + round_up(buffer.bytes, program::kBufferAlignment));
        if (buffer.lifetime == program::Lifetime::resident) continue;
        const auto [at, fresh] = known.emplace(id, static_cast<std::int32_t>(pieces_.size()));
        if (fresh)
          pieces_.push_back({buffer.bytes, static_cast<std::size_t>(buffer.purpose), buffer.tier});
        touched.pieces.push_back(at->second);
      }
    std::sort(touched.pieces.begin(), touched.pieces.end());
    touched.pieces.erase(std::unique(touched.pieces.begin(), touched.pieces.end()),
                         touched.pieces.end());
    for (const std::int32_t p : touched.pieces) ++pieces_[static_cast<std::size_t>(p)].users;
  }
}

void LiveMemory::begin() {
  const std::lock_guard lock(mutex_);
  for (TierUse& use : tiers_) {
    use.now = {};
    use.total = 0;
  }
  for (Piece& piece : pieces_) {
    piece.left = piece.users;
    piece.in_use = false;
  }
}

void LiveMemory::start(std::size_t instruction) {
  const Touched& touched = touched_[instruction];
  const std::lock_guard lock(mutex_);
  for (std::size_t t = 0; t < tiers_.size(); ++t)
    tiers_[t].most.end = std::max(tiers_[t].most.end, touched.end[t]);
  for (const std::int32_t p : touched.pieces) {
    Piece& piece = pieces_[static_cast<std::size_t>(p)];
    if (piece.in_use) continue;
    piece.in_use = true;
    TierUse& use = tiers_[index(piece.tier)];
    use.now[piece.purpose] += piece.bytes;
    use.total += piece.bytes;
  }
  for (TierUse& use : tiers_) {
    if (use.total <= use.most.total) continue;
    use.most.total = use.total;
    use.most.bytes = use.now;
  }
}

void LiveMemory::finish(std::size_t instruction) {
  const std::lock_guard lock(mutex_);
  for (const std::int32_t p : touched_[instruction].pieces) {
    Piece& piece = pieces_[static_cast<std::size_t>(p)];
    if (--piece.left > 0 || !piece.in_use) continue;
    piece.in_use = false;
    TierUse& use = tiers_[index(piece.tier)];
    use.now[piece.purpose] -= piece.bytes;
    use.total -= piece.bytes;
  }
}

}  // namespace trireme::engine
