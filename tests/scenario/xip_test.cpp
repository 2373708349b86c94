// SPDX-License-Identifier: BSD-3-Clause
// An execute-in-place file system: which pages a program has from the device itself, and which through the page cache.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <optional>
#include <string>
#include <vector>

#include "daxsim/adapters/xip.hpp"
#include "daxsim/machine/machine.hpp"
#include "daxsim/sim_devices/pmem.hpp"
#include "daxsim/test_support/expect.hpp"
#include "daxsim/test_support/must.hpp"
#include "program.hpp"
#include "support/temp_file.hpp"
#include "support/xip_image.hpp"

namespace daxsim::test {
namespace {

using namespace daxsim::literals;

using ::testing::ElementsAre;
using ::testing::Pair;
using ::testing::UnorderedElementsAre;
using Kind = PteState::Kind;

constexpr std::uint64_t kPage = kPageSize;

// A machine whose device has an image of these files.
class XipMachine {
 public:
  explicit XipMachine(Bytes image) : device(must(machine.attach(sim::Pmem{.path = media.path(), .size = 8_MiB}))) {
    put(image);
    fs.emplace(must(machine.mount<XipFs>(device)));
  }
  XipMachine(const std::vector<XipFile>& files, const XipProfile& profile = {})
      : XipMachine(must(XipFs::build(files, profile))) {}

  // As a flash is programmed.
  void put(const Bytes& image) {
    must(device.attachment().write(0, image));
    must(device.attachment().fence());
  }
  File open(std::string_view name) { return must(fs->open(name, OpenMode::read_only)); }
  std::uint64_t count(EventType type) { return machine.events().count(type); }

  support::TempFile media;
  Machine machine;
  DeviceHandle device;
  std::optional<FileSystem> fs;
};

// Loads of either kind of mapping, as a program sees them.
class Loads {
 public:
  Loads(XipMachine& world, File& file, Mmu mmu, const MapOptions& options = {.prot = Prot::read}) {
    if (mmu == Mmu::soft) {
      process_ = &world.machine.spawn();
      address_ = must(process_->mmap(file.open_file(), options));
    } else {
      map_.emplace(must(file.map(options, mmu == Mmu::userfaultfd ? LiveBackend::userfaultfd : LiveBackend::sigsegv)));
    }
    // The newest.
    file.open_file()->inode().mapping().for_each_vma(kAllPages,
                                                     [this](Vma& vma) { vma_ = vma_ == nullptr ? &vma : vma_; });
  }
  std::byte operator[](std::uint64_t offset) const {
    if (process_ != nullptr) {
      return process_->load<std::byte>(address_ + offset).value();
    }
    return *const_cast<const volatile std::byte*>(map_->data() + offset);
  }
  void store(std::uint64_t offset, std::byte value) {
    if (process_ != nullptr) {
      ASSERT_TRUE(process_->store(address_ + offset, value).ok());
    } else {
      *const_cast<volatile std::byte*>(map_->data() + offset) = value;
    }
  }
  // The signal that a load ends in.
  std::optional<int> signal_of(std::uint64_t offset) const {
    if (process_ != nullptr) {
      const auto loaded = process_->load<std::byte>(address_ + offset);
      return loaded.ok() ? std::nullopt : std::optional(loaded.error().code);
    }
    const auto caught = SignalProbe::run([&] { [[maybe_unused]] const std::byte seen = (*this)[offset]; });
    return caught ? std::optional(caught->code) : std::nullopt;
  }
  // The page is mapped from the device.
  [[nodiscard]] bool is_direct(XipMachine& world, std::uint64_t page) const {
    const PteState state = vma_->pte({page});
    const Attachment& device = world.device.attachment();
    return state.kind == Kind::memory && state.pfn >= device.first_pfn() &&
           state.pfn < device.first_pfn() + device.pages();
  }
  // Of the page-table entry.
  [[nodiscard]] unsigned order(std::uint64_t page) const { return vma_->pte({page}).order; }

