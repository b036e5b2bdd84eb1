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
        touched.end = std::max(touched.end,
                               buffer.offset + round_up(buffer.bytes, program::kBufferAlignment));
        if (buffer.lifetime == program::Lifetime::resident) continue;
        const auto [at, fresh] = known.emplace(id, static_cast<std::int32_t>(pieces_.size()));
        if (fresh) pieces_.push_back({buffer.bytes, static_cast<std::size_t>(buffer.purpose)});
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
  now_ = {};
  total_ = 0;
  for (Piece& piece : pieces_) {
    piece.left = piece.users;
    piece.in_use = false;
  }
}

void LiveMemory::start(std::size_t instruction) {
  const Touched& touched = touched_[instruction];
  const std::lock_guard lock(mutex_);
  most_.end = std::max(most_.end, touched.end);
  for (const std::int32_t p : touched.pieces) {
    Piece& piece = pieces_[static_cast<std::size_t>(p)];
    if (piece.in_use) continue;
    piece.in_use = true;
    now_[piece.purpose] += piece.bytes;
    total_ += piece.bytes;
  }
  if (total_ <= most_.total) return;
  most_.total = total_;
  most_.bytes = now_;
}

void LiveMemory::finish(std::size_t instruction) {
  const std::lock_guard lock(mutex_);
  for (const std::int32_t p : touched_[instruction].pieces) {
    Piece& piece = pieces_[static_cast<std::size_t>(p)];
    if (--piece.left > 0 || !piece.in_use) continue;
    piece.in_use = false;
    now_[piece.purpose] -= piece.bytes;
    total_ -= piece.bytes;
  }
}

}  // namespace trireme::engine
