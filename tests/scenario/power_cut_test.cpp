// SPDX-License-Identifier: BSD-3-Clause
#include <gtest/gtest.h>

#include <atomic>
#include <latch>
#include <optional>
#include <set>
#include <thread>

#include "daxsim/mm/persist.hpp"
#include "daxsim/test_support/builders.hpp"
#include "daxsim/test_support/expect.hpp"

namespace daxsim::test {
namespace {

using namespace daxsim::literals;

unsigned char byte_at(MountedWorld& world, std::uint64_t offset) {
  File file = must(world.fs.open("/file"));
  std::byte byte{};
  must(file.pread(offset, {&byte, 1}));
  return static_cast<unsigned char>(byte);
}

// Makes the first pages written blocks, durably: what is stored to them later needs no metadata to survive.
void write_pages(FileWorld& world, std::uint64_t pages) {
  const std::vector<std::byte> zeros(pages * kPageSize);
  must(world.file.pwrite(0, zeros));
  must(world.file.fsync());
}

// With nothing chosen to survive, exactly what was fsynced or persisted is left.
TEST(PowerCut, NoneKeepsWhatWasFenced) {
  LiveWorld world = live_file(1_MiB);
  world.map.data()[0] = std::byte{1};
  must(world.file.fsync());
  world.map.data()[64] = std::byte{2};
  persist(world.map.data() + 64, 1);
  world.map.data()[128] = std::byte{3};
  flush(world.map.data() + 128, 1);
  world.map.data()[192] = std::byte{4};

  const PowerCutReport report = world.power_cycle();

  EXPECT_EQ(report.lost_lines, 2U);
  EXPECT_EQ(byte_at(world, 0), 1);
  EXPECT_EQ(byte_at(world, 64), 2);
  EXPECT_EQ(byte_at(world, 128), 0);
  EXPECT_EQ(byte_at(world, 192), 0);
}

// With everything chosen to survive, as if the caches had been written back in time.
TEST(PowerCut, AllKeepsEveryStore) {
  LiveWorld world = live_file(1_MiB);
  write_pages(world, 4);
  world.map.data()[12345] = std::byte{9};

  world.power_cycle({.kind = PowerCut::Kind::all});

  EXPECT_EQ(byte_at(world, 12345), 9);
}

// The same seed has the same outcome, and seeds differ.
TEST(PowerCut, SeedsReplay) {
  const auto outcome = [](std::uint64_t seed) {
    LiveWorld world = live_file(1_MiB);
    write_pages(world, 1);
    for (std::uint64_t line = 0; line < 64; ++line) {
      world.map.data()[line * 64] = std::byte{1};
    }
    world.power_cycle({.kind = PowerCut::Kind::seeded, .seed = seed});
    std::string lines;
    for (std::uint64_t line = 0; line < 64; ++line) {
      lines += byte_at(world, line * 64) == 1 ? '#' : '.';
    }
    return lines;
  };
  EXPECT_EQ(outcome(5), outcome(5));
  EXPECT_NE(outcome(5), outcome(6));
}

// Every outcome of one line's history can be asked for by number: the fenced value, each flushed one, the cached one.
TEST(PowerCut, ListedOutcomesEnumerateALine) {
  std::set<unsigned> seen;
  for (std::uint32_t outcome = 0; outcome < 4; ++outcome) {
    LiveWorld world = live_file(1_MiB);
    write_pages(world, 1);
    for (unsigned value = 1; value <= 3; ++value) {
      world.map.data()[0] = static_cast<std::byte>(value);
      if (value < 3) {
        flush(world.map.data(), 1);
      }
    }
    const std::vector<LineHistory> lines = world.device.attachment().view().pending_lines();
    ASSERT_EQ(lines.size(), 1U);
    ASSERT_EQ(lines[0].outcomes, 4U);
    world.power_cycle({.kind = PowerCut::Kind::listed, .lines = {{lines[0].offset, outcome}}});
    EXPECT_EQ(byte_at(world, 0), outcome);
    seen.insert(byte_at(world, 0));
  }
  EXPECT_EQ(seen.size(), 4U);
}

// A list that names what does not exist is refused, and the power stays on.
TEST(PowerCut, BadListCostsNothing) {
  LiveWorld world = live_file(1_MiB);
  world.map.data()[0] = std::byte{1};
  EXPECT_ERRNO(world.machine.power_cut({.kind = PowerCut::Kind::listed, .lines = {{64, 1}}}), Errno::einval);
  const std::uint64_t line = world.device.attachment().view().pending_lines().at(0).offset;
  EXPECT_ERRNO(world.machine.power_cut({.kind = PowerCut::Kind::listed, .lines = {{line, 2}}}), Errno::einval);

  must(world.file.fsync());
  world.power_cycle();
  EXPECT_EQ(byte_at(world, 0), 1);
}

// Everything of a machine without power answers ESHUTDOWN; its mappings raise SIGBUS.
TEST(PowerCut, OldHandlesAnswer) {
  LiveWorld world = live_file(1_MiB);
  Process& process = world.machine.spawn();
  const std::uint64_t address = must(process.mmap(world.file.open_file(), {}));
  ASSERT_TRUE(process.load<int>(address).ok());
  must(world.machine.power_cut());

  std::byte byte{};
  EXPECT_SIGBUS_LOAD(world.map.data(), BUS_ADRERR);
  EXPECT_SIGBUS_STORE(world.map.data(), BUS_ADRERR);
  EXPECT_EQ(process.load<int>(address).error().number, SIGBUS);
  EXPECT_ERRNO(world.file.fsync(), Errno::eshutdown);
  EXPECT_ERRNO(world.file.pread(0, {&byte, 1}), Errno::eshutdown);
  EXPECT_ERRNO(world.file.pwrite(0, {&byte, 1}), Errno::eshutdown);
  EXPECT_ERRNO(world.file.map(), Errno::eshutdown);
  EXPECT_ERRNO(world.fs.open("/file"), Errno::eshutdown);
  EXPECT_ERRNO(world.machine.power_cut(), Errno::eshutdown);
  EXPECT_ERRNO(world.machine.remove(world.device), Errno::eshutdown);
  EXPECT_ERRNO(world.machine.attach(world.device.medium()), Errno::eshutdown);
  EXPECT_ERRNO(world.machine.mount<LinearFs>(world.device), Errno::eshutdown);
}

// A handle that gets a new value may be the last that keeps the old machine: what it was goes before the machine does.
TEST(PowerCut, LastHandlesAreReplaced) {
  MountedWorld world = mounted(8_MiB);
  must(must(world.fs.create("/file", 1_MiB)).fsync());
  world.power_cycle();
  File file = must(world.fs.open("/file"));
  world.power_cycle();

  file = must(world.fs.open("/file"));

  EXPECT_EQ(file.size(), 1_MiB);
}

// A mapping that is the last handle of its machine: it reads as dead, and goes whenever it likes.
TEST(PowerCut, AMappingOutlivesItsMachine) {
  TemporaryFile media;
  Machine machine;
  std::optional<Mapping> left;
  {
    FileSystem fs = must(machine.mkfs<LinearFs>(must(machine.attach(sim::Pmem{.path = media.path(), .size = 8_MiB}))));
    left = must(must(fs.create("/file", 1_MiB)).map());
    left->data()[0] = std::byte{1};
  }
  must(machine.power_cut());
  machine = must(machine.reboot());
  EXPECT_ERRNO(left->msync({0, kPageSize}), Errno::eshutdown);
  left.reset();
  EXPECT_TRUE(machine.mount<LinearFs>(machine.devices().front()).ok());
}

// Without a power cut, a reboot is a clean one: nothing is lost.
TEST(PowerCut, RebootAloneIsOrderly) {
  LiveWorld world = live_file(1_MiB);
  world.map.data()[7] = std::byte{7};

  Machine next = must(world.machine.reboot());

  File file = must(must(next.mount<LinearFs>(next.devices().front())).open("/file"));
  std::byte byte{};
  must(file.pread(7, {&byte, 1}));
  EXPECT_EQ(byte, std::byte{7});
}

// With caches inside the persistence domain nothing is lost, fsync or not.
TEST(PowerCut, EadrLosesNothing) {
  const TemporaryFile media;
  Machine machine;
  DeviceHandle device =
      must(machine.attach(sim::Pmem{.path = media.path(), .size = 8_MiB, .domain = sim::PersistenceDomain::eadr}));
  FileSystem fs = must(machine.mkfs<LinearFs>(device));
  File file = must(fs.create("/file"));
  const std::byte before{4};
  must(file.pwrite(99, {&before, 1}));
  must(file.fsync());
  Mapping map = must(file.map());
  map.data()[99] = std::byte{5};

  must(machine.power_cut());

  machine = must(machine.reboot());
  File again = must(must(machine.mount<LinearFs>(machine.devices().front())).open("/file"));
  std::byte byte{};
  must(again.pread(99, {&byte, 1}));
  EXPECT_EQ(byte, std::byte{5});
}

// The power goes while threads store, fsync and read: they end in SIGBUS or an errno, and nothing hangs.
TEST(PowerCut, UnderRunningThreads) {
  LiveWorld world = live_file(4_MiB);
  std::latch running(3);
  std::optional<FaultSignal> signal;
  std::optional<Errno> synced;
  std::optional<Errno> read;
  std::thread storer([&] {
    for (std::uint64_t count = 0; !signal; ++count) {
      signal = SignalProbe::run(
          [&] { reinterpret_cast<volatile char*>(world.map.data())[count * 4096 % world.map.size()] = 1; });
      if (count == 100) {
        running.count_down();
      }
    }
  });
  std::thread syncer([&] {
    for (std::uint64_t count = 0; !synced; ++count) {
      synced = error_of(world.file.fsync());
      if (count == 3) {
        running.count_down();
      }
    }
  });
  std::thread reader([&] {
    std::vector<std::byte> bytes(100'000);
    for (std::uint64_t count = 0; !read; ++count) {
      read = error_of(world.file.pread(0, bytes));
      if (count == 3) {
        running.count_down();
      }
    }
  });
  running.wait();

  must(world.machine.power_cut({.kind = PowerCut::Kind::seeded, .seed = 3}));

  storer.join();
  syncer.join();
  reader.join();
  EXPECT_EQ(signal->code, BUS_ADRERR);
  EXPECT_TRUE(synced == Errno::eshutdown || synced == Errno::eio) << errno_name(*synced);
  EXPECT_TRUE(read == Errno::eshutdown || read == Errno::eio) << errno_name(*read);
  world.machine = must(world.machine.reboot());
  must(world.machine.mount<LinearFs>(world.machine.devices().front()));
}

// A buffer of read or write may be a mapping of the very file, touched or not.
TEST(Coherence, BufferMayBeTheMappingItself) {
  LiveWorld world = live_file(1_MiB);
  world.map.data()[8192] = std::byte{42};
  must(world.file.pwrite(0, world.map.bytes().subspan(8192, 4096)));
  EXPECT_EQ(world.map.data()[0], std::byte{42});
  must(world.file.pread(0, world.map.bytes().subspan(65536, 4096)));
  EXPECT_EQ(world.map.data()[65536], std::byte{42});
}

// A store to a block that fallocate left unwritten is lost with the metadata that would say "written", even when its line
// was flushed; MAP_SYNC commits that metadata in the fault.
TEST(PowerCut, UnwrittenBlocksNeedMapSync) {
  for (const MapSync sync : {MapSync::no, MapSync::yes}) {
    LiveWorld world = live_file(1_MiB, {.sync = sync});
    world.map.data()[0] = std::byte{1};
    persist(world.map.data(), 1);
    world.power_cycle();
    EXPECT_EQ(byte_at(world, 0), sync == MapSync::yes ? 1 : 0);
  }
}

// Another process opens what this one made, after this one let go of it.
TEST(Coherence, AnotherMachineReadsTheSameMedium) {
  TemporaryFile media;
  {
    Machine machine;
    DeviceHandle device = must(machine.attach(sim::Pmem{.path = media.path(), .size = 8_MiB}));
    File file = must(must(machine.mkfs<LinearFs>(device)).create("/kept"));
    const std::byte hello{17};
    must(file.pwrite(5000, {&hello, 1}));
  }
  Machine machine;
  DeviceHandle device = must(machine.attach(sim::Pmem{.path = media.path()}));
  File file = must(must(machine.mount<LinearFs>(device)).open("/kept", OpenMode::read_only));
  std::byte byte{};
  must(file.pread(5000, {&byte, 1}));
  EXPECT_EQ(byte, std::byte{17});
  EXPECT_ERRNO(file.pwrite(0, {&byte, 1}), Errno::ebadf);
}

}  // namespace
}  // namespace daxsim::test
