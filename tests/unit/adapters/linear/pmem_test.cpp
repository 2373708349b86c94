// SPDX-License-Identifier: BSD-3-Clause
// LinearFs on the simulated persistent memory: power cuts as the device makes them, another process, large devices.
#include <gtest/gtest.h>

#include <atomic>
#include <ostream>
#include <thread>

#include "daxsim/mm/process.hpp"
#include "daxsim/sim_devices/pmem.hpp"
#include "support/child.hpp"
#include "support/linear_world.hpp"
#include "unit/adapters/linear/pmem_world.hpp"

namespace daxsim {
namespace {

using namespace literals;
using test::bytes;
using test::PmemWorld;

constexpr std::uint64_t kPage = kPageSize;

std::string read_all(OpenFile& file) {
  std::string text(file.inode().size(), '\0');
  must(file.pread(0, std::as_writable_bytes(std::span(text))));
  return text;
}

TEST(LinearPmem, AnotherProcessReadsWhatThisOneWrote) {
  // The media file is all that they share.
  const support::TempFile media;
  {
    PmemWorld world(media.path(), 2_MiB);
    must(LinearFs::mkfs(*world.device));
    world.mount();
    must(world.create("a")->pwrite(3 * kPage, bytes("from the parent")));
    must(world.fs->unmount());
  }
  const std::string wrong = support::in_child([&](std::ostream& out) {
    PmemWorld world(media.path(), 0);
    world.mount();
    if (read_all(*world.open("a")) != std::string(3 * kPage, '\0') + "from the parent") {
      out << "the child reads something else";
    }
    must(world.create("b")->pwrite(0, bytes("from the child")));
    must(world.fs->sync());
  });
  EXPECT_EQ(wrong, "");
  PmemWorld world(media.path(), 0);
  world.mount();
  EXPECT_EQ(read_all(*world.open("b")), "from the child");
}

TEST(LinearPmem, SeededPowerCutsKeepWhatWasSynced) {
  // Lives of one medium: each appends records and syncs some; after each cut the synced ones are there.
  const support::TempFile media;
  {
    PmemWorld world(media.path(), 2_MiB);
    must(LinearFs::mkfs(*world.device));
    world.mount();
    world.create("log");
    must(world.fs->sync());
  }
  std::string synced;
  for (std::uint64_t seed = 0; seed < 40; ++seed) {
    Random random(seed);
    PmemWorld world(media.path(), 0);
    world.mount();
    const auto log = world.open("log");
    std::string text = read_all(*log);
    ASSERT_EQ(text.substr(0, synced.size()), synced) << seed;
    must(log->truncate(synced.size()));
    text = synced;
    {
      Process process(world.system(), 1);
      for (std::uint64_t i = 0; i < 30; ++i) {
        const std::string piece(1 + random.below(300), static_cast<char>('a' + random.below(26)));
        must(log->pwrite(text.size(), bytes(piece)));
        text += piece;
        if (random.one_in(4)) {
          must(log->fsync());
          synced = text;
        }
        if (random.one_in(5)) {
          static_cast<void>(world.fs->unlink("other").ok());
          must(world.create("other")->pwrite(0, bytes(std::string(5 * kPage, 'o'))));
        }
      }
      // The end of the log once more, through a mapping.
      const std::uint64_t address = must(process.mmap(log, {.sync = MapSync::yes}));
      ASSERT_TRUE(process.store<char>(address, text[0]).ok());
    }
    world.cut({.kind = seed % 4 == 0   ? PowerCut::Kind::none
                       : seed % 4 == 1 ? PowerCut::Kind::all
                                       : PowerCut::Kind::seeded,
               .seed = seed});
  }
}

TEST(LinearPmem, LargeDevicesCostWhatTheyHold) {
  // 1 TiB: made, mounted and used at once, and the host holds next to nothing of it.
  const support::TempFile media;
  PmemWorld world(media.path(), 1_TiB);
  must(LinearFs::mkfs(*world.device));
  world.mount();
  auto file = world.create("a");
  must(file->truncate(LinearFs::kMaxFileSize));
  must(file->pwrite(LinearFs::kMaxFileSize - kPmdSize, bytes("end")));
  must(file->fallocate(Fallocate::allocate, {0, 100_GiB}));
  must(file->fsync());
  file.reset();
  must(world.fs->unmount());
  world.fs.reset();
  world.mount();
  EXPECT_EQ(world.open("a")->inode().size(), LinearFs::kMaxFileSize);
  struct ::stat status{};
  ASSERT_EQ(::stat(media.path().c_str(), &status), 0);
  EXPECT_LT(static_cast<std::uint64_t>(status.st_blocks) * 512, 64_MiB);
}

// Faults, writes, syncs, layout changes and names, until the device is removed.
void race(PmemWorld& world) {
  const auto shared = world.create("shared");
  must(shared->truncate(64 * kPage));
  std::atomic<bool> stop{false};
  std::atomic<unsigned> rounds{0};
  const auto repeat = [&](auto action) {
    return std::jthread([&, action] {
      for (unsigned round = 0; !stop.load(); ++round) {
        action(round);
        rounds.fetch_add(1);
      }
    });
  };
  const auto ignore = [](const auto& result) { static_cast<void>(result.has_value()); };
  {
    Process process(world.system(), 1);
    const std::uint64_t plain = must(process.mmap(shared, {}));
    const std::uint64_t synced = must(process.mmap(shared, {.sync = MapSync::yes}));
    const std::jthread threads[] = {
        repeat([&](unsigned i) { ignore(process.store<std::uint64_t>(plain + i % 64 * kPage, i)); }),
        repeat([&](unsigned i) { ignore(process.store<std::uint64_t>(synced + i * 7 % 64 * kPage + 8, i)); }),
        repeat([&](unsigned i) { ignore(shared->fallocate(Fallocate::punch_hole, {i % 50 * kPage, 9 * kPage})); }),
        repeat([&](unsigned i) {
          ignore(shared->pwrite(i % 64 * kPage + 16, bytes("hello")));
          ignore(shared->fsync());
        }),
        repeat([&](unsigned i) {
          const std::string name = "file" + std::to_string(i % 3);
          ignore(world.fs->create(name));
          if (const auto inode = world.fs->open(name); inode.ok()) {
            ignore((*inode)->write(0, bytes("hello")));
          }
          ignore(world.fs->rename(name, "other"));
          ignore(world.fs->unlink("other"));
          ignore(world.fs->list());
          ignore(world.fs->sync());
        }),
    };
    while (rounds.load() < 300) {
      std::this_thread::yield();
    }
    must(world.device->notify_holder());
    stop = true;
  }
  EXPECT_EQ(shared->fsync().error(), Errno::eio);
}

TEST(LinearThreads, EverythingAtOnce) {
  // Faults, writes, syncs, layout changes, names and removal race; every call answers, and what is left mounts.
  const support::TempFile media;
  {
    PmemWorld world(media.path(), 4_MiB);
    must(LinearFs::mkfs(*world.device));
    world.mount();
    race(world);
  }
  PmemWorld after(media.path(), 0);
  after.mount();
  EXPECT_EQ(after.open("shared")->inode().size(), 64 * kPage);
}

}  // namespace
}  // namespace daxsim
