// SPDX-License-Identifier: BSD-3-Clause
// Files whose FS_XFLAG_DAX changes all the time, opened and closed by several threads, while others sync and look around.
#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "daxsim/adapters/linear.hpp"
#include "daxsim/test_support/builders.hpp"

namespace daxsim::test {
namespace {

constexpr unsigned kThreads = 4;
constexpr unsigned kFiles = 2;
constexpr unsigned kSteps = 2000;

// Each thread has a word of its own in each file, and finds there what it wrote last, whichever way it goes.
TEST(DaxFlagRace, NoWordIsLost) {
  MountedWorld world = mounted(std::uint64_t{8} << 20);
  must(world.fs.unmount());
  world.fs = must(world.machine.mount<LinearFs>(world.device, MountOptions{.dax = DaxOption::inode}));
  std::array<std::string, kFiles> names;
  for (unsigned file = 0; file < kFiles; ++file) {
    names[file] = "/file" + std::to_string(file);
    must(must(world.fs.create(names[file])).truncate(2 * kPageSize));
  }
  std::array<std::array<std::uint64_t, kFiles>, kThreads> written{};
  std::atomic<unsigned> running{kThreads};
  std::atomic<unsigned> direct{0};
  std::atomic<unsigned> cached{0};
  {
    std::vector<std::thread> threads;
    for (unsigned thread = 0; thread < kThreads; ++thread) {
      threads.emplace_back([&, thread] {
        std::mt19937_64 random(thread);
        // A file changes when it is opened while nobody else uses it.
        for (std::uint64_t step = 1; step <= kSteps || direct == 0 || cached == 0; ++step) {
          const auto number = static_cast<unsigned>(random() % kFiles);
          File opened = must(world.fs.open(names[number]));
          const std::shared_ptr<OpenFile> file = opened.open_file();
          // On both sides of a page's edge.
          const std::uint64_t offset = kPageSize - 2 * sizeof(step) + thread * sizeof(step);
          std::uint64_t found = 0;
          EXPECT_EQ(must(file->pread(offset, std::as_writable_bytes(std::span(&found, 1)))), sizeof(found));
          EXPECT_EQ(found, written[thread][number]);
          must(file->pwrite(offset, std::as_bytes(std::span(&step, 1))));
          written[thread][number] = step;
          ++(file->inode().is_dax() ? direct : cached);
          if (random() % 4 == 0) {
            must(file->inode().set_xflag_dax(random() % 2 == 0 ? XflagDax::set : XflagDax::clear));
          }
          if (random() % 16 == 0) {
            must(file->fsync());
          }
        }
        --running;
      });
    }
    while (running != 0) {
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
      must(world.fs.sync());
      for (const std::shared_ptr<Inode>& inode : world.fs.super_block()->inodes_in_core()) {
        EXPECT_LE(inode->size(), 2 * kPageSize);
      }
    }
    for (std::thread& thread : threads) {
      thread.join();
    }
  }
  EXPECT_GT(direct, 0U);
  EXPECT_GT(cached, 0U);
  must(world.fs.unmount());
  world.mount();
  for (unsigned thread = 0; thread < kThreads; ++thread) {
    for (unsigned number = 0; number < kFiles; ++number) {
      std::uint64_t found = 0;
      must(must(world.fs.open(names[number]))
               .pread(kPageSize - 2 * sizeof(found) + thread * sizeof(found),
                      std::as_writable_bytes(std::span(&found, 1))));
      EXPECT_EQ(found, written[thread][number]);
    }
  }
}

}  // namespace
}  // namespace daxsim::test
