// SPDX-License-Identifier: BSD-3-Clause
#include <fmt/format.h>

#include "daxsim/base/events.hpp"

DAXSIM_BEGIN

std::string_view event_name(EventType type) noexcept {
  static constexpr std::array<std::string_view, kEventTypes> kNames{
      "page_fault_user",
      "dax_pmd_fault",
      "dax_pmd_fault_done",
      "dax_pmd_load_hole",
      "dax_pte_fault",
      "dax_pte_fault_done",
      "dax_load_hole",
      "dax_insert_entry",
      "dax_insert_pfn_mkwrite",
      "dax_insert_pfn_mkwrite_no_entry",
      "dax_finish_sync_fault",
      "vmf_insert_mixed",
      "vmf_insert_mixed_mkwrite",
      "vmf_insert_page_mkwrite",
      "vmf_insert_pfn_pmd",
      "vmf_insert_folio_pmd",
      "__split_huge_pmd",
      "wp_page_copy",
      "dax_writeback_range",
      "dax_writeback_range_done",
      "dax_writeback_one",
      "pfn_mkclean_range",
      "dax_flush",
      "dax_direct_access",
      "dax_zero_range",
      "dax_truncate_page",
      "dax_iomap_cow_copy",
      "dax_iomap_copy_around",
      "dax_copy_from_iter",
      "dax_copy_to_iter",
      "dax_iomap_rw",
      "dax_delete_mapping_entry",
      "dax_invalidate_mapping_entry_sync",
      "invalidate_inode_pages2_range",
      "dax_break_layout",
      "dax_break_layout_final",
      "dax_layout_busy_page",
      "dax_break_layouts_wait",
      "dax_wait_entry",
      "dax_wait_entry_done",
      "unmap_mapping_pages",
      "unmap_mapping_range",
      "fsync_start",
      "fsync_done",
      "journal_commit",
      "blkdev_issue_flush",
      "dax_holder_notify_failure",
      "dax_holder_revoke",
      "kill_dax",
      "disk_gone",
      "memunmap_pages",
      "fs_shutdown",
      "fs_freeze",
      "fs_thaw",
      "signal_generate",
      "power_cut",
      "attach",
      "finding",
  };
  return kNames[static_cast<unsigned>(type)];
}

namespace {

struct Bit {
  std::uint32_t value;
  std::string_view name;
};

// mm_types.h, F4.1. Flags without a name in the kernel's table are printed as one hexadecimal rest.
constexpr std::array kFaultFlags{Bit{0x001, "WRITE"},         Bit{0x002, "MKWRITE"},  Bit{0x004, "ALLOW_RETRY"},
                                 Bit{0x008, "RETRY_NOWAIT"},  Bit{0x010, "KILLABLE"}, Bit{0x020, "TRIED"},
                                 Bit{0x040, "USER"},          Bit{0x080, "REMOTE"},   Bit{0x100, "INSTRUCTION"},
                                 Bit{0x200, "INTERRUPTIBLE"}, Bit{0x1000, "VMA_LOCK"}};
constexpr std::array kResults{Bit{0x0001, "OOM"},      Bit{0x0002, "SIGBUS"},         Bit{0x0004, "MAJOR"},
                              Bit{0x0010, "HWPOISON"}, Bit{0x0020, "HWPOISON_LARGE"}, Bit{0x0040, "SIGSEGV"},
                              Bit{0x0100, "NOPAGE"},   Bit{0x0200, "LOCKED"},         Bit{0x0400, "RETRY"},
                              Bit{0x0800, "FALLBACK"}, Bit{0x1000, "DONE_COW"},       Bit{0x2000, "NEEDDSYNC"}};

template <std::size_t n>
std::string bits_text(std::uint32_t value, const std::array<Bit, n>& table) {
  std::string text;
  for (const Bit& bit : table) {
    if ((value & bit.value) != 0) {
      text += fmt::format("{}{}", text.empty() ? "" : "|", bit.name);
      value &= ~bit.value;
    }
  }
  if (value != 0) {
    text += fmt::format("{}{:#x}", text.empty() ? "" : "|", value);
  }
  return text;
}

std::string where(const Event& e) { return fmt::format("dev {}:{} ino {:#x}", e.dev >> 20, e.dev & 0xfffff, e.ino); }

std::string faulting(const Event& e) {
  return fmt::format("{} {} {} address {:#x}", where(e), e.is_private ? "private" : "shared",
                     bits_text(e.fault_flags, kFaultFlags), e.address);
}

}  // namespace

