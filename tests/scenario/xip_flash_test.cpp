// SPDX-License-Identifier: BSD-3-Clause
// An execute-in-place file system on a NOR flash that is erased meanwhile.
#include <gtest/gtest.h>

#include <chrono>
#include <optional>
#include <string>

#include "daxsim/adapters/xip.hpp"
#include "daxsim/machine/machine.hpp"
#include "daxsim/sim_devices/nor_flash.hpp"
#include "daxsim/test_support/expect.hpp"
#include "daxsim/test_support/must.hpp"
#include "support/flash_world.hpp"
#include "support/xip_image.hpp"

namespace daxsim::test {
namespace {

using namespace std::chrono_literals;
using sim::Busy;

constexpr std::uint64_t kPage = kPageSize;
constexpr auto kSuspendTime = 20us;
constexpr auto kEraseTime = 400ms;

// "fw": pages 0 and 1 direct, 2 and 3 compressed, at the front of a flash whose last block is free.
struct World {
  World(Busy busy, Kind kind) : nor(must(machine.attach(sim::NorFlash{.part = paged_p30(), .while_busy = busy}))) {
    must(mtd().program(0, must(XipFs::build({&firmware, 1}, {.faults = {{"fw", {{0, 1}, {1, 1}}}}}))));
    fs.emplace(must(machine.mount<XipFs>(nor)));
    file.emplace(must(fs->open("fw", OpenMode::read_only)));
    if (kind == Kind::live) {
      live.emplace(must(file->map({.prot = Prot::read})));
    } else {
      process = &machine.spawn();
      address = must(process->mmap(file->open_file(), {.prot = Prot::read}));
    }
  }
  [[nodiscard]] sim::Mtd& mtd() const { return sim::mtd(nor.attachment()); }
  void start_erase() { must(mtd().start_erase(7 * kFlashBlock)); }
  // The signal that a load of the page's first byte ends in; none, and what it loaded.
  std::optional<int> load(std::uint64_t page, std::byte& value) {
    if (process != nullptr) {
      const auto loaded = process->load<std::byte>(address + page * kPage);
      value = loaded.ok() ? *loaded : value;
      return loaded.ok() ? std::nullopt : std::optional(loaded.error().code);
    }
    const auto caught =
        SignalProbe::run([&] { value = *const_cast<const volatile std::byte*>(live->data() + page * kPage); });
    return caught ? std::optional(caught->code) : std::nullopt;
  }
  void expect_page(std::uint64_t page) {
    std::byte value{};
    ASSERT_EQ(load(page, value), std::nullopt) << page;
    EXPECT_EQ(value, firmware.bytes[page * kPage]) << page;
  }
  // How long a load of the page takes on the clock; it gets the file's bytes.
  std::chrono::nanoseconds time_of(std::uint64_t page) {
    const auto begin = machine.clock().now();
    expect_page(page);
    return machine.clock().now() - begin;
  }

  const XipFile firmware{"fw", easy(4 * kPage, 3)};
  Machine machine;
  DeviceHandle nor;
  std::optional<FileSystem> fs;
  std::optional<File> file;
  std::optional<Mapping> live;
  Process* process = nullptr;
  std::uint64_t address = 0;
};

class XipFlash : public ::testing::TestWithParam<Kind> {};
INSTANTIATE_TEST_SUITE_P(Kinds, XipFlash, ::testing::Values(Kind::soft, Kind::live),
                         [](const auto& kind) { return std::string(kind.param == Kind::soft ? "Soft" : "Live"); });

TEST_P(XipFlash, RunsFromTheFlash) {
  // Direct pages are the flash's own, the others come by way of RAM.
  World world(Busy::suspend, GetParam());
  for (std::uint64_t page = 0; page < 4; ++page) {
    world.expect_page(page);
  }
  const FileExtent direct = must(world.file->open_file()->inode().direct_access({{0}, 2}, Access::read));
  EXPECT_EQ(direct.kind, FileExtent::Kind::memory);
  EXPECT_EQ(direct.device, &world.nor.attachment());
  EXPECT_TRUE(world.machine.findings().empty());
}

TEST_P(XipFlash, AnEraseIsSuspendedByWhatComesFromTheFlashOnly) {
  // A direct page and a page that is not in RAM yet wait for the suspend; one that is in RAM waits for nothing.
  World world(Busy::suspend, GetParam());
  for (const std::uint64_t page : {0U, 1U, 2U}) {
    world.expect_page(page);
  }
  const auto begin = world.machine.clock().now();
  world.start_erase();
  EXPECT_LT(world.time_of(2), kSuspendTime);
  EXPECT_GE(world.time_of(3), kSuspendTime);  // decompressed
  must(world.mtd().resume(0));
  EXPECT_GE(world.time_of(0), kSuspendTime);
  must(world.mtd().wait(0));
  EXPECT_GE(world.machine.clock().now() - begin, kEraseTime + 2 * kSuspendTime);
  EXPECT_LT(world.time_of(0), kSuspendTime);
  EXPECT_TRUE(world.machine.findings().empty());
}

TEST_P(XipFlash, WithRefaultADirectPageWaitsForTheEnd) {
  // A compressed one is read by the flash's driver, which suspends.
  World world(Busy::refault, GetParam());
  world.expect_page(0);
  world.start_erase();
  EXPECT_GE(world.time_of(3), kSuspendTime);
  must(world.mtd().resume(0));
  const auto waited = world.time_of(0);
  EXPECT_GE(waited, kEraseTime - 1ms);
  EXPECT_TRUE(world.machine.findings().empty());
}

TEST_P(XipFlash, AStatusIsShownInPlaceOfDirectPagesOnly) {
  // Where nobody suspends for a load: the direct page is a finding, and right again after the end. What the driver reads
  // is the file.
  World world(Busy::raw, GetParam());
  world.expect_page(0);
  world.start_erase();
  std::byte shown{};
  EXPECT_EQ(world.load(0, shown), std::nullopt);
  EXPECT_NE(shown, world.firmware.bytes[0]);
  EXPECT_FALSE(world.machine.findings().empty());
  world.expect_page(3);
  must(world.mtd().wait(0));
  for (std::uint64_t page = 0; page < 4; ++page) {
    world.expect_page(page);
  }
}

TEST_P(XipFlash, Scenario83AMountKeepsWritersOut) {
  // As cramfs: the whole flash is pointed from mount to unmount.
  World world(Busy::exclude, GetParam());
  world.expect_page(0);
  EXPECT_ERRNO(world.mtd().start_erase(7 * kFlashBlock), Errno::eagain);
  world.live.reset();
  if (world.process != nullptr) {
    must(world.process->munmap(world.address, 4 * kPage));
  }
  world.file.reset();
  must(world.fs->unmount());
  world.start_erase();
  must(world.mtd().wait(0));
}

TEST_P(XipFlash, RemovalUnderALiveMappingEndsInSigbus) {
  // As with a pmem, whether the page is the flash's or RAM.
  for (const Removal how : {Removal::orderly, Removal::surprise}) {
    World world(Busy::suspend, GetParam());
    world.expect_page(0);
    world.expect_page(2);
    must(world.machine.remove(world.nor, how));
    std::byte value{};
    for (std::uint64_t page = 0; page < 4; ++page) {
      EXPECT_EQ(world.load(page, value), BUS_ADRERR) << page;
    }
  }
}

}  // namespace
}  // namespace daxsim::test
