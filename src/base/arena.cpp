// SPDX-License-Identifier: BSD-3-Clause
#include "daxsim/base/arena.hpp"

#include <sys/mman.h>

#include <algorithm>
#include <bit>
#include <cassert>

DAXSIM_BEGIN
namespace {

// A class is (doubling, eighth): its size is kSmallest * eighths * 2^doubling with 9 to 16 eighths, in the first
// doubling 1 to 16.
constexpr unsigned kEighths = 8;

constexpr unsigned class_of(std::size_t bytes) noexcept {
  const std::size_t units = (bytes + Arena::kSmallest - 1) / Arena::kSmallest;
  const auto width = static_cast<unsigned>(std::bit_width(units - 1));
  const unsigned doubling = width > 4 ? width - 4 : 0;
  const auto eighths = static_cast<unsigned>((units + (std::size_t{1} << doubling) - 1) >> doubling);
  return doubling * kEighths + eighths - 1;
}
constexpr std::size_t size_of(unsigned size_class) noexcept {
  const unsigned doubling = size_class < 2 * kEighths ? 0 : size_class / kEighths - 1;
  const std::size_t eighths = size_class - doubling * kEighths + 1;
  return (Arena::kSmallest * eighths) << doubling;
}
// Each class ends exactly where it says, and the next begins a byte later.
constexpr bool classes_fit() noexcept {
  const unsigned last = class_of(Arena::kLargest);
  for (unsigned size_class = 0; size_class <= last; ++size_class) {
    const std::size_t size = size_of(size_class);
    if (class_of(size) != size_class || (size_class < last && class_of(size + 1) != size_class + 1)) {
      return false;
    }
  }
  return true;
}
static_assert(classes_fit());
static_assert(class_of(1) == 0 && size_of(class_of(Arena::kLargest)) == Arena::kLargest);

// Large enough that a busy fault path asks the host rarely, small enough to be cheap for a unit test.
constexpr std::size_t kChunkBytes = std::size_t{2} << 20;

}  // namespace

// At the start of each chunk.
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
  static_assert(class_of(kLargest) + 1 == kClasses);
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
  const std::size_t alignment = std::min<std::size_t>(size & (~size + 1), 4096);
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
