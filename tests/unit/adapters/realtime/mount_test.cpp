// SPDX-License-Identifier: BSD-3-Clause
// mkfs and mount with two devices: their errors, devices that do not belong together, damaged and hostile images.
#include <gtest/gtest.h>

#include "daxsim/adapters/linear.hpp"
#include "daxsim/adapters/realtime.hpp"
#include "support/error_of.hpp"
#include "support/linear_image.hpp"
#include "support/realtime_world.hpp"

namespace daxsim {
namespace {

using namespace literals;
using support::errno_of;
using test::bytes;
using test::Image;
using test::LinearWorld;
using test::NobodysHolder;
using test::RamView;
using test::RealtimeWorld;

constexpr std::uint64_t kPage = kPageSize;
constexpr std::uint64_t kRecordOfRealtime = extent_fs::kVolumesOffset + sizeof(extent_fs::VolumeRecord);

Errno mount_error(const Image& image) {
  RealtimeWorld world(image);
  return errno_of(world.try_mount());
}
Image made_image(std::uint64_t bytes) {
  RealtimeWorld world(bytes);
  world.mkfs();
  return world.image();
}

TEST(RealtimeMkfs, NamesItsErrors) {
  // Too small, too many files, the same device twice, held, full, broken, dead; each of the devices.
  RealtimeWorld world(1_MiB);
  LinearWorld small(Image(16 * kPage));
  EXPECT_EQ(RealtimeFs::mkfs(*small.device, *world.realtime).error(), Errno::einval);
  EXPECT_EQ(RealtimeFs::mkfs(*world.device, *small.device).error(), Errno::einval);
  EXPECT_EQ(RealtimeFs::mkfs(*world.device, *world.realtime, {.files = RealtimeFs::kMaxFiles + 1}).error(),
            Errno::einval);
  EXPECT_EQ(RealtimeFs::mkfs(*world.device, *world.device).error(), Errno::ebusy);
  for (Attachment* const held : {world.device.get(), world.realtime.get()}) {
    NobodysHolder holder;
    must(held->claim(holder));
    EXPECT_EQ(RealtimeFs::mkfs(*world.device, *world.realtime).error(), Errno::ebusy);
    held->release(holder);
  }
  for (RamView* const view : {world.view, world.realtime_view}) {
    for (const Errno failure : {Errno::enospc, Errno::enomem, Errno::eio}) {
      view->failure = failure;
      view->fails_from = 1;
      EXPECT_EQ(RealtimeFs::mkfs(*world.device, *world.realtime).error(), failure);
    }
    view->fails_from = 0;
    view->poisoned = 0;
    EXPECT_EQ(RealtimeFs::mkfs(*world.device, *world.realtime).error(), Errno::ehwpoison);
    view->poisoned.reset();
  }
  must(world.realtime->advance(LifeState::dax_dead));
  EXPECT_EQ(RealtimeFs::mkfs(*world.device, *world.realtime).error(), Errno::enxio);
}

TEST(RealtimeMkfs, IsAllOrNothing) {
  // At each point of a crash over an older file system: the old one, none, or the new one; never a mixture.
  RealtimeWorld world(384_KiB);
  world.make();
  must(world.create("old1")->pwrite(0, bytes("x")));
  must(world.fs->unmount());
  Random random(1);
  std::vector<Image> images;
  world.before_each_step([&] {
    for (const auto outcome : {RamView::Outcome::nothing, RamView::Outcome::everything, RamView::Outcome::random}) {
      images.push_back(world.image_after_cut(outcome, random));
    }
  });
  world.mkfs();
  world.before_each_step({});

  unsigned none = 0;
  for (const Image& image : images) {
    RealtimeWorld after(image);
    if (const Result<void> mounted = after.try_mount(); !mounted.ok()) {
      ASSERT_EQ(mounted.error(), Errno::einval);
      ++none;
      continue;
    }
    const auto files = must(after.fs->list());
    ASSERT_TRUE(files.empty() || files[0].name == "old1");
  }
  EXPECT_GT(none, 0U);
  world.mount();
  EXPECT_TRUE(must(world.fs->list()).empty());
}

TEST(RealtimeMount, NamesItsErrors) {
  // No file system, the devices swapped, held, the same twice, full, broken, dead.
  RealtimeWorld world(1_MiB);
  EXPECT_EQ(errno_of(world.try_mount()), Errno::einval);
  world.mkfs();
  EXPECT_EQ(RealtimeFs::mount(world.context, *world.realtime, *world.device).error(), Errno::einval);
  EXPECT_EQ(RealtimeFs::mount(world.context, *world.device, *world.device).error(), Errno::ebusy);
  EXPECT_EQ(LinearFs::mount(world.context, *world.device).error(), Errno::einval);
  EXPECT_EQ(LinearFs::mount(world.context, *world.realtime).error(), Errno::einval);
  for (Attachment* const held : {world.device.get(), world.realtime.get()}) {
    NobodysHolder holder;
    must(held->claim(holder));
    EXPECT_EQ(errno_of(world.try_mount()), Errno::ebusy);
    held->release(holder);
  }
  for (const Errno failure : {Errno::enospc, Errno::enomem, Errno::eio}) {
    world.view->failure = failure;
    world.view->fails_from = 1;
    EXPECT_EQ(errno_of(world.try_mount()), failure);
  }
  world.view->fails_from = 0;
  for (RamView* const view : {world.view, world.realtime_view}) {
    view->poisoned = 0;
    EXPECT_EQ(errno_of(world.try_mount()), Errno::ehwpoison);
    view->poisoned.reset();
  }
  world.mount();
  EXPECT_EQ(RealtimeFs::mkfs(*world.device, *world.realtime).error(), Errno::ebusy);
  must(world.fs->unmount());
  must(world.realtime->advance(LifeState::dax_dead));
  EXPECT_EQ(errno_of(world.try_mount()), Errno::enxio);
}

TEST(RealtimeMount, WantsTheDeviceThatBelongsToIt) {
  // A fresh device, the realtime device of another file system, a device with a file system of its own.
  RealtimeWorld world(1_MiB);
  world.make();
  must(world.create("a")->pwrite(0, bytes("hello")));
  must(world.fs->unmount());

  LinearWorld stranger(1_MiB);
  EXPECT_EQ(RealtimeFs::mount(world.context, *world.device, *stranger.device).error(), Errno::enodev);
  stranger.mkfs();
  EXPECT_EQ(RealtimeFs::mount(world.context, *world.device, *stranger.device).error(), Errno::enodev);
  RealtimeWorld other(1_MiB);
  other.mkfs();
  EXPECT_EQ(RealtimeFs::mount(world.context, *world.device, *other.realtime).error(), Errno::enodev);

  world.mount();
  EXPECT_EQ(world.content("a"), "hello");
}

TEST(RealtimeMount, RefusesWhatItDoesNotKnow) {
  // Another version, damaged records, a realtime device that has become smaller.
  const Image made = made_image(1_MiB);
  const auto with_super = [&](auto change) {
    Image image = made;
    auto super = test::load<extent_fs::SuperRecord>(image, 0);
    change(super);
    super.crc = crc_of(super);
    test::store(image, 0, super);
    return mount_error(image);
  };
  EXPECT_EQ(with_super([](auto& super) { super.version = 3; }), Errno::eopnotsupp);
  EXPECT_EQ(with_super([](auto& super) { super.blocks = 257; }), Errno::euclean);
  EXPECT_EQ(with_super([](auto& super) { super.files = 0; }), Errno::euclean);

  // The same record in both places, so that only what it says is wrong.
  const auto with_volume = [&](auto change) {
    Image image = made;
    auto record = test::load<extent_fs::VolumeRecord>(image, kRecordOfRealtime);
    record.crc = 0;
    change(record);
    record.crc = record.crc == 0 ? crc_of(record) : std::uint32_t{record.crc};
    test::store(image, kRecordOfRealtime, record);
    test::store(image, 1_MiB, record);
    return mount_error(image);
  };
  EXPECT_EQ(with_volume([](auto&) {}), Errno{});
  EXPECT_EQ(with_volume([](auto& record) { record.magic = 1; }), Errno::euclean);
  EXPECT_EQ(with_volume([](auto& record) { record.crc = 1; }), Errno::euclean);
  EXPECT_EQ(with_volume([](auto& record) { record.volume = 2; }), Errno::euclean);
  for (const std::uint64_t blocks : {std::uint64_t{0}, std::uint64_t{16}, std::uint64_t{65}, ~std::uint64_t{0}}) {
    EXPECT_EQ(with_volume([&](auto& record) { record.blocks = blocks; }), Errno::euclean) << blocks;
  }
  Image image = made;
  image[1_MiB] ^= std::byte{1};
  EXPECT_EQ(mount_error(image), Errno::enodev);
}

TEST(RealtimeMount, RunsOutOfMemoryCleanly) {
  // The n-th allocation fails, for each n until the mount works.
  RealtimeWorld made(1_MiB);
  made.make();
  must(made.create("a")->pwrite(0, bytes("x")));
  must(made.create("b")->pwrite(0, bytes("x")));
  must(made.fs->sync());
  RealtimeWorld world(made.image());
  for (std::uint64_t nth = 1;; ++nth) {
    world.arena.fail_from(nth);
    const Result<void> mounted = world.try_mount();
    world.arena.fail_from(0);
    if (mounted.ok()) {
      EXPECT_GT(nth, 3U);
      break;
    }
    ASSERT_EQ(mounted.error(), Errno::enomem);
    ASSERT_EQ(world.arena.usage().in_use, 0U);
  }
}

TEST(RealtimeHostile, VolumesThatAreNone) {
  // A file on a volume that there is not, and one that changes its volume under its blocks.
  const auto mounts = [](const std::vector<extent_fs::Record>& records) {
    RealtimeWorld world(1_MiB);
    world.mkfs();
    test::ImageMaker maker(1_MiB);
    maker.image = world.image();
    maker.geometry =
        must(extent_fs::Geometry::make({1_MiB >> kPageShift, RealtimeWorld::kRealtimeBytes >> kPageShift}, 0));
    maker.put_commit(records);
    return errno_of(test::use_image<RealtimeWorld>(maker.image));
  };
  using enum extent_fs::RecordType;
  const extent_fs::Record made{.type = create, .ino = 1, .name = "a"};
  const extent_fs::Record moved{.type = group, .ino = 1, .group = 1};
  const extent_fs::Record mapped{.type = map, .ino = 1, .pages = {{0}, 1}, .physical = 50};
  EXPECT_EQ(mounts({made, moved, mapped}), Errno{});
  EXPECT_EQ(mounts({made, mapped, moved}), Errno::euclean);
  EXPECT_EQ(mounts({made, {.type = group, .ino = 1, .group = 2}}), Errno::euclean);
  EXPECT_EQ(mounts({made, {.type = group, .ino = 1, .group = ~std::uint64_t{0}}}), Errno::euclean);
  // The label, and behind the end.
  for (const std::uint64_t page : {std::uint64_t{0}, std::uint64_t{64}}) {
    EXPECT_EQ(mounts({made, moved, {.type = map, .ino = 1, .pages = {{0}, 1}, .physical = page}}), Errno::euclean);
  }
}

TEST(RealtimeHostile, EachFlippedBitIsFoundOrHarmless) {
  // Of the records at the front of both devices and of the metadata a seeded sample, checksums made right again or not:
  // the mount answers, with an old state at worst, and what mounts works.
  RealtimeWorld used(384_KiB);
  used.make();
  must(used.create("a")->pwrite(0, bytes(std::string(3 * kPage, 'a'))));
  must(used.create("b")->pwrite(0, bytes(std::string(3 * kPage, 'b'))));
  must(used.fs->unmount());
  used.remount();
  must(used.create("c")->pwrite(5 * kPage, bytes("c")));
  must(used.fs->unlink("a"));
  must(used.fs->sync());
  const Image made = used.image();
  const auto geometry =
      must(extent_fs::Geometry::make({384_KiB >> kPageShift, RealtimeWorld::kRealtimeBytes >> kPageShift}, 0));
  Random random(7);
  unsigned refused = 0;
  for (const std::uint64_t at :
       {std::uint64_t{0}, kRecordOfRealtime, extent_fs::kRootOffset, geometry.checkpoint_offset(0),
        geometry.checkpoint_offset(1), geometry.log_offset(0), geometry.log_offset(1), std::uint64_t{384_KiB}}) {
    for (int n = 0; n < 60; ++n) {
      Image image = made;
      const std::uint64_t bit = random.below(256 * 8);
      image[at + bit / 8] ^= static_cast<std::byte>(1U << (bit % 8));
      if (random.one_in(2)) {
        test::fix_checksums(image, geometry);
      }
      const Errno error = errno_of(test::use_image<RealtimeWorld>(std::move(image)));
      ASSERT_TRUE(error == Errno{} || error == Errno::einval || error == Errno::euclean || error == Errno::eopnotsupp ||
                  error == Errno::enodev)
          << "bit " << bit << " behind " << at << ": " << errno_name(error);
      refused += error == Errno{} ? 0 : 1;
    }
  }
  EXPECT_GT(refused, 0U);
}

}  // namespace
}  // namespace daxsim
