// SPDX-License-Identifier: BSD-3-Clause
#include "mm/process_area.hpp"

#include <algorithm>

#include "base/atomic_copy.hpp"
#include "daxsim/vfs/super_block.hpp"
#include "mm/insertion.hpp"

DAXSIM_BEGIN
namespace soft_mmu {

void Area::emit_insert(const Installation& what, std::uint64_t address, Writable writable) noexcept {
  const std::optional<EventType> event = insertion_event(owner_.system.mm.insertion, what, writable);
  if (!event) {
    return;
  }
  const bool is_writable = writable == Writable::yes;
  Inode& inode = mapping().host();
  owner_.system.events.emit({
      .type = *event,
      .is_private = !flags().shared,
      .dev = inode.super_block().dev(),
      .task = owner_.task,
      .flags = what.order != 0 && is_writable ? 1U : 0U,
      .ino = inode.number(),
      .address = address,
      .pgoff = what.pgoff,
      .pfn = what.zero_page ? kZeroPfn : what.memory.pfn,
  });
}

FaultOutcome Area::install(const Installation& what) noexcept {
  const std::uint64_t address = address_of(what.pgoff);
  if (what.order != 0 && (address % kPmdSize != 0 || pages().clip({what.pgoff, kPagesPerPmd}).pages != kPagesPerPmd)) {
    return FaultOutcome::fallback;
  }
  const Writable writable =
      what.writable == Writable::yes && flags().write && flags().shared ? Writable::yes : Writable::no;
  if (!what.zero_page) {
    // The access that faulted comes next; its cache and TLB misses pass while the page goes in.
    __builtin_prefetch(what.memory.kaddr, 1);
  }
  emit_insert(what, address, writable);
  const PteWord word = what.zero_page ? PteWord::zeros() : PteWord::memory(what.memory.kaddr, writable);
  const Pfn zero_pfn = what.order != 0 ? kHugeZeroPfn : kZeroPfn;

  const MutexLock guard(table_.lock());
  switch (table_.put_locked(address, what.order, word, what.zero_page ? zero_pfn : what.memory.pfn)) {
    case PageTable::Put::no_memory:
      return FaultOutcome::oom;
    case PageTable::Put::occupied:
      return FaultOutcome::fallback;
    case PageTable::Put::present:
      break;
    default:
      ++(what.order != 0 ? counts_.pmd : counts_.pte);
      break;
  }
  return FaultOutcome::nopage;
}

// `fill(page)` says whether there is still something to copy; it runs under the page_table lock.
template <class Fill>
FaultOutcome Area::put_copy(std::uint64_t address, Fill fill) noexcept {
  auto* const page = static_cast<std::byte*>(owner_.system.arena.allocate(kPageSize));
  if (page == nullptr) {
    return FaultOutcome::oom;
  }
  auto put = PageTable::Put::present;
  {
    const MutexLock guard(table_.lock());
    if (fill(page)) {
      put = table_.put_private_locked(address, page);
      if (put == PageTable::Put::installed || put == PageTable::Put::replaced) {
        ++counts_.cow;
      }
    }
  }
  switch (put) {
    case PageTable::Put::installed:
      return FaultOutcome::done_cow;
    case PageTable::Put::replaced:
      // A load of the old page must not come after a store to the new one.
      owner_.tlb.synchronize();
      return FaultOutcome::done_cow;
    default:
      owner_.system.arena.deallocate(page, kPageSize);
      return put == PageTable::Put::no_memory ? FaultOutcome::oom : FaultOutcome::nopage;
  }
}

FaultOutcome Area::install_private(Pgoff page, const std::byte* source) noexcept {
  return put_copy(address_of(page), [source](std::byte* copy) {
    if (source == nullptr) {
      std::fill_n(copy, kPageSize, std::byte{0});
    } else {
      copy_from_mapped({copy, kPageSize}, const_cast<std::byte*>(source));
    }
    return true;
  });
}

FaultOutcome Area::copy_on_write(std::uint64_t address) noexcept {
  address = round_down(address, kPageSize);
  Inode& inode = mapping().host();
  owner_.system.events.emit({
      .type = EventType::wp_page_copy,
      .is_private = true,
      .dev = inode.super_block().dev(),
      .task = owner_.task,
      .ino = inode.number(),
      .address = address,
      .pgoff = pgoff_of(address),
  });
  return put_copy(address, [this, address](std::byte* copy) {
    const Translation found = table_.find(address);
    if (found.level != Translation::Level::page || !found.word.is_present()) {
      return false;
    }
    // The entry cannot go while its lock is held, so neither can the memory.
    copy_from_mapped({copy, kPageSize}, found.word.address());
    return true;
  });
}

std::uint64_t Area::write_protect(PageRange what) noexcept {
  if (!flags().shared) {
    return 0;
  }
  const PageRange here = pages().clip(what);
  return table_.write_protect(address_of(here.first), address_of(here.first) + (here.pages << kPageShift));
}

void Area::unmap(PageRange what, EvenCows even_cows) noexcept {
  const PageRange here = pages().clip(what);
  table_.zap(address_of(here.first), address_of(here.first) + (here.pages << kPageShift), even_cows);
}

Result<std::optional<Pin>> Area::pin(std::uint64_t address, Access access) noexcept {
  const MutexLock guard(table_.lock());
  if (!table_.find(address).word.permits(access)) {
    return std::optional<Pin>();
  }
  const PteState state = state_locked(address);
  if (state.kind != PteState::Kind::memory) {
    return std::optional(Pin{});
  }
  const MemoryMap::Place place = owner_.system.memory.find(state.pfn);
  if (place.attachment != nullptr && !place.attachment->pin(place.page).ok()) {
    return Errno::efault;
  }
  return std::optional(Pin{.device = place.attachment, .page = place.page});
}

PteState Area::pte(Pgoff page) noexcept {
  if (!pages().contains(page)) {
    return {};
  }
  const MutexLock guard(table_.lock());
  return state_locked(address_of(page));
}

PteState Area::state_locked(std::uint64_t address) noexcept {
  PteState state;
  const Translation found = table_.find(address);
  if (!found.word.is_present()) {
    return state;
  }
  state.kind = found.word.is_zero_page()      ? PteState::Kind::zero_page
               : found.word.is_private_copy() ? PteState::Kind::private_copy
                                              : PteState::Kind::memory;
  state.writable = found.word.is_writable();
  state.pfn = table_.pfn_locked(address);
  if (found.level == Translation::Level::huge) {
    state.order = kPmdOrder;
    state.pfn = state.pfn + ((address >> kPageShift) & (kPagesPerPmd - 1));
  }
  return state;
}

bool Area::has_page_table(Pgoff page) noexcept {
  if (!pages().contains(page)) {
    return false;
  }
  const MutexLock guard(table_.lock());
  return table_.find(address_of(page)).level != Translation::Level::empty;
}

FaultCounts Area::fault_counts() noexcept {
  const MutexLock guard(table_.lock());
  return counts_;
}

void Area::count_sigbus() noexcept {
  const MutexLock guard(table_.lock());
  ++counts_.sigbus;
}

void Area::add_counts(const FaultCounts& counts) noexcept {
  const MutexLock guard(table_.lock());
  counts_.pte += counts.pte;
  counts_.pmd += counts.pmd;
  counts_.cow += counts.cow;
  counts_.sigbus += counts.sigbus;
}

}  // namespace soft_mmu
DAXSIM_END
