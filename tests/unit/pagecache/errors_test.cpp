// SPDX-License-Identifier: BSD-3-Clause
// What the page cache's calls answer when the host, the disk, the file system or memory refuse. The functions below take
// the place of libc's in this program.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <utility>

#include "daxsim/mm/process.hpp"
#include "daxsim/pagecache/file_pages.hpp"
#include "daxsim/sim_devices/ram_disk.hpp"
#include "support/cache_world.hpp"
#include "support/error_of.hpp"

namespace {

// The next call ends with this errno, unless it is 0.
int refuse_memfd = 0;
int refuse_fallocate = 0;

bool refused(int& call) {
  errno = std::exchange(call, 0);
  return errno != 0;
}

}  // namespace

extern "C" {

int memfd_create(const char* name, unsigned flags) noexcept {
  return refused(refuse_memfd) ? -1 : static_cast<int>(::syscall(SYS_memfd_create, name, flags));
}

int fallocate(int file, int mode, off_t offset, off_t length) {
  return refused(refuse_fallocate) ? -1 : static_cast<int>(::syscall(SYS_fallocate, file, mode, offset, length));
}

}  // extern "C"

namespace daxsim::test {
namespace {

using support::error_of;

constexpr ByteRange kFirstPage{0, kPageSize};

TEST(PoolErrors, CreateNamesThem) {
  // Errno::einval without pages; Errno::emfile, Errno::enfile and Errno::enomem as the host says; Errno::enospc when the
  // machine has no more frames.
  CacheWorld world;
  const auto create = [&world](std::uint64_t pages) { return error_of(pagecache::Pool::create(world.system, pages)); };
  EXPECT_EQ(create(0), Errno::einval);
  for (const auto& [host, ours] :
       {std::pair(EMFILE, Errno::emfile), {ENFILE, Errno::enfile}, {ENOMEM, Errno::enomem}}) {
    refuse_memfd = host;
    EXPECT_EQ(create(1), ours);
  }
  refuse_fallocate = ENOSPC;
  EXPECT_EQ(create(1), Errno::enomem);
  while (world.memory.reserve(1).ok()) {
  }
  EXPECT_EQ(create(1), Errno::enospc);
}

TEST(PageCacheErrors, OfTheDisk) {
  // Errno::eio, Errno::enospc and Errno::enomem pass; what a device says of its own death is Errno::eio.
  CacheWorld world;
  ASSERT_TRUE(world.store(0, 1).ok());
  for (const auto& [disk, ours] : {std::pair(Errno::eio, Errno::eio),
                                   {Errno::enospc, Errno::enospc},
                                   {Errno::enomem, Errno::enomem},
                                   {Errno::enxio, Errno::eio}}) {
    world.disk->hooks.on_write = [error = disk](std::uint64_t) { return Result<void>(error); };
    EXPECT_EQ(error_of(world.file->cached.writeback_range(kFirstPage)), ours);
    world.disk->hooks.on_read = world.disk->hooks.on_write;
    std::array<std::byte, 8> bytes{};
    EXPECT_EQ(error_of(world.file->cached.read(kPageSize, bytes)), ours);
    EXPECT_EQ(error_of(world.file->cached.write(kPageSize, bytes)), ours);
    EXPECT_EQ(error_of(world.file->cached.zero_range({kPageSize, 8})), ours);
  }
}

TEST(PageCacheErrors, OfTheFileSystem) {
  // Errno::enospc and Errno::efbig from allocation; Errno::eshutdown when the power is gone, from every call.
  CacheWorld world;
  ASSERT_TRUE(world.store(0, 1).ok());
  std::array<std::byte, 8> bytes{};
  world.file->free_blocks({{1}, 1});
  world.file->full = true;
  EXPECT_EQ(error_of(world.file->cached.write(kPageSize, bytes)), Errno::enospc);
  EXPECT_EQ(error_of(world.file->cached.write(kLastFileByte - 2, bytes)), Errno::efbig);
  EXPECT_EQ(error_of(world.file->cached.write(16 * kPageSize, bytes)), Errno::efbig);
  world.fs->shutdown(Errno::eshutdown);
  EXPECT_EQ(error_of(world.file->cached.read(0, bytes)), Errno::eshutdown);
  EXPECT_EQ(error_of(world.file->cached.write(0, bytes)), Errno::eshutdown);
  EXPECT_EQ(error_of(world.file->cached.zero_range(kFirstPage)), Errno::eshutdown);
  EXPECT_EQ(error_of(world.file->cached.writeback_range(kFirstPage)), Errno::eshutdown);
}

TEST(PageCacheErrors, OfMemory) {
  // Errno::enomem: the pool is full of dirty pages.
  CacheWorld world({.pool_pages = 1});
  ASSERT_TRUE(world.store(0, 1).ok());
  std::array<std::byte, 8> bytes{};
  EXPECT_EQ(error_of(world.file->cached.read(kPageSize, bytes)), Errno::enomem);
  EXPECT_EQ(error_of(world.file->cached.write(kPageSize, bytes)), Errno::enomem);
  EXPECT_EQ(error_of(world.file->cached.zero_range({kPageSize, 8})), Errno::enomem);
}

TEST(PageCacheErrors, NoPageTable) {
  // A fault that cannot be installed leaves the page as it was, clean.
  CacheWorld world;
  must(world.process->munmap(world.area, world.file->size()));
  world.area = must(world.process->mmap(world.handle, {}));
  world.arena.fail_from(1);
  EXPECT_FALSE(world.store(1, 1).ok());
  world.arena.fail_from(0);
  EXPECT_FALSE(world.file->cached.is_dirty({1}));
  ASSERT_TRUE(world.store(1, 1).ok());
}

}  // namespace
}  // namespace daxsim::test