std::string fs_dax_text(const Event& e) {
  const std::string_view name = event_name(e.type);
  const std::string result = bits_text(e.result, kResults);
  switch (e.type) {
    case EventType::dax_pmd_fault:
    case EventType::dax_pmd_fault_done:
      return fmt::format("{}: {} vm_start {:#x} vm_end {:#x} pgoff {:#x} max_pgoff {:#x} {}", name, faulting(e),
                         e.vm_start, e.vm_end, e.pgoff.value, e.last, result);
    case EventType::dax_pmd_load_hole:
      return fmt::format("{}: {} zero_page {:#x} radix_entry {:#x}", name, faulting(e), e.pfn.value, e.length);
    case EventType::dax_pte_fault:
    case EventType::dax_pte_fault_done:
    case EventType::dax_load_hole:
    case EventType::dax_insert_pfn_mkwrite:
    case EventType::dax_insert_pfn_mkwrite_no_entry:
      return fmt::format("{}: {} pgoff {:#x} {}", name, faulting(e), e.pgoff.value, result);
    case EventType::dax_writeback_range:
    case EventType::dax_writeback_range_done:
      return fmt::format("{}: {} pgoff {:#x}-{:#x}", name, where(e), e.pgoff.value, e.last);
    case EventType::dax_writeback_one:
      return fmt::format("{}: {} pgoff {:#x} pglen {:#x}", name, where(e), e.pgoff.value, e.last);
    case EventType::page_fault_user:
      return fmt::format("{}: address={:#x} error_code={:#x}", name, e.address, e.flags);
    case EventType::dax_flush:
      return fmt::format("{}: size={}", name, e.length);
    case EventType::dax_direct_access:
      return fmt::format("{}: pgoff={} nr={} ret={}", name, e.pgoff.value, e.last, e.ret);
    case EventType::dax_delete_mapping_entry:
      return fmt::format("{}: index={}", name, e.pgoff.value);
    case EventType::dax_invalidate_mapping_entry_sync:
      return fmt::format("{}: index={} ret={}", name, e.pgoff.value, e.ret);
    case EventType::unmap_mapping_pages:
      return fmt::format("{}: start={} nr={} even_cows={}", name, e.pgoff.value, e.last, e.flags);
    case EventType::unmap_mapping_range:
      return fmt::format("{}: begin={} len={} even_cows={}", name, e.address, e.length, e.flags);
    case EventType::invalidate_inode_pages2_range:
      return fmt::format("{}: start={} end={}", name, e.pgoff.value, e.last);
    case EventType::dax_iomap_rw:
      return fmt::format("{}: ret={}", name, e.ret);
    case EventType::dax_holder_notify_failure:
      return fmt::format("{}: off=0x0 len=0xffffffffffffffff flags={:#x} ret={}", name, e.flags, e.ret);
    case EventType::signal_generate:
      return fmt::format("{}: sig={} errno=0 code={} address={:#x}", name, e.flags, e.ret, e.address);
    case EventType::dax_copy_from_iter:
    case EventType::dax_copy_to_iter:
      return fmt::format("{}: ret={}", name, e.length);
    default:
      return fmt::format("{}: {} pgoff {:#x} last {:#x} pfn {:#x} len {} flags {:#x} ret {}", name, where(e),
                         e.pgoff.value, e.last, e.pfn.value, e.length, e.flags, e.ret);
  }
}

DAXSIM_END
