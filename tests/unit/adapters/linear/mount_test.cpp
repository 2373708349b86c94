// SPDX-License-Identifier: BSD-3-Clause
// mkfs and mount: their errors, damaged and hostile images.
#include <gtest/gtest.h>

#include <limits>

#include "support/error_of.hpp"
#include "support/linear_image.hpp"

namespace daxsim {
namespace {

using namespace literals;
using extent_fs::Record;
using extent_fs::RecordType;
using support::errno_of;
using test::bytes;
using test::Image;
using test::ImageMaker;
using test::LinearWorld;
using test::made_extent;
using test::MadeFile;
using test::NobodysHolder;
using test::use_image;

constexpr std::uint64_t kPage = kPageSize;

Errno mount_error(Image image) {
  LinearWorld world(std::move(image));
  return errno_of(world.try_mount());
}

// A device of any size that has no memory.
class EmptyDevice final : public Device {
 public:
  explicit EmptyDevice(std::uint64_t size) : size_(size) {}
  [[nodiscard]] const std::string& name() const noexcept override { return name_; }
  [[nodiscard]] std::uint64_t size() const noexcept override { return size_; }
  [[nodiscard]] const Capabilities& capabilities() const noexcept override { return capabilities_; }
  Result<std::unique_ptr<DaxDevice>> make_view(const ViewContext&) override { return Errno::enomem; }

