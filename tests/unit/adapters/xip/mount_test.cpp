// SPDX-License-Identifier: BSD-3-Clause
// Mounting XipFs: its errors, damaged and hostile images. support/refuse_memfd.hpp takes the place of a function of libc's.
#include <gtest/gtest.h>

#include <algorithm>

#include "daxsim/adapters/linear.hpp"
#include "daxsim/adapters/tiered.hpp"
#include "daxsim/adapters/xip.hpp"
#include "support/refuse_memfd.hpp"
#include "support/tiered_world.hpp"
#include "support/xip_world.hpp"

namespace daxsim {
namespace {

using namespace literals;
using support::refuse_memfd;
using test::Bytes;
using test::easy;
using test::edit;
using test::errno_of;
using test::hard;
using test::XipWorld;

constexpr std::uint64_t kPage = kPageSize;
constexpr std::uint64_t kFirstFile = sizeof(xip::SuperRecord);

Errno mount_error(const Bytes& image) { return errno_of(XipWorld(image).try_mount()); }

// Files "a", of three pages, one direct, and a tail, and "b", of one compressed page.
Bytes image_of_two() {
  return must(XipFs::build(std::array{XipFile{"a", easy(3 * kPage + 100)}, XipFile{"b", easy(kPage, 7)}},
                           {.faults = {{"a", {{1, 1}}}}}));
}
Bytes with_super(void (*change)(xip::SuperRecord&)) {
  Bytes image = image_of_two();
  edit<xip::SuperRecord>(image, 0, change);
  return image;
}
Bytes with_file(void (*change)(xip::FileRecord&)) {
  Bytes image = image_of_two();
  edit<xip::FileRecord>(image, kFirstFile, change);
  return image;
}
Bytes with_page(std::uint64_t page, void (*change)(xip::PageRecord&)) {
  Bytes image = image_of_two();
  edit<xip::PageRecord>(image, test::offset_of_record(image, "a", page), change);
  return image;
}

TEST(XipMount, NamesItsErrors) {
  // No file system, another one, a disk, an option that wants flags, held, broken, no memory, dead.
  EXPECT_EQ(mount_error(Bytes(8 * kPage)), Errno::einval);
  test::TieredWorld other(1_MiB);
  other.mkfs();
  EXPECT_EQ(errno_of(XipFs::mount(other.context, *other.device)), Errno::einval);
  EXPECT_EQ(errno_of(XipFs::mount(other.context, *other.disk)), Errno::einval);

  XipWorld world(image_of_two());
  EXPECT_EQ(errno_of(LinearFs::mount(world.context, *world.device)), Errno::einval);
  EXPECT_EQ(errno_of(world.try_mount({.dax = DaxOption::inode})), Errno::einval);
  {
    test::NobodysHolder holder;
    must(world.device->claim(holder));
    EXPECT_EQ(errno_of(world.try_mount()), Errno::ebusy);
    world.device->release(holder);
  }
  world.view->poisoned = 0;
  EXPECT_EQ(errno_of(world.try_mount()), Errno::ehwpoison);
  world.view->poisoned.reset();
  const std::pair<int, Errno> of_the_host[] = {
      {EMFILE, Errno::emfile}, {ENFILE, Errno::enfile}, {ENOMEM, Errno::enomem}, {EIO, Errno::eio}};
  for (const auto& [host, expected] : of_the_host) {
    refuse_memfd = host;
    EXPECT_EQ(errno_of(world.try_mount()), expected);
  }
  while (world.memory.reserve(kPagesPerPmd).ok()) {
  }
  EXPECT_EQ(errno_of(world.try_mount()), Errno::enospc);
  must(world.device->advance(LifeState::dax_dead));
  EXPECT_EQ(errno_of(world.try_mount()), Errno::enxio);
}

TEST(XipMount, AfterAFailedMountTheDeviceIsFree) {
  // What is wrong with the image does not keep the device.
  XipWorld world(with_super([](auto& super) { super.files = 1; }));
  EXPECT_EQ(errno_of(world.try_mount()), Errno::euclean);
  test::NobodysHolder holder;
  must(world.device->claim(holder));
  world.device->release(holder);
}

TEST(XipMount, RefusesWhatItDoesNotKnow) {
  EXPECT_EQ(mount_error(image_of_two()), Errno{});
  EXPECT_EQ(mount_error(with_super([](auto& super) { super.magic += 1; })), Errno::einval);
  EXPECT_EQ(mount_error(with_super([](auto& super) { super.version = 2; })), Errno::eopnotsupp);
}

TEST(XipMount, RefusesDamagedSuperRecords) {
  // A bit, and lengths that cannot be, with the checksum right.
  Bytes flipped = image_of_two();
  flipped[20] ^= std::byte{1};
  EXPECT_EQ(mount_error(flipped), Errno::euclean);
  EXPECT_EQ(mount_error(with_super([](auto& super) { super.image_bytes += kPage; })), Errno::euclean);
  EXPECT_EQ(mount_error(with_super([](auto& super) { super.image_bytes -= 1; })), Errno::euclean);
  EXPECT_EQ(mount_error(with_super([](auto& super) { super.image_bytes = 0; })), Errno::euclean);
  EXPECT_EQ(mount_error(with_super([](auto& super) { super.metadata_bytes = ~std::uint64_t{0}; })), Errno::euclean);
  EXPECT_EQ(mount_error(with_super([](auto& super) { super.metadata_bytes += 8; })), Errno::euclean);
  EXPECT_EQ(mount_error(with_super([](auto& super) { super.files = 3; })), Errno::euclean);
  EXPECT_EQ(mount_error(with_super([](auto& super) { super.files = 1; })), Errno::euclean);
  Bytes smaller = image_of_two();
  smaller.resize(smaller.size() - kPage);
  EXPECT_EQ(mount_error(smaller), Errno::euclean);
}

TEST(XipMount, RefusesDamagedFileRecords) {
  Bytes flipped = image_of_two();
  flipped[kFirstFile] ^= std::byte{1};
  EXPECT_EQ(mount_error(flipped), Errno::euclean);
  EXPECT_EQ(mount_error(with_file([](auto& file) { file.size = ~std::uint64_t{0}; })), Errno::euclean);
  EXPECT_EQ(mount_error(with_file([](auto& file) { file.size = XipFs::kMaxFileSize; })), Errno::euclean);
  EXPECT_EQ(mount_error(with_file([](auto& file) { file.size = 0; })), Errno::euclean);
  EXPECT_EQ(mount_error(with_file([](auto& file) { file.name_length = 0; })), Errno::euclean);
  EXPECT_EQ(mount_error(with_file([](auto& file) { file.name_length = 0xffff; })), Errno::euclean);
  // Not ascending, or no name at all: the names are 1 byte each.
  for (const char name : {'b', 'c', '/', '.', '\n', '\0'}) {
    Bytes renamed = image_of_two();
    renamed[kFirstFile + sizeof(xip::FileRecord)] = static_cast<std::byte>(name);
    test::fix_checksums(renamed);
    EXPECT_EQ(mount_error(renamed), Errno::euclean) << name;
  }
}

TEST(XipMount, RefusesPagesThatAreNowhere) {
  // Beyond the image, longer than a page, of another length than the file's, a compressed one without bytes.
  EXPECT_EQ(mount_error(with_page(0, [](auto& page) { page.offset = (std::uint64_t{1} << 48) - 1; })), Errno::euclean);
  EXPECT_EQ(mount_error(with_page(1, [](auto& page) { page.offset = page.offset + kPage; })), Errno::euclean);
  EXPECT_EQ(mount_error(with_page(1, [](auto& page) { page.length = 4095; })), Errno::euclean);
  EXPECT_EQ(mount_error(with_page(3, [](auto& page) { page.length = 101; })), Errno::euclean);
  EXPECT_EQ(mount_error(with_page(0, [](auto& page) { page.length = xip::kCompressed; })), Errno::euclean);
  EXPECT_EQ(mount_error(with_page(0, [](auto& page) { page.length = xip::kCompressed | 4097; })), Errno::euclean);
  EXPECT_EQ(mount_error(with_page(0, [](auto& page) { page.length = 0; })), Errno::euclean);
}

TEST(XipMount, PagesMayShareBytes) {
  // Two pages at one place are two names for it, and nobody writes.
  Bytes image = image_of_two();
  edit<xip::PageRecord>(image, test::offset_of_record(image, "b", 0), [&](auto& page) {
    const xip::Page direct = test::load(image).files[0].pages[1];
    page.offset = direct.offset;
    page.length = kPage;
  });
  XipWorld world(image);
  world.mount();
  const Bytes a = world.content_of("a");
  EXPECT_EQ(world.content_of("b"), Bytes(a.begin() + kPage, a.begin() + 2 * kPage));
}

TEST(XipMount, DirectPagesMayLieInAnyOrder) {
  // Two that the builder put side by side, exchanged: a run ends where the device goes on elsewhere.
  const XipFile file{"f", easy(2 * kPage)};
  Bytes image = must(XipFs::build({&file, 1}, {.faults = {{"f", {{0, 1}, {1, 1}}}}}));
  const std::vector<xip::Page> pages = test::load(image).files[0].pages;
  for (const std::size_t page : {0U, 1U}) {
    edit<xip::PageRecord>(image, test::offset_of_record(image, "f", page),
                          [&](auto& record) { record.offset = pages[1 - page].offset; });
  }
  XipWorld world(image);
  world.mount();
  const Bytes got = world.content_of("f");
  EXPECT_TRUE(std::equal(got.begin(), got.begin() + kPage, file.bytes.begin() + kPage));
  EXPECT_TRUE(std::equal(got.begin() + kPage, got.end(), file.bytes.begin()));
}

TEST(XipMount, ADamagedFrameIsAnErrorOfItsPageOnly) {
  // Its own checksum finds it. Reading what is before it works.
  Bytes image = image_of_two();
  const xip::Page frame = test::load(image).files[0].pages[2];
  image[frame.offset + frame.length / 2] ^= std::byte{0x10};
  XipWorld world(image);
  world.mount();
  const auto file = world.open_to_read("a");
  Bytes bytes(4 * kPage);
  EXPECT_EQ(must(file->pread(0, bytes)), 2 * kPage);
  EXPECT_EQ(errno_of(file->pread(2 * kPage, bytes)), Errno::eio);
  EXPECT_EQ(must(file->pread(3 * kPage, bytes)), 100U);
}

TEST(XipMount, AFrameOfAnotherLengthIsDamage) {
  // A frame that is whole, but of a page with fewer bytes, or with more.
  for (const auto& [to, from] : {std::pair{0, 3}, std::pair{3, 0}}) {
    Bytes image = must(XipFs::build(std::array{XipFile{"a", easy(3 * kPage + 100)}}));
    const xip::Page other = test::load(image).files[0].pages[static_cast<std::size_t>(from)];
    edit<xip::PageRecord>(image, test::offset_of_record(image, "a", static_cast<std::uint64_t>(to)), [&](auto& page) {
      page.offset = other.offset;
      page.length = static_cast<std::uint16_t>(other.length | xip::kCompressed);
    });
    XipWorld world(image);
    world.mount();
    Bytes bytes(1);
    EXPECT_EQ(errno_of(world.open_to_read("a")->pread(static_cast<std::uint64_t>(to) * kPage, bytes)), Errno::eio);
  }
}

TEST(XipMount, AnyFlippedBitIsFoundOrHarmless) {
  // With and without the checksums made right: an error that is named, or files that can be read, with or without errors.
  const Bytes image = image_of_two();
  const std::uint64_t described = kFirstFile + test::load(image).metadata_bytes;
  unsigned mounted = 0;
  for (std::uint64_t bit = 0; bit < 8 * described; ++bit) {
    for (const bool fixed : {false, true}) {
      Bytes flipped = image;
      flipped[bit / 8] ^= std::byte{1} << bit % 8;
      if (fixed) {
        test::fix_checksums(flipped);
      }
      XipWorld world(flipped);
      const Errno error = errno_of(world.try_mount());
      ASSERT_TRUE(error == Errno{} || error == Errno::euclean || error == Errno::einval || error == Errno::eopnotsupp);
      ASSERT_TRUE(fixed || error != Errno{}) << bit;
      if (error == Errno{}) {
        ++mounted;
        for (const DirectoryEntry& entry : must(world.fs->list())) {
          Bytes bytes(entry.size);
          static_cast<void>(world.open_to_read(entry.name)->pread(0, bytes).ok());
        }
      }
    }
  }
  EXPECT_GT(mounted, 0U);
}

}  // namespace
}  // namespace daxsim
