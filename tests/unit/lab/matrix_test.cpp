// SPDX-License-Identifier: BSD-3-Clause
// A cell says what a design does and not what it is called: change a design in one way, and its cell changes.
#include "daxsim/lab/matrix.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>
#include <string>

#include "daxsim/device/attachment.hpp"
#include "daxsim/test_support/must.hpp"
#include "daxsim/vfs/inode.hpp"
#include "daxsim/vfs/system.hpp"
#include "support/wrong_designs.hpp"

namespace daxsim::test {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

std::string cell(std::string_view question, const IndexDesign& design) {
  return must(lab::ask(*lab::find_question(question), design)).text();
}

// Whatever was attached second: in a trial, the bystander.
class AnotherDevice final : public WrongDesign {
 public:
  [[nodiscard]] Result<FlushTarget> resolve(System& system, Inode& inode, const StoredEntry& entry,
                                            PageRange pages) const noexcept override {
    DAXSIM_TRY(FlushTarget target, WrongDesign::resolve(system, inode, entry, pages));
    target.device = system.memory.find_minor(minor_of(target.device->dev()) + 1);
    target.page = {0};
    target.pages = 1;
    return target;
  }
};

// sector@inode without the question whether the device is still there.
class IgnoresLiveness final : public IndexDesign {
 public:
  [[nodiscard]] std::string_view name() const noexcept override { return "x"; }
  [[nodiscard]] Result<std::uint64_t> encode(const FileExtent& extent) const noexcept override {
    return designs::sector_of_inode().encode(extent);
  }
  [[nodiscard]] Result<FlushTarget> resolve(System& /*system*/, Inode& inode, const StoredEntry& entry,
                                            PageRange pages) const noexcept override {
    const Pgoff page{entry.payload * kSectorSize / kPageSize + (pages.first - entry.first)};
    return FlushTarget{.device = inode.bdev(), .page = page, .pages = pages.pages};
  }
};

// Has room for nothing.
class StoresNothing final : public WrongDesign {
 public:
  [[nodiscard]] Result<std::uint64_t> encode(const FileExtent& /*extent*/) const noexcept override {
    return Errno::eoverflow;
  }
};

// Nothing changed: the cells of pfn, whatever the name.
TEST(MatrixMutants, NameDoesNotMatter) {
  for (const lab::Question& question : lab::questions()) {
    EXPECT_EQ(cell(question.name, WrongDesign()), cell(question.name, designs::pfn())) << question.name;
  }
}

// fsync flushes the page behind the dirty one, says yes, and the store is gone. Where every page of a huge one is flushed
// only the first is missed.
TEST(MatrixMutants, NextPageLosesStores) {
  EXPECT_EQ(cell("page-fsync", NextPage()), "wrong-device flush, lost store");
  EXPECT_EQ(cell("huge-fsync", NextPage()), "wrong-device flush, lost store");
  EXPECT_EQ(cell("two-files", NextPage()), "wrong-device flush, lost store");
}

// The store is gone, and somebody else's is on the media though its owner never flushed it.
TEST(MatrixMutants, AnotherDeviceIsSeenOnItsMedia) {
  EXPECT_EQ(cell("page-fsync", AnotherDevice()), "wrong-device flush, missing fence, lost store");
}

// What refused cleanly now flushes memory that is gone.
TEST(MatrixMutants, LivenessMatters) {
  EXPECT_EQ(cell("removal-untold", designs::sector_of_inode()), "refused: EIO");
  EXPECT_EQ(cell("removal-untold", IgnoresLiveness()), "flush of dead memory");
  EXPECT_EQ(cell("page-fsync", IgnoresLiveness()), "holds");
}

// A design without room refuses every store, and loses nothing; where a huge page is asked for there is none.
TEST(MatrixMutants, RefusalIsNoHarm) {
  EXPECT_EQ(cell("page-fsync", StoresNothing()), "refused: SIGBUS");
  EXPECT_EQ(cell("huge-fsync", StoresNothing()), "refused: SIGBUS");
}

// Costs are those of the write-back: each page once, as the design says; the index's memory is that of its nodes.
TEST(Matrix, Costs) {
  const lab::Question& question = *lab::find_question("page-fsync");
  const lab::Costs none = must(lab::ask(question, designs::pfn())).costs;
  EXPECT_EQ(none.pages, 255U);
  EXPECT_EQ(none.lookups, 0U);
  EXPECT_EQ(none.locks, 0U);
  EXPECT_GE(none.index_bytes, 255 * sizeof(std::uint64_t));
  EXPECT_GT(none.fsync_time.count(), 0);
  const lab::Costs two = must(lab::ask(question, designs::sector_and_device())).costs;
  EXPECT_EQ(two.lookups, 2 * 255U);
  EXPECT_EQ(two.locks, 2 * 255U);
  EXPECT_EQ(two.index_bytes, none.index_bytes);
}

// A huge page is one entry: one look-up for 512 pages.
TEST(Matrix, HugePageIsLookedUpOnce) {
  const lab::Costs costs = must(lab::ask(*lab::find_question("huge-fsync"), designs::sector_of_inode())).costs;
  EXPECT_EQ(costs.pages, kPagesPerPmd);
  EXPECT_EQ(costs.lookups, 1U);
}

// A story names the steps, and the events between.
TEST(Matrix, Story) {
  const lab::Question& question = *lab::find_question("replaced");
  EXPECT_THAT(must(lab::ask(question, designs::pfn())).story, IsEmpty());
  const lab::Cell told = must(lab::ask(question, designs::pfn(), lab::Telling::story));
  EXPECT_THAT(told.story, Contains(HasSubstr("pull the device out")));
  EXPECT_THAT(told.story, Contains(HasSubstr("dax_flush: size=4096")));
  EXPECT_THAT(told.story, Contains(HasSubstr("seen: wrong-device flush")));
}

TEST(Matrix, QuestionsHaveNamesOfTheirOwn) {
  std::set<std::string_view> names;
  for (const lab::Question& question : lab::questions()) {
    EXPECT_TRUE(names.insert(question.name).second) << question.name;
    EXPECT_EQ(lab::find_question(question.name), &question);
  }
  EXPECT_EQ(lab::find_question("page"), nullptr);
}

}  // namespace
}  // namespace daxsim::test
