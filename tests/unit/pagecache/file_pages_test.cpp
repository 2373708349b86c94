// SPDX-License-Identifier: BSD-3-Clause
// The page cache over an ordinary block device: what a store, fsync and a power cut leave, who sees whose stores, what
// goes and what stays.
#include "daxsim/pagecache/file_pages.hpp"

#include <gtest/gtest.h>

#include <array>
#include <csignal>
#include <vector>

#include "daxsim/mm/live.hpp"
#include "daxsim/mm/process.hpp"
#include "daxsim/sim_devices/ram_disk.hpp"
#include "daxsim/test_support/expect.hpp"
#include "support/cache_world.hpp"
#include "support/error_of.hpp"

namespace daxsim::test {
namespace {

using namespace daxsim::literals;

using support::error_of;

std::vector<std::byte> bytes_of(std::uint64_t length, unsigned value) {
  return std::vector<std::byte>(length, std::byte(value));
}

TEST(PageCache, AStoredAndSyncedByteSurvives) {
  // Store, fsync, cut, reboot, read back: through a new mapping and through read(2).
  CacheWorld world;
  ASSERT_TRUE(world.store(3, 42).ok());
  must(world.handle->fsync());
  world.power_cycle();
  EXPECT_EQ(world.load(3), 42);
  std::array<std::byte, 1> byte{};
  EXPECT_EQ(must(world.handle->pread(3 * kPageSize, byte)), 1U);
  EXPECT_EQ(byte[0], std::byte{42});
}

TEST(PageCache, AStoreThatWasNotSyncedIsLost) {
  // It never left the cache, so not even the kindest power cut keeps it.
  CacheWorld world;
  ASSERT_TRUE(world.store(3, 42).ok());
  EXPECT_EQ(world.on_disk(3), 0);
  world.power_cycle({.kind = PowerCut::Kind::all});
  EXPECT_EQ(world.load(3), 0);
}

TEST(PageCache, AWrittenPageIsLostUntilTheDiskIsFlushed) {
  // Write-back is half of fsync: without the device's flush the sectors are in its cache.
  CacheWorld world;
  ASSERT_TRUE(world.store(3, 42).ok());
  must(world.file->cached.writeback_range({0, 64_KiB}));
  EXPECT_EQ(world.on_disk(3), 42);
  EXPECT_EQ(world.power_cycle().lost_lines, 1U);
  EXPECT_EQ(world.load(3), 0);
}

TEST(PageCache, AClosedFileKeepsItsBytes) {
  // Its inode goes and writes its pages back; the next one reads them from the disk.
  CacheWorld world;
  {
    auto file = world.add_file(12, {100});
    must(file->write(0, bytes_of(1, 5)));
    EXPECT_EQ(world.on_disk(100), 0);
  }
  EXPECT_EQ(world.pool->usage().used, 0U);
  std::array<std::byte, 1> byte{};
  must(world.add_file(12, {100})->read(0, byte));
  EXPECT_EQ(byte[0], std::byte{5});
}

TEST(PageCache, MappingsAndSystemCallsSeeEachOther) {
  // One page of memory, however it is reached: two mappings, read(2) and write(2).
  CacheWorld world;
  Process other(world.system, 101);
  const std::uint64_t there = must(other.mmap(world.handle, {}));
  ASSERT_TRUE(world.store(2, 7).ok());
  EXPECT_EQ(other.load<std::uint8_t>(there + 2 * kPageSize), 7);
  ASSERT_TRUE(other.store<std::uint8_t>(there + 2 * kPageSize, 8).ok());
  EXPECT_EQ(world.load(2), 8);
  must(world.handle->pwrite(2 * kPageSize, bytes_of(1, 9)));
  EXPECT_EQ(world.load(2), 9);
  EXPECT_EQ(world.pte(2).pfn, other.pte(there + 2 * kPageSize).pfn);
}

TEST(PageCache, APageHasAFrameOfItsOwn) {
  // Real memory of the machine, and of no device.
  CacheWorld world;
  ASSERT_TRUE(world.load(2).ok());
  const PteState pte = world.pte(2);
  EXPECT_EQ(pte.kind, PteState::Kind::memory);
  EXPECT_GE(pte.pfn, MemoryMap::kFirst);
  EXPECT_EQ(world.memory.find(pte.pfn).attachment, nullptr);
}

TEST(PageCache, AReadFaultMapsReadOnly) {
  // So that the first store is seen (page_mkwrite); it makes the page dirty, the load before does not.
  CacheWorld world;
  ASSERT_TRUE(world.load(5).ok());
  EXPECT_FALSE(world.pte(5).writable);
  EXPECT_TRUE(world.file->cached.is_cached({5}));
  EXPECT_FALSE(world.file->cached.is_dirty({5}));
  ASSERT_TRUE(world.store(5, 1).ok());
  EXPECT_TRUE(world.pte(5).writable);
  EXPECT_TRUE(world.file->cached.is_dirty({5}));
}

TEST(PageCache, ACleanedPageFaultsAgain) {
  // fsync write-protects in every mapping, or the next store would be neither dirty nor written.
  CacheWorld world;
  Process other(world.system, 101);
  const std::uint64_t there = must(other.mmap(world.handle, {}));
  ASSERT_TRUE(world.store(1, 1).ok());
  ASSERT_TRUE(other.store<std::uint8_t>(there + kPageSize, 2).ok());
  must(world.handle->fsync());
  EXPECT_FALSE(world.pte(1).writable);
  EXPECT_FALSE(other.pte(there + kPageSize).writable);
  EXPECT_FALSE(world.file->cached.is_dirty({1}));
  const FaultCounts before = other.fault_counts(there);
  ASSERT_TRUE(other.store<std::uint8_t>(there + kPageSize, 3).ok());
  EXPECT_EQ(other.fault_counts(there).pte, before.pte + 1);
  must(world.handle->fsync());
  must(other.munmap(there, 16 * kPageSize));
  world.power_cycle();
  EXPECT_EQ(world.load(1), 3);
}

TEST(PageCache, SyncsOnlyTheRange) {
  // fsync_range and msync write what they were asked for.
  CacheWorld world;
  for (std::uint64_t page = 0; page < 8; ++page) {
    ASSERT_TRUE(world.store(page, 1).ok());
  }
  must(world.process->msync(world.area + 2 * kPageSize, 3 * kPageSize));
  for (std::uint64_t page = 0; page < 8; ++page) {
    const bool synced = page >= 2 && page < 5;
    EXPECT_EQ(world.file->cached.is_dirty({page}), !synced) << page;
    EXPECT_EQ(world.on_disk(page), synced ? 1 : 0) << page;
  }
  EXPECT_EQ(world.pool->usage().dirty, 5U);
}

TEST(PageCache, ReadsAndWritesAnyBytes) {
  // Across pages, from the middle of one to the middle of another; what is around stays; reading ends at EOF.
  CacheWorld world;
  must(world.handle->pwrite(0, bytes_of(4 * kPageSize, 1)));
  must(world.handle->fsync());
  world.power_cycle();
  EXPECT_EQ(must(world.handle->pwrite(kPageSize - 10, bytes_of(kPageSize + 20, 2))), kPageSize + 20);
  auto read = bytes_of(4 * kPageSize, 0);
  EXPECT_EQ(must(world.handle->pread(0, read)), read.size());
  for (std::uint64_t at = 0; at < read.size(); ++at) {
    const bool changed = at >= kPageSize - 10 && at < 2 * kPageSize + 10;
    ASSERT_EQ(read[at], std::byte(changed ? 2 : 1)) << at;
  }
  EXPECT_EQ(must(world.handle->pread(world.file->size() - 5, read)), 5U);
  EXPECT_EQ(must(world.handle->pread(world.file->size() + 5, read)), 0U);
}

TEST(PageCache, AWholePageIsWrittenWithoutReading) {
  // Its old bytes do not matter; those of a part do.
  CacheWorld world;
  int reads = 0;
  world.disk->hooks.on_read = [&reads](std::uint64_t) {
    ++reads;
    return Result<void>();
  };
  must(world.handle->pwrite(kPageSize, bytes_of(kPageSize, 1)));
  EXPECT_EQ(reads, 0);
  must(world.handle->pwrite(2 * kPageSize + 1, bytes_of(1, 1)));
  EXPECT_EQ(reads, 1);
}

TEST(PageCache, TruncationTakesThePages) {
  // Unmapped, forgotten, dirty or not; a touch is a SIGBUS; extended again, the file reads zeros, also in the page that
  // was cut.
  CacheWorld world;
  for (const std::uint64_t page : {3U, 4U, 5U}) {
    ASSERT_TRUE(world.store(page, 1).ok());
    ASSERT_TRUE(world.process->store<std::uint8_t>(world.area + page * kPageSize + 100, 2).ok());
  }
  must(world.handle->truncate(3 * kPageSize + 50));
  EXPECT_EQ(world.load(3), 1);
  const auto load = world.load(4);
  ASSERT_FALSE(load.ok());
  EXPECT_EQ(load.error().number, SIGBUS);
  EXPECT_EQ(load.error().code, BUS_ADRERR);
  EXPECT_FALSE(world.file->cached.is_cached({4}));
  must(world.handle->truncate(16 * kPageSize));
  EXPECT_EQ(world.load(4), 0);
  EXPECT_EQ(world.load(3), 1);
  EXPECT_EQ(world.process->load<std::uint8_t>(world.area + 3 * kPageSize + 100), 0);
  must(world.handle->fsync());
  world.power_cycle();
  EXPECT_EQ(world.load(3), 1);
  EXPECT_EQ(world.process->load<std::uint8_t>(world.area + 3 * kPageSize + 100), 0);
}

TEST(PageCache, HolesReadAsZerosAndGetABlockWhenStoredTo) {
  // A hole is a page of zeros in the cache; the store allocates, and without room it is a SIGBUS.
  CacheWorld world;
  ASSERT_TRUE(world.store(6, 5).ok());
  must(world.handle->fallocate(Fallocate::punch_hole, {6 * kPageSize, 2 * kPageSize}));
  EXPECT_EQ(world.load(6), 0);
  world.file->full = true;
  EXPECT_FALSE(world.store(6, 1).ok());
  EXPECT_FALSE(world.file->cached.is_dirty({6}));
  EXPECT_EQ(error_of(world.handle->pwrite(7 * kPageSize, bytes_of(1, 1))), Errno::enospc);
  world.file->full = false;
  ASSERT_TRUE(world.store(6, 2).ok());
  must(world.handle->fsync());
  EXPECT_EQ(world.on_disk(6), 2);
}

TEST(PageCache, PrivateCopiesAreTheProcesssOwn) {
  // A store to a private mapping reaches nobody; its copy outlives a punched hole and goes with a truncation.
  CacheWorld world;
  ASSERT_TRUE(world.store(2, 1).ok());
  const std::uint64_t own = must(world.process->mmap(world.handle, {.sharing = Sharing::private_copy}));
  const std::uint64_t at = own + 2 * kPageSize;
  EXPECT_EQ(world.process->load<std::uint8_t>(at), 1);
  ASSERT_TRUE(world.process->store<std::uint8_t>(at, 9).ok());
  ASSERT_TRUE(world.process->store<std::uint8_t>(at + kPageSize, 8).ok());  // without a load before
  EXPECT_EQ(world.load(2), 1);
  EXPECT_EQ(world.load(3), 0);
  must(world.handle->fallocate(Fallocate::punch_hole, {2 * kPageSize, kPageSize}));
  EXPECT_EQ(world.process->load<std::uint8_t>(at), 9);
  must(world.handle->truncate(0));
  EXPECT_FALSE(world.process->load<std::uint8_t>(at).ok());
}

TEST(PageCache, AFailedWriteIsReportedOnceToEachHandle) {
  // The page stays dirty and the next fsync brings it to the disk; who did not call hears of it as well, once.
  CacheWorld world;
  OpenFile bystander(world.fs, world.file, OpenMode::read_write);
  ASSERT_TRUE(world.store(1, 1).ok());
  ASSERT_TRUE(world.store(2, 2).ok());
  world.disk->hooks.on_write = [](std::uint64_t sector) {
    return sector == kPageSize / kSectorSize ? Result<void>(Errno::eio) : Result<void>();
  };
  EXPECT_EQ(error_of(world.handle->fsync()), Errno::eio);
  EXPECT_TRUE(world.file->cached.is_dirty({1}));
  EXPECT_FALSE(world.file->cached.is_dirty({2})) << "an error does not stop the others";
  world.disk->hooks.on_write = nullptr;
  must(world.handle->fsync());
  EXPECT_EQ(world.on_disk(1), 1);
  EXPECT_EQ(error_of(bystander.fsync()), Errno::eio);
  must(bystander.fsync());
}

TEST(PageCache, ADeadDiskIsAnIoError) {
  // What is cached can be read and stored to; what is not is a SIGBUS and Errno::eio; fsync fails until the file goes.
  CacheWorld world;
  ASSERT_TRUE(world.store(1, 1).ok());
  must(world.attachment->advance(LifeState::dax_dead));
  must(world.attachment->advance(LifeState::disk_gone));
  ASSERT_TRUE(world.store(1, 2).ok());
  EXPECT_FALSE(world.load(2).ok());
  EXPECT_FALSE(world.file->cached.is_cached({2})) << "a page that was not read is not there";
  std::array<std::byte, 1> byte{};
  EXPECT_EQ(error_of(world.handle->pread(2 * kPageSize, byte)), Errno::eio);
  EXPECT_EQ(error_of(world.handle->fsync()), Errno::eio);
  EXPECT_EQ(error_of(world.handle->fsync()), Errno::eio);
}

TEST(PageCache, AFailedFaultLeavesNothing) {
  // The sectors cannot be read: SIGBUS, and the next try reads them again.
  CacheWorld world;
  bool fails = true;
  world.disk->hooks.on_read = [&fails](std::uint64_t) { return fails ? Result<void>(Errno::eio) : Result<void>(); };
  EXPECT_FALSE(world.store(4, 1).ok());
  EXPECT_EQ(world.pool->usage().used, 0U);
  fails = false;
  ASSERT_TRUE(world.store(4, 1).ok());
}

TEST(PageCache, AShutDownFileSystemHandsOutNothing) {
  // Faults are SIGBUS, calls say why.
  CacheWorld world;
  ASSERT_TRUE(world.load(1).ok());
  world.fs->shutdown(Errno::eio);
  EXPECT_FALSE(world.store(1, 1).ok());
  std::array<std::byte, 1> byte{};
  EXPECT_EQ(error_of(world.file->cached.read(0, byte)), Errno::eio);
  EXPECT_EQ(error_of(world.file->cached.write(0, byte)), Errno::eio);
}

TEST(Pool, CleanPagesMakeRoom) {
  // A pool smaller than the file: pages are read again as often as needed, and nothing stored is lost on the way.
  CacheWorld world({.file_pages = 16, .pool_pages = 4});
  for (std::uint64_t page = 0; page < 16; ++page) {
    ASSERT_TRUE(world.store(page, static_cast<std::uint8_t>(page + 1)).ok());
    must(world.handle->fsync());
  }
  for (std::uint64_t page = 0; page < 16; ++page) {
    EXPECT_EQ(world.load(page), page + 1);
  }
  EXPECT_EQ(world.pool->usage().used, 4U);
  EXPECT_EQ(world.pte(0).kind, PteState::Kind::none) << "who lost a page has lost it everywhere";
}

TEST(Pool, FullOfDirtyPagesIsOutOfMemory) {
  // Nothing dirty is thrown away: SIGKILL for a fault, Errno::enomem for a call, and fsync makes room.
  CacheWorld world({.file_pages = 16, .pool_pages = 4});
  for (std::uint64_t page = 0; page < 4; ++page) {
    ASSERT_TRUE(world.store(page, 1).ok());
  }
  const auto store = world.store(4, 1);
  ASSERT_FALSE(store.ok());
  EXPECT_EQ(store.error().number, SIGKILL);
  EXPECT_EQ(error_of(world.handle->pwrite(5 * kPageSize, bytes_of(1, 1))), Errno::enomem);
  must(world.handle->fsync());
  ASSERT_TRUE(world.store(4, 1).ok());
}

TEST(Pool, SeveralFilesShareIt) {
  // A fault of one file takes a clean page of another, which is unmapped there.
  CacheWorld world({.file_pages = 4, .pool_pages = 4});
  for (std::uint64_t page = 0; page < 4; ++page) {
    ASSERT_TRUE(world.load(page).ok());
  }
  auto second = world.add_file(12, {100});
  const auto handle = std::make_shared<OpenFile>(world.fs, second, OpenMode::read_write);
  const std::uint64_t there = must(world.process->mmap(handle, {}));
  ASSERT_TRUE(world.process->store<std::uint8_t>(there, 3).ok());
  EXPECT_EQ(world.pte(0).kind, PteState::Kind::none);
  EXPECT_EQ(world.pool->usage().used, 4U);
  must(handle->fsync());
  EXPECT_EQ(world.on_disk(100), 3);
  must(world.process->munmap(there, 4 * kPageSize));
}

// Real loads and stores of this process, on both backends of the host.
class LivePageCache : public testing::TestWithParam<LiveBackend> {
 protected:
  void SetUp() override {
    if (GetParam() == LiveBackend::userfaultfd && probe_live_backend() != LiveBackend::userfaultfd) {
      GTEST_SKIP() << "this host has no userfaultfd for us";
    }
  }
};

TEST_P(LivePageCache, StoresAreCachedSyncedAndRead) {
  // Shared with a simulated process; cleaned pages fault again; truncated ones raise SIGBUS; a private copy is ours.
  CacheWorld world;
  Mapping map = must(Mapping::map(world.system, world.handle, {}, GetParam()));
  auto* const bytes = reinterpret_cast<volatile std::uint8_t*>(map.data());
  bytes[3 * kPageSize] = 42;
  EXPECT_EQ(world.load(3), 42);
  ASSERT_TRUE(world.store(4, 43).ok());
  EXPECT_EQ(bytes[4 * kPageSize], 43);
  must(world.handle->fsync());
  EXPECT_EQ(world.on_disk(3), 42);
  EXPECT_FALSE(world.file->cached.is_dirty({3}));
  bytes[3 * kPageSize] = 44;
  EXPECT_TRUE(world.file->cached.is_dirty({3}));
  must(world.handle->fsync());
  EXPECT_EQ(world.on_disk(3), 44);

  Mapping copy = must(Mapping::map(world.system, world.handle, {.sharing = Sharing::private_copy}, GetParam()));
  auto* const own = reinterpret_cast<volatile std::uint8_t*>(copy.data());
  EXPECT_EQ(own[3 * kPageSize], 44);
  own[3 * kPageSize] = 1;
  EXPECT_EQ(world.load(3), 44);

  must(world.handle->truncate(4 * kPageSize));
  EXPECT_SIGBUS_LOAD(map.data() + 4 * kPageSize, BUS_ADRERR);
  EXPECT_EQ(bytes[3 * kPageSize], 44);
}

TEST_P(LivePageCache, PagesComeBackInOtherMemory) {
  // A pool smaller than the file: a page that comes back lies elsewhere, and the mapping follows.
  CacheWorld world({.file_pages = 16, .pool_pages = 4});
  Mapping map = must(Mapping::map(world.system, world.handle, {}, GetParam()));
  auto* const bytes = reinterpret_cast<volatile std::uint8_t*>(map.data());
  for (unsigned round = 0; round < 3; ++round) {
    for (std::uint64_t page = 0; page < 16; ++page) {
      EXPECT_EQ(bytes[page * kPageSize], round == 0 ? 0 : page + round);
      bytes[page * kPageSize] = static_cast<std::uint8_t>(page + round + 1);
      must(world.handle->fsync());
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Backends, LivePageCache, testing::Values(LiveBackend::userfaultfd, LiveBackend::sigsegv),
                         [](const auto& backend) { return std::string(live_backend_name(backend.param)); });

}  // namespace
}  // namespace daxsim::test
