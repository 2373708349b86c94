// SPDX-License-Identifier: BSD-3-Clause
// From a load or store that cannot go on to an installed page, or to a signal. Fault path: no malloc.
#include <csignal>

#include "daxsim/mm/process.hpp"
#include "daxsim/vfs/fault.hpp"
#include "daxsim/vfs/inode.hpp"
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
  const bool by_user = flags == fault_flag::kUserFault;
  const std::uint32_t write = access == Access::write ? fault_flag::kWrite : 0;
  const auto ask = [&](unsigned size, std::uint32_t more) {
    order = size;
    FaultRequest request{.vma = area,
                         .pgoff = area.pgoff_of(address),
                         .address = address,
                         .order = size,
                         .flags = flags | write | more,
                         .task = pid_};
    return area.mapping().host().fault(request);
  };

  if (found.level == Translation::Level::page) {
    if (!found.word.is_present()) {
      return ask(0, fault_flag::kOrigPteValid);
    }
    if (!area.flags().shared) {
      return area.copy_on_write(address);
    }
    return ask(0, fault_flag::kMkwrite | fault_flag::kOrigPteValid);
  }

  const bool is_huge = found.level == Translation::Level::huge;
  if (!is_huge || area.flags().shared) {
    const FaultOutcome outcome = ask(kPmdOrder, by_user ? fault_flag::kVmaLock : 0);
    if (!outcome.has(FaultOutcome::fallback)) {
      return outcome;
    }
  }
  if (is_huge) {
    area.table().drop_huge(address);
  }
  if (by_user) {
    const FaultOutcome outcome = ask(kPmdOrder, 0);
    if (!outcome.has(FaultOutcome::fallback)) {
      return outcome;
    }
  }
  if (area.table().find(address).level == Translation::Level::huge) {
    return FaultOutcome::nopage;  // another thread's
  }
  return ask(0, 0);
}

DAXSIM_END