 private:
  Process* process_ = nullptr;
  std::uint64_t address_ = 0;
  std::optional<Mapping> map_;
  Vma* vma_ = nullptr;
};

class Xip : public ::testing::TestWithParam<Mmu> {};
INSTANTIATE_TEST_SUITE_P(Mmus, Xip, ::testing::Values(Mmu::soft, Mmu::userfaultfd, Mmu::sigsegv),
                         [](const auto& test) { return std::string(mmu_name(test.param)); });

// Every load of the file is the file's byte, on whatever page.
void expect_content(const Loads& loads, const Bytes& bytes) {
  for (std::uint64_t offset = 0; offset < bytes.size(); offset += 509) {
    ASSERT_EQ(loads[offset], bytes[offset]) << offset;
  }
}

TEST_P(Xip, Scenario88OnePageInTheMiddleIsCompressed) {
  // A program maps the file and reads all of it: what is stored as it is comes from the device, the rest from the cache.
  const XipFile file{"f", easy(6 * kPage)};
  XipMachine world({file}, {.faults = {{"f", {{0, 1}, {1, 1}, {2, 1}, {4, 1}, {5, 1}}}}});
  File opened = world.open("f");
  const Loads loads(world, opened, GetParam());
  expect_content(loads, file.bytes);
  for (const std::uint64_t page : {0U, 1U, 2U, 4U, 5U}) {
    EXPECT_TRUE(loads.is_direct(world, page)) << page;
  }
  EXPECT_FALSE(loads.is_direct(world, 3));
  EXPECT_TRUE(world.machine.findings().empty());
}

TEST_P(Xip, Scenario89ATailThatSharesItsPageIsNotDirect) {
  // Behind the end of the first file, in its last page, another file begins. Who maps the first sees zeros there.
  const XipFile first{"first", easy(kPage + 100)};
  const XipFile second{"second", hard(50)};
  Bytes image = must(XipFs::build(std::array{first, second}, {.faults = {{"first", {{0, 1}, {1, 1}}}}}));
  const std::uint64_t shared = load(image).files[0].pages[1].offset + 100;
  {
    // With its tail alone in the page it is direct, and reads the same.
    XipMachine alone(image);
    File opened = alone.open("first");
    const Loads loads(alone, opened, GetParam());
    expect_content(loads, first.bytes);
    EXPECT_EQ(loads[2 * kPage - 1], std::byte{0});
    EXPECT_TRUE(loads.is_direct(alone, 1));
  }
  std::ranges::copy(second.bytes, image.begin() + static_cast<std::ptrdiff_t>(shared));
  edit<xip::PageRecord>(image, offset_of_record(image, "second", 0), [&](auto& page) { page.offset = shared; });

  XipMachine world(image);
  File opened = world.open("first");
  const Loads loads(world, opened, GetParam());
  expect_content(loads, first.bytes);
  for (std::uint64_t offset = first.bytes.size(); offset < 2 * kPage; ++offset) {
    ASSERT_EQ(loads[offset], std::byte{0}) << offset;
  }
  EXPECT_TRUE(loads.is_direct(world, 0));
  EXPECT_FALSE(loads.is_direct(world, 1));
  File other = world.open("second");
  expect_content(Loads(world, other, GetParam()), second.bytes);
}

TEST_P(Xip, Scenario90AWritablePrivateMappingHasNothingOfTheDevice) {
  // Pages that were only read come from the page cache, those that were stored to are the program's own.
  const XipFile file{"f", easy(4 * kPage)};
  XipMachine world({file}, {.faults = {{"f", {{0, 1}, {1, 1}, {2, 1}}}}});
  File opened = world.open("f");
  Loads own(world, opened, GetParam(), {.prot = Prot::read_write, .sharing = Sharing::private_copy});
  expect_content(own, file.bytes);
  own.store(kPage, std::byte{0xee});
  own.store(3 * kPage + 5, std::byte{0xdd});
  for (std::uint64_t page = 0; page < 4; ++page) {
    EXPECT_FALSE(own.is_direct(world, page)) << page;
  }
  EXPECT_EQ(own[kPage], std::byte{0xee});
  EXPECT_EQ(own[kPage + 1], file.bytes[kPage + 1]);
  EXPECT_EQ(own[3 * kPage + 5], std::byte{0xdd});
  EXPECT_EQ(world.count(EventType::dax_insert_entry), 0U);
  // Nobody else sees the stores, and a private mapping that cannot be written to has the device's pages.
  const Loads read_only(world, opened, GetParam(), {.prot = Prot::read, .sharing = Sharing::private_copy});
  expect_content(read_only, file.bytes);
  EXPECT_TRUE(read_only.is_direct(world, 1));
}

TEST_P(Xip, Scenario91NoBlockDeviceIsAskedAnything) {
  // Mount, fault, fsync: there is none, and nothing is flushed or fenced.
  const XipFile file{"f", easy(2 * kPage)};
  XipMachine world({file}, {.faults = {{"f", {{0, 1}}}}});
  const std::uint64_t fences = world.count(EventType::blkdev_issue_flush);
  const std::uint64_t flushes = world.count(EventType::dax_flush);
  File opened = world.open("f");
  EXPECT_EQ(world.fs->super_block()->bdev(), nullptr);
  EXPECT_EQ(opened.open_file()->inode().bdev(), nullptr);
  const Loads loads(world, opened, GetParam());
  expect_content(loads, file.bytes);
  must(opened.fsync());
  must(world.fs->sync());
  EXPECT_EQ(world.count(EventType::blkdev_issue_flush), fences);
  EXPECT_EQ(world.count(EventType::dax_flush), flushes);
}

TEST_P(Xip, Scenario92OneFileHasRangesOfBothKinds) {
  // The file system answers for each range; both are read, the direct one without a page of RAM.
  const XipFile file{"f", easy(8 * kPage)};
  XipMachine world({file}, {.faults = {{"f", {{0, 1}, {1, 1}, {2, 1}, {3, 1}}}}});
  File opened = world.open("f");
  Inode& inode = opened.open_file()->inode();
  const FileExtent direct = must(inode.direct_access({{0}, 8}, Access::read));
  EXPECT_EQ(direct.kind, FileExtent::Kind::memory);
  EXPECT_EQ(direct.pages, (PageRange{{0}, 4}));
  EXPECT_EQ(must(inode.direct_access({{4}, 4}, Access::read)).kind, FileExtent::Kind::not_direct);

  const Loads loads(world, opened, GetParam());
  expect_content(loads, file.bytes);
  Bytes bytes(file.bytes.size());
  EXPECT_EQ(must(opened.pread(0, bytes)), bytes.size());
  EXPECT_EQ(bytes, file.bytes);
  // What a load sees of the direct range is the device's own memory.
  for (std::uint64_t page = 0; page < 8; ++page) {
    EXPECT_EQ(loads.is_direct(world, page), page < 4) << page;
  }
}

TEST_P(Xip, HolesAreZerosOfNoDevice) {
  // Pages of zeros in a file that has others on both sides, also in a mapping that is written to.
  const XipFile file{"f", joined({easy(kPage), Bytes(2 * kPage), easy(kPage)})};
  XipMachine world({file}, {.faults = {{"f", {{0, 1}, {3, 1}}}}});
  File opened = world.open("f");
  const Loads loads(world, opened, GetParam());
  expect_content(loads, file.bytes);
  Loads own(world, opened, GetParam(), {.prot = Prot::read_write, .sharing = Sharing::private_copy});
  own.store(kPage, std::byte{1});
  EXPECT_EQ(own[kPage + 1], std::byte{0});
  expect_content(loads, file.bytes);
}

TEST_P(Xip, ALargeDirectFileIsMappedInHugePages) {
  // Where file, device and address agree on 2 MiB. The image puts the pages where it likes; this one is moved there.
  const XipFile file{"f", easy(2_MiB + kPage)};
  XipProfile all;
  for (std::uint64_t page = 0; page < pages_for(file.bytes.size()); ++page) {
    all.faults["f"][page] = 1;
  }
  Bytes image = must(XipFs::build({&file, 1}, all));
  const std::uint64_t before = load(image).files[0].pages[0].offset;
  const std::uint64_t moved = 2_MiB - before;
  image.insert(image.begin() + static_cast<std::ptrdiff_t>(before), moved, std::byte{0});
  edit<xip::SuperRecord>(image, 0, [&](auto& super) { super.image_bytes += moved; });
  for (std::uint64_t page = 0; page < pages_for(file.bytes.size()); ++page) {
    const std::uint64_t at = sizeof(xip::SuperRecord) + sizeof(xip::FileRecord) + 8 + page * sizeof(xip::PageRecord);
    edit<xip::PageRecord>(image, at, [&](auto& record) { record.offset = record.offset + moved; });
  }
  XipMachine world(image);
  File opened = world.open("f");
  const Loads loads(world, opened, GetParam());
  expect_content(loads, file.bytes);
  EXPECT_TRUE(loads.is_direct(world, 0));
  EXPECT_TRUE(loads.is_direct(world, 512));
  EXPECT_EQ(loads.order(0), kPmdOrder);
  EXPECT_EQ(loads.order(512), 0U);
}

TEST_P(Xip, RemovalUnderALiveMappingEndsInSigbus) {
  // Both kinds of pages, touched before or not; in order and by surprise, as with a file system on pmem.
  for (const Removal how : {Removal::orderly, Removal::surprise}) {
    const XipFile file{"f", easy(4 * kPage)};
    XipMachine world({file}, {.faults = {{"f", {{0, 1}, {1, 1}}}}});
    File opened = world.open("f");
    const Loads loads(world, opened, GetParam());
    EXPECT_EQ(loads[0], file.bytes[0]);
    EXPECT_EQ(loads[2 * kPage], file.bytes[2 * kPage]);
    must(world.machine.remove(world.device, how));
    for (std::uint64_t page = 0; page < 4; ++page) {
      EXPECT_EQ(loads.signal_of(page * kPage), BUS_ADRERR) << page;
    }
    Bytes byte(1);
    EXPECT_ERRNO(opened.pread(0, byte), Errno::eio);
    EXPECT_ERRNO(opened.fsync(), Errno::eio);
    EXPECT_TRUE(world.machine.findings().empty());
  }
}

TEST_P(Xip, ThePowerGoesAndComesBack) {
  // Mappings die with the machine. The image is what it was.
  const XipFile file{"f", easy(4 * kPage)};
  XipMachine world({file}, {.faults = {{"f", {{0, 1}}}}});
  File opened = world.open("f");
  const Loads loads(world, opened, GetParam());
  expect_content(loads, file.bytes);
  must(world.machine.power_cut({.kind = PowerCut::Kind::seeded, .seed = 1}));
  EXPECT_EQ(loads.signal_of(0), BUS_ADRERR);
  EXPECT_EQ(loads.signal_of(kPage), BUS_ADRERR);
  Machine next = must(world.machine.reboot());
  File again = must(must(next.mount<XipFs>(next.devices().front())).open("f", OpenMode::read_only));
  Bytes bytes(file.bytes.size());
  must(again.pread(0, bytes));
  EXPECT_EQ(bytes, file.bytes);
}

TEST_P(Xip, WhereMemoryFailsOnlyThosePagesAreLost) {
  // The file system goes on; the page that failed is faulted again, and the others stay where they are.
  const XipFile file{"f", easy(4 * kPage)};
  XipMachine world({file}, {.faults = {{"f", {{0, 1}, {1, 1}}}}});
  File opened = world.open("f");
  const Loads loads(world, opened, GetParam());
  expect_content(loads, file.bytes);
  const FileExtent page = must(opened.open_file()->inode().direct_access({{1}, 1}, Access::read));
  must(world.device.attachment().notify_failure({byte_of(page.device_page), kPage}));
  EXPECT_FALSE(loads.is_direct(world, 1));
  EXPECT_TRUE(loads.is_direct(world, 0));
  expect_content(loads, file.bytes);
}

TEST_P(Xip, RevokedPagesAreFaultedAgain) {
  // A device that cannot be read for a while takes its pages back, and nothing else: what is in RAM stays there.
  const XipFile file{"f", easy(4 * kPage)};
  XipMachine world({file}, {.faults = {{"f", {{0, 1}, {1, 1}}}}});
  File opened = world.open("f");
  const Loads loads(world, opened, GetParam());
  Loads own(world, opened, GetParam(), {.prot = Prot::read_write, .sharing = Sharing::private_copy});
  expect_content(loads, file.bytes);
  own.store(0, std::byte{0xee});
  const FileExtent page = must(opened.open_file()->inode().direct_access({{1}, 1}, Access::read));
  must(world.device.attachment().revoke({byte_of(page.device_page), kPage}));
  EXPECT_TRUE(loads.is_direct(world, 0));
  EXPECT_FALSE(loads.is_direct(world, 1));
  must(world.device.attachment().revoke({0, world.device.size()}));
  EXPECT_FALSE(loads.is_direct(world, 0));
  const std::uint64_t cached = world.count(EventType::dax_insert_entry);
  EXPECT_EQ(loads[3 * kPage], file.bytes[3 * kPage]);
  EXPECT_EQ(own[0], std::byte{0xee});
  EXPECT_EQ(world.count(EventType::dax_insert_entry), cached);
  expect_content(loads, file.bytes);
  EXPECT_TRUE(loads.is_direct(world, 1));
}

TEST(XipOpen, ForWritingIsRefused) {
  // By name, and so is every way to a shared mapping that could be written to.
  XipMachine world({XipFile{"f", easy(kPage)}});
  EXPECT_ERRNO(world.fs->open("f"), Errno::erofs);
  EXPECT_ERRNO(world.fs->open("f", OpenMode::read_write), Errno::erofs);
  EXPECT_ERRNO(world.fs->create("g"), Errno::erofs);
  EXPECT_ERRNO(world.fs->unlink("f"), Errno::erofs);
  EXPECT_ERRNO(world.fs->rename("f", "g"), Errno::erofs);
  File file = world.open("f");
  EXPECT_ERRNO(file.map({.prot = Prot::read_write}), Errno::eacces);
  EXPECT_ERRNO(world.machine.spawn().mmap(file.open_file(), {.prot = Prot::read_write}), Errno::eacces);
  EXPECT_ERRNO(file.map({.prot = Prot::read, .sync = MapSync::yes}), Errno::eopnotsupp);
  Bytes byte(1);
  EXPECT_ERRNO(file.pwrite(0, byte), Errno::ebadf);
}

TEST(XipOpen, AHandleMadePastTheMachineIsForReadingToo) {
  // Whatever it was asked to be.
  XipMachine world({XipFile{"f", easy(kPage)}});
  const auto super_block = world.fs->super_block();
  const auto file = std::make_shared<OpenFile>(super_block, must(super_block->open("f")), OpenMode::read_write);
  EXPECT_EQ(file->mode(), OpenMode::read_only);
  EXPECT_ERRNO(world.machine.spawn().mmap(file, {.prot = Prot::read_write}), Errno::eacces);
  EXPECT_ERRNO(file->truncate(0), Errno::einval);
}

TEST_P(Xip, AProfileIsRecordedByRunning) {
  // An image without a profile is run, the pages that a program touched are made direct, and it runs without the cache.
  const std::vector<XipFile> files{{"bin/app", easy(20 * kPage)}, {"lib/c", easy(3 * kPage)}, {"unused", easy(kPage)}};
  XipProfile profile;
  const auto run = [&](XipMachine& world) {
    File app = world.open("bin/app");
    File lib = world.open("lib/c");
    const Loads code(world, app, GetParam());
    const Loads calls(world, lib, GetParam());
    for (const std::uint64_t page : {3, 4, 17}) {
      EXPECT_EQ(code[page * kPage], files[0].bytes[page * kPage]);
    }
    EXPECT_EQ(calls[5], files[1].bytes[5]);
    // Its data: no room on the flash can help that.
    Loads data(world, app, GetParam(), {.prot = Prot::read_write, .sharing = Sharing::private_copy});
    data.store(19 * kPage, std::byte{1});
    profile = must(XipFs::recorded_profile(*world.fs->super_block()));
    return std::array{code.is_direct(world, 3), code.is_direct(world, 4), code.is_direct(world, 17),
                      calls.is_direct(world, 0)};
  };
  XipMachine first(files);
  EXPECT_THAT(run(first), ElementsAre(false, false, false, false));
  EXPECT_THAT(profile.faults,
              UnorderedElementsAre(Pair("bin/app", UnorderedElementsAre(Pair(3, 1), Pair(4, 1), Pair(17, 1))),
                                   Pair("lib/c", UnorderedElementsAre(Pair(0, 1)))));
  XipMachine second(files, must(XipProfile::parse(profile.text())));
  EXPECT_THAT(run(second), ElementsAre(true, true, true, true));
}

TEST_P(Xip, WithDaxNeverEveryPageIsInRam) {
  // The file system is the same, and nothing of the device is mapped.
  const XipFile file{"f", joined({easy(2 * kPage), Bytes(kPage)})};
  XipMachine world({file}, {.faults = {{"f", {{0, 1}, {1, 1}}}}});
  must(world.fs->unmount());
  world.fs.emplace(must(world.machine.mount<XipFs>(world.device, MountOptions{.dax = DaxOption::never})));
  File opened = world.open("f");
  const Loads loads(world, opened, GetParam());
  expect_content(loads, file.bytes);
  EXPECT_FALSE(loads.is_direct(world, 0));
  EXPECT_EQ(world.count(EventType::dax_insert_entry), 0U);
}

}  // namespace
}  // namespace daxsim::test
