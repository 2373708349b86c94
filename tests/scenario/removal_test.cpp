// SPDX-License-Identifier: BSD-3-Clause
#include <gtest/gtest.h>

#include <atomic>
#include <latch>
#include <thread>

#include "daxsim/test_support/builders.hpp"
#include "daxsim/test_support/expect.hpp"
#include "program.hpp"

namespace daxsim::test {
namespace {

using namespace daxsim::literals;

LiveBackend backend_of(Mmu mmu) { return mmu == Mmu::userfaultfd ? LiveBackend::userfaultfd : LiveBackend::sigsegv; }

struct Case {
  Removal removal;
  Mmu mmu;
};
std::string case_name(const ::testing::TestParamInfo<Case>& info) {
  return std::string(info.param.removal == Removal::orderly ? "Orderly" : "Surprise") + "_" + mmu_name(info.param.mmu);
}

// Loads and stores of either kind of mapping, as a program sees them.
class Stores {
 public:
  Stores(FileWorld& world, Mmu mmu) {
    if (mmu == Mmu::soft) {
      process_ = &world.machine.spawn();
      address_ = must(process_->mmap(world.file.open_file(), {}));
    } else {
      map_.emplace(must(world.file.map({}, backend_of(mmu))));
    }
  }
  // Nothing, or the signal.
  std::optional<FaultSignal> store(std::uint64_t offset, unsigned char value) {
    if (process_ != nullptr) {
      const auto stored = process_->store<unsigned char>(address_ + offset, value);
      return stored.ok() ? std::nullopt : std::optional(stored.error());
    }
    return SignalProbe::run([&] { reinterpret_cast<volatile unsigned char*>(map_->data())[offset] = value; });
  }
  std::optional<FaultSignal> load(std::uint64_t offset) {
    if (process_ != nullptr) {
      const auto loaded = process_->load<unsigned char>(address_ + offset);
      return loaded.ok() ? std::nullopt : std::optional(loaded.error());
    }
    return SignalProbe::run(
        [&] { [[maybe_unused]] const auto seen = reinterpret_cast<volatile unsigned char*>(map_->data())[offset]; });
  }

