// SPDX-License-Identifier: BSD-3-Clause
// read(2), write(2) and zeroing through direct access.
#include <gtest/gtest.h>
#include <sys/mman.h>

#include <algorithm>
#include <csignal>
#include <span>

#include "daxsim/test_support/expect.hpp"
#include "support/dax_world.hpp"

namespace daxsim::test {
namespace {

using Names = std::vector<std::string>;
using Block = FakeInode::Block;
using Bytes = std::vector<std::byte>;
constexpr VmFlags kShared{};

Bytes pattern(std::size_t length, unsigned seed = 1) {
  Bytes bytes(length);
  for (std::size_t n = 0; n < length; ++n) {
    bytes[n] = static_cast<std::byte>((n * 31 + seed) % 251);
  }
  return bytes;
}
Bytes read_back(World& world, std::uint64_t offset, std::size_t length) {
  Bytes bytes(length, std::byte{0xee});
  bytes.resize(must(world.file->read(offset, bytes)));
  return bytes;
}

// Bytes come back as written, at any offset and length, over pages and bounce buffers.
TEST(ReadWrite, RoundTrip) {
  World world;
  for (const std::size_t length : {1U, 4095U, 4096U, 4097U, 65536U, 200000U}) {
    for (const std::uint64_t offset : {0U, 1U, 4095U, 12288U}) {
      const Bytes bytes = pattern(length, static_cast<unsigned>(length + offset));
      EXPECT_EQ(must(world.file->write(offset, bytes)), length);
      EXPECT_EQ(read_back(world, offset, length), bytes);
    }
  }
  EXPECT_TRUE(world.file->mapping().pages().empty());
}

// Reads stop at the end of the file, and holes read as zero without asking the device.
TEST(ReadWrite, HolesAndEndOfFile) {
  World world;
  world.file->resize(2 * kPageSize + 10);
  must(world.file->write(kPageSize, pattern(1)));
  const std::uint64_t first = world.events.next_id();

  EXPECT_EQ(read_back(world, 0, 64), Bytes(64));
  EXPECT_EQ(world.names_since(first), (Names{"dax_iomap_rw"}));
  EXPECT_EQ(read_back(world, 2 * kPageSize, 64), Bytes(10));
  EXPECT_TRUE(read_back(world, 2 * kPageSize + 10, 64).empty());
  EXPECT_TRUE(read_back(world, ~std::uint64_t{0}, 64).empty());
  EXPECT_TRUE(read_back(world, 0, 0).empty());
}

// Written bytes are on the media without any entry to write back (workload i22, i23).
TEST(ReadWrite, WriteLeavesNothingToFlush) {
  World world;
  const std::uint64_t first = world.events.next_id();
  must(world.file->write(0, pattern(kPageSize)));
  EXPECT_EQ(world.on_media({0}, 100), static_cast<std::uint8_t>(pattern(kPageSize)[100]));
  EXPECT_TRUE(world.file->mapping().pages().empty());
  EXPECT_EQ(world.names_since(first),
            (Names{"invalidate_inode_pages2_range", "dax_direct_access", "dax_copy_from_iter", "dax_iomap_rw"}));
}

// A write over a mapped hole: the block first, then the old mapping goes, then the bytes (workload a8; F13/76).
TEST(ReadWrite, Scenario76_WriteOverAMappedHole) {
  World world;
  FakeVma area(*world.file, kShared, kArea, {{0}, 16});
  ASSERT_EQ(area.load({0}), Loaded(0));
  const std::uint64_t first = world.events.next_id();

  must(world.file->write(0, pattern(kPageSize)));

  EXPECT_EQ(world.names_since(first),
            (Names{"invalidate_inode_pages2_range", "dax_invalidate_mapping_entry_sync", "unmap_mapping_pages",
                   "dax_direct_access", "dax_copy_from_iter", "dax_iomap_rw"}));
  EXPECT_EQ(world.events.since(first)[1].ret, 1);
  EXPECT_EQ(area.load({0}, 1), Loaded(static_cast<std::uint8_t>(pattern(kPageSize)[1])));
}

// A new block without an entry, in a file that has others: only the unmapping is seen (workload i12).
TEST(ReadWrite, WriteIntoAnUnmappedHole) {
  World world;
  FakeVma area(*world.file, kShared, kArea, {{0}, 16});
  ASSERT_EQ(area.load({0}), Loaded(0));
  const std::uint64_t first = world.events.next_id();
  must(world.file->write(byte_of({9}), pattern(16)));
  EXPECT_EQ(world.names_since(first), (Names{"invalidate_inode_pages2_range", "unmap_mapping_pages",
                                             "dax_direct_access", "dax_copy_from_iter", "dax_iomap_rw"}));
}

// A file system that translates new blocks itself gets the same result.
TEST(ReadWrite, TranslatedByTheFileSystem) {
  World world;
  world.file->leaves_translation = false;
  FakeVma area(*world.file, kShared, kArea, {{0}, 16});
  ASSERT_EQ(area.load({0}), Loaded(0));
  must(world.file->write(0, pattern(16)));
  EXPECT_EQ(area.load({0}, 1), Loaded(static_cast<std::uint8_t>(pattern(16)[1])));
}

// Storage that is mapped and dirty is written in place; the mapping stays (workload i3, i15).
TEST(ReadWrite, WriteIntoMappedStorage) {
  World world;
  FakeVma area(*world.file, kShared, kArea, {{0}, 16});
  ASSERT_TRUE(area.store({3}, 7).has_value());
  const std::uint64_t first = world.events.next_id();

  must(world.file->write(byte_of({3}) + 64, pattern(8)));

  EXPECT_EQ(world.names_since(first), (Names{"dax_direct_access", "dax_copy_from_iter", "dax_iomap_rw"}));
  EXPECT_EQ(area.load({3}, 65), Loaded(static_cast<std::uint8_t>(pattern(8)[1])));
  EXPECT_EQ(area.load({3}), Loaded(7));
  EXPECT_EQ(area.faults, 1U);
  EXPECT_TRUE(world.dirty({3}));
  EXPECT_EQ(read_back(world, byte_of({3}), 1), Bytes{std::byte{7}});
}

// Whatever runs short, what was done is counted; an error comes only when nothing was.
TEST(ReadWrite, ShortWhenSpaceRunsOut) {
  World world;
  world.file->longest = 1;
  world.file->on_direct_access = [](PageRange pages, Access access) {
    return access == Access::write && pages.first.value >= 2 ? Result<void>(Errno::enospc) : Result<void>{};
  };
  EXPECT_EQ(must(world.file->write(0, pattern(5 * kPageSize))), 2 * kPageSize);
  EXPECT_ERRNO(world.file->write(2 * kPageSize, pattern(1)), Errno::enospc);
}

TEST(ReadWrite, Errors) {
  World world;
  must(world.file->write(0, pattern(3 * kPageSize)));
  Bytes to(3 * kPageSize);
  const Bytes from = pattern(8);

  EXPECT_EQ(must(world.file->write(0, {})), 0U);
  EXPECT_ERRNO(dax::write(world.context, *world.file, kLastFileByte, from), Errno::efbig);
  EXPECT_ERRNO(dax::write(world.context, *world.file, kLastFileByte + 1, from), Errno::efbig);
  EXPECT_ERRNO(dax::write(world.context, *world.file, byte_of({4 * kPagesPerPmd}), from), Errno::efbig);

  world.arena.fail_from(1);
  EXPECT_ERRNO(world.file->read(0, to), Errno::enomem);
  EXPECT_ERRNO(world.file->write(0, from), Errno::enomem);
  world.arena.fail_from(0);

  // Bad memory in the second page: what is before it is read, then an I/O error.
  world.file->longest = 1;
  world.view().on_direct_access = [](Pgoff page, std::uint64_t pages) -> Result<std::uint64_t> {
    return page.value == 1 ? Result<std::uint64_t>(Errno::ehwpoison) : Result<std::uint64_t>(pages);
  };
  EXPECT_EQ(must(world.file->read(0, to)), kPageSize);
  EXPECT_ERRNO(world.file->read(kPageSize, to), Errno::eio);
  EXPECT_ERRNO(world.file->write(kPageSize, from), Errno::eio);
  EXPECT_ERRNO(dax::zero_range(world.context, *world.file, {kPageSize, 8}), Errno::eio);
  world.view().on_direct_access = nullptr;

  world.view().on_flush = [](ByteRange) { return Result<void>(Errno::enospc); };
  EXPECT_ERRNO(world.file->write(0, from), Errno::enospc);
  EXPECT_ERRNO(dax::zero_range(world.context, *world.file, {0, 8}), Errno::enospc);
  world.view().on_flush = nullptr;

  world.file->set_blocks({{0}, 1}, Block::not_direct);
  EXPECT_ERRNO(world.file->read(0, to), Errno::eio);
  EXPECT_ERRNO(world.file->write(0, from), Errno::eio);
  EXPECT_ERRNO(dax::zero_range(world.context, *world.file, {0, 8}), Errno::eio);
  world.file->set_blocks({{0}, 1}, Block::written);

  world.file->longest = 0;
  EXPECT_ERRNO(world.file->read(byte_of({9}), to), Errno::eio);
  EXPECT_ERRNO(world.file->write(byte_of({9}), from), Errno::eio);
  world.file->longest = 1;

  must(world.device->advance(LifeState::dax_dead));
  EXPECT_ERRNO(world.file->read(0, to), Errno::enxio);
  EXPECT_ERRNO(world.file->write(0, from), Errno::enxio);
  EXPECT_ERRNO(dax::zero_range(world.context, *world.file, {0, 8}), Errno::enxio);

  world.super_block->shutdown(Errno::eio);
  EXPECT_ERRNO(world.file->read(0, to), Errno::eio);
  EXPECT_ERRNO(world.file->write(0, from), Errno::eio);
  EXPECT_EQ(world.arena.usage().in_use, 0U);
}

// User memory that faults when it is touched, as a mapping does: the handler looks whether the thread may enter the fault
// path, then lets the access happen.
class FaultingBuffer {
 public:
  FaultingBuffer()
      : memory_(static_cast<std::byte*>(::mmap(nullptr, kPageSize, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0))) {
    buffer = memory_;
    struct sigaction action{};
    action.sa_handler = [](int) {
      ++faults;
      could_fault = could_fault && lock_order::may_fault();
      ::mprotect(buffer, kPageSize, PROT_READ | PROT_WRITE);
    };
    ::sigaction(SIGSEGV, &action, &before_);
  }
  ~FaultingBuffer() {
    ::sigaction(SIGSEGV, &before_, nullptr);
    ::munmap(memory_, kPageSize);
  }
  void protect() { ::mprotect(memory_, kPageSize, PROT_NONE); }
  [[nodiscard]] std::span<std::byte> bytes() const { return {memory_, kPageSize}; }

