// SPDX-License-Identifier: BSD-3-Clause
// mkfs and mount of a ChunkFs: their errors, devices that do not belong together, a chunk map that cannot be.
#include <gtest/gtest.h>

#include "adapters/extent_fs/chunks.hpp"
#include "daxsim/adapters/chunk.hpp"
#include "daxsim/adapters/linear.hpp"
#include "daxsim/test_support/expect.hpp"
#include "support/chunk_world.hpp"
#include "support/linear_image.hpp"

namespace daxsim {
namespace {

using namespace literals;
using test::bytes;
using test::ChunkWorld;
using test::Image;
using test::kChunkBytes;
using test::kChunkPages;
using test::LinearWorld;
using test::NobodysHolder;
using test::RamView;

constexpr std::uint64_t kPage = kPageSize;
using Single = test::ChunkWorldOf<ChunkProfile::single>;
using Raid0 = test::ChunkWorldOf<ChunkProfile::raid0>;

Errno error_of(const Result<void>& result) { return result.ok() ? Errno{} : result.error(); }

TEST(ChunkMkfs, NamesItsErrors) {
  // No device, five, the same twice, held; options; too small; full, broken, dead.
  Single world(1_MiB);
  Attachment* const first = world.device.get();
  Attachment* const second = world.second.get();
  const auto error = [](std::vector<Attachment*> devices,
                        const ChunkFs::Options& options = {.chunk_size = kChunkBytes}) {
    return error_of(ChunkFs::mkfs(devices, options));
  };
  EXPECT_EQ(error({}), Errno::einval);
  EXPECT_EQ(error({first, first, first, first, first}), Errno::einval);
  EXPECT_EQ(error({first, first}), Errno::ebusy);
  EXPECT_EQ(error({first, second}, {.files = ChunkFs::kMaxFiles + 1, .chunk_size = kChunkBytes}), Errno::einval);
  EXPECT_EQ(error({first, second}, {.chunk_size = kChunkBytes + 1}), Errno::einval);
  EXPECT_EQ(error({first, second}, {.chunk_size = kPage}), Errno::einval);
  EXPECT_EQ(error({first, second}, {}), Errno::einval) << "2 MiB fit on neither";
  LinearWorld large(8_MiB);
  EXPECT_EQ(error({large.device.get()}), Errno::einval) << "more than 80 chunks of 64 KiB";
  EXPECT_EQ(error({large.device.get()}, {}), Errno{});
  EXPECT_EQ(error({large.device.get(), first}, {.profile = ChunkProfile::raid0, .chunk_size = 1_MiB}), Errno::einval);
  for (Attachment* const held : {first, second}) {
    NobodysHolder holder;
    must(held->claim(holder));
    EXPECT_EQ(error({first, second}), Errno::ebusy);
    held->release(holder);
  }
  for (RamView* const view : {world.view, world.second_view}) {
    for (const Errno failure : {Errno::enospc, Errno::enomem, Errno::eio}) {
      view->failure = failure;
      view->fails_from = 1;
      EXPECT_EQ(error({first, second}), failure);
    }
    view->fails_from = 0;
    view->poisoned = 0;
    EXPECT_EQ(error({first, second}), Errno::ehwpoison);
    view->poisoned.reset();
  }
  must(world.second->advance(LifeState::dax_dead));
  EXPECT_EQ(error({first, second}), Errno::enxio);
}

TEST(ChunkMkfs, MakesChunksForHugePages) {
  // Of 2 MiB, they begin where one can, and a file in one is mapped by it; in a striped one it is not.
  LinearWorld world(16_MiB);
  const std::array devices{world.device.get()};
  for (const ChunkProfile profile : {ChunkProfile::single, ChunkProfile::dup, ChunkProfile::raid0}) {
    must(ChunkFs::mkfs(devices, {.profile = profile}));
    must(world.adopt(ChunkFs::mount(world.context, devices)));
    {
      const auto file = world.create("a");
      must(file->truncate(kPmdSize));
      const FileExtent extent = must(file->inode().direct_access({{0}, 512}, Access::write));
      EXPECT_EQ(extent.pages.pages, profile == ChunkProfile::raid0 ? 16U : 512U);
      EXPECT_EQ(extent.device_page.value % kPagesPerPmd, 0U);
    }
    must(world.fs->unmount());
  }
}

TEST(ChunkMount, NamesItsErrors) {
  // Nothing there, a device of another file system, too few, too many, another order, held, smaller.
  Single world(1_MiB);
  const auto error = [&](std::vector<Attachment*> devices) {
    const auto mounted = ChunkFs::mount(world.context, devices);
    return mounted.ok() ? Errno{} : mounted.error();
  };
  Attachment* const first = world.device.get();
  Attachment* const second = world.second.get();
  EXPECT_EQ(error({first, second}), Errno::einval);
  world.mkfs();
  EXPECT_EQ(error({}), Errno::einval);
  EXPECT_EQ(error({first, second, second, second, second}), Errno::einval);
  EXPECT_EQ(error({first}), Errno::enodev);
  LinearWorld other(1_MiB);
  EXPECT_EQ(error({first, other.device.get()}), Errno::enodev);
  EXPECT_EQ(error({first, second, other.device.get()}), Errno::enodev);
  EXPECT_EQ(error({second, first}), Errno::einval);
  EXPECT_EQ(error({first, first}), Errno::ebusy);
  for (Attachment* const held : {first, second}) {
    NobodysHolder holder;
    must(held->claim(holder));
    EXPECT_EQ(error({first, second}), Errno::ebusy);
    held->release(holder);
  }
  for (const Errno failure : {Errno::enospc, Errno::enomem, Errno::eio}) {
    world.view->failure = failure;
    world.view->fails_from = 1;
    EXPECT_EQ(error({first, second}), failure);
  }
  world.view->fails_from = 0;
  for (RamView* const view : {world.view, world.second_view}) {
    view->poisoned = 0;
    EXPECT_EQ(error({first, second}), Errno::ehwpoison);
    view->poisoned.reset();
  }
  EXPECT_EQ(error({first, second}), Errno{});
  auto super = test::load<extent_fs::SuperRecord>(world.image(), 0);
  super.version = 3;
  super.crc = crc_of(super);
  must(first->write(0, bytes_of(super)));
  EXPECT_EQ(error({first, second}), Errno::eopnotsupp);
  must(LinearFs::mkfs(*first));
  EXPECT_EQ(error({first, second}), Errno::einval);
  world.mkfs();
  must(world.second->advance(LifeState::dax_dead));
  EXPECT_EQ(error({first, second}), Errno::enxio);
}

// --- the map ---

constexpr std::uint64_t kMap = kPage;

// Mounts and uses an image of a Raid0 world whose map was changed; checksums are made right.
template <class Change>
Errno with_map(Change change) {
  Raid0 world(1_MiB);
  world.mkfs();
  Image image = world.image();
  auto header = test::load<extent_fs::ChunkMapHeader>(image, kMap);
  std::vector<extent_fs::ChunkRecord> records(header.chunks);
  std::memcpy(records.data(), image.data() + kMap + sizeof(header), records.size() * sizeof(records[0]));
  change(header, records);
  header.crc = 0;
  Crc32c crc;
  crc.add(bytes_of(header));
  crc.add(std::as_bytes(std::span(records)));
  header.crc = crc.value();
  test::store(image, kMap, header);
  std::memcpy(image.data() + kMap + sizeof(header), records.data(), records.size() * sizeof(records[0]));
  return error_of(test::use_image<Raid0>(std::move(image)));
}
using Header = extent_fs::ChunkMapHeader;
using Records = std::vector<extent_fs::ChunkRecord>;

TEST(ChunkMap, ThatCannotBe) {
  // Magic, counts, profiles, stripes that are nowhere, on metadata, twice, behind the end, of no length.
  EXPECT_EQ(with_map([](Header&, Records&) {}), Errno{});
  EXPECT_EQ(with_map([](Header& header, Records&) { header.magic = 1; }), Errno::euclean);
  EXPECT_EQ(with_map([](Header& header, Records& records) {
              header.chunks = 0;
              records.clear();
            }),
            Errno::euclean);
  EXPECT_EQ(with_map([](Header& header, Records&) { header.chunks = extent_fs::kMaxChunks + 1; }), Errno::euclean);
  const auto with_record = [](auto change) { return with_map([&](Header&, Records& records) { change(records[1]); }); };
  EXPECT_EQ(with_record([](auto& chunk) { chunk.profile = 3; }), Errno::euclean);
  EXPECT_EQ(with_record([](auto& chunk) { chunk.profile = 0; }), Errno::euclean) << "single, of two stripes";
  EXPECT_EQ(with_record([](auto& chunk) { chunk.stripes = 0; }), Errno::euclean);
  EXPECT_EQ(with_record([](auto& chunk) { chunk.stripes = 5; }), Errno::euclean);
  EXPECT_EQ(with_record([](auto& chunk) { chunk.stripes = 1; }), Errno{}) << "one device can be striped over, too";
  for (const std::uint64_t pages : {std::uint64_t{0}, std::uint64_t{8}, std::uint64_t{1} << 20, ~std::uint64_t{15}}) {
    EXPECT_EQ(with_record([&](auto& chunk) { chunk.stripe_pages = pages; }), Errno::euclean) << pages;
  }
  EXPECT_EQ(with_record([](auto& chunk) { chunk.stripe[1].volume = 2; }), Errno::euclean);
  EXPECT_EQ(with_record([](auto& chunk) { chunk.stripe[0].page = 0; }), Errno::euclean);
  EXPECT_EQ(with_record([](auto& chunk) { chunk.stripe[0].page = chunk.stripe[0].page + 1; }), Errno::euclean);
  EXPECT_EQ(with_record([](auto& chunk) { chunk.stripe[1].page = 96; }), Errno::euclean) << "the end of the device";
  EXPECT_EQ(with_record([](auto& chunk) { chunk.stripe[1].page = kChunkPages; }), Errno::euclean) << "another chunk's";
  EXPECT_EQ(with_record([](auto& chunk) { chunk.stripe[1] = chunk.stripe[0]; }), Errno::euclean);
}

TEST(ChunkMap, IsChecked) {
  // A bit that flips anywhere in it is noticed.
  Raid0 world(1_MiB);
  world.mkfs();
  const std::uint64_t chunks = test::load<Header>(world.image(), kMap).chunks;
  const std::uint64_t bytes = sizeof(Header) + chunks * sizeof(extent_fs::ChunkRecord);
  for (std::uint64_t at = kMap; at < kMap + bytes; at += 5) {
    Image image = world.image();
    image[at] ^= std::byte{4};
    Raid0 after(image);
    EXPECT_EQ(error_of(after.try_mount()), Errno::euclean) << at;
  }
}

TEST(ChunkHostile, BlocksThatCannotMove) {
  // A log that moves a hole, more than one extent, onto blocks that are taken, or behind the last chunk.
  const auto mounts = [](const std::vector<extent_fs::Record>& records) {
    Single world(1_MiB);
    world.mkfs();
    test::ImageMaker maker(1_MiB);
    maker.image = world.image();
    maker.geometry = must(extent_fs::Geometry::make({1_MiB >> kPageShift, ChunkWorld::kSecondBytes >> kPageShift}, 0,
                                                    extent_fs::MapOfChunks::stored));
    maker.put_commit(records);
    return error_of(test::use_image<Single>(maker.image));
  };
  using enum extent_fs::RecordType;
  const extent_fs::Record made{.type = create, .ino = 1, .name = "a"};
  const extent_fs::Record mapped{.type = map, .ino = 1, .pages = {{0}, 4}, .physical = 5};
  const auto moved = [](std::uint64_t first, std::uint64_t pages, std::uint64_t to) {
    return extent_fs::Record{.type = move, .ino = 1, .pages = {{first}, pages}, .physical = to};
  };
  EXPECT_EQ(mounts({made, mapped, moved(1, 2, 40)}), Errno{});
  EXPECT_EQ(mounts({made, mapped, moved(0, 4, kChunkPages - 2)}), Errno{}) << "a run over two chunks";
  EXPECT_EQ(mounts({made, moved(0, 1, 40)}), Errno::euclean);
  EXPECT_EQ(mounts({made, mapped, moved(3, 2, 40)}), Errno::euclean);
  EXPECT_EQ(mounts({made, mapped, moved(0, 0, 40)}), Errno::euclean);
  EXPECT_EQ(mounts({made, mapped, moved(0, 2, 7)}), Errno::euclean);
  for (const std::uint64_t to :
       {std::uint64_t{20} * kChunkPages, std::uint64_t{20} * kChunkPages - 1, ~std::uint64_t{0}, ~std::uint64_t{1}}) {
    EXPECT_EQ(mounts({made, mapped, moved(0, 2, to)}), Errno::euclean) << to;
  }
}

}  // namespace
}  // namespace daxsim
