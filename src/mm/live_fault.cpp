// SPDX-License-Identifier: BSD-3-Clause
// A fault in a live mapping, from the instruction to its outcome.
//
// Which faults are tried, and their flags, are those of the recorded kernels (mm/process.hpp):
//   slot is                        tried                    and after FALLBACK
//   empty                          PMD                      PTE
//   a read-only PMD, shared        PMD, WRITE               the PMD is split; PTE
//   a read-only PMD, private       (6.1: PMD, WRITE)        the PMD is split; PTE
//   PTEs, page absent              PTE, 0x800
//   PTEs, page read-only, shared   PTE, WRITE | MKWRITE | 0x800
//   PTEs, page read-only, private  copied here; the file is not asked
#include <unistd.h>

#include <csignal>

#include "daxsim/vfs/inode.hpp"
#include "daxsim/vfs/super_block.hpp"
#include "mm/live_area.hpp"

DAXSIM_BEGIN
namespace live {
namespace {

// The CPU's error code.
constexpr std::uint32_t kProtection = 1;
constexpr std::uint32_t kWrite = 2;
constexpr std::uint32_t kUser = 4;

// Asked of the host once in each thread: a system call is a tenth of a fault.
thread_local constinit std::uint32_t number_of_this_thread __attribute__((tls_model("initial-exec"))) = 0;
std::uint32_t thread_number() noexcept {
  if (number_of_this_thread == 0) {
    number_of_this_thread = static_cast<std::uint32_t>(::gettid());
  }
  return number_of_this_thread;
}

}  // namespace

void forget_thread_number() noexcept { number_of_this_thread = 0; }

Area::Look Area::look(Pgoff page) noexcept {
  const MutexLock guard(lock_);
  const std::uint8_t value = state(page);
  return {
      .present = (value & kPresent) != 0,
      .writable = (value & kWritable) != 0,
      .huge = (value & kHuge) != 0,
      .has_table = slot(page).has_table,
  };
}

void Area::emit_fault(std::uint64_t address, Access access, const Look& found, std::uint32_t task) noexcept {
  Inode& inode = mapping().host();
  system_.events.emit({
      .type = EventType::page_fault_user,
      .is_private = !flags().shared,
      .dev = inode.super_block().dev(),
      .task = task,
      .flags = kUser | (access == Access::write ? kWrite : 0) | (found.present ? kProtection : 0),
      .ino = inode.number(),
      .address = address,
  });
}

std::optional<FaultSignal> Area::fault(std::uint64_t address, Access access, Cause cause) noexcept {
  const Pgoff page = pgoff_of(address);
  const auto task = thread_number();
  FaultRequest request{
      .vma = *this,
      .pgoff = page,
      .address = address,
      .order = kPmdOrder,
      .flags = fault_flag::kUserFault | (access == Access::write ? fault_flag::kWrite : 0),
      .task = task,
  };
  const std::uint32_t flags_at_first = request.flags;
  std::optional<FaultSignal> signal;
  for (bool first = true;; first = false) {
    const Look found = look(page);
    if (first && cause == Cause::instruction) {
      emit_fault(address, access, found, task);
    }
    if (access == Access::write && !flags().write) {
      signal = FaultSignal{.number = SIGSEGV, .code = SEGV_ACCERR, .address = address};
      break;
    }
    request.order = kPmdOrder;
    request.flags = flags_at_first;
    const FaultOutcome outcome = resolve(access, found, request);
    if (outcome.has(FaultOutcome::retry)) {
      continue;
    }
    if (outcome.resolved()) {
      return std::nullopt;
    }
    if (outcome.has(FaultOutcome::oom)) {
      signal = FaultSignal{.number = SIGBUS, .code = BUS_OBJERR, .address = address};
    } else if (outcome.has(FaultOutcome::hwpoison)) {
      signal = FaultSignal{
          .number = SIGBUS,
          .code = BUS_MCEERR_AR,
          .address = address,
          .address_lsb = kPageShift + request.order,
      };
    } else {
      signal = FaultSignal{.number = SIGBUS, .code = BUS_ADRERR, .address = address};
    }
    break;
  }
  if (cause == Cause::instruction) {
    if (signal->number == SIGBUS) {
      const MutexLock guard(lock_);
      ++counts_.sigbus;
    }
    Inode& inode = mapping().host();
    system_.events.emit({
        .type = EventType::signal_generate,
        .dev = inode.super_block().dev(),
        .task = task,
        .flags = static_cast<std::uint32_t>(signal->number),
        .ino = inode.number(),
        .address = address,
        .ret = signal->code,
    });
  }
  return signal;
}

FaultOutcome Area::resolve(Access access, const Look& found, FaultRequest& request) noexcept {
  Inode& inode = mapping().host();
  const bool writes = access == Access::write;
  const bool is_small_fault_allowed = inode.super_block().traits().vma_lock == VmaLock::yes;
  const std::uint32_t flags_without_lock = request.flags;
  std::uint32_t lock = system_.mm.vma_lock == VmaLock::yes ? fault_flag::kVmaLock : 0;
  for (Look now = found;; now = look(request.pgoff)) {
    if (now.present && (!writes || now.writable)) {
      // Somebody else was faster; or the host lost the page (it may swap out a memfd), and gets it again.
      return show_again(request.pgoff);
    }
    if (now.present && !flags().shared && !now.huge) {
      return copy_present(request.pgoff);
    }
    std::uint32_t small = flags_without_lock | lock;
    if (now.has_table) {
      small |= fault_flag::kOrigPteValid | (now.present ? fault_flag::kMkwrite : 0);
    } else {
      request.order = kPmdOrder;
      request.flags = flags_without_lock | lock;
      if (!now.huge || flags().shared || system_.mm.private_huge_store == PrivateHugeStore::asks_first) {
        if (const FaultOutcome outcome = inode.fault(request); !outcome.has(FaultOutcome::fallback)) {
          return outcome;
        }
      }
      if (now.huge) {
        system_.events.emit({.type = EventType::split_huge_pmd, .task = request.task, .address = request.address});
        unmap({request.pgoff, 1}, EvenCows::no);
      }
    }
    if (lock == 0 || is_small_fault_allowed) {
      request.order = 0;
      request.flags = small;
      return inode.fault(request);
    }
    lock = 0;
  }
}

Result<void> Area::populate(Pgoff page, Access access) noexcept {
  const Look found = look(page);
  if (found.present && (access == Access::read || found.writable)) {
    return {};
  }
  const std::optional<FaultSignal> signal = fault(address_of(page), access, Cause::populate);
  if (!signal.has_value()) {
    return {};
  }
  switch (signal->code) {
    case BUS_OBJERR:
      return Errno::enomem;
    case BUS_MCEERR_AR:
      return Errno::ehwpoison;
    default:
      return Errno::efault;
  }
}

// wp_page_copy: a store to a page of a private mapping that is there to be read. The page cannot go away meanwhile, since
// whoever takes it away needs lock_.
FaultOutcome Area::copy_present(Pgoff page) noexcept {
  system_.events.emit(
      {.type = EventType::wp_page_copy, .is_private = true, .address = address_of(page), .pgoff = page});
  const MutexLock guard(lock_);
  const std::uint8_t value = state(page);
  if ((value & kPresent) == 0) {
    return FaultOutcome::retry;
  }
  if ((value & kCopy) != 0) {
    return FaultOutcome::nopage;
  }
  return make_private(page, (value & kZero) != 0 ? nullptr : segments_.find(page)->backing.kaddr_of(page));
}

FaultOutcome Area::show_again(Pgoff page) noexcept {
  const MutexLock guard(lock_);
  const std::uint8_t value = state(page);
  const HostRange range = at({page, 1});
  Result<void> shown;
  if ((value & kPresent) == 0) {
    return FaultOutcome::retry;
  }
  if ((value & kCopy) != 0) {
    return FaultOutcome::nopage;
  }
  if ((value & kZero) != 0) {
    shown = host_.show_zeros(range);
  } else {
    shown = host_.show(range, (value & kWritable) != 0 ? Writable::yes : Writable::no, flags(),
                       segments_.find(page)->backing.kaddr_of(page));
  }
  return shown.ok() ? FaultOutcome(FaultOutcome::nopage) : refuse(shown.error());
}

}  // namespace live
DAXSIM_END
