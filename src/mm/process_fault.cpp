// SPDX-License-Identifier: BSD-3-Clause
// From a load or store that cannot go on to an installed page, or to a signal. Fault path: no malloc.
#include <csignal>

#include "daxsim/mm/process.hpp"
#include "daxsim/vfs/fault.hpp"
#include "daxsim/vfs/inode.hpp"
#include "daxsim/vfs/super_block.hpp"
#include "mm/process_area.hpp"

DAXSIM_BEGIN

using soft_mmu::Area;
using soft_mmu::Translation;

namespace {

// x86 page-fault error code.
constexpr std::uint32_t kErrorProtection = 1;
constexpr std::uint32_t kErrorWrite = 2;
constexpr std::uint32_t kErrorUser = 4;

FaultSignal signal_of(FaultOutcome outcome, std::uint64_t address, unsigned order) noexcept {
  if (outcome.has(FaultOutcome::oom)) {
    return {SIGKILL, SI_KERNEL, address, 0};
  }
  if (outcome.has(FaultOutcome::hwpoison)) {
    return {SIGBUS, BUS_MCEERR_AR, address, kPageShift + order};
  }
  return {SIGBUS, BUS_ADRERR, address, 0};
}

}  // namespace

FaultSignal Process::end_in_signal(const FaultSignal& signal) noexcept {
  system_.events.emit({
      .type = EventType::signal_generate,
      .task = pid_,
      .flags = static_cast<std::uint32_t>(signal.number),
      .address = signal.address,
      .ret = signal.code,
  });
  return signal;
}

AccessResult<void> Process::fault(std::uint64_t address, Access access) noexcept {
  bool is_first_try = true;
  while (true) {
    const SharedLock guard(mm_);
    Area* const area = find_area(address);
    const Translation found = area == nullptr ? Translation() : area->table().find(address);
    if (found.word.permits(access)) {
      remember(area->table());
      return {};
    }
    if (is_first_try) {
      is_first_try = false;
      system_.events.emit({
          .type = EventType::page_fault_user,
          .task = pid_,
          .flags = kErrorUser | (access == Access::write ? kErrorWrite : 0) |
                   (found.word.is_present() ? kErrorProtection : 0),
          .address = address,
      });
    }
    if (area == nullptr) {
      return end_in_signal({SIGSEGV, SEGV_MAPERR, address, 0});
    }
    if (access == Access::write && !area->flags().write) {
      return end_in_signal({SIGSEGV, SEGV_ACCERR, address, 0});
    }
    remember(area->table());
    unsigned order = 0;
    const FaultOutcome outcome = handle_mm_fault(*area, address, access, fault_flag::kUserFault, found, order);
    if (!outcome.resolved()) {
      if (!outcome.has(FaultOutcome::oom)) {
        area->count_sigbus();
      }
      return end_in_signal(signal_of(outcome, address, order));
    }
    if (!outcome.has(FaultOutcome::retry)) {
      return {};
    }
  }
}

// What is tried in which order, and with which flags: process.hpp. `order` is the size of the last try.
FaultOutcome Process::handle_mm_fault(Area& area, std::uint64_t address, Access access, std::uint32_t flags,
                                      const Translation& found, unsigned& order) noexcept {
  const MmPolicy& policy = system_.mm;
  Inode& inode = area.mapping().host();
  const std::uint32_t write = access == Access::write ? fault_flag::kWrite : 0;
  const auto ask = [&](unsigned size, std::uint32_t more) {
    order = size;
    FaultRequest request{.vma = area,
                         .pgoff = area.pgoff_of(address),
                         .address = address,
                         .order = size,
                         .flags = flags | write | more,
                         .task = pid_};
    return inode.fault(request);
  };

  const bool by_user = flags == fault_flag::kUserFault;
  const bool is_small_fault_allowed = inode.super_block().traits().vma_lock == VmaLock::yes;
  std::uint32_t lock = by_user && policy.vma_lock == VmaLock::yes ? fault_flag::kVmaLock : 0;
  for (Translation now = found;; now = area.table().find(address)) {
    if (now.word.permits(access)) {
      return FaultOutcome::nopage;  // another thread's
    }
    std::uint32_t small = lock;
    if (now.level == Translation::Level::page) {
      if (now.word.is_present() && !area.flags().shared) {
        return area.copy_on_write(address);
      }
      small |= fault_flag::kOrigPteValid | (now.word.is_present() ? fault_flag::kMkwrite : 0);
    } else {
      const bool is_huge = now.level == Translation::Level::huge;
      if (!is_huge || area.flags().shared || policy.private_huge_store == PrivateHugeStore::asks_first) {
        const FaultOutcome outcome = ask(kPmdOrder, lock);
        if (!outcome.has(FaultOutcome::fallback)) {
          return outcome;
        }
      }
      if (is_huge) {
        emit_split(address);
        area.table().drop_huge(address);
      }
      if (area.table().find(address).level == Translation::Level::huge) {
        return FaultOutcome::nopage;  // another thread's
      }
    }
    if (lock == 0 || is_small_fault_allowed) {
      return ask(0, small);
    }
    lock = 0;
  }
}

void Process::emit_split(std::uint64_t address) noexcept {
  system_.events.emit({.type = EventType::split_huge_pmd, .task = pid_, .address = address});
}

DAXSIM_END
