// SPDX-License-Identifier: BSD-3-Clause
// The expected lines of the fs_dax events were recorded from Linux 6.12 (ext4 and XFS on pmem), copied whole.
#include <gtest/gtest.h>

#include "daxsim/base/events.hpp"

namespace daxsim {
namespace {

constexpr std::uint32_t kWrite = 0x001;
constexpr std::uint32_t kMkwrite = 0x002;
constexpr std::uint32_t kUsual = 0x004 | 0x010 | 0x040 | 0x200;  // ALLOW_RETRY|KILLABLE|USER|INTERRUPTIBLE
constexpr std::uint32_t kOrigPteValid = 0x800;                   // has no name in the kernel's table
constexpr std::uint32_t kVmaLock = 0x1000;
constexpr std::uint32_t kSigbus = 0x0002;
constexpr std::uint32_t kNopage = 0x0100;
constexpr std::uint32_t kFallback = 0x0800;
constexpr std::uint32_t kExt4 = 259U << 20;
constexpr std::uint32_t kXfs = (259U << 20) | 1;

// A PMD fault that falls back, before and after.
TEST(EventText, PmdFaults) {
  Event event{.type = EventType::dax_pmd_fault,
              .dev = kXfs,
              .fault_flags = kUsual | kVmaLock,
              .ino = 0x1003,
              .address = 0x200000000000,
              .vm_start = 0x200000000000,
              .vm_end = 0x200000020000,
              .pgoff = {0},
              .last = 0x18};
  EXPECT_EQ(fs_dax_text(event),
            "dax_pmd_fault: dev 259:1 ino 0x1003 shared ALLOW_RETRY|KILLABLE|USER|INTERRUPTIBLE|VMA_LOCK address "
            "0x200000000000 vm_start 0x200000000000 vm_end 0x200000020000 pgoff 0x0 max_pgoff 0x18 ");
  event.type = EventType::dax_pmd_fault_done;
  event.result = kFallback;
  EXPECT_EQ(fs_dax_text(event),
            "dax_pmd_fault_done: dev 259:1 ino 0x1003 shared ALLOW_RETRY|KILLABLE|USER|INTERRUPTIBLE|VMA_LOCK address "
            "0x200000000000 vm_start 0x200000000000 vm_end 0x200000020000 pgoff 0x0 max_pgoff 0x18 FALLBACK");
}

// PTE faults: a flag without a name is printed as a number behind the named ones.
TEST(EventText, PteFaults) {
  Event event{.type = EventType::dax_pte_fault,
              .dev = kExt4,
              .fault_flags = kWrite | kMkwrite | kUsual | kOrigPteValid,
              .ino = 0xf,
              .address = 0x200000002000,
              .pgoff = {2}};
  EXPECT_EQ(fs_dax_text(event),
            "dax_pte_fault: dev 259:0 ino 0xf shared WRITE|MKWRITE|ALLOW_RETRY|KILLABLE|USER|INTERRUPTIBLE|0x800 "
            "address 0x200000002000 pgoff 0x2 ");
  event.type = EventType::dax_pte_fault_done;
  event.result = kNopage;
  EXPECT_EQ(fs_dax_text(event),
            "dax_pte_fault_done: dev 259:0 ino 0xf shared WRITE|MKWRITE|ALLOW_RETRY|KILLABLE|USER|INTERRUPTIBLE|0x800 "
            "address 0x200000002000 pgoff 0x2 NOPAGE");
}

// A fault on a dead device.
TEST(EventText, AFaultThatEndsInSigbus) {
  const Event event{.type = EventType::dax_pte_fault_done,
                    .dev = kXfs,
                    .fault_flags = kWrite | kMkwrite | kUsual | kVmaLock | kOrigPteValid,
                    .result = kSigbus,
                    .ino = 0x1003,
                    .address = 0x200000011000,
                    .pgoff = {0x11}};
  EXPECT_EQ(fs_dax_text(event),
            "dax_pte_fault_done: dev 259:1 ino 0x1003 shared "
            "WRITE|MKWRITE|ALLOW_RETRY|KILLABLE|USER|INTERRUPTIBLE|VMA_LOCK|0x800 address 0x200000011000 pgoff 0x11 "
            "SIGBUS");
}

// A read of a hole.
TEST(EventText, LoadHole) {
  const Event event{.type = EventType::dax_load_hole,
                    .dev = kExt4,
                    .fault_flags = kUsual | kOrigPteValid,
                    .result = kNopage,
                    .ino = 0xe,
                    .address = 0x200000008000,
                    .pgoff = {8}};
  EXPECT_EQ(fs_dax_text(event),
            "dax_load_hole: dev 259:0 ino 0xe shared ALLOW_RETRY|KILLABLE|USER|INTERRUPTIBLE|0x800 address "
            "0x200000008000 pgoff 0x8 NOPAGE");
}

// Writeback: the range, where it stopped, and one page.
TEST(EventText, Writeback) {
  Event event{.type = EventType::dax_writeback_range, .dev = kExt4, .ino = 0xf, .pgoff = {0}, .last = 0x7ffffffffffff};
  EXPECT_EQ(fs_dax_text(event), "dax_writeback_range: dev 259:0 ino 0xf pgoff 0x0-0x7ffffffffffff");
  event.type = EventType::dax_writeback_range_done;
  event.pgoff = {0x40};
  EXPECT_EQ(fs_dax_text(event), "dax_writeback_range_done: dev 259:0 ino 0xf pgoff 0x40-0x7ffffffffffff");
  event.type = EventType::dax_writeback_one;
  event.pgoff = {2};
  event.last = 1;
  EXPECT_EQ(fs_dax_text(event), "dax_writeback_one: dev 259:0 ino 0xf pgoff 0x2 pglen 0x1");
}

// Private mappings say so, and several results are listed.
TEST(EventText, PrivateFaultsAndSeveralResults) {
  const Event event{.type = EventType::dax_pte_fault_done,
                    .is_private = true,
                    .dev = kExt4,
                    .fault_flags = kWrite,
                    .result = 0x0004 | 0x1000,
                    .ino = 0xf};
  EXPECT_EQ(fs_dax_text(event),
            "dax_pte_fault_done: dev 259:0 ino 0xf private WRITE address 0x0 pgoff 0x0 MAJOR|DONE_COW");
}

// The probes on other functions, in the recordings' style.
TEST(EventText, Probes) {
  EXPECT_EQ(fs_dax_text({.type = EventType::page_fault_user, .flags = 7, .address = 0x200000000000}),
            "page_fault_user: address=0x200000000000 error_code=0x7");
  EXPECT_EQ(fs_dax_text({.type = EventType::dax_flush, .length = 4096}), "dax_flush: size=4096");
  EXPECT_EQ(fs_dax_text({.type = EventType::dax_direct_access, .pgoff = {33286}, .last = 1, .ret = -6}),
            "dax_direct_access: pgoff=33286 nr=1 ret=-6");
  EXPECT_EQ(fs_dax_text({.type = EventType::dax_delete_mapping_entry, .pgoff = {17}}),
            "dax_delete_mapping_entry: index=17");
  EXPECT_EQ(fs_dax_text({.type = EventType::unmap_mapping_pages, .pgoff = {8}, .last = 1}),
            "unmap_mapping_pages: start=8 nr=1 even_cows=0");
  EXPECT_EQ(fs_dax_text({.type = EventType::dax_holder_notify_failure, .flags = 0x80}),
            "dax_holder_notify_failure: off=0x0 len=0xffffffffffffffff flags=0x80 ret=0");
}

// Every type has a text that begins with its name.
TEST(EventText, EveryTypeHasOne) {
  for (unsigned number = 0; number < kEventTypes; ++number) {
    const auto type = static_cast<EventType>(number);
    EXPECT_EQ(fs_dax_text({.type = type}).find(std::string(event_name(type)) + ": "), 0U);
  }
}

}  // namespace
}  // namespace daxsim
