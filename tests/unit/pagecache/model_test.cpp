// SPDX-License-Identifier: BSD-3-Clause
// Random programs over one cached file, two mappings and the system calls, with power cuts, against a model that is one
// byte a page: what is in the file, what the disk has, and what it has for good.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <memory>
#include <string>

#include "daxsim/base/random.hpp"
#include "daxsim/mm/process.hpp"
#include "daxsim/pagecache/file_pages.hpp"
#include "daxsim/sim_devices/ram_disk.hpp"
#include "support/cache_world.hpp"

namespace daxsim::test {
namespace {

constexpr std::uint64_t kPages = 10;

class Program {
 public:
  explicit Program(std::uint64_t seed) : random_(seed) { map_again(); }

  void step() {
    const std::uint64_t page = random_.below(kPages);
    switch (random_.below(12)) {
      case 0:
      case 1:
        load(page);
        break;
      case 2:
      case 3:
      case 4:
        store(page);
        break;
      case 5:
        pread(page);
        break;
      case 6:
        pwrite(page);
        break;
      case 7:
        sync(0, kPages);
        break;
      case 8:
        sync(page, std::min(page + 3, kPages));
        break;
      case 9:
        punch(page);
        break;
      case 10:
        truncate(page);
        break;
      default:
        if (random_.below(4) == 0) {
          cut();
        }
    }
    check();
  }

 private:
  struct Byte {
    std::uint8_t now = 0;      // in the file
    std::uint8_t written = 0;  // on the disk
    std::uint8_t durable = 0;  // on the disk for good
    bool hole = false;
    bool dirty = false;
  };

  [[nodiscard]] std::uint8_t any_value() { return static_cast<std::uint8_t>(1 + random_.below(255)); }
  [[nodiscard]] std::uint64_t address(std::uint64_t page) {
    return (random_.below(2) == 0 ? world_.area : second_) + page * kPageSize;
  }
  void map_again() { second_ = must(world_.process->mmap(world_.handle, {.offset = 0})); }

  void load(std::uint64_t page) {
    const auto loaded = world_.process->load<std::uint8_t>(address(page));
    ASSERT_EQ(loaded.ok(), page < size_);
    if (page < size_) {
      ASSERT_EQ(*loaded, bytes_[page].now);
    }
  }
  void pread(std::uint64_t page) {
    std::array<std::byte, 1> byte{};
    ASSERT_EQ(must(world_.handle->pread(page * kPageSize, byte)), page < size_ ? 1U : 0U);
    ASSERT_EQ(static_cast<std::uint8_t>(byte[0]), page < size_ ? bytes_[page].now : 0);
  }
  void store(std::uint64_t page) {
    make_room();
    const std::uint8_t value = any_value();
    ASSERT_EQ(world_.process->store(address(page), value).ok(), page < size_);
    if (page < size_) {
      change(page, value);
    }
  }
  void pwrite(std::uint64_t page) {
    make_room();
    if (page < size_) {
      const std::uint8_t value = any_value();
      ASSERT_EQ(must(world_.handle->pwrite(page * kPageSize, std::array{std::byte{value}})), 1U);
      change(page, value);
    }
  }
  // Dirty pages stay in the pool.
  void make_room() {
    if (std::ranges::count(bytes_, true, &Byte::dirty) >= 4) {
      sync(0, kPages);
    }
  }
  void change(std::uint64_t page, std::uint8_t value) {
    Byte& byte = bytes_[page];
    if (byte.hole) {
      byte.written = 0;
      byte.hole = false;
    }
    byte.now = value;
    byte.dirty = true;
  }
  void sync(std::uint64_t first, std::uint64_t end) {
    must(world_.handle->fsync_range({first * kPageSize, (end - first) * kPageSize}, Datasync::yes));
    for (std::uint64_t page = 0; page < kPages; ++page) {
      Byte& byte = bytes_[page];
      if (byte.dirty && page >= first && page < end) {
        byte.written = byte.now;
        byte.dirty = false;
      }
      byte.durable = byte.written;
    }
  }
  void forget(std::uint64_t page) {
    bytes_[page].now = 0;
    bytes_[page].hole = true;
    bytes_[page].dirty = false;
  }
  void punch(std::uint64_t page) {
    must(world_.handle->fallocate(Fallocate::punch_hole, {page * kPageSize, kPageSize}));
    forget(page);
  }
  void truncate(std::uint64_t page) {
    must(world_.handle->truncate(page * kPageSize));
    for (std::uint64_t gone = page; gone < kPages; ++gone) {
      forget(gone);
    }
    size_ = page;
    if (random_.below(3) != 0) {
      must(world_.handle->truncate(kPages * kPageSize));
      size_ = kPages;
    }
  }
  // The test's file system keeps no metadata: after a cut all blocks are the file's again.
  void cut() {
    const bool all = random_.below(2) == 0;
    world_.power_cycle({.kind = all ? PowerCut::Kind::all : PowerCut::Kind::none});
    for (Byte& byte : bytes_) {
      const std::uint8_t survived = all ? byte.written : byte.durable;
      byte = {.now = survived, .written = survived, .durable = survived};
    }
    size_ = kPages;
    map_again();
  }
  void check() {
    std::uint64_t dirty = 0;
    for (std::uint64_t page = 0; page < kPages; ++page) {
      ASSERT_EQ(world_.file->cached.is_dirty({page}), bytes_[page].dirty) << page;
      ASSERT_EQ(world_.on_disk(page), bytes_[page].written) << page;
      dirty += bytes_[page].dirty ? 1 : 0;
      // I1: writable is dirty.
      ASSERT_TRUE(bytes_[page].dirty || !world_.pte(page).writable) << page;
    }
    ASSERT_EQ(world_.pool->usage().dirty, dirty);
  }

  Random random_;
  CacheWorld world_{{.file_pages = kPages, .pool_pages = 6}};
  std::uint64_t second_ = 0;
  std::uint64_t size_ = kPages;
  std::array<Byte, kPages> bytes_;
};

TEST(PageCacheModel, RandomPrograms) {
  // By seed: after every step the bytes, the disk, the dirty pages and the page tables are the model's.
  for (std::uint64_t seed = 1; seed <= 60; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    Program program(seed);
    for (int step = 0; step < 150 && !testing::Test::HasFatalFailure(); ++step) {
      program.step();
    }
  }
}

}  // namespace
}  // namespace daxsim::test