 private:
  const std::string name_ = "empty";
  const Capabilities capabilities_{};
  const std::uint64_t size_;
};

// --- mkfs ---

TEST(LinearMkfs, NamesItsErrors) {
  // Too small, too large, too many files, held, dead, full, broken.
  LinearWorld small(Image(20 * kPage));
  EXPECT_EQ(LinearFs::mkfs(*small.device).error(), Errno::einval);

  LinearWorld world(1_MiB);
  test::RamDevice memory{Image(kPage)};
  Attachment huge(std::make_shared<EmptyDevice>((std::uint64_t{1} << 44) + kPage),
                  std::make_unique<test::RamView>(memory), Pfn{0}, 1, world.events);
  EXPECT_EQ(LinearFs::mkfs(huge).error(), Errno::einval);
  EXPECT_EQ(LinearFs::mkfs(*world.device, {.files = LinearFs::kMaxFiles + 1}).error(), Errno::einval);
  EXPECT_EQ(LinearFs::mkfs(*world.device, {.files = LinearFs::kMaxFiles}).error(), Errno::einval);
  EXPECT_EQ(mount_error(world.medium->image()), Errno::einval);

  NobodysHolder holder;
  must(world.device->claim(holder));
  EXPECT_EQ(LinearFs::mkfs(*world.device).error(), Errno::ebusy);
  world.device->release(holder);

  for (const Errno failure : {Errno::enospc, Errno::enomem, Errno::eio}) {
    world.view->failure = failure;
    world.view->fails_from = 1;
    EXPECT_EQ(LinearFs::mkfs(*world.device).error(), failure);
  }
  world.view->fails_from = 0;
  world.view->poisoned = 1;
  EXPECT_EQ(LinearFs::mkfs(*world.device).error(), Errno::ehwpoison);
  world.view->poisoned.reset();

  must(world.device->advance(LifeState::dax_dead));
  EXPECT_EQ(LinearFs::mkfs(*world.device).error(), Errno::enxio);
}

TEST(LinearMkfs, IsAllOrNothing) {
  // At each point of a crash over an older file system: the old one, none, or the new one; never a mixture.
  LinearWorld world(Image(384_KiB));
  world.make();
  must(world.create("old")->pwrite(0, bytes("x")));
  must(world.fs->unmount());
  Random random(1);
  std::vector<Image> images;
  world.view->before_step = [&] {
    for (const auto outcome : {test::RamView::Outcome::nothing, test::RamView::Outcome::everything,
                               test::RamView::Outcome::random, test::RamView::Outcome::random}) {
      images.push_back(world.view->image_after_cut(outcome, random));
    }
  };
  world.mkfs();
  world.view->before_step = {};

  unsigned none = 0;
  for (Image& image : images) {
    LinearWorld after(std::move(image));
    const Result<void> mounted = after.try_mount();
    if (!mounted.ok()) {
      ASSERT_EQ(mounted.error(), Errno::einval);
      ++none;
      continue;
    }
    const auto files = must(after.fs->list());
    ASSERT_TRUE(files.empty() || files[0].name == "old");
  }
  EXPECT_GT(none, 0U);
  world.mount();
  EXPECT_TRUE(must(world.fs->list()).empty());
}

TEST(LinearMkfs, UsesTheWholeDevice) {
  // Geometry from 1 MiB to 1 TiB: areas do not overlap, and metadata is a small part.
  for (const std::uint64_t size : {1_MiB, 2_MiB, 64_MiB, 1_GiB, 1_TiB}) {
    const extent_fs::Geometry geometry = must(extent_fs::Geometry::make({size >> kPageShift}, 0));
    EXPECT_EQ(geometry.checkpoint_offset(0), kPage);
    EXPECT_EQ(geometry.log_offset(0), geometry.checkpoint_offset(0) + geometry.checkpoint_bytes());
    EXPECT_EQ(geometry.checkpoint_offset(1), geometry.log_offset(0) + geometry.log_bytes());
    EXPECT_EQ(geometry.first_data << kPageShift, geometry.log_offset(1) + geometry.log_bytes());
    EXPECT_LT(geometry.first_data * 20, geometry.blocks[0]);
    EXPECT_GE(geometry.checkpoint_bytes(), sizeof(extent_fs::CheckpointHeader) + geometry.files * 280ULL +
                                               geometry.blocks[0] * sizeof(extent_fs::ExtentRecord));
  }
}

// --- mount ---

TEST(LinearMount, NamesItsErrors) {
  // Held, dead, out of memory, full, broken.
  LinearWorld world(1_MiB);
  EXPECT_EQ(errno_of(world.try_mount()), Errno::einval);
  world.mkfs();

  NobodysHolder holder;
  must(world.device->claim(holder));
  EXPECT_EQ(errno_of(world.try_mount()), Errno::ebusy);
  world.device->release(holder);
  for (const Errno failure : {Errno::enospc, Errno::enomem, Errno::eio}) {
    world.view->failure = failure;
    world.view->fails_from = 1;
    EXPECT_EQ(errno_of(world.try_mount()), failure);
  }
  world.view->fails_from = 0;
  world.view->poisoned = 0;
  EXPECT_EQ(errno_of(world.try_mount()), Errno::ehwpoison);
  world.view->poisoned.reset();

  world.make();
  EXPECT_EQ(LinearFs::mkfs(*world.device).error(), Errno::ebusy);
  EXPECT_EQ(LinearFs::mount(world.context, *world.device).error(), Errno::ebusy);
  must(world.fs->unmount());
  must(world.device->advance(LifeState::dax_dead));
  EXPECT_EQ(errno_of(world.try_mount()), Errno::enxio);
}

TEST(LinearMount, RunsOutOfMemoryCleanly) {
  // The n-th allocation fails, for each n until the mount works.
  ImageMaker maker(1_MiB);
  maker.put_files(
      {{.ino = 1, .name = "a", .extents = {made_extent(0, 40, 1), made_extent(5, 50, 1)}}, {.ino = 2, .name = "b"}});
  LinearWorld world(maker.image);
  for (std::uint64_t nth = 1;; ++nth) {
    world.arena.fail_from(nth);
    const Result<void> mounted = world.try_mount();
    world.arena.fail_from(0);
    if (mounted.ok()) {
      EXPECT_GT(nth, 4U);
      break;
    }
    ASSERT_EQ(mounted.error(), Errno::enomem);
    ASSERT_EQ(world.arena.usage().in_use, 0U);
  }
}

TEST(LinearMount, RefusesWhatItDoesNotKnow) {
  // No file system, another version, a record or a device that does not fit.
  const ImageMaker made(1_MiB);
  ImageMaker other = made;
  auto super = made.super();
  super.magic = super.magic + 1;
  other.put_super(super);
  EXPECT_EQ(mount_error(other.image), Errno::einval);

  super = made.super();
  super.version = 2;
  other.put_super(super);
  EXPECT_EQ(mount_error(other.image), Errno::eopnotsupp);

  super = made.super();
  super.crc = super.crc + 1;
  other = made;
  test::store(other.image, 0, super);
  EXPECT_EQ(mount_error(other.image), Errno::euclean);

  for (const std::uint64_t blocks : {std::uint64_t{0}, std::uint64_t{20}, std::uint64_t{257}, std::uint64_t{1} << 33,
                                     std::numeric_limits<std::uint64_t>::max()}) {
    super = made.super();
    super.blocks = blocks;
    other.put_super(super);
    EXPECT_EQ(mount_error(other.image), Errno::euclean) << blocks;
  }
  for (const std::uint32_t files : {0U, LinearFs::kMaxFiles, ~0U}) {
    super = made.super();
    super.files = files;
    other.put_super(super);
    EXPECT_EQ(mount_error(other.image), Errno::euclean) << files;
  }
}

TEST(LinearMount, RefusesATruncatedImage) {
  // A device that is smaller than its file system.
  const ImageMaker made(1_MiB);
  for (std::uint64_t size = kPage; size < 1_MiB; size += 13 * kPage) {
    EXPECT_EQ(mount_error(Image(made.image.begin(), made.image.begin() + static_cast<std::ptrdiff_t>(size))),
              Errno::euclean);
  }
}

TEST(LinearMount, TakesALargerDevice) {
  // A device that has grown: the file system stays as it was made.
  ImageMaker made(1_MiB);
  made.image.resize(2_MiB);
  EXPECT_EQ(mount_error(made.image), Errno{});
}

// An image of a file system that has been used: both slots and a log have something in them.
struct UsedImage {
  UsedImage() : world(Image(384_KiB)) {
    world.make();
    must(world.create("a")->pwrite(0, bytes(std::string(3 * kPage, 'a'))));
    must(world.fs->unmount());
    world.remount();
    const auto b = world.create("b");
    must(b->pwrite(5 * kPage, bytes("b")));
    must(b->fsync());
    must(world.fs->unlink("a"));
    must(world.fs->sync());
    image = world.medium->image();
    geometry = must(extent_fs::Geometry::make({image.size() >> kPageShift}, 0));
  }
  LinearWorld world;
  Image image;
  extent_fs::Geometry geometry;
};

TEST(LinearMount, FallsBackToTheOtherCheckpoint) {
  // The newer one is damaged: the older one and its log are a state that was complete, and the next mounts work.
  const UsedImage used;
  const auto word = test::load<Le64>(used.image, extent_fs::kRootOffset);
  const std::uint64_t newest = must(extent_fs::RootWord::decode(word));
  Image image = used.image;
  image[used.geometry.checkpoint_offset(newest % 2)] ^= std::byte{1};

  LinearWorld after(std::move(image));
  after.mount();
  ASSERT_EQ(must(after.fs->list()).size(), 1U);
  EXPECT_EQ(after.content("a"), std::string(3 * kPage, 'a'));
  // What the lost life had committed must not come back on top of this one.
  for (int life = 0; life < 4; ++life) {
    after.remount();
    ASSERT_EQ(must(after.fs->list()).size(), 1U);
    EXPECT_EQ(after.content("a"), std::string(3 * kPage, 'a'));
  }
}

TEST(LinearMount, PoisonedCheckpointIsADamagedOne) {
  // A known media error under the newer checkpoint.
  const UsedImage used;
  const auto word = test::load<Le64>(used.image, extent_fs::kRootOffset);
  const std::uint64_t newest = must(extent_fs::RootWord::decode(word));
  LinearWorld after(used.image);
  after.view->poisoned = used.geometry.checkpoint_offset(newest % 2) >> kPageShift;
  // The slot is also where the next checkpoint goes.
  EXPECT_EQ(errno_of(after.try_mount()), Errno::ehwpoison);
  after.view->poisoned.reset();
  after.mount();
}

TEST(LinearMount, BothCheckpointsDamagedIsTheEnd) {
  // There is nothing to fall back on.
  UsedImage used;
  for (std::uint64_t slot = 0; slot < 2; ++slot) {
    used.image[used.geometry.checkpoint_offset(slot)] ^= std::byte{1};
  }
  EXPECT_EQ(mount_error(used.image), Errno::euclean);
}

TEST(LinearMount, DamagedRootWordFindsTheNewest) {
  // Both slots say who they are.
  UsedImage used;
  used.image[extent_fs::kRootOffset + 7] ^= std::byte{0x55};
  LinearWorld after(used.image);
  after.mount();
  ASSERT_EQ(must(after.fs->list()).size(), 1U);
  EXPECT_EQ(after.content("b").back(), 'b');
}

TEST(LinearMount, EachFlippedBitIsFoundOrHarmless) {
  // Of all bits of the metadata a seeded sample: the mount answers, with an old state at worst, and what mounts works.
  const UsedImage used;
  const std::uint64_t metadata_bits = used.geometry.first_data * kPage * 8;
  Random random(7);
  unsigned refused = 0;
  const auto flip = [&](std::uint64_t bit) {
    Image image = used.image;
    image[bit / 8] ^= static_cast<std::byte>(1U << (bit % 8));
    const Errno error = errno_of(use_image(std::move(image)));
    ASSERT_TRUE(error == Errno{} || error == Errno::einval || error == Errno::euclean || error == Errno::eopnotsupp)
        << "bit " << bit << ": " << errno_name(error);
    refused += error == Errno{} ? 0 : 1;
  };
  // Where something is: the super record, the root word, both headers and the beginnings of bodies and logs.
  for (const std::uint64_t at :
       {std::uint64_t{0}, extent_fs::kRootOffset, used.geometry.checkpoint_offset(0),
        used.geometry.checkpoint_offset(1), used.geometry.log_offset(0), used.geometry.log_offset(1)}) {
    for (std::uint64_t bit = 0; bit < 64 * 8; bit += 1 + random.below(3)) {
      flip(at * 8 + bit);
    }
  }
  for (int i = 0; i < 500; ++i) {
    flip(random.below(metadata_bits));
  }
  EXPECT_GT(refused, 0U);
}

// --- hostile images: every checksum is right ---

TEST(LinearHostile, CheckpointsThatCannotBe) {
  // Each is refused: there is no older checkpoint.
  ImageMaker maker(1_MiB);
  const std::uint64_t first = maker.geometry.first_data;
  const std::uint64_t blocks = maker.geometry.blocks[0];
  const std::uint64_t max_page = extent_fs::kMaxFilePages;
  constexpr auto kMany = std::numeric_limits<std::uint32_t>::max();
  const std::vector<std::pair<const char*, std::vector<MadeFile>>> cases{
      {"ino 0", {{.ino = 0}}},
      {"ino beyond the table", {{.ino = 17}}},
      {"ino of 2^32 - 1", {{.ino = kMany}}},
      {"ino twice", {{.ino = 1, .name = "a"}, {.ino = 1, .name = "b"}}},
      {"name twice", {{.ino = 1}, {.ino = 2}}},
      {"name with a slash", {{.name = "a/b"}}},
      {"name with NUL", {{.name = std::string("a\0b", 3)}}},
      {"name dot", {{.name = "."}}},
      {"name too long", {{.name = std::string(256, 'x')}}},
      {"name much too long", {{.name = std::string(65535, 'x')}}},
      {"size beyond the format", {{.size = LinearFs::kMaxFileSize + 1}}},
      {"size of 2^64 - 1", {{.size = ~std::uint64_t{0}}}},
      {"extent in the metadata", {{.extents = {made_extent(0, first - 1, 1)}}}},
      {"extent at the super record", {{.extents = {made_extent(0, 0, 1)}}}},
      {"extent over the end", {{.extents = {made_extent(0, blocks - 1, 2)}}}},
      {"extent beyond the end", {{.extents = {made_extent(0, blocks, 1)}}}},
      {"extent far beyond the end", {{.extents = {made_extent(0, ~std::uint64_t{0}, 1)}}}},
      {"extent that wraps around", {{.extents = {made_extent(0, ~std::uint64_t{0} - 5, 20)}}}},
      {"empty extent", {{.extents = {made_extent(0, first, 0)}}}},
      {"extent of 2^32 - 1 pages", {{.extents = {made_extent(0, first, kMany)}}}},
      {"extent at a page beyond the format", {{.extents = {made_extent(max_page, first, 1)}}}},
      {"extent over the end of the format", {{.extents = {made_extent(max_page - 1, first, 2)}}}},
      {"extent at page 2^64 - 1", {{.extents = {made_extent(~std::uint64_t{0}, first, 2)}}}},
      {"unknown state", {{.extents = {made_extent(0, first, 1, 2)}}}},
      {"overlap in the file", {{.extents = {made_extent(0, first, 5), made_extent(4, first + 10, 5)}}}},
      {"overlap on the device", {{.extents = {made_extent(0, first, 5), made_extent(10, first + 4, 5)}}}},
      {"block of two files",
       {{.ino = 1, .name = "a", .extents = {made_extent(0, first, 1)}},
        {.ino = 2, .name = "b", .extents = {made_extent(0, first, 1)}}}},
      {"more extents than there are", {{.claimed_extents = 1}}},
      {"2^64 - 2 extents", {{.claimed_extents = ~std::uint64_t{0} - 1}}},
      {"fewer extents than there are", {{.extents = {made_extent(0, first, 1)}, .claimed_extents = 0}}},
  };
  for (const auto& [what, files] : cases) {
    ImageMaker made = maker;
    made.geometry.log_pages += 100;  // room for long names; nothing is in the log
    made.put_files(files);
    EXPECT_EQ(errno_of(use_image(made.image)), Errno::euclean) << what;
  }
}

TEST(LinearHostile, CheckpointsThatAreOnlyStrange) {
  // Mountable, although no file system of ours would write them.
  const ImageMaker maker(1_MiB);
  const std::uint64_t first = maker.geometry.first_data;
  const std::vector<std::vector<MadeFile>> cases{
      {},
      {{.size = LinearFs::kMaxFileSize}},
      {{.extents = {made_extent(extent_fs::kMaxFilePages - 1, first, 1)}}},
      {{.extents = {made_extent(10, first, 1), made_extent(0, first + 1, 1)}}},
      {{.extents = {made_extent(0, first, 1), made_extent(1, first + 1, 1)}}},
      {{.name = "", .size = 5, .extents = {made_extent(0, first, 1)}}},
      {{.ino = 16, .name = std::string(255, '\xff')}},
  };
  for (const auto& files : cases) {
    ImageMaker made = maker;
    made.put_files(files);
    EXPECT_EQ(errno_of(use_image(made.image)), Errno{});
  }
}

TEST(LinearHostile, HeadersThatCannotBe) {
  // Counts, lengths and numbers that would overflow or run on for ever.
  const ImageMaker maker(1_MiB);
  const auto refused = [&maker](auto change) {
    ImageMaker made = maker;
    auto header = made.header();
    change(header);
    made.put_header(header);
    return errno_of(use_image(made.image)) == Errno::euclean;
  };
  EXPECT_TRUE(refused([](auto& header) { header.magic = 0; }));
  EXPECT_TRUE(refused([](auto& header) { header.number = 1; }));
  EXPECT_TRUE(refused([](auto& header) { header.number = extent_fs::RootWord::kMaxNumber + 1; }));
  EXPECT_TRUE(refused([](auto& header) { header.sequence = ~std::uint64_t{0}; }));
  EXPECT_TRUE(refused([](auto& header) { header.files = 1; }));
  EXPECT_TRUE(refused([](auto& header) { header.files = ~0U; }));
  EXPECT_TRUE(refused([](auto& header) { header.body_bytes = 8; }));
  EXPECT_TRUE(refused([](auto& header) { header.body_bytes = ~std::uint64_t{0}; }));
  EXPECT_TRUE(refused([](auto& header) { header.body_crc = header.body_crc + 1; }));
}

TEST(LinearHostile, LogsThatCannotBe) {
  // Records with right checksums that do not fit what is there.
  const ImageMaker maker(1_MiB);
  const std::uint64_t first = maker.geometry.first_data;
  const std::uint64_t max_page = extent_fs::kMaxFilePages;
  const Record made_file{.type = RecordType::create, .ino = 1, .name = "a"};
  const Record mapped{.type = RecordType::map, .ino = 1, .pages = {{0}, 4}, .physical = first};
  const auto with = [](RecordType type, PageRange pages, std::uint64_t physical = 0) {
    return Record{.type = type, .ino = 1, .pages = pages, .physical = physical};
  };
  constexpr std::uint64_t kAll = ~std::uint64_t{0};
  const std::vector<std::vector<Record>> cases{
      {{.type = RecordType::create, .ino = 0, .name = "a"}},
      {{.type = RecordType::create, .ino = 17, .name = "a"}},
      {{.type = RecordType::create, .ino = 1, .name = ".."}},
      {made_file, made_file},
      {made_file, {.type = RecordType::create, .ino = 2, .name = "a"}},
      {{.type = RecordType::unlink, .ino = 1}},
      {made_file, {.type = RecordType::unlink, .ino = 1}, {.type = RecordType::unlink, .ino = 1}},
      {made_file, {.type = RecordType::release, .ino = 1}},
      {made_file, {.type = RecordType::rename, .ino = 1, .name = "a"}},
      {made_file, {.type = RecordType::rename, .ino = 1, .name = ""}},
      {made_file, {.type = RecordType::unlink, .ino = 1}, {.type = RecordType::rename, .ino = 1, .name = "b"}},
      {made_file, {.type = RecordType::size, .ino = 1, .bytes = kAll}},
      {made_file, with(RecordType::map, {{0}, 0}, first)},
      {made_file, with(RecordType::map, {{0}, 1}, 0)},
      {made_file, with(RecordType::map, {{0}, kAll}, first)},
      {made_file, with(RecordType::map, {{kAll}, 2}, first)},
      {made_file, with(RecordType::map, {{0}, 300}, first)},
      {made_file, mapped, mapped},
      {made_file, mapped, with(RecordType::map, {{3}, 2}, first + 10)},
      {made_file, mapped, with(RecordType::map, {{10}, 2}, first + 3)},
      {made_file, with(RecordType::set_state, {{0}, 0})},
      {made_file, with(RecordType::set_state, {{kAll}, kAll})},
      {made_file, with(RecordType::unmap, {{5}, kAll})},
      {made_file, with(RecordType::shift_up, {{0}, max_page + 1})},
      {made_file, mapped, with(RecordType::shift_up, {{0}, max_page})},
      {made_file, mapped, with(RecordType::shift_up, {{1}, max_page - 3})},
      {made_file, mapped, with(RecordType::shift_down, {{3}, 2})},
      {made_file, with(RecordType::shift_down, {{kAll}, 1})},
  };
  for (std::size_t i = 0; i < cases.size(); ++i) {
    ImageMaker made = maker;
    made.put_commit(cases[i]);
    EXPECT_EQ(errno_of(use_image(made.image)), Errno::euclean) << i;
  }
}

TEST(LinearHostile, RecordsThatAreNone) {
  // Unknown types and states, and lengths that leave the commit.
  const ImageMaker maker(1_MiB);
  std::vector<std::byte> record(40);
  const auto refused = [&] {
    ImageMaker made = maker;
    made.put_raw_commit(record);
    return errno_of(use_image(made.image)) == Errno::euclean;
  };
  EXPECT_TRUE(refused());
  extent_fs::encode({.type = RecordType::create, .ino = 1, .name = "a"}, record);
  record[0] = std::byte{99};
  EXPECT_TRUE(refused());
  extent_fs::encode({.type = RecordType::create, .ino = 1, .name = "a"}, record);
  record[1] = std::byte{2};
  EXPECT_TRUE(refused());
  extent_fs::encode({.type = RecordType::create, .ino = 1, .name = "a"}, record);
  record[2] = std::byte{255};
  EXPECT_TRUE(refused());
  record.resize(7);
  EXPECT_TRUE(refused());
}

TEST(LinearHostile, LogEndsAtTheFirstCommitThatIsNone) {
  // What is behind it is not looked at: it is what a power cut has left.
  ImageMaker maker(1_MiB);
  maker.put_commit({{.type = RecordType::create, .ino = 1, .name = "a"}});
  const std::uint64_t second = maker.geometry.log_offset(0) + sizeof(extent_fs::CommitHeader) + 40;
  maker.put_commit({{.type = RecordType::create, .ino = 2, .name = "b"}});
  maker.put_commit({{.type = RecordType::create, .ino = 3, .name = "c"}});
  maker.image[second + sizeof(extent_fs::CommitHeader)] ^= std::byte{1};
  LinearWorld world(maker.image);
  world.mount();
  const auto files = must(world.fs->list());
  ASSERT_EQ(files.size(), 1U);
  EXPECT_EQ(files[0].name, "a");
}

}  // namespace
}  // namespace daxsim
