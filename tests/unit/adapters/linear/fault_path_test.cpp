// SPDX-License-Identifier: BSD-3-Clause
// A fault may arrive inside the program's allocator: nothing that allocates blocks, commits or writes a checkpoint may
// call it. This file replaces the allocator of its whole test program with one that counts.
#include <gtest/gtest.h>

#include <cstdlib>
#include <new>

#include "daxsim/mm/process.hpp"
#include "daxsim/sim_devices/pmem.hpp"
#include "unit/adapters/linear/pmem_world.hpp"

namespace {

thread_local constinit unsigned long calls = 0;

void* counted(std::size_t bytes) noexcept {
  ++calls;
  return std::malloc(bytes == 0 ? 1 : bytes);
}

}  // namespace

void* operator new(std::size_t bytes) {
  void* const memory = counted(bytes);
  if (memory == nullptr) {
    throw std::bad_alloc();
  }
  return memory;
}
void* operator new[](std::size_t bytes) { return ::operator new(bytes); }
void* operator new(std::size_t bytes, const std::nothrow_t&) noexcept { return counted(bytes); }
void* operator new[](std::size_t bytes, const std::nothrow_t&) noexcept { return counted(bytes); }
void operator delete(void* memory) noexcept {
  ++calls;
  std::free(memory);
}
void operator delete[](void* memory) noexcept { ::operator delete(memory); }
void operator delete(void* memory, std::size_t) noexcept { ::operator delete(memory); }
void operator delete[](void* memory, std::size_t) noexcept { ::operator delete(memory); }

namespace daxsim {
namespace {

using namespace literals;

TEST(LinearFaultPath, NeverCallsTheAllocator) {
  // MAP_SYNC stores into a hole, so many that the log fills several times, and into space that only checkpoints free.
  const support::TempFile media;
  test::PmemWorld world(media.path(), 4_MiB);
  must(LinearFs::mkfs(*world.device));
  world.mount();
  const std::uint64_t pages = must(world.fs->space()).free_pages - 8;
  const auto file = world.create("f");
  must(file->truncate(pages * kPageSize));
  Process process(world.system(), 1);
  const std::uint64_t address = must(process.mmap(file, {.sync = MapSync::yes}));

  for (int round = 0; round < 3; ++round) {
    for (std::uint64_t page = 0; page < pages; ++page) {
      // Scattered: each is an extent of its own for a while.
      const std::uint64_t at = page * 7 % pages;
      const unsigned long before = calls;
      const bool stored = process.store<char>(address + at * kPageSize, 'x').ok();
      const unsigned long after = calls;
      ASSERT_TRUE(stored) << page;
      ASSERT_EQ(after, before) << page;
    }
    must(file->fallocate(Fallocate::punch_hole, {0, pages * kPageSize}));
  }
}

}  // namespace
}  // namespace daxsim
