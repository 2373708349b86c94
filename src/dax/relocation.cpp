// SPDX-License-Identifier: BSD-3-Clause
// Blocks move while the file is open (F12). Each step keeps one promise, and leaving it out breaks that one:
//
//   block faults     nobody brings the old place back meanwhile
//   unmap            nobody loads from the old place afterwards, or stores to it, or faults for ever because it is there
//   wait for pins    nobody's I/O goes to the old place afterwards
//   flush            what is dirty is on the media, whoever copies
//   copy, switch     the file system's
//   delete entries   no write-back is led to the old place
#include "dax/entry.hpp"
#include "dax/layout.hpp"
#include "dax/trace.hpp"
#include "daxsim/dax/dax.hpp"
#include "daxsim/device/attachment.hpp"

DAXSIM_BEGIN
namespace dax {
namespace {

// invalidate_lock, if the policy takes it: the analysis cannot follow.
class BlockedFaults {
 public:
  BlockedFaults(const Context& context, Inode& inode) noexcept
      : lock_(inode.mapping().invalidate_lock()), blocks_(context.policy.takes(Step::relocate_block_faults)) {
    block();
  }
  ~BlockedFaults() { allow(); }
  BlockedFaults(const BlockedFaults&) = delete;
  BlockedFaults& operator=(const BlockedFaults&) = delete;

  void block() noexcept DAXSIM_NO_THREAD_SAFETY_ANALYSIS {
    if (blocks_) {
      lock_.lock();
    }
  }
  void allow() noexcept DAXSIM_NO_THREAD_SAFETY_ANALYSIS {
    if (blocks_) {
      lock_.unlock();
    }
  }

 private:
  SharedMutex& lock_;
  const bool blocks_;
};

// `pages` and what shares a huge entry with them.
PageRange with_whole_entries(AddressSpace& mapping, PageRange pages) noexcept {
  XCursor cursor(mapping.pages(), pages.first);
  const MutexLock guard(cursor.lock());
  const auto is_huge = [&cursor](Pgoff page) DAXSIM_NO_THREAD_SAFETY_ANALYSIS {
    cursor.set(page);
    const Entry entry = cursor.load();
    return entry.is_value() && entry.order() != 0;
  };
  const Pgoff first = is_huge(pages.first) ? pmd_start(pages.first) : pages.first;
  const Pgoff last = pages.end() - 1;
  const Pgoff end = is_huge(last) ? pmd_start(last) + kPagesPerPmd : pages.end();
  return {first, end - first};
}

// Steps 2 and 3: the pages that nobody maps any more. Errors: Errno::eintr.
Result<PageRange> detach_users(const Context& context, Inode& inode, PageRange moved, BlockedFaults& faults) {
  for (;;) {
    const PageRange pages = with_whole_entries(inode.mapping(), moved);
    if (context.policy.takes(Step::relocate_unmap)) {
      inode.mapping().unmap_pages(pages, EvenCows::no);
    }
    BusyPage busy;
    const bool found = context.policy.takes(Step::relocate_wait_pins) && find_busy(context, inode, pages, &busy);
    emit(EventType::dax_layout_busy_page, inode, {.pgoff = pages.first, .last = pages.pages, .ret = found ? 1 : 0});
    if (!found) {
      return pages;
    }
    emit(EventType::dax_break_layouts_wait, inode, {.pgoff = busy.page});
    faults.allow();
    const Result<void> waited = busy.where.device->wait_unpinned(busy.where.page);
    faults.block();
    DAXSIM_TRY_VOID(waited);
  }
}

}  // namespace

Result<void> relocate(const Context& context, Inode& inode, PageRange pages, BlockMover& mover) {
  const Policy& policy = context.policy;
  BlockedFaults faults(context, inode);
  DAXSIM_TRY(const PageRange users, detach_users(context, inode, pages, faults));
  if (policy.takes(Step::relocate_flush)) {
    DAXSIM_TRY_VOID(writeback_range(context, inode.mapping(), {byte_of(users.first), users.pages << kPageShift}));
  }
  if (policy.takes(Step::relocate_copy)) {
    DAXSIM_TRY_VOID(mover.copy());
  }
  if (policy.takes(Step::relocate_switch)) {
    DAXSIM_TRY_VOID(mover.switch_place());
  }
  if (policy.takes(Step::relocate_delete_entries)) {
    delete_entries(context, inode, users);
  }
  return {};
}

}  // namespace dax
DAXSIM_END
