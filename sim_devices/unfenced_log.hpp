// SPDX-License-Identifier: BSD-3-Clause
// UnfencedLog: what the lines flushed since the last fence held before, oldest first. A line flushed twice is in it twice.
// Lines are 64 bytes of a pmem, or the sectors written to a block device.
//
// Records lie in blocks from the arena, because a flush may be part of a fault. The last block is kept when the log is
// cleared, so a device that flushes and fences in turn allocates once.
//
// Threads: the caller's lock. Everything but the destructor may be used in the fault path.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "daxsim/base/arena.hpp"
#include "daxsim/base/config.hpp"
#include "daxsim/base/units.hpp"

DAXSIM_BEGIN
namespace sim {

template <std::size_t line_bytes>
class BasicUnfencedLog {
 public:
  using Line = std::array<std::uint64_t, line_bytes / sizeof(std::uint64_t)>;
  struct Record {
    std::uint64_t line;  // number on the device
    Line old;
  };

  explicit BasicUnfencedLog(Arena& arena) noexcept : arena_(arena) {}
  ~BasicUnfencedLog() {
    clear();
    arena_.deallocate(first_, kBlockSize);
  }
  BasicUnfencedLog(const BasicUnfencedLog&) = delete;
  BasicUnfencedLog& operator=(const BasicUnfencedLog&) = delete;

  [[nodiscard]] std::uint64_t size() const noexcept { return size_; }

  // False when the arena has no memory; nothing is appended then.
  [[nodiscard]] bool append(const Record& record) noexcept {
    if (last_ == nullptr || last_->used == kRecordsPerBlock) {
      void* const memory = arena_.allocate(kBlockSize);
      if (memory == nullptr) {
        return false;
      }
      auto* const block = new (memory) Block;
      (last_ == nullptr ? first_ : last_->next) = block;
      last_ = block;
    }
    last_->records[last_->used++] = record;
    ++size_;
    return true;
  }

  void clear() noexcept {
    if (first_ == nullptr) {
      return;
    }
    while (first_ != last_) {
      Block* const next = first_->next;
      arena_.deallocate(first_, kBlockSize);
      first_ = next;
    }
    first_->used = 0;
    size_ = 0;
  }

  // Oldest first.
  template <class Visit>
  void for_each(Visit visit) const {
    for (const Block* block = first_; block != nullptr; block = block->next) {
      for (std::uint64_t i = 0; i < block->used; ++i) {
        visit(block->records[i]);
      }
    }
  }

 private:
  static constexpr std::size_t kBlockSize = std::size_t{64} << 10;
  static constexpr std::size_t kRecordsPerBlock = (kBlockSize - 2 * sizeof(std::uint64_t)) / sizeof(Record);
  struct Block {
    Block* next = nullptr;
    std::uint64_t used = 0;
    Record records[kRecordsPerBlock];
  };
  static_assert(sizeof(Block) <= kBlockSize);

  Arena& arena_;
  Block* first_ = nullptr;
  Block* last_ = nullptr;
  std::uint64_t size_ = 0;
};

using UnfencedLog = BasicUnfencedLog<kCacheLine>;
using SectorLog = BasicUnfencedLog<kSectorSize>;

}  // namespace sim
DAXSIM_END
