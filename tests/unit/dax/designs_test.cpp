// SPDX-License-Identifier: BSD-3-Clause
// Index designs by themselves: what fits, and what each finds again while its device is there and after.
#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cctype>
#include <set>
#include <string>
#include <string_view>

#include "daxsim/dax/era.hpp"
#include "daxsim/test_support/expect.hpp"
#include "daxsim/test_support/must.hpp"
#include "support/dax_world.hpp"

namespace daxsim::test {
namespace {

// A world whose file is known to block devices and cookies, as those of one-device file systems are.
class DesignTest : public ::testing::TestWithParam<const IndexDesign*> {
 protected:
  DesignTest() {
    world.file->set_blocks({{0}, 2 * kPagesPerPmd}, FakeInode::Block::written);
    world.super_block->block_device = world.device.get();
  }
  FileExtent extent(PageRange pages) { return must(world.file->direct_access(pages, Access::read)); }
  Result<FlushTarget> resolve(const StoredEntry& entry, PageRange pages) {
    return GetParam()->resolve(world.system, *world.file, entry, pages);
  }

  World world{{.base = {kPagesPerPmd}}};
};

std::string name_of(const ::testing::TestParamInfo<const IndexDesign*>& design) {
  std::string name(design.param->name());
  std::erase_if(name, [](char letter) { return std::isalnum(static_cast<unsigned char>(letter)) == 0; });
  return name;
}
INSTANTIATE_TEST_SUITE_P(All, DesignTest, ::testing::ValuesIn(designs::all()), name_of);

// Every design finds one page again, and any part of a huge entry.
TEST_P(DesignTest, FindsWhatItStored) {
  const StoredEntry page{.first = {7}, .payload = must(GetParam()->encode(extent({{7}, 1})))};
  const FlushTarget there = must(resolve(page, {{7}, 1}));
  EXPECT_EQ(there.device, world.device.get());
  EXPECT_EQ(there.page, world.file->device_page({7}));
  EXPECT_EQ(there.pages, 1U);

  const StoredEntry huge{.first = {kPagesPerPmd}, .payload = must(GetParam()->encode(extent({{kPagesPerPmd}, 512})))};
  const FlushTarget part = must(resolve(huge, {{kPagesPerPmd + 100}, 400}));
  EXPECT_EQ(part.page, world.file->device_page({kPagesPerPmd + 100}));
  EXPECT_EQ(part.pages, 400U);

  EXPECT_TRUE(GetParam()->still_valid(page.payload, page.payload));
}

// After the memory is gone each says so in its own way, and none names a device that is not there. What the file system
// is asked, it answers as long as it is not shut down.
TEST_P(DesignTest, DeviceIsGone) {
  const StoredEntry page{.first = {7}, .payload = must(GetParam()->encode(extent({{7}, 1})))};
  for (const LifeState next : {LifeState::dax_dead, LifeState::disk_gone}) {
    must(world.device->advance(next));
  }
  world.memory.unbind(world.device->first_pfn());
  world.super_block->shutdown(Errno::eio);

  const Result<FlushTarget> target = resolve(page, {{7}, 1});

  ASSERT_FALSE(target.ok());
  const bool touches_dead_memory = GetParam() == &designs::pfn() || GetParam() == &designs::kaddr();
  const bool asks = GetParam() == &designs::cookie() || GetParam() == &designs::ask_file_system();
  EXPECT_EQ(target.error(), touches_dead_memory ? Errno::efault : asks ? Errno::eio : Errno::enxio);
}

// A page whose contents have moved is noticed by the one design that can, and by no other; a huge entry is of another
// generation as soon as one of its pages is; other pages are not.
TEST_P(DesignTest, GenerationEnds) {
  const StoredEntry page{.first = {500}, .payload = must(GetParam()->encode(extent({{500}, 1})))};
  const StoredEntry huge{.first = {0}, .pages = 512, .payload = must(GetParam()->encode(extent({{0}, 512})))};
  const StoredEntry other{.first = {7}, .payload = must(GetParam()->encode(extent({{7}, 1})))};
  world.device->end_generation({world.file->device_page({500}), 1});
  if (GetParam() == &designs::pfn_and_generation()) {
    EXPECT_ERRNO(resolve(page, {{500}, 1}), Errno::estale);
    EXPECT_ERRNO(resolve(huge, {{7}, 1}), Errno::estale);
  } else {
    EXPECT_EQ(must(resolve(page, {{500}, 1})).page, world.file->device_page({500}));
    EXPECT_EQ(must(resolve(huge, {{7}, 1})).page, world.file->device_page({7}));
  }
  EXPECT_EQ(must(resolve(other, {{7}, 1})).page, world.file->device_page({7}));
}

TEST_P(DesignTest, IsFoundByName) { EXPECT_EQ(designs::find(GetParam()->name()), GetParam()); }
TEST(Designs, NoSuchName) { EXPECT_EQ(designs::find("sector"), nullptr); }

// What each can store at most, and one more. 59 bits of payload; a page has 8 sectors, a device needs 12 bits, a
// generation 16.
TEST(Designs, Capacity) {
  World world;
  const auto by_pfn = [](FileExtent& extent, std::uint64_t number) { extent.memory.pfn = {number}; };
  const auto by_page = [](FileExtent& extent, std::uint64_t number) { extent.device_page = {number}; };
  const auto by_cookie = [](FileExtent& extent, std::uint64_t number) { extent.cookie = number; };
  struct Row {
    const IndexDesign& design;
    void (*put)(FileExtent&, std::uint64_t);
    unsigned bits;
  };
  for (const Row& row : {Row{designs::pfn(), by_pfn, 59}, Row{designs::pfn_and_generation(), by_pfn, 43},
                         Row{designs::sector_of_super_block(), by_page, 56},
                         Row{designs::sector_of_inode(), by_page, 56}, Row{designs::sector_and_device(), by_page, 44},
                         Row{designs::pgoff_and_device(), by_page, 47}, Row{designs::cookie(), by_cookie, 59}}) {
    SCOPED_TRACE(row.design.name());
    FileExtent extent;
    extent.device = world.device.get();
    row.put(extent, (std::uint64_t{1} << row.bits) - 1);
    EXPECT_TRUE(row.design.encode(extent).ok());
    row.put(extent, std::uint64_t{1} << row.bits);
    EXPECT_ERRNO(row.design.encode(extent), Errno::eoverflow);
  }
  // No name is no identity.
  EXPECT_ERRNO(designs::cookie().encode({}), Errno::eopnotsupp);
}

// The device of a sector is what the file system says, and there may be none.
TEST(Designs, SectorWithoutBlockDevice) {
  World world;
  EXPECT_ERRNO(designs::sector_of_super_block().resolve(world.system, *world.file, {}, {{0}, 1}), Errno::enxio);
  EXPECT_ERRNO(designs::sector_of_inode().resolve(world.system, *world.file, {}, {{0}, 1}), Errno::enxio);
}

// The words of each era (F2.1), bit by bit.
TEST(EntryLayout, WordsOfTheEras) {
  const Entry page = Entry::real(0x123, 0);
  const Entry huge = Entry::real(0x200, kPmdOrder);
  EXPECT_EQ(layouts::v4_5.word(page), 0x1236U);
  EXPECT_EQ(layouts::v4_5.word(huge), 0x200aU);
  EXPECT_EQ(layouts::kaddr_2015.word(page), 0x123006U);
  EXPECT_EQ(layouts::v4_7.word(page.with_lock()), (0x123U << 5) | 0b01110U);
  EXPECT_EQ(layouts::v4_7.word(Entry::empty(0).with_lock()), 0b00110U);
  EXPECT_EQ(layouts::v4_10.word(huge.with_lock()), (0x200U << 6) | 0b001110U);
  EXPECT_EQ(layouts::v4_10.word(Entry::zero(5, 0)), (5U << 6) | 0b010010U);
  for (const Entry entry : {page, huge.with_lock(), Entry::zero(5, kPmdOrder), Entry::empty(0).with_lock()}) {
    EXPECT_EQ(layouts::v4_20.word(entry), entry.word());
  }
}

// What fits, in words of 64 and of 32 bits (F2.1).
TEST(EntryLayout, Capacity) {
  constexpr auto bits_of = [](const EntryLayout& layout) { return std::bit_width(layout.max_payload()); };
  EXPECT_EQ(bits_of(layouts::v4_5), 60U);
  EXPECT_EQ(bits_of(layouts::v4_20), 59U);
  EXPECT_EQ(bits_of(layouts::pfn_draft_2016), 58U);
  EXPECT_EQ(bits_of(layouts::v4_5.with_words_of(32)), 28U);
  EXPECT_EQ(bits_of(layouts::v4_7.with_words_of(32)), 27U);
  EXPECT_EQ(bits_of(layouts::v4_10.with_words_of(32)), 26U);
  EXPECT_EQ(bits_of(layouts::v4_20.with_words_of(32)), 27U);
  EXPECT_EQ(bits_of(layouts::pfn_draft_2016.with_words_of(32)), 26U);
}

// Every era is a policy that can be run, under a name of its own.
TEST(Eras, AreValid) {
  std::set<std::string_view> names;
  for (const Era& era : eras::all) {
    SCOPED_TRACE(era.name);
    EXPECT_TRUE(era.policy.validate().ok());
    EXPECT_TRUE(names.insert(era.name).second);
  }
}

}  // namespace
}  // namespace daxsim::test
