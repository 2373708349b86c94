// SPDX-License-Identifier: BSD-3-Clause
// What FICLONERANGE answers, and images that say that files share blocks.
#include <gtest/gtest.h>

#include <array>
#include <string>
#include <vector>

#include "daxsim/adapters/realtime.hpp"
#include "daxsim/dax/dax.hpp"
#include "daxsim/mm/process.hpp"
#include "support/blocked_thread.hpp"
#include "support/error_of.hpp"
#include "support/fiemap_text.hpp"
#include "support/linear_image.hpp"
#include "support/realtime_world.hpp"

namespace daxsim {
namespace {

using namespace literals;
using support::errno_of;
using test::bytes;
using test::fiemap_text;
using test::Image;
using test::RealtimeWorld;
using test::ReflinkWorld;

constexpr std::uint64_t kPage = kPageSize;

class ReflinkCalls : public ::testing::Test {
 protected:
  ReflinkCalls() {
    world.make();
    from = world.create("from");
    to = world.create("to");
    must(from->pwrite(0, bytes(std::string(3 * kPage + 100, 'f'))));
  }
  Errno reflink(ByteRange range, std::uint64_t offset) { return errno_of(to->reflink(*from, range, offset)); }
  static Pgoff place(const std::shared_ptr<OpenFile>& file, std::uint64_t page) {
    return must(file->inode().direct_access({{page}, 1}, Access::read)).device_page;
  }

  // Whether a store to the first page went through.
  bool store(const std::shared_ptr<OpenFile>& file, char value) {
    return process.store<char>(must(process.mmap(file, {})), value).ok();
  }

