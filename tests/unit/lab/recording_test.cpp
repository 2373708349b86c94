// SPDX-License-Identifier: BSD-3-Clause
#include "lab/recording.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace daxsim::test {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr const char* kHead = "fs\tworkload\tstep\tevents\tresult\n";

std::expected<lab::Recording, std::string> read(const std::string& lines) {
  return lab::read_recording(kHead + lines, "r.tsv", "6.1");
}

// A line becomes a step: repetitions are written out, everything else stays as it was recorded.
TEST(ReadRecording, WritesRepetitionsOut) {
  const auto recording = read("ext4\td\td2\tpfn_mkclean_rangex2 > dax_flush(4096) > wb_mapping=0x2\tfsync(fd) = 0\n");
  ASSERT_TRUE(recording) << recording.error();
  ASSERT_EQ(recording->steps.size(), 1U);
  const lab::RecordedStep& step = recording->steps[0];
  EXPECT_EQ(step.line, 2U);
  EXPECT_EQ(step.label, "d2");
  EXPECT_THAT(step.events,
              ElementsAre("pfn_mkclean_range", "pfn_mkclean_range", "dax_flush(4096)", "wb_mapping=0", "wb_mapping=0"));
  EXPECT_EQ(step.result, "fsync(fd) = 0");
}

// A line that tells of two calls is two steps.
TEST(ReadRecording, SplitsALineOfTwoCalls) {
  const auto recording = read("ext4\ta\ta6\t\tSEEK_DATA(0)=-1 SEEK_HOLE(0)=0\n");
  ASSERT_TRUE(recording) << recording.error();
  ASSERT_EQ(recording->steps.size(), 2U);
  EXPECT_EQ(recording->steps[0].result, "SEEK_DATA(0)=-1");
  EXPECT_EQ(recording->steps[1].result, "SEEK_HOLE(0)=0");
}

// What is no recording is refused, with the line.
TEST(ReadRecording, NamesTheLineOfGarbage) {
  EXPECT_THAT(lab::read_recording("", "r.tsv", "6.1").error(), HasSubstr("r.tsv:1: an empty file"));
  EXPECT_THAT(lab::read_recording("fs\tstep\n", "r.tsv", "6.1").error(), HasSubstr("r.tsv:1: the first line"));
  EXPECT_THAT(read("ext4\ta\ta1\tdax_load_hole\n").error(), HasSubstr("r.tsv:2: 4 columns instead of 5"));
  EXPECT_THAT(read("ext4\ta\ta1\t\tok\next4\t\ta1\t\tok\n").error(), HasSubstr("r.tsv:3: a line without"));
  EXPECT_THAT(read("ext4\ta\ta1\tdax_load_hole >  > pte_done=NOPAGE\tok\n").error(),
              HasSubstr("r.tsv:2: \"\" is no event"));
  EXPECT_THAT(read("ext4\ta\ta1\tdax_flush(1)x0\tok\n").error(), HasSubstr("\"dax_flush(1)x0\" is no event"));
  EXPECT_THAT(read("ext4\ta\ta1\tdax_flush(1)x99999999999\tok\n").error(), HasSubstr("is no event"));
  EXPECT_THAT(read("ext4\ta\ta1\t\tok").error(), HasSubstr("r.tsv:2: the last line has no end"));
}

// Events of the machine are written as the recorder wrote the kernel's.
TEST(Notation, IsThatOfTheRecordings) {
  const auto text = [](const Event& event) { return lab::notation_of(event); };
  EXPECT_THAT(text({.type = EventType::page_fault_user, .flags = 7}), ElementsAre("#PF(0x7)"));
  EXPECT_THAT(text({.type = EventType::dax_pte_fault, .fault_flags = 0x1256}),
              ElementsAre("dax_pte_fault[MKWRITE/VMA_LOCK]"));
  EXPECT_THAT(text({.type = EventType::dax_pmd_fault, .is_private = true, .fault_flags = 0x254}),
              ElementsAre("dax_pmd_fault[READ,private]"));
  EXPECT_THAT(text({.type = EventType::dax_pte_fault_done, .result = 0x104}), ElementsAre("pte_done=MAJOR/NOPAGE"));
  EXPECT_THAT(text({.type = EventType::dax_writeback_range, .pgoff = {1}, .last = 0x7ffffffffffff}),
              ElementsAre("dax_writeback_range(0x1-END)"));
  EXPECT_THAT(text({.type = EventType::dax_writeback_range, .pgoff = {0}, .last = 15}),
              ElementsAre("dax_writeback_range(0x0-0xf)"));
  EXPECT_THAT(text({.type = EventType::dax_writeback_range_done, .ret = -5}),
              ElementsAre("wb_range_done", "wb_mapping=-5"));
  EXPECT_THAT(text({.type = EventType::dax_writeback_one, .pgoff = {0x200}, .last = 0x200}),
              ElementsAre("dax_writeback_one(0x200,0x200)"));
  EXPECT_THAT(text({.type = EventType::unmap_mapping_pages, .pgoff = {3072}, .last = 512}),
              ElementsAre("unmap_pages(3072,512)"));
  EXPECT_THAT(text({.type = EventType::signal_generate, .flags = 7, .ret = 2}), ElementsAre("signal(7,code 2)"));
  EXPECT_THAT(text({.type = EventType::journal_commit}), IsEmpty());
}