  static inline int faults = 0;
  static inline bool could_fault = true;

 private:
  static inline std::byte* buffer = nullptr;
  std::byte* const memory_;
  struct sigaction before_{};
};

// The buffer may be a mapping of the very page that is read or written, so touching it must find no lock held (i24, i25).
TEST(ReadWrite, TouchesUserMemoryWithoutLocks) {
  World world;
  FaultingBuffer user;

  must(dax::write(world.context, *world.file, 0, user.bytes()));
  user.protect();
  EXPECT_EQ(must(dax::read(world.context, *world.file, 0, user.bytes())), kPageSize);
  user.protect();
  EXPECT_EQ(must(dax::read(world.context, *world.file, byte_of({9}), user.bytes())), kPageSize);

  EXPECT_EQ(FaultingBuffer::faults, 3);
  EXPECT_TRUE(FaultingBuffer::could_fault);
}

// Zeroing in place reaches the media, touches nothing beside, and leaves holes alone (workload f).
TEST(ZeroRange, ZeroesAndFlushes) {
  World world;
  must(world.file->write(0, pattern(2 * kPageSize)));
  const std::uint64_t first = world.events.next_id();

  must(dax::zero_range(world.context, *world.file, {kPageSize + 101, 500}));

  Bytes wanted = pattern(2 * kPageSize);
  std::fill_n(wanted.begin() + kPageSize + 101, 500, std::byte{0});
  EXPECT_EQ(read_back(world, 0, 2 * kPageSize), wanted);
  EXPECT_EQ(world.on_media({1}, 101), 0);
  EXPECT_EQ(world.names_since(first)[0], "dax_zero_range");
  EXPECT_EQ(world.names_since(first)[1], "dax_direct_access");
  EXPECT_EQ(world.names_since(first)[2], "dax_flush");
  EXPECT_EQ(world.events.since(first)[2].length, 500U);

  must(dax::zero_range(world.context, *world.file, {byte_of({5}), 3 * kPageSize}));
  EXPECT_EQ(world.file->block({5}), Block::hole);
}

}  // namespace
}  // namespace daxsim::test