  ReflinkWorld world{1_MiB};
  Process process{world.system, 1};
  std::shared_ptr<OpenFile> from;
  std::shared_ptr<OpenFile> to;
};

TEST_F(ReflinkCalls, NameTheirErrors) {
  // As Linux: whole pages, save at the end of the source when it becomes the end of the file.
  EXPECT_EQ(reflink({1, kPage}, 0), Errno::einval);
  EXPECT_EQ(reflink({0, kPage}, 1), Errno::einval);
  EXPECT_EQ(reflink({0, 100}, 0), Errno::einval);
  EXPECT_EQ(reflink({4 * kPage, 0}, 0), Errno::einval);
  EXPECT_EQ(reflink({0, 4 * kPage}, 0), Errno::einval);
  EXPECT_EQ(reflink({0, kPage}, RealtimeFs::kMaxFileSize), Errno::efbig);
  EXPECT_EQ(errno_of(from->reflink(*from, {0, 2 * kPage}, kPage)), Errno::einval);
  must(to->truncate(8 * kPage));
  EXPECT_EQ(reflink({0, 0}, 0), Errno::einval);
  EXPECT_EQ(reflink({0, 0}, 5 * kPage), Errno{});
  EXPECT_EQ(to->inode().size(), 8 * kPage + 100);
  // A file on the other device.
  must(RealtimeFs::set_realtime(world.create("data")->inode(), Realtime::no));
  EXPECT_EQ(errno_of(world.open("data")->reflink(*from, {0, 0}, 0)), Errno::einval);
  // Another file system, a handle that must not write, and one without the feature.
  RealtimeWorld other(1_MiB);
  other.make();
  EXPECT_EQ(errno_of(other.create("a")->reflink(*from, {0, 0}, 0)), Errno::exdev);
  EXPECT_EQ(errno_of(other.create("c")->reflink(*other.open("a"), {0, 0}, 0)), Errno::eopnotsupp);
  EXPECT_EQ(errno_of(other.open("a")->fallocate(Fallocate::unshare_range, {0, kPage})), Errno::eopnotsupp);
  const OpenFile read_only(world.fs, to->inode().shared_from_this(), OpenMode::read_only);
  EXPECT_EQ(errno_of(const_cast<OpenFile&>(read_only).reflink(*from, {0, 0}, 0)), Errno::ebadf);
  world.fs->shutdown(Errno::eio);
  EXPECT_EQ(reflink({0, 0}, 0), Errno::eio);
}

TEST_F(ReflinkCalls, LeaveHolesWhereTheSourceHasNoData) {
  must(from->truncate(8 * kPage));
  must(from->fallocate(Fallocate::allocate, {6 * kPage, kPage}));
  must(to->pwrite(0, bytes(std::string(8 * kPage, 't'))));
  EXPECT_EQ(reflink({2 * kPage, 5 * kPage}, 2 * kPage), Errno{});
  for (const std::uint64_t page : {4U, 6U}) {
    EXPECT_EQ(must(to->inode().direct_access({{page}, 1}, Access::read)).kind, FileExtent::Kind::hole) << page;
  }
  EXPECT_EQ(place(to, 2), place(from, 2));
  EXPECT_EQ(world.content("to"), std::string(2 * kPage, 't') + std::string(kPage + 100, 'f') +
                                     std::string(4 * kPage - 100, '\0') + std::string(kPage, 't'));
}

TEST_F(ReflinkCalls, ShowInFiemap) {
  // p2, p5: shared extents end where a file has blocks of its own, and do not where only the number of owners differs.
  const ByteRange all{0, 8 * kPage};
  must(from->pwrite(0, bytes(std::string(8 * kPage, 'f'))));
  EXPECT_EQ(fiemap_text(must(from->fiemap(all))), "0+8L");
  EXPECT_EQ(reflink({0, 0}, 0), Errno{});
  EXPECT_EQ(fiemap_text(must(from->fiemap(all))), "0+8sL");
  EXPECT_TRUE(store(from, 'x'));
  must(from->pwrite(3 * kPage, bytes("x")));
  EXPECT_EQ(fiemap_text(must(from->fiemap(all))), "0+1 1+2s 3+1 4+4sL");
  must(world.create("third")->reflink(*from, {5 * kPage, kPage}, 0));
  EXPECT_EQ(fiemap_text(must(from->fiemap(all))), "0+1 1+2s 3+1 4+4sL");
  EXPECT_EQ(from->statx().blocks, 64U);
  EXPECT_EQ(to->statx().blocks, 64U);
}

TEST_F(ReflinkCalls, SurviveAnUnmount) {
  EXPECT_EQ(reflink({0, 0}, 0), Errno{});
  const Pgoff before = place(from, 1);
  from.reset();
  to.reset();
  must(world.fs->unmount());
  world.remount();
  from = world.open("from");
  to = world.open("to");
  EXPECT_EQ(place(from, 1), before);
  EXPECT_EQ(place(to, 1), before);
  must(to->pwrite(kPage, bytes("t")));
  EXPECT_EQ(world.content("from"), std::string(3 * kPage + 100, 'f'));
  EXPECT_NE(place(to, 1), before);
}

TEST_F(ReflinkCalls, CanShareNoMorePagesThanThereAre) {
  // Else a checkpoint might have no room for the extents.
  must(from->truncate(0));
  must(from->pwrite(0, bytes(std::string(50 * kPage, 'f'))));
  Errno error{};
  std::uint64_t clones = 0;
  while (error == Errno{} && clones < 100) {
    error = errno_of(world.create("clone" + std::to_string(clones++))->reflink(*from, {0, 0}, 0));
  }
  EXPECT_EQ(error, Errno::enospc);
  EXPECT_LT(clones, 10U);
  must(world.fs->sync());
  must(world.fs->unlink("clone0"));
  must(world.fs->unlink("clone1"));
  EXPECT_EQ(reflink({0, 0}, 0), Errno{});
}

TEST_F(ReflinkCalls, WithoutMemoryChangeNothing) {
  must(to->pwrite(0, bytes(std::string(6 * kPage, 't'))));
  must(world.fs->sync());
  for (std::uint64_t nth = 1;; ++nth) {
    world.arena.fail_from(nth);
    const Errno error = reflink({kPage, kPage}, 3 * kPage);
    world.arena.fail_from(0);
    if (error == Errno{}) {
      EXPECT_GT(nth, 1U);
      break;
    }
    ASSERT_EQ(error, Errno::enomem);
    ASSERT_EQ(world.content("to"), std::string(6 * kPage, 't'));
  }
  EXPECT_EQ(world.content("to").substr(3 * kPage, kPage), std::string(kPage, 'f'));
}

TEST_F(ReflinkCalls, WaitForPinsOfBothFiles) {
  must(to->pwrite(0, bytes(std::string(2 * kPage, 't'))));
  for (const auto& pinned : {from, to}) {
    EXPECT_TRUE(store(pinned, 'p'));
    const dax::Pin pin = must(dax::pin_page(world.context, pinned->inode().mapping(), {0}));
    Interruption interruption;
    test::BlockedThread clone([&] {
      const InterruptScope scope(interruption);
      EXPECT_EQ(reflink({0, kPage}, 0), Errno::eintr);
    });
    EXPECT_TRUE(clone.blocks());
    interruption.raise();
    clone.join();
    test::BlockedThread again([&] { EXPECT_EQ(reflink({0, kPage}, kPage), Errno{}); });
    EXPECT_TRUE(again.blocks() || pinned == to);
    dax::unpin_page(pin);
    again.join();
  }
}

TEST_F(ReflinkCalls, ACopyThatFailsLeavesTheFileItsBlock) {
  EXPECT_EQ(reflink({0, 0}, 0), Errno{});
  const Pgoff before = place(to, 0);
  const std::uint64_t free = must(world.fs->space()).free_pages;
  for (const Errno failure : {Errno::eio, Errno::enospc}) {
    world.realtime_view->failure = failure;
    world.realtime_view->fails_from = world.realtime_view->steps + 1;
    EXPECT_FALSE(store(to, 'x'));
    EXPECT_FALSE(to->pwrite(0, bytes("x")).ok());
    EXPECT_FALSE(to->fallocate(Fallocate::unshare_range, {0, kPage}).ok());
    world.realtime_view->fails_from = 0;
    EXPECT_EQ(place(to, 0), before);
    EXPECT_EQ(must(world.fs->space()).free_pages, free);
    EXPECT_EQ(world.content("to"), std::string(3 * kPage + 100, 'f'));
  }
}

// --- images ---

class SharedImages : public ::testing::Test {
 protected:
  // What mounting says to a log of these records, where files may share blocks or not.
  static Errno mounts(Reflink reflink, const std::vector<extent_fs::Record>& records) {
    RealtimeWorld world(1_MiB);
    world.mkfs({.reflink = reflink});
    test::ImageMaker maker(1_MiB);
    maker.image = world.image();
    maker.geometry = must(extent_fs::Geometry::make({1_MiB >> kPageShift, RealtimeWorld::kRealtimeBytes >> kPageShift},
                                                    0, extent_fs::MapOfChunks::one_for_each_volume, reflink));
    maker.put_commit(records);
    return errno_of(test::use_image<RealtimeWorld>(maker.image));
  }
};

TEST_F(SharedImages, AreDamagedWithoutTheFeature) {
  using enum extent_fs::RecordType;
  const std::vector<extent_fs::Record> two{{.type = create, .ino = 1, .name = "a"},
                                           {.type = create, .ino = 2, .name = "b"},
                                           {.type = map, .ino = 1, .pages = {{0}, 3}, .physical = 90},
                                           {.type = map, .ino = 2, .pages = {{7}, 2}, .physical = 91}};
  EXPECT_EQ(mounts(Reflink::no, two), Errno::euclean);
  EXPECT_EQ(mounts(Reflink::yes, two), Errno{});
  std::vector<extent_fs::Record> shared = two;
  shared.back().type = share;
  EXPECT_EQ(mounts(Reflink::no, shared), Errno::euclean);
  EXPECT_EQ(mounts(Reflink::yes, shared), Errno{});
}

TEST_F(SharedImages, ThatCannotBe) {
  using enum extent_fs::RecordType;
  const extent_fs::Record made{.type = create, .ino = 1, .name = "a"};
  const extent_fs::Record mapped{.type = map, .ino = 1, .pages = {{0}, 3}, .physical = 90};
  const auto shares = [&](const extent_fs::Record& record) { return mounts(Reflink::yes, {made, mapped, record}); };
  // Free blocks, the label, beyond the end, unwritten, no file pages, more pages than a file has.
  EXPECT_EQ(shares({.type = share, .ino = 1, .pages = {{5}, 2}, .physical = 92}), Errno::euclean);
  EXPECT_EQ(shares({.type = share, .ino = 1, .pages = {{5}, 1}, .physical = 0}), Errno::euclean);
  EXPECT_EQ(shares({.type = share, .ino = 1, .pages = {{5}, 1}, .physical = 256}), Errno::euclean);
  EXPECT_EQ(
      shares({.type = map, .state = extent_fs::BlockState::unwritten, .ino = 1, .pages = {{5}, 1}, .physical = 91}),
      Errno::euclean);
  EXPECT_EQ(shares({.type = share, .ino = 1, .pages = {{5}, 0}, .physical = 90}), Errno::euclean);
  EXPECT_EQ(shares({.type = share, .ino = 1, .pages = {{extent_fs::kMaxFilePages}, 1}, .physical = 90}),
            Errno::euclean);
  // Freed, and kept for two checkpoints; its own block once more, in the same place and in another.
  EXPECT_EQ(mounts(Reflink::yes, {made,
                                  mapped,
                                  {.type = unmap, .ino = 1, .pages = {{0}, 3}},
                                  {.type = share, .ino = 1, .pages = {{0}, 1}, .physical = 90}}),
            Errno::euclean);
  EXPECT_EQ(shares({.type = share, .ino = 1, .pages = {{0}, 3}, .physical = 90}), Errno{});
  EXPECT_EQ(shares({.type = share, .ino = 1, .pages = {{1}, 2}, .physical = 90}), Errno{});
}

TEST_F(SharedImages, EachFlippedBitIsFoundOrHarmless) {
  // Checksums made right again: what mounts, from the other slot or with what the bit says, works.
  ReflinkWorld used(384_KiB);
  used.make();
  must(used.create("a")->pwrite(0, bytes(std::string(3 * kPage, 'a'))));
  must(used.create("b")->reflink(*used.open("a"), {0, 0}, 0));
  must(used.fs->unmount());
  used.remount();
  must(used.open("b")->reflink(*used.open("a"), {kPage, kPage}, 2 * kPage));
  must(used.open("a")->pwrite(0, bytes("x")));
  must(used.fs->sync());
  const Image made = used.image();
  const auto geometry =
      must(extent_fs::Geometry::make({384_KiB >> kPageShift, RealtimeWorld::kRealtimeBytes >> kPageShift}, 0,
                                     extent_fs::MapOfChunks::one_for_each_volume, Reflink::yes));
  Random random(7);
  for (const std::uint64_t at :
       {geometry.checkpoint_offset(0), geometry.checkpoint_offset(1), geometry.log_offset(0), geometry.log_offset(1)}) {
    for (int n = 0; n < 200; ++n) {
      Image image = made;
      const std::uint64_t bit = random.below(400 * 8);
      image[at + bit / 8] ^= static_cast<std::byte>(1U << (bit % 8));
      test::fix_checksums(image, geometry);
      const Errno error = errno_of(test::use_image<ReflinkWorld>(std::move(image)));
      ASSERT_TRUE(error == Errno{} || error == Errno::euclean) << "bit " << bit << " behind " << at;
    }
  }
}

}  // namespace
}  // namespace daxsim
