// SPDX-License-Identifier: BSD-3-Clause
// dax_writeback_mapping_range (F5.3): what was DIRTY when the call began is on the media when it returns, whoever flushed
// it. The marks of one entry:
//
//   DIRTY                     stored to since the last flush
//   DIRTY TOWRITE             in the snapshot of some call
//   DIRTY WRITEBACK, locked   that call is flushing it
//   none                      clean
//
// TOWRITE bounds the call: a thread that keeps dirtying cannot keep it busy. WRITEBACK is ours: a second call may find
// its snapshot taken over by the first, and must not return before the first has flushed (F13/33; Linux leaves a window).
#include "dax/writeback.hpp"

#include <algorithm>
#include <cassert>

#include "dax/costs.hpp"
#include "dax/entry.hpp"
#include "dax/trace.hpp"
#include "daxsim/dax/dax.hpp"
#include "daxsim/device/attachment.hpp"

DAXSIM_BEGIN
namespace dax {
namespace {

struct Writeback {
  const Context& context;
  AddressSpace& mapping;

  [[nodiscard]] Inode& inode() const noexcept { return mapping.host(); }
};

// The next store to these pages faults, and waits for us.
void write_protect(const Writeback& call, PageRange pages) noexcept {
  const Policy& policy = call.context.policy;
  const SmallPages small = policy.takes(Step::write_protect_small_pages) ? SmallPages::all : SmallPages::first;
  switch (policy.write_protect) {
    case WriteProtect::none:
      break;
    case WriteProtect::pte:
      call.mapping.write_protect(pages, PmdMappings::leave, small);
      break;
    case WriteProtect::pte_and_pmd:
      call.mapping.write_protect(pages, PmdMappings::protect, small);
      break;
  }
}

}  // namespace

Result<void> flush_entry(const Context& context, Inode& inode, PageRange pages, std::uint64_t payload,
                         Search& search) noexcept {
  if (!context.policy.takes(Step::flush)) {
    return {};
  }
  const StoredEntry entry{.first = pages.first, .pages = pages.pages, .payload = payload};
  for (PageRange rest = pages; !rest.empty();) {
    const Result<FlushTarget> target = context.design.resolve(context.system, inode, entry, rest);
    if (!target.ok()) {
      if (target.error() == Errno::efault) {
        // Nothing lies where the flush goes: not the device's event, since there is no device.
        emit(EventType::dax_flush, inode,
             {.length = rest.pages << kPageShift, .ret = -static_cast<std::int64_t>(Errno::efault)});
      }
      return target.error();
    }
    search.lookups += target->lookups;
    search.locks += target->locks;
    const ByteRange bytes{byte_of(target->page), target->pages << kPageShift};
    if (target->device->capabilities().write_cache) {
      context.system.clock.advance(costs::per_line(costs::kFlushLine, bytes.length));
    }
    DAXSIM_TRY_VOID(target->device->flush(bytes));
    rest = {rest.first + target->pages, rest.pages - target->pages};
  }
  return context.policy.takes(Step::make_copies) ? inode.written_back(pages) : Result<void>();
}

namespace {

// Of a hole that was read, where that makes it dirty (6.1): flushes the memory of the zero page, which is no device's.
void flush_zero_page(const Writeback& call, PageRange pages) noexcept {
  emit(EventType::dax_flush, call.inode(),
       {.pfn = pages.pages == 1 ? kZeroPfn : kHugeZeroPfn, .length = pages.pages << kPageShift});
}

// One entry that the cursor has just found with TOWRITE. Drops the index's lock and takes it again. The order matters
// (B2, B7): locked from before TOWRITE is cleared until after DIRTY is; write-protected before the flush.
Result<void> write_entry(const Writeback& call, XCursor& cursor, Entry sampled) noexcept
    DAXSIM_REQUIRES(cursor.lock()) {
  Entry entry = sampled;
  if (entry.locked()) {
    entry = find_unlocked(cursor, call.mapping);
    if (!entry.is_value()) {
      return {};  // truncated
    }
    // While it was owned, a fault may have brought the storage.
    const bool moved = sampled.is_real() && !call.context.design.still_valid(sampled.payload(), entry.payload());
    if (moved || !cursor.marked(Mark::towrite)) {
      pass_on(call.mapping, cursor.index(), entry);
      return {};  // other storage now, or another call has flushed it
    }
  }
  const bool is_hole = entry.is_zero() && call.context.policy.read_fault == ReadFaultEntry::dirty;
  if (!entry.is_real() && !is_hole) {
    // DIRTY without storage: the index is damaged.
    call.mapping.errors().record(Errno::eio);
    pass_on(call.mapping, cursor.index(), entry);
    return Errno::eio;
  }
  const PageRange pages{entry.order() == 0 ? cursor.index() : pmd_start(cursor.index()), entry.pages()};
  const bool locks = call.context.policy.takes(Step::lock_entry_in_writeback);
  [[maybe_unused]] const Result<void> locked = cursor.store(locks ? entry.with_lock() : entry);
  assert(locked.ok() && "replacing a word needs no memory");
  cursor.clear_mark(Mark::towrite);
  cursor.set_mark(Mark::writeback);
  cursor.pause();
  cursor.lock().unlock();
  lock_order::acquired(LockRank::entry);

  write_protect(call, pages);
  Search search;
  Result<void> flushed;
  if (is_hole) {
    flush_zero_page(call, pages);
  } else {
    flushed = flush_entry(call.context, call.inode(), pages, entry.payload(), search);
  }
  const bool cleans = flushed.ok() && call.context.policy.clear_dirty == ClearDirty::after_flush;
  if (flushed.ok()) {
    // While the entry is still ours, so that an observer sees just what this write-back leaves behind.
    emit(EventType::dax_writeback_one, call.inode(),
         {.pgoff = pages.first,
          .last = pages.pages,
          .length = search.lookups,
          .flags = cleans ? 1U : 0U,
          .result = search.locks,
          .object = &call.mapping});
  } else {
    // Before the unlock, so that whoever waits for this flush hears of it.
    call.mapping.errors().record(flushed.error());
  }

  lock_order::released(LockRank::entry);
  cursor.lock().lock();
  if (locks) {
    [[maybe_unused]] const Result<void> unlocked = cursor.store(entry);
    assert(unlocked.ok() && "replacing a word needs no memory");
  }
  cursor.clear_mark(Mark::writeback);
  if (cleans) {
    cursor.clear_mark(Mark::dirty);
  }
  wake_entry(call.mapping, pages.first, entry, Wake::next);
  return flushed;
}

// tag_pages_for_writeback; how many entries are dirty.
std::uint64_t take_snapshot(XArray& index, Pgoff first, Pgoff last) noexcept {
  XCursor cursor(index, first);
  const MutexLock guard(cursor.lock());
  std::uint64_t dirty = 0;
  for (;;) {
    const std::uint64_t batch = cursor.tag_range(last, Mark::dirty, Mark::towrite, kTagBatch);
    dirty += batch;
    if (batch < kTagBatch) {
      return dirty;
    }
    cursor.pause();
    cursor.lock().unlock();
    cursor.lock().lock();
  }
}

// Waits for flushes of other calls that are under way. Visits each page once, so it ends.
void wait_for_others(const Writeback& call, Pgoff first, Pgoff last) noexcept {
  XCursor cursor(call.mapping.pages(), first);
  const MutexLock guard(cursor.lock());
  while (!cursor.find_marked(last, Mark::writeback).is_null()) {
    pass_on(call.mapping, cursor.index(), find_unlocked(cursor, call.mapping));
  }
}

// Where the kernel's cursor stands when nothing more is found in [.., last]: at the end of the first node on its way up,
// from the last entry visited, that reaches beyond the range, or of the root. The trace events show it.
Pgoff where_the_walk_ends(XCursor& cursor, Pgoff first, Pgoff last, Entry visited) noexcept
    DAXSIM_REQUIRES(cursor.lock()) {
  constexpr unsigned kNodeShift = 6;
  const Pgoff at = visited.is_null() ? first : cursor.index();
  // A root is as tall as the highest entry needs; a lone entry at 0 needs none.
  unsigned root = 0;
  const auto lies_beyond = [&cursor](unsigned shift) DAXSIM_NO_THREAD_SAFETY_ANALYSIS {
    cursor.set({std::uint64_t{1} << shift});
    return !cursor.find(kAllPages.end()).is_null();
  };
  while (root < 60 && lies_beyond(root)) {
    root += kNodeShift;
  }
  if (visited.is_null()) {
    return std::max(first, Pgoff{std::uint64_t{1} << root});
  }
  unsigned level = visited.order() == 0 ? kNodeShift : 2 * kNodeShift;
  Pgoff end{round_up(at.value + 1, std::uint64_t{1} << level)};
  while (level < root && end <= last) {
    level += kNodeShift;
    end = {round_up(at.value + 1, std::uint64_t{1} << level)};
  }
  return root == 0 ? Pgoff{1} : end;
}

}  // namespace

Result<void> writeback_range(const Context& context, AddressSpace& mapping, ByteRange bytes) noexcept {
  XArray& index = mapping.pages();
  const Policy& policy = context.policy;
  if (bytes.length == 0 || !index.marked(Mark::dirty) || !policy.takes(Step::count_entries)) {
    return {};
  }
  const Writeback call{.context = context, .mapping = mapping};
  const Pgoff first = page_of(bytes.offset);
  const Pgoff last = page_of(last_byte(bytes));
  Details details{.pgoff = first, .last = last.value, .length = take_snapshot(index, first, last)};
  emit(EventType::dax_writeback_range, call.inode(), details);

  Result<void> result;
  lock_order::acquiring(LockRank::entry);
  {
    XCursor cursor(index, first);
    const MutexLock guard(cursor.lock());
    Entry visited;
    while (result.ok()) {
      const Entry entry = cursor.find_marked(last, Mark::towrite);
      if (entry.is_null()) {
        break;
      }
      if (cursor.found_index() < first && !policy.takes(Step::find_pmd_from_its_middle)) {
        continue;
      }
      visited = entry;
      result = write_entry(call, cursor, entry);
      if (!policy.takes(Step::advance_writeback)) {
        cursor.set(first);
      }
    }
    details.pgoff = result.ok() ? where_the_walk_ends(cursor, first, last, visited) : cursor.index();
  }
  if (index.marked(Mark::writeback)) {
    wait_for_others(call, first, last);
  }

  details.ret = result.ok() ? 0 : -static_cast<std::int64_t>(result.error());
  emit(EventType::dax_writeback_range_done, call.inode(), details);
  return result;
}

}  // namespace dax
DAXSIM_END