 private:
  Process* process_ = nullptr;
  std::uint64_t address_ = 0;
  std::optional<Mapping> map_;
};

class RemovalUnderLoad : public ::testing::TestWithParam<Case> {};

INSTANTIATE_TEST_SUITE_P(Kinds, RemovalUnderLoad,
                         ::testing::Values(Case{Removal::orderly, Mmu::soft}, Case{Removal::orderly, Mmu::userfaultfd},
                                           Case{Removal::orderly, Mmu::sigsegv}, Case{Removal::surprise, Mmu::soft},
                                           Case{Removal::surprise, Mmu::userfaultfd},
                                           Case{Removal::surprise, Mmu::sigsegv}),
                         case_name);

// A writer is in the middle of a loop of stores when the device goes: it ends in SIGBUS BUS_ADRERR, the removal ends,
// nothing is found to have touched dead memory.
TEST_P(RemovalUnderLoad, WriterEndsInSigbus) {
  FileWorld world = with_file(4_MiB);
  Stores memory(world, GetParam().mmu);
  std::optional<FaultSignal> signal;
  std::latch running(1);
  std::thread writer([&] {
    for (std::uint64_t count = 0; !signal.has_value(); ++count) {
      signal = memory.store(count * kCacheLine % 4_MiB, 0x33);
      if (count == 1000) {
        running.count_down();
      }
    }
  });
  running.wait();

  must(world.machine.remove(world.device, GetParam().removal));

  writer.join();
  ASSERT_TRUE(signal.has_value());
  EXPECT_EQ(signal->number, SIGBUS);
  EXPECT_EQ(signal->code, BUS_ADRERR);
  EXPECT_EQ(world.device.state(), LifeState::unmapped);
  EXPECT_TRUE(world.machine.findings().empty());
}

// After the removal every load and store raises SIGBUS, touched before or not, and every call answers EIO.
TEST_P(RemovalUnderLoad, EverythingAnswersAfterwards) {
  FileWorld world = with_file(1_MiB);
  Stores memory(world, GetParam().mmu);
  ASSERT_FALSE(memory.store(0, 1).has_value());
  ASSERT_FALSE(memory.load(4096).has_value());

  must(world.machine.remove(world.device, GetParam().removal));

  for (const std::uint64_t offset : {0_KiB, 4_KiB, 512_KiB}) {
    EXPECT_EQ(memory.load(offset).value().code, BUS_ADRERR) << offset;
    EXPECT_EQ(memory.store(offset, 2).value().code, BUS_ADRERR) << offset;
  }
  std::byte byte{};
  EXPECT_ERRNO(world.file.fsync(), Errno::eio);
  EXPECT_ERRNO(world.file.fdatasync(), Errno::eio);
  EXPECT_ERRNO(world.file.pread(0, {&byte, 1}), Errno::eio);
  EXPECT_ERRNO(world.file.pwrite(0, {&byte, 1}), Errno::eio);
  EXPECT_ERRNO(world.file.truncate(0), Errno::eio);
  EXPECT_ERRNO(world.fs.open("/file"), Errno::eio);
  EXPECT_ERRNO(world.fs.create("/other"), Errno::eio);
  EXPECT_ERRNO(world.fs.sync(), Errno::eio);
  EXPECT_ERRNO(world.machine.remove(world.device), Errno::enxio);
}

// Orderly removal writes back: what was stored and never fsynced is there when the device comes back.
TEST(Removal, OrderlyLosesNothing) {
  LiveWorld world = live_file(1_MiB);
  world.map.data()[12345] = std::byte{7};

  must(world.machine.remove(world.device, Removal::orderly));

  DeviceHandle device = must(world.machine.attach(world.device.medium()));
  File file = must(must(world.machine.mount<LinearFs>(device)).open("/file"));
  std::byte seen{};
  must(file.pread(12345, {&seen, 1}));
  EXPECT_EQ(seen, std::byte{7});
}

// A pinned page holds the last edge back, for as long as the caller is willing to wait; nothing is given back under it.
TEST(Removal, WaitsForPinsWithABound) {
  LiveWorld world = live_file(1_MiB);
  world.map.data()[0] = std::byte{1};
  const dax::Pin pin =
      must(dax::pin_page(world.machine.context(), world.file.open_file()->inode().mapping(), Pgoff{0}));

  EXPECT_ERRNO(world.machine.remove(world.device, Removal::orderly, std::chrono::milliseconds{5}), Errno::ebusy);
  EXPECT_EQ(world.device.state(), LifeState::disk_gone);
  EXPECT_SIGBUS_LOAD(world.map.data(), BUS_ADRERR);

  dax::unpin_page(pin);
  must(world.machine.remove(world.device));
  EXPECT_EQ(world.device.state(), LifeState::unmapped);
}

// The machine can be destroyed at any point of a removal, with handles left over, which then answer.
TEST(Removal, MachineDiesWithHandlesLeft) {
  LiveWorld world = live_file(1_MiB);
  world.map.data()[0] = std::byte{1};
  must(world.machine.remove(world.device, Removal::surprise));

  world.machine = Machine();

  EXPECT_SIGBUS_STORE(world.map.data(), BUS_ADRERR);
  EXPECT_ERRNO(world.file.fsync(), Errno::eio);
}

// The frames of a device are its own while it is there; then another may have them, and frames are all it has of it.
TEST(Frames, AnotherDeviceGetsThem) {
  MountedWorld world = mounted(8_MiB);
  const Pfn frames = world.device.attachment().first_pfn();
  const TemporaryFile media;
  const auto medium = must(sim::open(sim::Pmem{.path = media.path(), .size = 8_MiB}));
  EXPECT_ERRNO(world.machine.attach(medium, {.at = frames}), Errno::ebusy);
  must(world.machine.remove(world.device, Removal::surprise));

  const DeviceHandle other = must(world.machine.attach(medium, {.at = frames}));

  EXPECT_EQ(other.attachment().first_pfn(), frames);
  EXPECT_NE(other.attachment().dev(), world.device.attachment().dev());
}

// A holder that is not told goes on as if nothing had happened, and its pages stay mapped.
TEST(Untold, PagesStayMapped) {
  FileWorld world = with_file(1_MiB, {.era = eras::v6_12.without(Step::notify_holder)});
  Process& process = world.machine.spawn();
  const std::uint64_t address = must(process.mmap(world.file.open_file(), {}));
  ASSERT_TRUE(process.store<unsigned char>(address, 1).ok());

  must(world.machine.remove(world.device, Removal::surprise));

  EXPECT_EQ(process.pte(address).kind, PteState::Kind::memory);
  EXPECT_TRUE(world.fs.open("/file").ok());
  ASSERT_EQ(world.machine.findings().size(), 1U);
  EXPECT_EQ(world.machine.findings().front().kind, FindingKind::stale_mapping);
}

}  // namespace
}  // namespace daxsim::test
