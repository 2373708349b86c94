// SPDX-License-Identifier: BSD-3-Clause
// Images: what the builder makes of files and a profile, and profiles as text.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <algorithm>
#include <array>

#include "adapters/xip/image.hpp"
#include "daxsim/adapters/xip.hpp"
#include "daxsim/test_support/must.hpp"
#include "support/xip_image.hpp"

namespace daxsim {
namespace {

using test::Bytes;
using test::easy;
using test::hard;
using test::joined;
using test::kinds_of;
using ::testing::ElementsAre;
using xip::PageKind;

constexpr std::uint64_t kPage = kPageSize;

TEST(XipBuilder, MakesOfEachPageWhatIsSmallest) {
  // Zeros take nothing, what gets smaller is compressed, a page that does not is direct, such a tail is packed.
  const Bytes image = must(XipFs::build(
      std::array{XipFile{"f", joined({easy(kPage), Bytes(kPage), hard(kPage), hard(100)})}, XipFile{"empty", {}}}));
  EXPECT_THAT(kinds_of(image, "f"),
              ElementsAre(PageKind::compressed, PageKind::hole, PageKind::direct, PageKind::copied));
  const XipUsage usage = must(XipFs::inspect(image)).usage;
  EXPECT_EQ(usage.files, 2U);
  EXPECT_EQ(usage.hole_pages, 1U);
  EXPECT_EQ(usage.direct_pages, 1U);
  EXPECT_EQ(usage.copied_pages, 1U);
  EXPECT_EQ(usage.compressed_pages, 1U);
  EXPECT_GT(usage.compressed_bytes, 0U);
  EXPECT_LT(usage.compressed_bytes, kPage);
  // Everything but the direct page fits into the first.
  EXPECT_EQ(usage.image_bytes, 2 * kPage);
  EXPECT_EQ(image.size(), usage.image_bytes);
}

TEST(XipBuilder, PagesOfTheProfileAreDirect) {
  // Also a tail, which gets a page of its own; one behind the other in the file, so on the device.
  const XipFile file{"f", joined({easy(3 * kPage), easy(100)})};
  const Bytes image = must(XipFs::build({&file, 1}, {.faults = {{"f", {{1, 1}, {2, 9}, {3, 1}}}}}));
  EXPECT_THAT(kinds_of(image, "f"),
              ElementsAre(PageKind::compressed, PageKind::direct, PageKind::direct, PageKind::direct));
  const xip::Image loaded = test::load(image);
  ASSERT_EQ(loaded.files[0].runs.size(), 2U);
  EXPECT_EQ(loaded.files[0].runs[1].pages, (PageRange{{1}, 3}));
  EXPECT_EQ(loaded.files[0].runs[1].device_page, Pgoff{1});
}

TEST(XipBuilder, AProfiledPageOfZerosStaysAHole) {
  // There is nothing to map.
  const XipFile file{"f", Bytes(kPage)};
  EXPECT_THAT(kinds_of(must(XipFs::build({&file, 1}, {.faults = {{"f", {{0, 1}}}}})), "f"),
              ElementsAre(PageKind::hole));
}

TEST(XipBuilder, NamesItsErrors) {
  // Names that are none, or too long, or there twice; profiles of something else.
  const auto error_of_names = [](const std::vector<std::string>& names) {
    std::vector<XipFile> files;
    for (const std::string& name : names) {
      files.push_back({name, {}});
    }
    return test::errno_of(XipFs::build(files));
  };
  for (const std::string& bad : {std::string(), std::string("."), std::string("a/../b"), std::string("/a"),
                                 std::string("a/"), std::string("a//b"), std::string("a\0b", 3), std::string("a\nb")}) {
    EXPECT_EQ(error_of_names({bad}), Errno::einval) << bad;
  }
  EXPECT_EQ(error_of_names({"a", "b", "a"}), Errno::einval);
  EXPECT_EQ(error_of_names({std::string(256, 'x')}), Errno::enametoolong);
  std::string deep = std::string(255, 'x');
  while (deep.size() + 256 <= XipFs::kMaxName) {
    deep += "/" + std::string(255, 'x');
  }
  EXPECT_EQ(error_of_names({deep}), Errno{});
  EXPECT_EQ(error_of_names({deep + "/y"}), Errno::enametoolong);

  const XipFile file{"f", easy(kPage)};
  EXPECT_EQ(test::errno_of(XipFs::build({&file, 1}, {.faults = {{"g", {{0, 1}}}}})), Errno::einval);
  EXPECT_EQ(test::errno_of(XipFs::build({&file, 1}, {.faults = {{"f", {{1, 1}}}}})), Errno::einval);
}

RC_GTEST_PROP(XipBuilder, InspectGivesTheFilesBack, ()) {
  // Whatever the files and the profile.
  std::vector<XipFile> files;
  XipProfile profile;
  const auto count = *rc::gen::inRange(0, 5);
  for (int number = 0; number < count; ++number) {
    XipFile file{"dir/" + std::to_string(number), {}};
    for (auto pieces = *rc::gen::inRange(0, 6); pieces > 0; --pieces) {
      const auto length = *rc::gen::element<std::size_t>(1, 100, kPage - 1, kPage, kPage + 1);
      const Bytes piece = *rc::gen::element(Bytes(length), easy(length), hard(length));
      file.bytes.insert(file.bytes.end(), piece.begin(), piece.end());
    }
    for (std::uint64_t page = 0; page < pages_for(file.bytes.size()); ++page) {
      if (*rc::gen::arbitrary<bool>()) {
        profile.faults[file.name][page] = 1;
      }
    }
    files.push_back(std::move(file));
  }
  const XipContents contents = must(XipFs::inspect(must(XipFs::build(files, profile))));
  RC_ASSERT(contents.files.size() == files.size());
  for (std::size_t number = 0; number < files.size(); ++number) {
    RC_ASSERT(contents.files[number].name == files[number].name);
    RC_ASSERT(contents.files[number].bytes == files[number].bytes);
  }
}

TEST(XipInspect, NamesItsErrors) {
  // No image, one of another version, one that is cut off, one with a damaged page.
  const XipFile file{"f", easy(kPage)};
  const Bytes image = must(XipFs::build({&file, 1}));
  EXPECT_EQ(test::errno_of(XipFs::inspect({})), Errno::einval);
  EXPECT_EQ(test::errno_of(XipFs::inspect(Bytes(kPage))), Errno::einval);
  Bytes newer = image;
  test::edit<xip::SuperRecord>(newer, 0, [](auto& super) { super.version = 2; });
  EXPECT_EQ(test::errno_of(XipFs::inspect(newer)), Errno::eopnotsupp);
  EXPECT_EQ(test::errno_of(XipFs::inspect(std::span(image).first(image.size() - 1))), Errno::euclean);
  Bytes torn = image;
  torn[test::load(image).files[0].pages[0].offset + 10] ^= std::byte{1};
  EXPECT_EQ(test::errno_of(XipFs::inspect(torn)), Errno::euclean);
}

TEST(XipProfileText, IsReadAsItWasWritten) {
  // Names may have spaces, and a last line needs no end.
  const XipProfile profile{.faults = {{"bin/a b", {{0, 3}, {17, 1}}}, {"c", {{5, 12345678901}}}}};
  EXPECT_EQ(profile.text(), "0 3 bin/a b\n17 1 bin/a b\n5 12345678901 c\n");
  EXPECT_EQ(must(XipProfile::parse(profile.text())).faults, profile.faults);
  EXPECT_EQ(must(XipProfile::parse("1 2 x")).faults, (XipProfile{.faults = {{"x", {{1, 2}}}}}.faults));
  EXPECT_TRUE(must(XipProfile::parse("")).faults.empty());
}

TEST(XipProfileText, NamesItsErrors) {
  for (const char* bad :
       {"\n", "x", "1 x", "1 2", "1 2 ", "-1 2 x", "1  2 x", "1 2 x\n1 3 x\n", "99999999999999999999 1 x"}) {
    EXPECT_EQ(test::errno_of(XipProfile::parse(bad)), Errno::einval) << bad;
  }
}

}  // namespace
}  // namespace daxsim
