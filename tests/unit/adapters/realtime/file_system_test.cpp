// SPDX-License-Identifier: BSD-3-Clause
// Which device a file is on, and what that changes: its place, its space, its fences, MAP_SYNC, the end of a device.
#include <gtest/gtest.h>

#include <csignal>

#include "daxsim/adapters/linear.hpp"
#include "daxsim/adapters/realtime.hpp"
#include "daxsim/mm/process.hpp"
#include "support/realtime_world.hpp"

namespace daxsim {
namespace {

using namespace literals;
using test::bytes;
using test::LinearWorld;
using test::RealtimeWorld;

constexpr std::uint64_t kPage = kPageSize;
// Their names say where they go.
constexpr const char* kOnData = "b";
constexpr const char* kOnRealtime = "a";

class RealtimeFiles : public ::testing::Test {
 protected:
  RealtimeFiles() { world.make(); }

  Attachment* device_of(const std::shared_ptr<OpenFile>& file) {
    return must(file->inode().direct_access({{0}, 1}, Access::read)).device;
  }

  RealtimeWorld world{1_MiB};
};

TEST_F(RealtimeFiles, LieWhollyOnTheirDevice) {
  // Each file names its device; the super block names the data device.
  const auto data = world.create(kOnData);
  const auto realtime = world.create(kOnRealtime);
  must(data->pwrite(0, bytes(std::string(3 * kPage, 'd'))));
  must(realtime->pwrite(0, bytes(std::string(3 * kPage, 'r'))));
  EXPECT_EQ(device_of(data), world.device.get());
  EXPECT_EQ(data->inode().bdev(), world.device.get());
  EXPECT_EQ(device_of(realtime), world.realtime.get());
  EXPECT_EQ(realtime->inode().bdev(), world.realtime.get());
  EXPECT_EQ(world.fs->bdev(), world.device.get());
  EXPECT_EQ(world.content(kOnData), std::string(3 * kPage, 'd'));
  EXPECT_EQ(world.content(kOnRealtime), std::string(3 * kPage, 'r'));
}

TEST_F(RealtimeFiles, ShowInFiemapWhereTheyAreOnTheirDevice) {
  // n8: bytes of the realtime device, which has nothing but files.
  const auto data = world.create(kOnData);
  const auto realtime = world.create(kOnRealtime);
  for (const auto& file : {data, realtime}) {
    must(file->pwrite(0, bytes(std::string(3 * kPage, 'f'))));
    const FileExtent here = must(file->inode().direct_access({{0}, 1}, Access::read));
    const auto extents = must(file->fiemap({0, 3 * kPage}));
    ASSERT_EQ(extents.size(), 1U);
    EXPECT_EQ(extents[0].device, here.device);
    EXPECT_EQ(extents[0].physical, byte_of(here.device_page));
    EXPECT_EQ(extents[0].length, 3 * kPage);
    EXPECT_EQ(file->statx().blocks, 24U);
  }
}

TEST_F(RealtimeFiles, StayWhereTheyAreOverCrashAndUnmount) {
  // From the log, and from a checkpoint.
  must(world.create(kOnRealtime)->pwrite(0, bytes("hello")));
  must(world.create("c")->truncate(kPage));  // has no block yet
  must(world.fs->sync());
  for (int life = 0; life < 2; ++life) {
    RealtimeWorld after(world.image());
    after.mount();
    EXPECT_EQ(after.content(kOnRealtime), "hello");
    EXPECT_EQ(after.open(kOnRealtime)->inode().bdev(), after.realtime.get());
    EXPECT_EQ(after.open("c")->inode().bdev(), after.realtime.get());
    must(world.fs->unmount());
    world.remount();
  }
}

TEST_F(RealtimeFiles, ChangeTheirDeviceOnlyWithoutBlocks) {
  // FS_IOC_FSSETXATTR: EINVAL once there is an extent; after truncation to nothing it may move.
  const auto file = world.create(kOnData);
  must(file->pwrite(0, bytes("hello")));
  EXPECT_EQ(RealtimeFs::set_realtime(file->inode()).error(), Errno::einval);
  must(RealtimeFs::set_realtime(file->inode(), Realtime::no));
  EXPECT_EQ(file->inode().bdev(), world.device.get());
  must(file->truncate(0));
  must(RealtimeFs::set_realtime(file->inode()));
  must(file->pwrite(0, bytes("again")));
  EXPECT_EQ(device_of(file), world.realtime.get());
  EXPECT_EQ(world.content(kOnData), "again");
}

TEST_F(RealtimeFiles, SetRealtimeNamesItsErrors) {
  // A file of another kind of file system; a file system that is no more.
  LinearWorld linear(1_MiB);
  linear.make();
  EXPECT_EQ(RealtimeFs::set_realtime(linear.create("a")->inode()).error(), Errno::einval);
  const auto file = world.create(kOnData);
  world.fs->shutdown(Errno::eio);
  EXPECT_EQ(RealtimeFs::set_realtime(file->inode()).error(), Errno::eio);

  RealtimeWorld cut(1_MiB);
  cut.make();
  const auto other = cut.create(kOnData);
  cut.fs->shutdown(Errno::eshutdown);
  EXPECT_EQ(RealtimeFs::set_realtime(other->inode()).error(), Errno::eshutdown);
}

TEST_F(RealtimeFiles, HaveTheSpaceOfTheirDevice) {
  // The realtime device fills up; the data device does not notice. Blocks come back to where they were.
  const std::uint64_t realtime_pages = RealtimeWorld::kRealtimeBytes / kPage - 1;
  const SpaceUsage empty = must(world.fs->space());
  EXPECT_EQ(empty.free_pages, empty.total_pages);
  const auto realtime = world.create(kOnRealtime);
  must(realtime->fallocate(Fallocate::allocate, {0, realtime_pages * kPage}));
  EXPECT_EQ(must(world.fs->space()).free_pages, empty.free_pages - realtime_pages);
  EXPECT_EQ(realtime->pwrite(realtime_pages * kPage, bytes("x")).error(), Errno::enospc);
  must(world.create(kOnData)->pwrite(0, bytes("x")));
  must(realtime->truncate(0));
  must(realtime->pwrite(0, bytes(std::string(realtime_pages * kPage, 'x'))));
  EXPECT_EQ(device_of(realtime), world.realtime.get());
}

TEST_F(RealtimeFiles, FsyncFencesBothDevices) {
  // With dirty metadata, and with none; a file on the data device leaves the other alone when nothing is committed.
  const auto steps_of = [&](const std::shared_ptr<OpenFile>& file) {
    const std::uint64_t data = world.view->steps;
    const std::uint64_t realtime = world.realtime_view->steps;
    must(file->fsync());
    return std::pair(world.view->steps - data, world.realtime_view->steps - realtime);
  };
  const auto realtime = world.create(kOnRealtime);
  must(realtime->pwrite(0, bytes("x")));
  EXPECT_EQ(steps_of(realtime), std::pair(std::uint64_t{3}, std::uint64_t{1}));  // fences, and the commit's flush
  EXPECT_EQ(steps_of(realtime), std::pair(std::uint64_t{1}, std::uint64_t{1}));
  const auto data = world.create(kOnData);
  must(data->fsync());
  EXPECT_EQ(steps_of(data), std::pair(std::uint64_t{1}, std::uint64_t{0}));
}

TEST_F(RealtimeFiles, MapSyncStoresSurvive) {
  // The commit is on one device, the page on the other.
  const auto file = world.create(kOnRealtime);
  must(file->truncate(2 * kPage));
  Process process(world.system, 1);
  const std::uint64_t address = must(process.mmap(file, {.sync = MapSync::yes}));
  ASSERT_TRUE(process.store<char>(address + kPage, 'x').ok());
  Random random(1);
  RealtimeWorld after(world.image_after_cut(test::RamView::Outcome::everything, random));
  after.mount();
  EXPECT_EQ(after.content(kOnRealtime)[kPage], 'x');
}

// --- the end of a device ---

enum class Which : std::uint8_t { data, realtime };
class RealtimeRemoval : public ::testing::TestWithParam<Which> {
 protected:
  RealtimeRemoval() {
    world.make();
    for (const char* name : {kOnData, kOnRealtime}) {
      files.push_back(world.create(name));
      must(files.back()->truncate(kPage));
      addresses.push_back(must(process.mmap(files.back(), {})));
      store(addresses.back());
    }
  }
  void store(std::uint64_t address) { ASSERT_TRUE(process.store<char>(address, 'x').ok()); }
  Attachment& removed() { return GetParam() == Which::data ? *world.device : *world.realtime; }

