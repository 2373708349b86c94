// SPDX-License-Identifier: BSD-3-Clause
#include "daxsim/base/arena.hpp"

#include <sys/mman.h>

#include <algorithm>
#include <bit>
#include <cassert>

DAXSIM_BEGIN
namespace {

constexpr unsigned class_of(std::size_t bytes) noexcept {
  const std::size_t rounded = std::bit_ceil(std::max(bytes, Arena::kSmallest));
  return static_cast<unsigned>(std::countr_zero(rounded) - std::countr_zero(Arena::kSmallest));
}
constexpr std::size_t size_of(unsigned size_class) noexcept { return Arena::kSmallest << size_class; }

// Large enough that a busy fault path asks the host rarely, small enough to be cheap for a unit test.
constexpr std::size_t kChunkBytes = std::size_t{2} << 20;

}  // namespace

// At the start of each chunk; keeps the first size class aligned to its size.
struct Arena::Chunk {
  Chunk* next;
};

Arena::Arena() noexcept = default;

Arena::~Arena() {
  const MutexLock guard(lock_);
  assert(usage_.in_use == 0 && "I2: an arena dies empty");
  while (chunks_ != nullptr) {
    Chunk* const next = chunks_->next;
    ::munmap(chunks_, kChunkBytes);
    chunks_ = next;
  }
}

void* Arena::allocate(std::size_t bytes) noexcept {
  if (bytes == 0 || bytes > kLargest) {
    return nullptr;
  }
  const unsigned size_class = class_of(bytes);
  const MutexLock guard(lock_);
  if (fail_in_ == 1) {
    return nullptr;
  }
  if (fail_in_ > 1) {
    --fail_in_;
  }
  void* memory = free_[size_class];
  if (memory != nullptr) {
    free_[size_class] = free_[size_class]->next;
  } else {
    memory = refill_locked(size_class);
    if (memory == nullptr) {
      return nullptr;
    }
  }
  usage_.in_use += size_of(size_class);
  ++usage_.allocations;
  return memory;
}

void* Arena::refill_locked(unsigned size_class) noexcept {
  const std::size_t size = size_of(size_class);
  const std::size_t alignment = std::min<std::size_t>(size, 4096);
  const auto aligned = [alignment](std::byte* at) {
    const auto address = reinterpret_cast<std::uintptr_t>(at);
    return at + ((alignment - address % alignment) % alignment);
  };
  if (bump_ == nullptr || static_cast<std::size_t>(bump_end_ - bump_) < size + alignment) {
    void* const chunk =
        ::mmap(nullptr, kChunkBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (chunk == MAP_FAILED) {
      return nullptr;
    }
    chunks_ = new (chunk) Chunk{chunks_};
    bump_ = static_cast<std::byte*>(chunk) + sizeof(Chunk);
    bump_end_ = static_cast<std::byte*>(chunk) + kChunkBytes;
    usage_.mapped += kChunkBytes;
  }
  std::byte* const memory = aligned(bump_);
  bump_ = memory + size;
  return memory;
}

void Arena::deallocate(void* memory, std::size_t bytes) noexcept {
  if (memory == nullptr) {
    return;
  }
  const unsigned size_class = class_of(bytes);
  const MutexLock guard(lock_);
  free_[size_class] = new (memory) FreeNode{free_[size_class]};
  usage_.in_use -= size_of(size_class);
}

Arena::Usage Arena::usage() const noexcept {
  const MutexLock guard(lock_);
  return usage_;
}

void Arena::fail_from(std::uint64_t nth) noexcept {
  const MutexLock guard(lock_);
  fail_in_ = nth;
}

DAXSIM_END
