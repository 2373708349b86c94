// SPDX-License-Identifier: BSD-3-Clause
// The memory of the fault path. A fault's signal handler runs wherever the program was, maybe inside its allocator, so
// nothing on that path may call malloc: XArray nodes, page tables and extents come from here.
//
// Memory is taken from the host by mmap, a chunk at a time, cut into size classes, kept on free lists, and given back to
// the host when the arena dies. The classes are the multiples of 64 bytes up to 1 KiB, and from there to kLargest eight
// in each doubling, so that rounding up costs at most an eighth (an index node is nine cache lines, not sixteen). Any
// thread; takes the lock of rank arena; never waits for anything else; allowed in the fault path.
//
// I1 in_use counts exactly the bytes of the size classes handed out and not given back.
// I2 an arena dies empty: its destructor aborts in debug builds when I1 is not zero.
#pragma once

#include <cstddef>
#include <cstdint>
#include <new>
#include <utility>

#include "daxsim/base/config.hpp"
#include "daxsim/base/sync.hpp"

DAXSIM_BEGIN

class Arena {
 public:
  static constexpr std::size_t kSmallest = 64;
  static constexpr std::size_t kLargest = std::size_t{1} << 20;

  Arena() noexcept;
  ~Arena();
  Arena(const Arena&) = delete;
  Arena& operator=(const Arena&) = delete;

  // `bytes` in [1, kLargest]; aligned to a cache line, and a power of two to itself, up to a page. Contents are
  // undefined. Null when the host has no memory left, or an injected failure says so.
  void* allocate(std::size_t bytes) noexcept;
  // `bytes` as given to allocate. Null is fine.
  void deallocate(void* memory, std::size_t bytes) noexcept;

  template <class T, class... Args>
  T* create(Args&&... args) noexcept {
    void* memory = allocate(sizeof(T));
    return memory == nullptr ? nullptr : new (memory) T(std::forward<Args>(args)...);
  }
  template <class T>
  void destroy(T* object) noexcept {
    if (object != nullptr) {
      object->~T();
      deallocate(object, sizeof(T));
    }
  }

  struct Usage {
    std::uint64_t in_use = 0;       // bytes handed out, rounded to size classes
    std::uint64_t mapped = 0;       // bytes taken from the host
    std::uint64_t allocations = 0;  // successful calls ever
  };
  [[nodiscard]] Usage usage() const noexcept;

  // Tests: the n-th allocation from now (1 = the next) and all later ones fail, until set to 0.
  void fail_from(std::uint64_t nth) noexcept;

 private:
  struct FreeNode {
    FreeNode* next;
  };
  struct Chunk;
  static constexpr unsigned kClasses = 96;  // 64 bytes .. 1 MiB
  void* refill_locked(unsigned size_class) noexcept DAXSIM_REQUIRES(lock_);

  mutable Mutex lock_{LockRank::arena};
  FreeNode* free_[kClasses] DAXSIM_GUARDED_BY(lock_) = {};
  Chunk* chunks_ DAXSIM_GUARDED_BY(lock_) = nullptr;
  std::byte* bump_ DAXSIM_GUARDED_BY(lock_) = nullptr;
  std::byte* bump_end_ DAXSIM_GUARDED_BY(lock_) = nullptr;
  Usage usage_ DAXSIM_GUARDED_BY(lock_);
  std::uint64_t fail_in_ DAXSIM_GUARDED_BY(lock_) = 0;
};

DAXSIM_END
