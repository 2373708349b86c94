// SPDX-License-Identifier: BSD-3-Clause
// A fault's way (F4.2, F4.3):
//
//   fault            freeze, invalidate_lock, the MAP_SYNC commit
//   pte_fault        one page          pmd_fault        512 pages, or fallback
//   copy_for_private                   install_hole     the shared zero page
//   insert_and_install                 storage: the entry, the DIRTY mark, then the page table, all under the entry's lock
//   copy_and_install                   the same where a store wants other blocks
//   finish_sync_fault                  after the commit
//
// Every early return before EntryLock::keep() leaves the index as the fault found it.
#include <array>
#include <optional>

#include "dax/copy_on_write.hpp"
#include "dax/costs.hpp"
#include "dax/direct_access.hpp"
#include "dax/entry.hpp"
#include "dax/trace.hpp"
#include "dax/writeback.hpp"
#include "daxsim/dax/dax.hpp"
#include "daxsim/device/attachment.hpp"

DAXSIM_BEGIN
namespace dax {
namespace {

// What a MAP_SYNC fault leaves to do after the commit.
struct SyncFault {
  Entry entry;
  Installation what;
};

struct Fault {
  const Context& context;
  Inode& inode;
  FaultRequest& request;
  std::optional<SyncFault> unfinished{};

