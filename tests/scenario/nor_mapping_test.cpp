// SPDX-License-Identifier: BSD-3-Clause
// A NOR flash under mappings: what a load gets, and when, while the flash is programmed or erased (F10; scenarios 80 to 83).
#include <gtest/gtest.h>

#include <string>

#include "daxsim/adapters/linear.hpp"
#include "daxsim/sim_devices/composite.hpp"
#include "daxsim/test_support/builders.hpp"
#include "daxsim/test_support/expect.hpp"
#include "support/blocked_thread.hpp"
#include "support/flash_world.hpp"

namespace daxsim::test {
namespace {

using namespace daxsim::literals;
using namespace std::chrono_literals;
using sim::Busy;

constexpr auto kEraseTime = 400ms;
constexpr auto kSuspendTime = 20us;
constexpr auto kFaults = 10us;  // more than a few faults cost

constexpr std::byte kValue{0x7f};

sim::NorFlash flash(Busy busy, std::uint32_t partitions = 1) {
  return {.part = paged_p30(partitions), .while_busy = busy};
}

// Block 1 begins with a value, and is mapped and touched.
struct World : FlashWorld {
  World(const sim::NorFlash& config, Kind kind) : FlashWorld(config, kind) {
    close();
    must(fs.unmount());
    must(mtd().program(block(1), std::span(&kValue, 1)));
    fs = must(machine.mount<FlashFs>(nor));
    map(kind);
    EXPECT_EQ(load(block(1)), 0x7fU);
  }
};

std::string kind_name(const ::testing::TestParamInfo<Kind>& info) { return info.param == Kind::soft ? "Soft" : "Live"; }
class NorMapping : public ::testing::TestWithParam<Kind> {};
INSTANTIATE_TEST_SUITE_P(Kinds, NorMapping, ::testing::Values(Kind::soft, Kind::live), kind_name);

TEST_P(NorMapping, ShowsTheFlashAndCostsNothingWhenWarm) {
  // A page faults once; loads of it come from the flash's own memory.
  World world(flash(Busy::suspend), GetParam());
  const auto faults = world.faults();
  const auto begin = world.now();
  for (int again = 0; again < 100; ++again) {
    ASSERT_EQ(world.load(world.block(1)), 0x7fU);
  }
  EXPECT_EQ(world.faults(), faults);
  EXPECT_LT(world.now() - begin, GetParam() == Kind::live ? 1ns : 1ms);
  EXPECT_EQ(world.load(world.block(1) + 1), 0xffU);
}

TEST_P(NorMapping, Scenario81_ALoadSuspendsAnErase) {
  // It gets its data after the suspend latency; the erase goes on when its writer comes again, and ends so much later.
  World world(flash(Busy::suspend), GetParam());
  const auto begin = world.now();
  must(world.mtd().start_erase(world.block(3)));
  const auto fetch = world.time_of([&] { EXPECT_EQ(world.load(world.block(1)), 0x7fU); });
  EXPECT_GE(fetch, kSuspendTime);
  EXPECT_LE(fetch, kSuspendTime + kFaults);
  world.machine.clock().advance(1ms);
  must(world.mtd().wait(0));
  EXPECT_GE(world.now() - begin, kEraseTime + kSuspendTime + 1ms);
  EXPECT_LE(world.now() - begin, kEraseTime + kSuspendTime + 1ms + kFaults);
  EXPECT_EQ(world.count(FindingKind::status_read_as_data), 0U);
}

TEST_P(NorMapping, Scenario81_AWriterThatComesAgainTakesThePagesAway) {
  // What was mapped while the erase was suspended faults again once it goes on.
  World world(flash(Busy::suspend), GetParam());
  must(world.mtd().start_erase(world.block(3)));
  world.load(world.block(1));
  must(world.mtd().resume(0));
  const auto fetch = world.time_of([&] { EXPECT_EQ(world.load(world.block(1)), 0x7fU); });
  EXPECT_GE(fetch, kSuspendTime);
  EXPECT_LE(fetch, kSuspendTime + kFaults);
}

TEST_P(NorMapping, Scenario82_ALoadInTheErasedBlockWaitsForTheEnd) {
  // There is nothing to be had before, whoever suspends what.
  for (const Busy busy : {Busy::suspend, Busy::refault}) {
    World world(flash(busy), GetParam());
    must(world.mtd().start_erase(world.block(1)));
    const auto fetch = world.time_of([&] { EXPECT_EQ(world.load(world.block(1)), 0xffU); });
    EXPECT_GE(fetch, kEraseTime);
    EXPECT_LE(fetch, kEraseTime + kFaults);
    must(world.mtd().wait(0));
  }
}

TEST_P(NorMapping, ALoadThatFaultsAgainWaitsForTheEnd) {
  // Data, as long as it takes.
  World world(flash(Busy::refault), GetParam());
  must(world.mtd().start_erase(world.block(3)));
  const auto fetch = world.time_of([&] { EXPECT_EQ(world.load(world.block(1)), 0x7fU); });
  EXPECT_GE(fetch, kEraseTime);
  EXPECT_LE(fetch, kEraseTime + kFaults);
  must(world.mtd().wait(0));
}

TEST_P(NorMapping, Scenario80_ARawLoadGetsTheStatus) {
  // No ready bit, and a finding; with the end of the operation there is data again. Another partition is not concerned.
  World world(flash(Busy::raw, 2), GetParam());
  must(world.mtd().start_erase(world.block(3)));
  EXPECT_EQ(world.load(world.block(1)) & 0x80U, 0U);
  EXPECT_EQ(world.count(FindingKind::status_read_as_data), 1U);
  EXPECT_EQ(world.load(world.block(5)), 0xffU);
  EXPECT_EQ(world.count(FindingKind::status_read_as_data), 1U);
  must(world.mtd().wait(0));
  EXPECT_EQ(world.load(world.block(1)), 0x7fU);
  EXPECT_EQ(world.count(FindingKind::status_read_as_data), 1U);
}

TEST_P(NorMapping, ARawLoadOfASuspendedFlashGetsData) {
  // The driver has suspended the erase itself: a near miss. In the erased block there is still nothing to be had.
  World world(flash(Busy::raw), GetParam());
  must(world.mtd().start_erase(world.block(3)));
  must(world.mtd().suspend(0));
  EXPECT_EQ(world.load(world.block(1)), 0x7fU);
  EXPECT_EQ(world.count(FindingKind::status_read_as_data), 0U);
  world.load(world.block(3));
  EXPECT_EQ(world.count(FindingKind::status_read_as_data), 1U);
  must(world.mtd().wait(0));
  EXPECT_EQ(world.load(world.block(3)), 0xffU);
}

TEST_P(NorMapping, ASuspendedFlashIsReadAtOnce) {
  // Nobody has to be waited for.
  for (const Busy busy : {Busy::suspend, Busy::refault}) {
    World world(flash(busy), GetParam());
    must(world.mtd().start_erase(world.block(3)));
    must(world.mtd().suspend(0));
    EXPECT_LE(world.time_of([&] { EXPECT_EQ(world.load(world.block(1)), 0x7fU); }), kFaults);
    must(world.mtd().wait(0));
  }
}

TEST_P(NorMapping, ALoadSuspendsAProgram) {
  // Of another page; a page of which the program changes bytes waits for its end.
  World world(flash(Busy::suspend), GetParam());
  const std::vector<std::byte> bytes(64, std::byte{0});
  must(world.mtd().start_program(world.block(2), bytes));
  const auto aside = world.time_of([&] { EXPECT_EQ(world.load(world.block(1)), 0x7fU); });
  EXPECT_GE(aside, kSuspendTime);
  EXPECT_LE(aside, kSuspendTime + kFaults);
  const auto inside = world.time_of([&] { EXPECT_EQ(world.load(world.block(2)), 0U); });
  EXPECT_GE(inside, 64 * 7us - kFaults);
  EXPECT_LE(inside, 64 * 7us + kFaults);
  must(world.mtd().wait(0));
}

TEST_P(NorMapping, PartsThatCannotSuspendAreWaitedFor) {
  sim::NorFlash config = flash(Busy::suspend);
  config.part.suspends_erase = false;
  World world(config, GetParam());
  must(world.mtd().start_erase(world.block(3)));
  EXPECT_GE(world.time_of([&] { EXPECT_EQ(world.load(world.block(1)), 0x7fU); }), kEraseTime);
  must(world.mtd().wait(0));
}

TEST_P(NorMapping, OtherPartitionsStayMapped) {
  // Only the partition that is busy loses its pages.
  World world(flash(Busy::suspend, 2), GetParam());
  world.load(world.block(5));
  const auto faults = world.faults();
  must(world.mtd().start_erase(world.block(6)));
  EXPECT_EQ(world.load(world.block(1)), 0x7fU);
  EXPECT_EQ(world.faults(), faults);
  world.load(world.block(5));
  EXPECT_GT(world.faults(), faults);
  must(world.mtd().wait(world.block(6)));
}

TEST_P(NorMapping, AnEraseOfOneCallTakesPagesAwayToo) {
  // Afterwards the block shows that it is erased.
  World world(flash(Busy::suspend), GetParam());
  must(world.mtd().erase(world.mtd().erase_block(world.block(1))));
  EXPECT_EQ(world.load(world.block(1)), 0xffU);
  EXPECT_EQ(world.machine.events().count(EventType::dax_holder_revoke), 1U);
}

TEST_P(NorMapping, Scenario83_WhoHoldsTheFlashKeepsWritersOut) {
  // As with cramfs: a mount points the flash, and who wants to erase waits until it is unmounted.
  World world(flash(Busy::exclude), GetParam());
  EXPECT_ERRNO(world.mtd().start_erase(world.block(3)), Errno::eagain);
  BlockedThread writer([&] { must(world.mtd().erase(world.mtd().erase_block(world.block(3)))); });
  EXPECT_TRUE(writer.blocks());
  EXPECT_EQ(world.load(world.block(1)), 0x7fU);
  world.close();
  must(world.fs.unmount());
  writer.join();
  EXPECT_EQ(world.mtd().erases(world.block(3)), 1U);
}

TEST_P(NorMapping, Scenario86_ASuspendThatIsNeverAcknowledgedIsABusError) {
  // 100 ms, as for code that runs from the chip.
  sim::NorFlash config = flash(Busy::suspend);
  config.faults.acknowledges_suspend = false;
  World world(config, GetParam());
  must(world.mtd().start_erase(world.block(3)));
  if (GetParam() == Kind::live) {
    EXPECT_GE(world.time_of([&] { EXPECT_SIGBUS_LOAD(world.live->data() + world.block(1), BUS_ADRERR); }), 100ms);
  } else {
    EXPECT_GE(world.time_of([&] { EXPECT_FALSE(world.process->load<char>(world.address + world.block(1)).ok()); }),
              100ms);
  }
  must(world.mtd().wait(0));
  EXPECT_EQ(world.load(world.block(1)), 0x7fU);
}

TEST_P(NorMapping, ARemovedFlashIsABusError) {
  // As of a pmem, also in the middle of an erase, which is as if it had not begun; the driver has nothing to talk to.
  for (const Removal how : {Removal::orderly, Removal::surprise}) {
    World world(flash(Busy::suspend), GetParam());
    const auto medium = world.nor.medium();
    sim::Mtd& mtd = world.mtd();
    must(mtd.start_erase(world.block(1)));
    must(world.machine.remove(world.nor, how));
    if (GetParam() == Kind::live) {
      EXPECT_SIGBUS_LOAD(world.live->data() + world.block(1), BUS_ADRERR);
    } else {
      EXPECT_FALSE(world.process->load<char>(world.address + world.block(1)).ok());
    }
    EXPECT_ERRNO(mtd.start_erase(0), Errno::enxio);
    world.close();
    Machine other;
    const DeviceHandle again = must(other.attach(medium));
    std::byte value{};
    must(sim::mtd(again.attachment()).read(world.block(1), std::span(&value, 1)));
    EXPECT_EQ(value, kValue);
  }
}

TEST_P(NorMapping, AMediaFileIsMappedAsWell) {
  // A file on a disk cannot be watched for faults, so there is a copy in memory, which follows.
  const TemporaryFile media;
  sim::NorFlash config = flash(Busy::suspend);
  config.media = media.path();
  World world(config, GetParam());
  EXPECT_EQ(world.load(world.block(1)), 0x7fU);
  must(world.mtd().erase(world.mtd().erase_block(world.block(1))));
  EXPECT_EQ(world.load(world.block(1)), 0xffU);
  const std::byte zero{};
  must(world.mtd().program(world.block(1), std::span(&zero, 1)));
  EXPECT_EQ(world.load(world.block(1)), 0U);
}

TEST(NorAttached, IsADeviceThatNobodyStoresTo) {
  // Direct, without a cache to flush; no writes past the driver, no file system that would write, no composite.
  Machine machine;
  const DeviceHandle nor = must(machine.attach(flash(Busy::suspend)));
  Attachment& attachment = nor.attachment();
  EXPECT_TRUE(attachment.is_direct());
  EXPECT_TRUE(attachment.capabilities().read_only);
  EXPECT_FALSE(attachment.capabilities().synchronous);
  std::array<std::byte, 16> bytes{};
  EXPECT_ERRNO(attachment.write(0, bytes), Errno::erofs);
  EXPECT_ERRNO(attachment.zero({0, 16}), Errno::erofs);
  must(attachment.read(0, bytes));
  EXPECT_EQ(bytes[0], std::byte{0xff});
  EXPECT_ERRNO(LinearFs::mkfs(attachment), Errno::einval);
  EXPECT_ERRNO(sim::open(sim::LinearComposite{.parts = {nor.medium()}}), Errno::einval);
}

TEST(NorAttached, ReadsOfTheDriverNeverGetAStatus) {
  // Attachment::read is MTD's: it suspends an erase and goes on with it, whatever loads get.
  World world(flash(Busy::raw), Kind::soft);
  must(world.mtd().start_erase(world.block(3)));
  std::byte value{};
  EXPECT_GE(world.time_of([&] { must(world.nor.attachment().read(world.block(1), std::span(&value, 1))); }),
            kSuspendTime);
  EXPECT_EQ(value, kValue);
  EXPECT_EQ(world.load(world.block(1)) & 0x80U, 0U);
  must(world.mtd().wait(0));
}

TEST(NorAttached, IsNotMappedToStore) {
  // There is no writable handle, so mmap answers EACCES; a private mapping copies, and the flash does not change.
  World world(flash(Busy::suspend), Kind::live);
  EXPECT_ERRNO(world.file->map({.prot = Prot::read_write}), Errno::eacces);
  const Mapping copies = must(world.file->map({.prot = Prot::read_write, .sharing = Sharing::private_copy}));
  copies.data()[world.block(1)] = std::byte{1};
  EXPECT_EQ(world.load(world.block(1)), 0x7fU);
}

TEST(NorAttached, APowerCutOfTheMachineTearsWhatIsInFlight) {
  // With the choices of Mtd::power_cut; the machine that comes after finds what is left.
  struct Case {
    std::uint32_t outcome;
    std::byte left;
  };
  for (const Case& one : {Case{0, kValue}, Case{1, std::byte{0}}, Case{5, std::byte{0xff}}}) {
    World world(flash(Busy::suspend), Kind::live);
    must(world.mtd().start_erase(world.block(1)));
    sim::Mtd& mtd = world.mtd();
    must(world.machine.power_cut(
        {.kind = PowerCut::Kind::listed, .lines = {{.offset = world.block(1), .outcome = one.outcome}}}));
    EXPECT_SIGBUS_LOAD(world.live->data(), BUS_ADRERR);
    EXPECT_ERRNO(mtd.start_erase(0), Errno::enxio);
    Machine next = must(world.machine.reboot());
    std::byte value{};
    must(next.devices().front().attachment().read(world.block(1), std::span(&value, 1)));
    EXPECT_EQ(value, one.left) << one.outcome;
  }
}

TEST(NorAttached, PartitionsAreWholePages) {
  // A page shows one partition only.
  sim::NorPart part = paged_p30();
  part.regions[0].block_bytes = 2 << 10;
  part.partitions = 8;
  Machine machine;
  EXPECT_ERRNO(machine.attach(sim::NorFlash{.part = part}), Errno::einval);
}

TEST(NorAttached, WithoutPowerEveryCallAnswersEnxio) {
  World world(flash(Busy::suspend), Kind::soft);
  sim::Mtd& mtd = world.mtd();
  must(world.machine.remove(world.nor, Removal::surprise));
  std::byte byte{};
  const std::span bytes(&byte, 1);
  const ByteRange block = mtd.erase_block(0);
  EXPECT_ERRNO(mtd.read(0, bytes), Errno::enxio);
  EXPECT_ERRNO(mtd.program(0, bytes), Errno::enxio);
  EXPECT_ERRNO(mtd.erase(block), Errno::enxio);
  EXPECT_ERRNO(mtd.lock(block), Errno::enxio);
  EXPECT_ERRNO(mtd.unlock(block), Errno::enxio);
  EXPECT_ERRNO(mtd.is_locked(0), Errno::enxio);
  EXPECT_ERRNO(mtd.start_program(0, bytes), Errno::enxio);
  EXPECT_ERRNO(mtd.start_erase(0), Errno::enxio);
  EXPECT_ERRNO(mtd.wait(0), Errno::enxio);
  EXPECT_ERRNO(mtd.suspend(0), Errno::enxio);
  EXPECT_ERRNO(mtd.resume(0), Errno::enxio);
  EXPECT_ERRNO(mtd.point(block), Errno::enxio);
  EXPECT_ERRNO(mtd.unpoint(block), Errno::enxio);
  EXPECT_ERRNO(mtd.power_cut({}), Errno::enxio);
  EXPECT_ERRNO(mtd.contents_after({}), Errno::enxio);
  EXPECT_EQ(mtd.load(0).source, sim::NorSource::undefined);
  EXPECT_TRUE(mtd.pending_operations().empty());
}

}  // namespace
}  // namespace daxsim::test
