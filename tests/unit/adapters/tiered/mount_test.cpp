// SPDX-License-Identifier: BSD-3-Clause
// mkfs and mount with a direct device and a disk: their errors, devices that do not belong together, damaged and hostile
// images. support/refuse_memfd.hpp takes the place of a function of libc's.
#include <gtest/gtest.h>

#include "daxsim/adapters/linear.hpp"
#include "daxsim/adapters/realtime.hpp"
#include "daxsim/adapters/tiered.hpp"
#include "support/error_of.hpp"
#include "support/linear_image.hpp"
#include "support/refuse_memfd.hpp"
#include "support/tiered_world.hpp"

namespace daxsim {
namespace {

using namespace literals;
using support::errno_of;
using support::refuse_memfd;
using test::bytes;
using test::Image;
using test::LinearWorld;
using test::RamView;
using test::TieredWorld;

constexpr std::uint64_t kPage = kPageSize;
constexpr std::uint64_t kRecordOfDisk = extent_fs::kVolumesOffset + sizeof(extent_fs::VolumeRecord);

Errno mount_error(const Image& image) {
  TieredWorld world(image);
  return errno_of(world.try_mount());
}
Image made_image(std::uint64_t bytes) {
  TieredWorld world(bytes);
  world.mkfs();
  return world.image();
}

class NobodysHolder final : public Holder {
 public:
  Result<void> pre_remove(Attachment&) override { return {}; }
  Result<void> failure(Attachment&, ByteRange) override { return {}; }
  void revoke(Attachment&, ByteRange) override {}
};

TEST(TieredMkfs, NamesItsErrors) {
  // The wrong way round, two of a kind, too small, too many files, held, full, broken, dead; each of the devices.
  TieredWorld world(1_MiB);
  LinearWorld small(Image(16 * kPage));
  EXPECT_EQ(TieredFs::mkfs(*world.disk, *world.device).error(), Errno::einval);
  EXPECT_EQ(TieredFs::mkfs(*world.disk, *world.disk).error(), Errno::einval);
  EXPECT_EQ(TieredFs::mkfs(*world.device, *world.device).error(), Errno::einval);
  EXPECT_EQ(TieredFs::mkfs(*small.device, *world.disk).error(), Errno::einval);
  EXPECT_EQ(TieredFs::mkfs(*world.device, *world.disk, {.files = TieredFs::kMaxFiles + 1}).error(), Errno::einval);
  // No other file system goes on a disk.
  EXPECT_EQ(LinearFs::mkfs(*world.disk).error(), Errno::einval);
  EXPECT_EQ(RealtimeFs::mkfs(*world.device, *world.disk).error(), Errno::einval);
  for (Attachment* const held : {world.device.get(), world.disk.get()}) {
    NobodysHolder holder;
    must(held->claim(holder));
    EXPECT_EQ(TieredFs::mkfs(*world.device, *world.disk).error(), Errno::ebusy);
    held->release(holder);
  }
  const auto names_failures_of = [&world](auto& view) {
    for (const Errno failure : {Errno::enospc, Errno::enomem, Errno::eio}) {
      view.failure = failure;
      view.fails_from = 1;
      EXPECT_EQ(TieredFs::mkfs(*world.device, *world.disk).error(), failure);
    }
    view.fails_from = 0;
  };
  names_failures_of(*world.view);
  names_failures_of(*world.disk_view);
  world.view->poisoned = 0;
  EXPECT_EQ(TieredFs::mkfs(*world.device, *world.disk).error(), Errno::ehwpoison);
  world.view->poisoned.reset();
  must(world.disk->advance(LifeState::dax_dead));
  EXPECT_EQ(TieredFs::mkfs(*world.device, *world.disk).error(), Errno::enxio);
}

TEST(TieredMkfs, IsAllOrNothing) {
  // At each point of a crash over an older file system: the old one, none, or the new one; never a mixture.
  TieredWorld world(384_KiB);
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
    TieredWorld after(image);
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

TEST(TieredMount, NamesItsErrors) {
  // No file system, the devices swapped, held, full, broken, no memory for the page cache, dead.
  TieredWorld world(1_MiB);
  EXPECT_EQ(errno_of(world.try_mount()), Errno::einval);
  world.mkfs();
  EXPECT_EQ(TieredFs::mount(world.context, *world.disk, *world.device).error(), Errno::einval);
  EXPECT_EQ(TieredFs::mount(world.context, *world.device, *world.device).error(), Errno::einval);
  EXPECT_EQ(LinearFs::mount(world.context, *world.device).error(), Errno::einval);
  EXPECT_EQ(LinearFs::mount(world.context, *world.disk).error(), Errno::einval);
  for (Attachment* const held : {world.device.get(), world.disk.get()}) {
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
  world.view->poisoned = 0;
  EXPECT_EQ(errno_of(world.try_mount()), Errno::ehwpoison);
  world.view->poisoned.reset();
  for (const auto& [host, ours] :
       {std::pair(EMFILE, Errno::emfile), {ENFILE, Errno::enfile}, {ENOMEM, Errno::enomem}}) {
    refuse_memfd = host;
    EXPECT_EQ(errno_of(world.try_mount()), ours);
  }
  world.mount();
  EXPECT_EQ(TieredFs::mkfs(*world.device, *world.disk).error(), Errno::ebusy);
  must(world.fs->unmount());
  must(world.disk->advance(LifeState::dax_dead));
  EXPECT_EQ(errno_of(world.try_mount()), Errno::enxio);
}

TEST(TieredMount, WantsTheDeviceThatBelongsToIt) {
  // A fresh disk, and the disk of another file system.
  TieredWorld world(1_MiB);
  world.make();
  must(world.create("a")->pwrite(0, bytes("hello")));
  must(world.fs->unmount());
  TieredWorld other(1_MiB);
  EXPECT_EQ(TieredFs::mount(world.context, *world.device, *other.disk).error(), Errno::enodev);
  other.mkfs();
  EXPECT_EQ(TieredFs::mount(world.context, *world.device, *other.disk).error(), Errno::enodev);
  world.mount();
  EXPECT_EQ(world.content("a"), "hello");
}

TEST(TieredMount, RefusesWhatItDoesNotKnow) {
  // Another version, damaged records, a disk that has become smaller.
  const Image made = made_image(1_MiB);
  const auto with_super = [&](auto change) {
    Image image = made;
    auto super = test::load<extent_fs::SuperRecord>(image, 0);
    change(super);
    super.crc = crc_of(super);
    test::store(image, 0, super);
    return mount_error(image);
  };
  EXPECT_EQ(with_super([](auto& super) { super.version = 2; }), Errno::eopnotsupp);
  EXPECT_EQ(with_super([](auto& super) { super.blocks = 257; }), Errno::euclean);
  EXPECT_EQ(with_super([](auto& super) { super.files = 0; }), Errno::euclean);

  // The same record in both places, so that only what it says is wrong.
  const auto with_volume = [&](auto change) {
    Image image = made;
    auto record = test::load<extent_fs::VolumeRecord>(image, kRecordOfDisk);
    record.crc = 0;
    change(record);
    record.crc = record.crc == 0 ? crc_of(record) : std::uint32_t{record.crc};
    test::store(image, kRecordOfDisk, record);
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

TEST(TieredMount, RunsOutOfMemoryCleanly) {
  // The n-th allocation fails, for each n until the mount works.
  TieredWorld made(1_MiB);
  made.make();
  must(made.create("a")->pwrite(0, bytes("x")));
  must(made.create("b")->pwrite(0, bytes("x")));
  must(made.fs->sync());
  TieredWorld world(made.image());
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

TEST(TieredHostile, AddressesThatAreNone) {
  // Of metadata, of the label, behind the end, over the border of the devices; a tier that there is not.
  constexpr std::uint64_t kDirect = 1_MiB >> kPageShift;
  constexpr std::uint64_t kAll = kDirect + (TieredWorld::kDiskBytes >> kPageShift);
  const auto mounts = [](const std::vector<extent_fs::Record>& records) {
    TieredWorld world(1_MiB);
    world.mkfs();
    test::ImageMaker maker(1_MiB);
    maker.image = world.image();
    maker.geometry = must(extent_fs::Geometry::make({kDirect, kAll - kDirect}, 0));
    maker.put_commit(records);
    return errno_of(test::use_image<TieredWorld>(maker.image));
  };
  using enum extent_fs::RecordType;
  const extent_fs::Record made{.type = create, .ino = 1, .name = "a"};
  const auto mapped = [](std::uint64_t page, std::uint64_t address, std::uint64_t pages = 1) {
    return extent_fs::Record{.type = map, .ino = 1, .pages = {{page}, pages}, .physical = address};
  };
  // On both devices, moved from one to the other, with another target while it has blocks.
  EXPECT_EQ(mounts({made, mapped(0, kDirect - 1), mapped(1, kDirect + 1)}), Errno{});
  EXPECT_EQ(mounts({made, mapped(0, kDirect - 1), {.type = group, .ino = 1, .group = 1}, mapped(1, kAll - 1)}),
            Errno{});
  EXPECT_EQ(mounts({made, mapped(0, kDirect - 1), {.type = move, .ino = 1, .pages = {{0}, 1}, .physical = kAll - 1}}),
            Errno{});
  for (const std::uint64_t address : {std::uint64_t{0}, std::uint64_t{2}, kDirect, kAll, ~std::uint64_t{0}}) {
    EXPECT_EQ(mounts({made, mapped(0, address)}), Errno::euclean) << address;
    EXPECT_EQ(mounts({made, mapped(0, kDirect - 1), {.type = move, .ino = 1, .pages = {{0}, 1}, .physical = address}}),
              Errno::euclean)
        << address;
  }
  EXPECT_EQ(mounts({made, mapped(0, kDirect - 1, 3)}), Errno::euclean);
  EXPECT_EQ(mounts({made, mapped(0, kAll - 1), mapped(1, kAll - 1)}), Errno::euclean);
  EXPECT_EQ(mounts({made, {.type = group, .ino = 1, .group = 2}}), Errno::euclean);
  EXPECT_EQ(mounts({made, {.type = group, .ino = 1, .group = ~std::uint64_t{0}}}), Errno::euclean);
}

TEST(TieredHostile, EachFlippedBitIsFoundOrHarmless) {
  // Of the records at the front of both devices and of the metadata a seeded sample, checksums made right again or not:
  // the mount answers, with an old state at worst, and what mounts works.
  TieredWorld used(384_KiB);
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
      must(extent_fs::Geometry::make({384_KiB >> kPageShift, TieredWorld::kDiskBytes >> kPageShift}, 0));
  Random random(7);
  unsigned refused = 0;
  for (const std::uint64_t at :
       {std::uint64_t{0}, kRecordOfDisk, extent_fs::kRootOffset, geometry.checkpoint_offset(0),
        geometry.checkpoint_offset(1), geometry.log_offset(0), geometry.log_offset(1), std::uint64_t{384_KiB}}) {
    for (int n = 0; n < 60; ++n) {
      Image image = made;
      const std::uint64_t bit = random.below(256 * 8);
      image[at + bit / 8] ^= static_cast<std::byte>(1U << (bit % 8));
      if (random.one_in(2)) {
        test::fix_checksums(image, geometry);
      }
      const Errno error = errno_of(test::use_image<TieredWorld>(std::move(image)));
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