  // Writes to a private mapping reach the file for reading only.
  [[nodiscard]] Access access() const noexcept {
    return request.is_write() && !request.is_cow() ? Access::write : Access::read;
  }
  // An ordinary write fault is known to end dirty. One that has to commit first, if the file system says so, is not.
  [[nodiscard]] EntryLock::Marking marking() const noexcept {
    return access() == Access::write && !request.vma.flags().sync ? EntryLock::Marking::dirty
                                                                  : EntryLock::Marking::none;
  }
  [[nodiscard]] Pgoff first() const noexcept { return request.order == 0 ? request.pgoff : pmd_start(request.pgoff); }
  [[nodiscard]] PageRange pages() const noexcept { return {first(), std::uint64_t{1} << request.order}; }
};

bool reads_as_zeros(const FileExtent& extent) noexcept {
  return extent.kind == FileExtent::Kind::hole || extent.kind == FileExtent::Kind::unwritten;
}

// The run around the fault as the file system named it, or what it vouches for at least.
PageRange run_of(const FileExtent& extent) noexcept { return extent.extent.empty() ? extent.pages : extent.extent; }

FaultOutcome copy_for_private(Fault& fault) noexcept {
  const Pgoff page = fault.request.pgoff;
  const Result<FileExtent> extent = locate(fault.inode, fault.pages(), Access::read);
  if (!extent.ok()) {
    return FaultOutcome::from(extent.error());
  }
  if (reads_as_zeros(*extent)) {
    return fault.request.vma.install_private(page, nullptr);
  }
  if (extent->kind != FileExtent::Kind::memory) {
    return FaultOutcome::sigbus;
  }
  // Through the stack: the page table's lock may not be taken inside the device's gate, where the page stays readable.
  std::array<std::byte, kPageSize> copy;  // NOLINT(cppcoreguidelines-pro-type-member-init): filled by read()
  if (const Result<void> copied = extent->device->read(byte_of(extent->device_page), copy); !copied.ok()) {
    return FaultOutcome::from(copied.error());
  }
  return fault.request.vma.install_private(page, copy.data());
}

// dax_load_hole, dax_pmd_load_hole
FaultOutcome install_hole(Fault& fault, EntryLock& lock, const FileExtent& extent) noexcept {
  const bool huge = fault.request.order != 0;
  const Pfn zero_page = huge ? kHugeZeroPfn : kZeroPfn;
  if (!lock.entry().is_real()) {
    lock.replace(Entry::zero(zero_page.value, fault.request.order));
  }
  const bool dirty = fault.context.policy.read_fault == ReadFaultEntry::dirty;
  emit(EventType::dax_insert_entry, fault.inode, fault.request,
       {.pgoff = fault.first(), .last = fault.pages().pages, .pfn = zero_page, .flags = dirty ? 1U : 0U});
  if (dirty) {
    lock.mark_dirty();
  }

  const FaultOutcome outcome = fault.request.vma.install({
      .pgoff = fault.first(),
      .order = fault.request.order,
      .writable = Writable::no,
      .zero_page = true,
      .memory = {},
      .extent = run_of(extent),
  });
  if (outcome.resolved()) {
    lock.keep();
  }

  emit(huge ? EventType::dax_pmd_load_hole : EventType::dax_load_hole, fault.inode, fault.request,
       {.pgoff = fault.request.pgoff, .pfn = zero_page, .length = lock.entry().word(), .result = outcome.bits()});
  return outcome;
}

// Errors: those of IndexDesign::encode, Errno::eoverflow (there is no room for it).
Result<std::uint64_t> payload_of(const Fault& fault, const FileExtent& extent) noexcept {
  DAXSIM_TRY(const std::uint64_t payload, fault.context.design.encode(extent));
  if (payload > fault.context.layout.max_payload()) {
    return Errno::eoverflow;
  }
  return payload;
}

bool commits_first(const Fault& fault, const FileExtent& extent) noexcept {
  return fault.request.is_write() && fault.request.vma.flags().sync && extent.metadata_dirty &&
         fault.context.policy.takes(Step::commit_before_mapping);
}

bool ends_dirty(const Fault& fault, const FileExtent& extent) noexcept {
  return fault.request.is_write() ? !commits_first(fault, extent)
                                  : fault.context.policy.read_fault == ReadFaultEntry::dirty;
}

void tell_of_entry(const Fault& fault, const FileExtent& extent) noexcept {
  emit(EventType::dax_insert_entry, fault.inode, fault.request,
       {.pgoff = fault.first(),
        .last = fault.pages().pages,
        .pfn = extent.memory.pfn,
        .flags = ends_dirty(fault, extent) ? 1U : 0U});
}

// Brings the storage into the entry. Errors: those of payload_of.
Result<void> insert_entry(Fault& fault, EntryLock& lock, const FileExtent& extent) noexcept {
  const Entry before = lock.entry();
  const bool is_shared = extent.shared && fault.context.policy.shared_mappings == SharedMappings::taken_by_all;
  if (is_shared || (before.is_zero() && fault.context.policy.takes(Step::unmap_zero_page_on_write))) {
    fault.inode.mapping().unmap_pages(fault.pages(), EvenCows::no);
  }
  // An entry of storage stays as it is, also when it is larger than the fault.
  if (!before.is_real()) {
    DAXSIM_TRY(const std::uint64_t payload, payload_of(fault, extent));
    lock.replace(Entry::real(payload, fault.request.order));
  }
  return {};
}

// vmf_insert_mixed
FaultOutcome install(Fault& fault, EntryLock& lock, const FileExtent& extent) noexcept {
  const FaultRequest& request = fault.request;
  const bool write = request.is_write();
  const bool dirty = ends_dirty(fault, extent);
  const Installation what{
      .pgoff = fault.first(),
      .order = request.order,
      .writable = write ? Writable::yes : Writable::no,
      .memory = extent.memory,
      .extent = run_of(extent),
  };
  if (commits_first(fault, extent)) {
    fault.unfinished.emplace(SyncFault{.entry = lock.entry(), .what = what});
    lock.keep();
    return FaultOutcome::needdsync;
  }
  if (dirty && fault.marking() == EntryLock::Marking::none) {
    lock.mark_dirty();
  }
  const FaultOutcome outcome = request.vma.install(what);
  if (outcome.resolved()) {
    lock.keep();
  }
  return outcome;
}

FaultOutcome insert_and_install(Fault& fault, EntryLock& lock, const FileExtent& extent) noexcept {
  tell_of_entry(fault, extent);
  if (const Result<void> inserted = insert_entry(fault, lock, extent); !inserted.ok()) {
    return FaultOutcome::from(inserted.error());
  }
  return install(fault, lock, extent);
}

// A huge entry of shared blocks is in the way of one page that gets another block. It goes, and the access faults again.
FaultOutcome make_way(Fault& fault, EntryLock& lock) noexcept {
  const Entry huge = lock.entry();
  const PageRange pages{pmd_start(fault.first()), huge.pages()};
  fault.inode.mapping().unmap_pages(pages, EvenCows::no);
  Search search;
  const Result<void> flushed = flush_entry(fault.context, fault.inode, pages, huge.payload(), search);
  if (!flushed.ok()) {
    return FaultOutcome::from(flushed.error());
  }
  lock.forget();
  return FaultOutcome::nopage;
}

// F3 row 22. Whoever mapped the old blocks has lost them before they may be no longer the file's.
FaultOutcome copy_and_install(Fault& fault, EntryLock& lock, const FileExtent& old) noexcept {
  const FaultRequest& request = fault.request;
  const Entry before = lock.entry();
  if (before.is_real() && before.order() != request.order) {
    return make_way(fault, lock);
  }
  CopyOnWrite copy(fault.context, fault.inode, old);
  Result<void> done = copy.begin(fault.pages());
  if (done.ok()) {
    done = copy.find_memory();
  }
  const FileExtent& blocks = copy.blocks();
  if (request.order != 0 &&
      (!done.ok() || blocks.pages.pages < kPagesPerPmd || blocks.memory.pfn.value % kPagesPerPmd != 0)) {
    return FaultOutcome::fallback;
  }
  const Result<std::uint64_t> payload = done.ok() ? payload_of(fault, blocks) : done.error();
  if (!payload.ok()) {
    return FaultOutcome::from(payload.error());
  }
  tell_of_entry(fault, blocks);
  fault.inode.mapping().unmap_pages(fault.pages(), EvenCows::no);
  done = copy.begin_copying();
  if (done.ok()) {
    done = copy.copy({byte_of(fault.first()), fault.pages().pages << kPageShift});
  }
  if (done.ok()) {
    done = copy.finish();
  }
  if (!done.ok()) {
    return FaultOutcome::from(done.error());
  }
  lock.replace(Entry::real(*payload, request.order));
  // The file has the new blocks, whatever comes now.
  lock.keep();
  if (!commits_first(fault, blocks)) {
    lock.mark_copied();
  }
  return install(fault, lock, blocks);
}

// A fault on a page of which the file system has said what it is.
FaultOutcome finish_pte_fault(Fault& fault, EntryLock& lock, const FileExtent& extent) noexcept {
  if (fault.access() == Access::read && reads_as_zeros(extent)) {
    return install_hole(fault, lock, extent);
  }
  if (extent.kind != FileExtent::Kind::memory) {
    return FaultOutcome::sigbus;
  }
  if (extent.shared && fault.access() == Access::write) {
    return copy_and_install(fault, lock, extent);
  }
  const FaultOutcome outcome = insert_and_install(fault, lock, extent);
  return extent.is_new && outcome != FaultOutcome::sigbus ? outcome | FaultOutcome::major : outcome;
}

// As until 4.6: nobody owns the page while the file system is asked, so its answer may be old when it is used.
FaultOutcome pte_fault_unlocked(Fault& fault) noexcept {
  const Policy& policy = fault.context.policy;
  AddressSpace& mapping = fault.inode.mapping();
  const Entry before = mapping.pages().load(fault.request.pgoff);
  bool zeroes = false;
  if (!policy.takes(Step::zero_with_allocation) && fault.access() == Access::write) {
    const Result<FileExtent> seen = locate(fault.inode, fault.pages(), Access::read);
    zeroes = seen.ok() && reads_as_zeros(*seen);
  }
  const Result<FileExtent> extent = locate(fault.inode, fault.pages(), fault.access());
  if (!extent.ok()) {
    return FaultOutcome::from(extent.error());
  }
  if (zeroes && !extent->device->zero({byte_of(extent->device_page), kPageSize}).ok()) {
    return FaultOutcome::sigbus;
  }
  EntryLock lock(policy, mapping, fault.request.pgoff, 0);
  if (lock.grab(fault.marking()) != EntryLock::Grabbed::locked) {
    return FaultOutcome::oom;
  }
  if (reads_as_zeros(*extent) && lock.entry().is_real()) {
    return FaultOutcome::nopage;
  }
  if (!reads_as_zeros(*extent) && lock.entry().is_zero() && !before.is_zero()) {
    return FaultOutcome::sigbus;  // a hole's page is where the block should go (B6)
  }
  return finish_pte_fault(fault, lock, *extent);
}

FaultOutcome pte_fault_locked(Fault& fault) noexcept {
  Inode& inode = fault.inode;
  if (!inode.super_block().check_alive().ok() || fault.request.pgoff.value >= inode.size_in_pages()) {
    return FaultOutcome::sigbus;
  }
  if (!fault.context.policy.takes(Step::lock_entry_in_fault) && !fault.request.is_cow()) {
    return pte_fault_unlocked(fault);
  }
  EntryLock lock(fault.context.policy, inode.mapping(), fault.request.pgoff, 0);
  if (lock.grab(fault.marking()) != EntryLock::Grabbed::locked) {
    return FaultOutcome::oom;  // nothing is smaller than a page, so it was not a conflict
  }
  if (fault.request.is_cow()) {
    const FaultOutcome outcome = copy_for_private(fault);
    if (outcome.resolved()) {
      lock.keep();  // also an entry that has nothing (oracle, j16)
    }
    return outcome;
  }
  const Result<FileExtent> extent = locate(inode, fault.pages(), fault.access());
  return extent.ok() ? finish_pte_fault(fault, lock, *extent) : FaultOutcome::from(extent.error());
}

FaultOutcome pte_fault(Fault& fault) noexcept {
  const Pgoff page = fault.request.pgoff;
  emit(EventType::dax_pte_fault, fault.inode, fault.request, {.pgoff = page});
  const FaultOutcome outcome = pte_fault_locked(fault);
  emit(EventType::dax_pte_fault_done, fault.inode, fault.request, {.pgoff = page, .result = outcome.bits()});
  return outcome;
}

// What can be told from the request alone (F4.3).
bool pmd_fits(const Fault& fault) noexcept {
  const FaultRequest& request = fault.request;
  const std::uint64_t pmd_address = round_down(request.address, kPmdSize);
  const bool same_colour = request.pgoff.value % kPagesPerPmd == (request.address >> kPageShift) % kPagesPerPmd;
  return same_colour && !request.is_cow() && pmd_address >= request.vma.start() &&
         pmd_address + kPmdSize <= request.vma.end() && fault.pages().end().value <= fault.inode.size_in_pages();
}

// The blocks that are there are too few for a huge page: no device is asked.
bool is_in_pieces(const Fault& fault) noexcept {
  const Result<FileExtent> blocks = fault.inode.report_blocks(fault.pages());
  const bool may_grow = fault.access() == Access::write && blocks.ok() && blocks->kind != FileExtent::Kind::memory;
  return blocks.ok() && !may_grow && blocks->pages.pages < kPagesPerPmd;
}

FaultOutcome pmd_fault_locked(Fault& fault) noexcept {
  Inode& inode = fault.inode;
  Vma& vma = fault.request.vma;
  if (!inode.super_block().check_alive().ok() || fault.first().value >= inode.size_in_pages()) {
    return FaultOutcome::sigbus;
  }
  if (!pmd_fits(fault)) {
    return FaultOutcome::fallback;
  }
  EntryLock lock(fault.context.policy, inode.mapping(), fault.first(), kPmdOrder);
  switch (lock.grab(fault.marking())) {
    case EntryLock::Grabbed::locked:
      break;
    case EntryLock::Grabbed::no_memory:
      return FaultOutcome::oom;
    default:
      return FaultOutcome::fallback;  // pages of it are in the index one by one
  }
  if (vma.has_page_table(fault.first()) && vma.pte(fault.first()).order != kPmdOrder) {
    return FaultOutcome::nopage;  // somebody else faulted a page of it meanwhile: the next try is a PTE fault
  }
  // From here on the PTE fault that follows a fallback reports the true error.
  const Access access = fault.access();
  if (is_in_pieces(fault)) {
    return FaultOutcome::fallback;
  }
  const Result<FileExtent> extent = locate(inode, fault.pages(), access);
  if (!extent.ok() || extent->pages.pages < kPagesPerPmd) {
    return FaultOutcome::fallback;
  }
  if (access == Access::read && reads_as_zeros(*extent)) {
    return install_hole(fault, lock, *extent);
  }
  if (extent->kind != FileExtent::Kind::memory || extent->memory.pfn.value % kPagesPerPmd != 0) {
    return FaultOutcome::fallback;
  }
  return extent->shared && access == Access::write ? copy_and_install(fault, lock, *extent)
                                                   : insert_and_install(fault, lock, *extent);
}

FaultOutcome pmd_fault(Fault& fault) noexcept {
  Details details{.pgoff = fault.request.pgoff,
                  .last = fault.inode.size_in_pages(),
                  .vm_start = fault.request.vma.start(),
                  .vm_end = fault.request.vma.end()};
  emit(EventType::dax_pmd_fault, fault.inode, fault.request, details);
  const FaultOutcome outcome = pmd_fault_locked(fault);
  Vma& vma = fault.request.vma;
  if (outcome.has(FaultOutcome::fallback) && vma.has_page_table(fault.first()) &&
      vma.pte(fault.first()).order == kPmdOrder) {
    // The huge page is in the way of the small ones that come next. (of a file, splitting only drops it)
    emit(EventType::split_huge_pmd, fault.inode, fault.request, {.pgoff = fault.first()});
    vma.unmap(fault.pages(), EvenCows::no);
  }
  details.result = outcome.bits();
  emit(EventType::dax_pmd_fault_done, fault.inode, fault.request, details);
  return outcome;
}

// dax_insert_pfn_mkwrite. Between the fault and now, with no lock held, a truncate or a removal may have come by.
FaultOutcome install_committed(Fault& fault) noexcept {
  Inode& inode = fault.inode;
  const SharedLock guard(inode.mapping().invalidate_lock());
  if (!inode.super_block().check_alive().ok()) {
    return FaultOutcome::sigbus;
  }
  EntryLock lock(fault.context.policy, inode.mapping(), fault.first(), fault.request.order);
  const bool same_size = fault.unfinished->entry.order() == fault.request.order;
  if (!same_size || lock.lock_existing(fault.unfinished->entry) != EntryLock::Grabbed::locked) {
    if (!fault.context.policy.takes(Step::find_entry_after_commit)) {
      return fault.request.vma.install(fault.unfinished->what);
    }
    emit(EventType::dax_insert_pfn_mkwrite_no_entry, inode, fault.request,
         {.pgoff = fault.request.pgoff, .result = FaultOutcome::nopage});
    return FaultOutcome::nopage;
  }
  lock.mark_dirty();
  const FaultOutcome outcome = fault.request.vma.install(fault.unfinished->what);
  if (outcome.resolved()) {
    lock.keep();
  }
  emit(EventType::dax_insert_pfn_mkwrite, inode, fault.request,
       {.pgoff = fault.request.pgoff, .result = outcome.bits()});
  return outcome;
}

FaultOutcome finish_sync_fault(Fault& fault) noexcept {
  emit(EventType::dax_finish_sync_fault, fault.inode, fault.request,
       {.pgoff = fault.first(), .last = fault.pages().pages});
  const ByteRange bytes{byte_of(fault.first()), fault.pages().pages << kPageShift};
  if (!fault.inode.fsync_range(bytes, Datasync::yes).ok()) {
    return FaultOutcome::sigbus;
  }
  return install_committed(fault);
}

FaultOutcome fault_thawed(const Context& context, Inode& inode, FaultRequest& request) noexcept {
  Fault fault{.context = context, .inode = inode, .request = request};
  FaultOutcome outcome = FaultOutcome::nopage;
  {
    const SharedLock guard(inode.mapping().invalidate_lock());
    outcome = request.order == 0 ? pte_fault(fault) : pmd_fault(fault);
  }
  if (outcome.has(FaultOutcome::needdsync)) {
    outcome = finish_sync_fault(fault);
  }
  return outcome;
}

}  // namespace

FaultOutcome fault(const Context& context, Inode& inode, FaultRequest& request) noexcept {
  context.system.clock.advance(costs::kFault);
  if (!request.is_write() || request.is_cow()) {
    return fault_thawed(context, inode, request);
  }
  const SharedLock thawed(inode.super_block().freeze_lock());
  return fault_thawed(context, inode, request);
}

}  // namespace dax
DAXSIM_END