// What is not compared is left out; what no table knows is an error, not left out.
TEST(ComparedEvents, AreThoseOfTheTables) {
  const auto compared = lab::compared_events(std::vector<std::string>{
      "ext4_issue_zeroout", "bio(WS,8)", "direct_access=1", "[jbd2]bio(WSM,8)", "[kworker]dax_flush(4096)"});
  ASSERT_TRUE(compared) << compared.error();
  EXPECT_THAT(*compared, ElementsAre("direct_access=1", "[kworker]dax_flush(4096)"));
  EXPECT_THAT(lab::compared_events(std::vector<std::string>{"dax_flush_it(1)"}).error(),
              HasSubstr("knows the event \"dax_flush_it(1)\""));
}

// Addresses, frames and times are left out of a result, and the arguments of a call, which the scenario has; values,
// errnos, signals and their codes are not.
TEST(ComparedResult, HasNoFramesAndNoArguments) {
  using lab::compared_result;
  EXPECT_EQ(compared_result("load +0x40 ok val=0x07 pte=pfn:0x3310,softdirty"), "load +0x40 ok val=0x07 pte=pfn");
  EXPECT_EQ(compared_result("pagemap +0x1000 pte=none"), "pagemap +0x1000 pte=none");
  EXPECT_EQ(compared_result("store +0x3000 SIGBUS si_code=BUS_ADRERR(2) si_addr=BASE+0x3000 lsb=0"),
            "store +0x3000 SIGBUS si_code=BUS_ADRERR(2) si_addr=BASE+0x3000 lsb=0");
  EXPECT_EQ(compared_result("pwrite +0x0 len 4096 = 4096"), "pwrite +0x0 len 4096 = 4096");
  EXPECT_EQ(compared_result("pread +0xa = 1 val=0xb1"), "pread +0xa = 1 val=0xb1");
  EXPECT_EQ(compared_result("stat size=10240 blocks512=24"), "stat size=10240 blocks512=24");
  EXPECT_EQ(compared_result("statx DAX attr=1 (mask 1) /mnt/a"), "statx DAX attr=1");
  EXPECT_EQ(compared_result("madvise(m + 5 * PG, 2 * PG, 22) = 0"), "madvise = 0");
  EXPECT_EQ(compared_result("msync(m + 1, PG, MS_SYNC) = -1 EINVAL"), "msync = -1 EINVAL");
  EXPECT_EQ(compared_result("SEEK_DATA(0)=4096"), "SEEK_DATA(0)=4096");
  EXPECT_EQ(compared_result("vmsplice(pp[1], &vs, 1, 0) = 4096"), "pin = 0");
  EXPECT_EQ(compared_result("syscall(SYS_io_uring_register, ur, IORING_REGISTER_BUFFERS, &iv, 1) = -1 EOPNOTSUPP"),
            "pin = -1 EOPNOTSUPP");
}

// How blocks were handed out is not compared; what of the file has blocks, and of which kind, is.
TEST(ComparedResult, MergesExtentsThatAreAlike) {
  EXPECT_EQ(
      lab::compared_result("fiemap n=3 [log 0x0 phys 0x20c000 len 0x3000 fl 0x0] [log 0x3000 phys 0x211000 len 0x1000 "
                           "fl 0x0] [log 0x8000 phys 0x216000 len 0x4000 fl 0x801]"),
      "fiemap n=2 [log 0x0 len 0x4000 fl 0x0] [log 0x8000 len 0x4000 fl 0x801]");
  EXPECT_EQ(lab::compared_result(
                "fiemap n=2 [log 0x0 phys 0x0 len 0x1000 fl 0x0] [log 0x2000 phys 0x2000 len 0x1000 fl 0x1] "),
            "fiemap n=2 [log 0x0 len 0x1000 fl 0x0] [log 0x2000 len 0x1000 fl 0x1]");
}

}  // namespace
}  // namespace daxsim::test
