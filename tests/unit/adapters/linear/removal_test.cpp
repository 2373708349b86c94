// SPDX-License-Identifier: BSD-3-Clause
// LinearFs as the holder of its device: orderly and surprise removal.
#include <gtest/gtest.h>

#include <csignal>

#include "daxsim/mm/process.hpp"
#include "support/linear_world.hpp"

namespace daxsim {
namespace {

using namespace literals;
using test::bytes;
using test::LinearWorld;

constexpr std::uint64_t kPage = kPageSize;

class LinearRemoval : public ::testing::Test {
 protected:
  LinearRemoval() {
    world.make();
    file = world.create("f");
    must(file->truncate(2 * kPage));
    address = must(process.mmap(file, {}));
  }

  LinearWorld world{1_MiB};
  Process process{world.system, 1};
  std::shared_ptr<OpenFile> file;
  std::uint64_t address = 0;
};

TEST_F(LinearRemoval, OrderlyRemovalSavesEverything) {
  // What was stored and never synced is on the medium; every mapping then ends in SIGBUS, every call in eio.
  ASSERT_TRUE(process.store<char>(address + kPage, 'x').ok());
  must(world.device->notify_holder());
  EXPECT_EQ(process.load<char>(address + kPage).error().number, SIGBUS);
  EXPECT_EQ(file->fsync().error(), Errno::eio);
  EXPECT_EQ(world.fs->create("g").error(), Errno::eio);
  must(world.device->advance(LifeState::dax_dead));

  Random random(1);
  LinearWorld after(world.view->image_after_cut(test::RamView::Outcome::nothing, random));
  after.mount();
  EXPECT_EQ(after.content("f")[kPage], 'x');
}

TEST_F(LinearRemoval, SurpriseRemovalLosesOnlyWhatNobodySynced) {
  // Nothing is written any more; what was synced is there.
  ASSERT_TRUE(process.store<char>(address, 'x').ok());
  must(file->fsync());
  ASSERT_TRUE(process.store<char>(address + kPage, 'y').ok());
  must(world.device->advance(LifeState::dax_dead));
  const std::uint64_t steps = world.view->steps;
  must(world.device->notify_holder());
  EXPECT_EQ(process.store<char>(address, 'z').error().number, SIGBUS);
  EXPECT_EQ(file->pwrite(0, bytes("z")).error(), Errno::eio);
  EXPECT_EQ(world.view->steps, steps);

  Random random(1);
  LinearWorld after(world.view->image_after_cut(test::RamView::Outcome::nothing, random));
  after.mount();
  EXPECT_EQ(after.content("f")[0], 'x');
  EXPECT_EQ(after.content("f")[kPage], '\0');
}

TEST_F(LinearRemoval, DeadDeviceIsAnIoErrorBeforeTheNotice) {
  // Between the end of the device and the notice each call answers what its comment names.
  must(file->pwrite(0, bytes("abc")));
  must(world.device->advance(LifeState::dax_dead));
  std::string text(3, ' ');
  EXPECT_EQ(file->pread(0, std::as_writable_bytes(std::span(text))).error(), Errno::enxio);
  EXPECT_EQ(file->pwrite(0, bytes("x")).error(), Errno::enxio);
  EXPECT_EQ(file->truncate(1).error(), Errno::eio);
  EXPECT_EQ(file->fallocate(Fallocate::punch_hole, {0, 1}).error(), Errno::eio);
  EXPECT_EQ(file->fsync().error(), Errno::eio);
}

TEST_F(LinearRemoval, UnmountAfterRemovalSucceeds) {
  // As Linux's umount does, once nobody has a file open.
  must(process.munmap(address, 2 * kPage));
  must(world.device->notify_holder());
  EXPECT_EQ(world.fs->unmount().error(), Errno::ebusy);
  file.reset();
  must(world.fs->unmount());
}

}  // namespace
}  // namespace daxsim
