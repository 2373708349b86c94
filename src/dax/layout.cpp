// SPDX-License-Identifier: BSD-3-Clause
// Before blocks leave a file (F9): nobody maps them, nobody has them pinned, no entry names them.
#include "dax/layout.hpp"

#include <algorithm>

#include "dax/entry.hpp"
#include "dax/trace.hpp"
#include "daxsim/device/attachment.hpp"

DAXSIM_BEGIN
namespace dax {
namespace {

// Ranges "to the end of the file" come as {first, almost 2^64}: their end would wrap around.
PageRange bounded(PageRange pages) noexcept {
  return {pages.first, std::min(pages.pages, kAllPages.end() - pages.first)};
}
Pgoff last_of(PageRange pages) noexcept { return pages.end() - 1; }

// The first of these pages of an entry whose memory somebody pinned.
bool find_pinned(const Context& context, Inode& inode, const StoredEntry& entry, PageRange pages,
                 BusyPage* busy) noexcept {
  while (!pages.empty()) {
    const Result<FlushTarget> target = context.design.resolve(context.system, inode, entry, pages);
    if (!target.ok()) {
      return false;  // memory that is gone is not pinned
    }
    Pgoff pinned;
    if (target->device->find_pinned({target->page, target->pages}, &pinned)) {
      *busy = {.where = {.device = target->device, .page = pinned}, .page = pages.first + (pinned - target->page)};
      return true;
    }
    pages = {pages.first + target->pages, pages.pages - target->pages};
  }
  return false;
}

// An entry that goes although part of it stays in the file: its other pages would be forgotten, and with them that they
// are dirty.
Result<void> save_at_edge(const Context& context, Inode& inode, PageRange pages, Pgoff edge) noexcept {
  const PageRange pmd{pmd_start(edge), kPagesPerPmd};
  if (pages.clip(pmd) == pmd) {
    return {};
  }
  {
    XCursor cursor(inode.mapping().pages(), edge);
    const MutexLock guard(cursor.lock());
    const Entry entry = cursor.load();
    if (!entry.is_value() || entry.order() == 0) {
      return {};
    }
  }
  return writeback_range(context, inode.mapping(), {byte_of(edge), kPageSize});
}

}  // namespace

Result<void> save_straddling(const Context& context, Inode& inode, PageRange pages) noexcept {
  DAXSIM_TRY_VOID(save_at_edge(context, inode, pages, pages.first));
  return save_at_edge(context, inode, pages, last_of(pages));
}

// dax_layout_busy_page_range: the first page whose memory somebody pinned. Every entry is looked at while nobody owns
// it, so a pin that was under way is either seen here, or finds the page unmapped and fails (F13/74).
bool find_busy(const Context& context, Inode& inode, PageRange pages, BusyPage* busy) noexcept {
  XCursor cursor(inode.mapping().pages(), pages.first);
  const MutexLock guard(cursor.lock());
  while (!cursor.find(last_of(pages)).is_null()) {
    const Entry entry = find_unlocked(cursor, inode.mapping());
    pass_on(inode.mapping(), cursor.index(), entry);
    if (!entry.is_real()) {
      continue;
    }
    const PageRange covered{entry.order() == 0 ? cursor.index() : pmd_start(cursor.index()), entry.pages()};
    const PageRange wanted = covered.clip(pages);
    // The design may have to ask the file system. No page is mapped any more, so no new pin can come meanwhile.
    cursor.pause();
    cursor.lock().unlock();
    const bool found = find_pinned(
        context, inode, {.first = covered.first, .pages = covered.pages, .payload = entry.payload()}, wanted, busy);
    cursor.lock().lock();
    if (found) {
      return true;
    }
  }
  return false;
}

namespace {

// Unmaps the file and looks for a page that somebody pinned, as the policy says. True: there is one.
bool look_for_pins(const Context& context, Inode& inode, BusyPage* busy) noexcept {
  const Policy& policy = context.policy;
  const bool deletes = policy.break_layouts == BreakLayouts::deletes_entries;
  if (deletes || inode.mapping().is_mapped()) {
    inode.mapping().unmap_pages(kAllPages, EvenCows::no);
  }
  const bool found = policy.takes(Step::wait_for_pins) && find_busy(context, inode, kAllPages, busy);
  emit(EventType::dax_layout_busy_page, inode, {.last = kAllPages.pages, .ret = found ? 1 : 0});
  return found;
}

// dax_break_layout has found no pin: it leaves no entry, not even of pages that stay in the file.
void forget_entries(const Context& context, Inode& inode) noexcept {
  if (context.policy.break_layouts == BreakLayouts::deletes_entries) {
    delete_entries(context, inode, kAllPages, Telling::no);
  }
}

void announce(const Context& context, Inode& inode, EventType event) noexcept {
  if (context.policy.break_layouts == BreakLayouts::deletes_entries) {
    emit(event, inode, {});
  }
}

}  // namespace

Result<void> break_layouts(const Context& context, Inode& inode) {
  const Policy& policy = context.policy;
  if (!policy.takes(Step::wait_for_pins) || !policy.takes(Step::unmap_before_free)) {
    return {};
  }
  announce(context, inode, EventType::dax_break_layout);
  for (;;) {
    BusyPage busy;
    if (!look_for_pins(context, inode, &busy)) {
      forget_entries(context, inode);
      return {};
    }
    emit(EventType::dax_break_layouts_wait, inode, {.pgoff = busy.page});
    inode.mapping().invalidate_lock().unlock();
    const Result<void> waited = busy.where.device->wait_unpinned(busy.where.page);
    inode.mapping().invalidate_lock().lock();
    DAXSIM_TRY_VOID(waited);
  }
}

bool try_break_layouts(const Context& context, Inode& inode) noexcept {
  announce(context, inode, EventType::dax_break_layout);
  BusyPage busy;
  if (look_for_pins(context, inode, &busy)) {
    return false;
  }
  forget_entries(context, inode);
  return true;
}

void forget_shared(const Context& context, Inode& inode, PageRange pages) noexcept {
  delete_entries(context, inode, bounded(pages), Telling::no);
}

void evict(const Context& context, Inode& inode) noexcept {
  if (context.policy.break_layouts == BreakLayouts::waits || !inode.is_dax()) {
    delete_entries(context, inode, kAllPages);
    return;
  }
  // Whoever pins a page keeps its file.
  announce(context, inode, EventType::dax_break_layout_final);
  inode.mapping().unmap_pages(kAllPages, EvenCows::no);
  emit(EventType::dax_layout_busy_page, inode, {.last = kAllPages.pages});
  forget_entries(context, inode);
}

void clear_dirty(Inode& inode, PageRange pages) noexcept {
  XCursor cursor(inode.mapping().pages(), pages.first);
  const MutexLock guard(cursor.lock());
  while (!cursor.find(last_of(pages)).is_null()) {
    const Entry entry = find_unlocked(cursor, inode.mapping());
    if (entry.is_value()) {
      cursor.clear_mark(Mark::dirty);
      cursor.clear_mark(Mark::towrite);
    }
    pass_on(inode.mapping(), cursor.index(), entry);
  }
}

void delete_entries(const Context& context, Inode& inode, PageRange pages, Telling telling) noexcept {
  AddressSpace& mapping = inode.mapping();
  XCursor cursor(mapping.pages(), pages.first);
  const MutexLock guard(cursor.lock());
  while (!cursor.find(last_of(pages)).is_null()) {
    const Entry entry = find_unlocked(cursor, mapping);
    if (!entry.is_value()) {
      continue;  // somebody deleted it while we waited
    }
    cursor.erase();
    wake_entry(mapping, cursor.index(), entry, deletion_wake(context.policy));
    if (telling == Telling::yes) {
      emit(EventType::dax_delete_mapping_entry, inode, {.pgoff = cursor.index()});
    }
  }
}

Result<void> truncate_pages(const Context& context, Inode& inode, PageRange pages, EvenCows even_cows) {
  const Policy& policy = context.policy;
  pages = bounded(pages);
  if (pages.empty() || !policy.takes(Step::unmap_before_free)) {
    return {};
  }
  DAXSIM_TRY_VOID(save_straddling(context, inode, pages));
  inode.mapping().unmap_range(pages, even_cows);
  if (policy.takes(Step::delete_entries_before_free)) {
    delete_entries(context, inode, pages);
  }
  if (even_cows == EvenCows::yes) {
    // A private copy may have been made between the first unmapping and now.
    inode.mapping().unmap_range(pages, even_cows);
  }
  return {};
}

Result<void> invalidate_pages(const Context& context, Inode& inode, PageRange pages) {
  AddressSpace& mapping = inode.mapping();
  pages = bounded(pages);
  if (pages.empty()) {
    return {};
  }
  emit(EventType::invalidate_inode_pages2_range, inode, {.pgoff = pages.first, .last = last_of(pages).value});
  if (mapping.pages().empty()) {
    return {};
  }
  Result<void> result;
  {
    XCursor cursor(mapping.pages(), pages.first);
    const MutexLock guard(cursor.lock());
    while (!cursor.find(last_of(pages)).is_null()) {
      const Entry entry = find_unlocked(cursor, mapping);
      if (!entry.is_value()) {
        continue;
      }
      const bool dirty = cursor.marked(Mark::dirty) || cursor.marked(Mark::towrite);
      if (dirty) {
        result = Errno::ebusy;
        pass_on(mapping, cursor.index(), entry);
      } else {
        cursor.erase();
        wake_entry(mapping, cursor.index(), entry, deletion_wake(context.policy));
      }
      emit(EventType::dax_invalidate_mapping_entry_sync, inode, {.pgoff = cursor.index(), .ret = dirty ? 0 : 1});
    }
  }
  mapping.unmap_pages(pages, EvenCows::no);
  return result;
}

Result<Pin> pin_page(const Context& context, AddressSpace& mapping, Pgoff page) noexcept {
  Entry entry;
  {
    XCursor cursor(mapping.pages(), page);
    const MutexLock guard(cursor.lock());
    entry = cursor.load();
  }
  if (!entry.is_value()) {
    return Errno::eagain;
  }
  // Owned while we look at the page tables and pin: a scan for busy pages waits for us, or has unmapped the page before.
  EntryLock lock(context.policy, mapping, page, 0);
  if (lock.lock_existing(entry.without_lock()) != EntryLock::Grabbed::locked) {
    return Errno::eagain;
  }
  // The page that is mapped, whatever the index says.
  Pfn mapped;
  mapping.for_each_vma({page, 1}, [&](Vma& vma) {
    if (const PteState pte = vma.pte(page); pte.kind == PteState::Kind::memory) {
      mapped = pte.pfn;
    }
  });
  if (mapped == Pfn{} || !lock.entry().is_real()) {
    return Errno::eagain;
  }
  const MemoryMap::Place place = context.system.memory.find(mapped);
  if (place.attachment == nullptr) {
    return Errno::enxio;
  }
  const Pin pin{.device = place.attachment, .page = place.page};
  DAXSIM_TRY_VOID(pin.device->pin(pin.page));
  return pin;
}

void unpin_page(const Pin& pin) noexcept { pin.device->unpin(pin.page); }

}  // namespace dax
DAXSIM_END