  RealtimeWorld world{1_MiB};
  Process process{world.system, 1};
  std::vector<std::shared_ptr<OpenFile>> files;
  std::vector<std::uint64_t> addresses;
};
INSTANTIATE_TEST_SUITE_P(Devices, RealtimeRemoval, ::testing::Values(Which::data, Which::realtime),
                         [](const auto& which) { return which.param == Which::data ? "Data" : "Realtime"; });

TEST_P(RealtimeRemoval, OrderlySavesTheFilesOfBoth) {
  // Either device tells the file system, which writes back to both and ends.
  must(removed().notify_holder());
  for (const std::uint64_t address : addresses) {
    EXPECT_EQ(process.load<char>(address).error().number, SIGBUS);
  }
  for (const auto& file : files) {
    EXPECT_EQ(file->fsync().error(), Errno::eio);
  }
  Random random(1);
  RealtimeWorld after(world.image_after_cut(test::RamView::Outcome::nothing, random));
  after.mount();
  EXPECT_EQ(after.content(kOnData)[0], 'x');
  EXPECT_EQ(after.content(kOnRealtime)[0], 'x');
}

TEST_P(RealtimeRemoval, SurpriseEndsTheFilesOfBoth) {
  // Nothing reaches either device any more; what was synced before is there.
  must(world.fs->sync());
  must(removed().advance(LifeState::dax_dead));
  const std::uint64_t steps = world.view->steps + world.realtime_view->steps;
  must(removed().notify_holder());
  for (const std::uint64_t address : addresses) {
    EXPECT_EQ(process.store<char>(address, 'y').error().number, SIGBUS);
  }
  EXPECT_EQ(world.fs->create("c").error(), Errno::eio);
  EXPECT_EQ(world.view->steps + world.realtime_view->steps, steps);
  Random random(1);
  RealtimeWorld after(world.image_after_cut(test::RamView::Outcome::nothing, random));
  after.mount();
  EXPECT_EQ(after.content(kOnData)[0], 'x');
  EXPECT_EQ(after.content(kOnRealtime)[0], 'x');
}

}  // namespace
}  // namespace daxsim
