// SPDX-License-Identifier: BSD-3-Clause
#include "daxsim/detect/findings.hpp"

#include <algorithm>
#include <atomic>
#include <optional>

#include "daxsim/device/attachment.hpp"
#include "daxsim/index/xarray.hpp"
#include "daxsim/vfs/address_space.hpp"
#include "daxsim/vfs/inode.hpp"
#include "daxsim/vfs/super_block.hpp"

DAXSIM_BEGIN
namespace {

constexpr std::size_t kWatched = 64;

// Of the fsync that this thread is in: the devices (by minor number modulo 64) with lines that were flushed and that no
// fence has ordered yet.
thread_local constinit std::uint64_t unfenced __attribute__((tls_model("initial-exec"))) = 0;
std::uint64_t device_bit(const Event& event) noexcept { return std::uint64_t{1} << minor_of(event.dev) % 64; }

// Of the entry that this thread writes back: the memory that was flushed.
struct Flushed {
  struct Run {
    Pfn first;
    std::uint64_t pages = 0;
  };
  std::array<Run, 8> runs{};
  std::size_t count = 0;  // may be more than there is room for: then nobody can tell

  void add(const Event& event) noexcept {
    if (count < runs.size()) {
      runs[count] = {event.pfn, pages_for(event.length)};
    }
    ++count;
  }
  [[nodiscard]] bool contains(Pfn page) const noexcept {
    return std::any_of(runs.begin(), runs.begin() + static_cast<std::ptrdiff_t>(count),
                       [page](const Run& run) { return run.first <= page && page < run.first + run.pages; });
  }
};
thread_local constinit Flushed flushed __attribute__((tls_model("initial-exec")));

// Of the write-back that this thread is in: how far it is. Others may hand it more to do ahead of it, which ends with the
// file; behind it there is no end.
struct Walk {
  static constexpr std::uint64_t kSlack = 15;  // entries: a pagevec of that time

  std::uint64_t dirty_when_it_began = 0;
  std::uint64_t visited = 0;
  Pgoff furthest{};
  bool came_back = false;
  bool told = false;

  // True once: when it has become clear that the walk has no end of its own.
  bool visit(Pgoff page) noexcept {
    came_back |= visited != 0 && page <= furthest;
    furthest = std::max(furthest, page);
    ++visited;
    const bool tells = !told && came_back && visited > dirty_when_it_began + kSlack;
    told |= tells;
    return tells;
  }
};
thread_local constinit Walk walk __attribute__((tls_model("initial-exec")));

// A page that is mapped is where the CPU's stores went; for one that is not, the file system knows.
struct RealPlace {
  Pfn first{};
  std::uint64_t pages = 1;  // contiguous from there
  bool known = false;
};
RealPlace real_place(AddressSpace& mapping, PageRange pages) noexcept {
  RealPlace place;
  mapping.for_each_vma({pages.first, 1}, [&](Vma& vma) {
    const PteState pte = vma.pte(pages.first);
    if (pte.kind == PteState::Kind::memory) {
      const std::uint64_t mapped = std::uint64_t{1} << pte.order;
      place = {.first = pte.pfn, .pages = mapped - pages.first.value % mapped, .known = true};
    }
  });
  if (!place.known) {
    const EventStream::LookingAround quiet;
    const Result<FileExtent> extent = mapping.host().direct_access(pages, Access::read);
    if (extent.ok() && extent->kind == FileExtent::Kind::memory) {
      place = {.first = extent->memory.pfn, .pages = extent->pages.pages, .known = true};
    }
  }
  return place;
}

// What the file system says of the pages at this place: whether they are there in blocks that other files have too, and
// for how many that is the answer.
struct Sharing {
  bool shared = false;
  std::uint64_t pages = 0;
};
Sharing sharing_of(Inode& inode, PageRange pages, Pfn place) noexcept {
  const EventStream::LookingAround quiet;
  const Result<FileExtent> extent = inode.direct_access(pages, Access::read);
  if (!extent.ok() || extent->kind != FileExtent::Kind::memory || extent->memory.pfn != place) {
    return {.pages = pages.pages};
  }
  return {.shared = extent->shared, .pages = std::min(extent->pages.pages, pages.pages)};
}

bool any_writable(AddressSpace& mapping, PageRange pages) noexcept {
  bool writable = false;
  mapping.for_each_vma(pages, [&](Vma& vma) {
    const PageRange here = pages.clip(vma.pages());
    for (Pgoff page = here.first; page < here.end() && !writable;) {
      const PteState pte = vma.pte(page);
      writable = pte.kind == PteState::Kind::memory && pte.writable && vma.flags().shared;
      page = page + (std::uint64_t{1} << pte.order);
    }
  });
  return writable;
}

struct EntryState {
  Entry entry;
  Pgoff first;
  bool dirty = false;
};

EntryState entry_at(AddressSpace& mapping, Pgoff page) noexcept {
  XCursor cursor(mapping.pages(), page);
  const MutexLock guard(cursor.lock());
  const Entry entry = cursor.load();
  if (entry.is_null()) {
    return {};
  }
  return {entry, cursor.found_index(), cursor.marked(Mark::dirty) || cursor.marked(Mark::towrite)};
}

bool clean_storage(const EntryState& state) noexcept {
  return state.entry.is_value() && state.entry.is_real() && !state.entry.locked() && !state.dirty;
}

// A page is made writable only after its entry is marked dirty, and an entry is cleaned only after its pages are made
// read-only. So "writable, then clean", twice in a row with nothing between but a whole write-back and a new fault each
// time, is a page that write-back forgot.
bool writable_under_clean_entry(AddressSpace& mapping, PageRange pages) noexcept {
  for (int look = 0; look < 3; ++look) {
    if (!any_writable(mapping, pages) || !clean_storage(entry_at(mapping, pages.first))) {
      return false;
    }
  }
  return true;
}

// Of a page of an extent that has a copy. Memory that is bad cannot be compared.
bool differ(const FileExtent& extent, std::uint64_t behind) noexcept {
  std::array<std::byte, kPageSize> page;
  std::array<std::byte, kPageSize> copy;
  return extent.device->read(byte_of(extent.device_page + behind), page).ok() &&
         extent.copy_device->read(byte_of(extent.copy_page + behind), copy).ok() && page != copy;
}

}  // namespace

std::string_view finding_name(FindingKind kind) noexcept {
  static constexpr std::array<std::string_view, kFindingKinds> kNames{"clean entry with a writable PTE",
                                                                      "missing fence",
                                                                      "lost store",
                                                                      "dirty entry without storage",
                                                                      "flush of dead memory",
                                                                      "stale mapping",
                                                                      "wrong-device flush",
                                                                      "unbounded sync",
                                                                      "frame of two files",
                                                                      "mirror divergence",
                                                                      "lost wake-up",
                                                                      "status read as data"};
  return kNames[static_cast<unsigned>(kind)];
}

struct Detectors::State {
  // This kernel marks entries of holes dirty that were only read (6.1).
  std::atomic<bool> holes_are_dirty{false};
  mutable Mutex lock{LockRank::events};
  std::array<Finding, kMostFindings> kept DAXSIM_GUARDED_BY(lock) = {};
  std::size_t kept_count DAXSIM_GUARDED_BY(lock) = 0;
  std::array<std::uint64_t, kFindingKinds> counts DAXSIM_GUARDED_BY(lock) = {};

  mutable Mutex watched_lock{LockRank::name_space};
  std::array<SuperBlock*, kWatched> watched DAXSIM_GUARDED_BY(watched_lock) = {};
};

// Frames behind one entry of storage, contiguous.
struct Detectors::FrameUse {
  Pfn first;
  std::uint64_t pages = 0;
  std::shared_ptr<Inode> inode;
  Pgoff page;           // of the file
  bool shared = false;  // the file has these blocks, and so have others

  [[nodiscard]] Pfn end() const noexcept { return first + pages; }
  [[nodiscard]] bool is_still_so() const {
    const ExclusiveLock no_writers(inode->i_rwsem());
    const Entry entry = entry_at(inode->mapping(), page).entry;
    const RealPlace place = real_place(inode->mapping(), {page, 1});
    return entry.is_value() && entry.is_real() && place.known && place.first == first &&
           sharing_of(*inode, {page, pages}, first).shared == shared;
  }
};

Detectors::Detectors(EventStream& events) : events_(events), state_(std::make_unique<State>()) {
  // The first observer of a new stream always finds room.
  [[maybe_unused]] const Result<void> added = events_.add(*this);
}

Detectors::~Detectors() { events_.remove(*this); }

Result<void> Detectors::watch(SuperBlock& super_block) noexcept {
  const MutexLock guard(state_->watched_lock);
  const auto free = std::ranges::find(state_->watched, nullptr);
  if (free == state_->watched.end()) {
    return Errno::enospc;
  }
  *free = &super_block;
  return {};
}

void Detectors::forget(SuperBlock& super_block) noexcept {
  const MutexLock guard(state_->watched_lock);
  std::ranges::replace(state_->watched, &super_block, nullptr);
}

std::vector<Finding> Detectors::findings() const {
  std::vector<Finding> found;
  found.reserve(kMostFindings);
  const MutexLock guard(state_->lock);
  found.assign(state_->kept.begin(), state_->kept.begin() + static_cast<std::ptrdiff_t>(state_->kept_count));
  return found;
}

std::uint64_t Detectors::count(FindingKind kind) const noexcept {
  const MutexLock guard(state_->lock);
  return state_->counts[static_cast<unsigned>(kind)];
}

void Detectors::report(FindingKind kind, const Event& seen, std::uint64_t ino, Pgoff page) noexcept {
  {
    const MutexLock guard(state_->lock);
    ++state_->counts[static_cast<unsigned>(kind)];
    if (state_->kept_count < kMostFindings) {
      state_->kept[state_->kept_count++] = {.kind = kind, .dev = seen.dev, .ino = ino, .page = page, .event = seen.id};
    }
  }
  events_.emit({.type = EventType::finding,
                .dev = seen.dev,
                .flags = static_cast<std::uint32_t>(kind),
                .ino = ino,
                .pgoff = page});
}

void Detectors::on_event(const Event& event) noexcept {
  switch (event.type) {
    case EventType::fsync_start:
      unfenced = 0;
      break;
    case EventType::dax_insert_entry:
      if (event.flags != 0 && (event.pfn == kZeroPfn || event.pfn == kHugeZeroPfn)) {
        state_->holes_are_dirty.store(true, std::memory_order_relaxed);
      }
      break;
    case EventType::dax_writeback_range:
      flushed.count = 0;
      walk = {.dirty_when_it_began = event.length};
      break;
    case EventType::dax_flush:
      if (event.ret != 0) {
        report(FindingKind::flush_of_dead_memory, event, 0, {});
      } else {
        unfenced |= device_bit(event);
        flushed.add(event);
      }
      break;
    case EventType::blkdev_issue_flush:
      if (event.ret == 0) {
        unfenced &= ~device_bit(event);
      }
      break;
    case EventType::fsync_done:
      if (event.ret == 0 && unfenced != 0) {
        report(FindingKind::missing_fence, event, event.ino, event.pgoff);
      }
      break;
    case EventType::dax_writeback_one:
      check_written_back(event);
      check_flushed(event);
      check_walk(event);
      flushed.count = 0;
      break;
    case EventType::memunmap_pages:
      check_unmapped(event);
      break;
    case EventType::dax_direct_access:
      if (event.flags != 0) {
        report(FindingKind::status_read_as_data, event, 0, event.pgoff);
      }
      break;
    default:
      break;
  }
}

// The emitter still owns the entry, so no fault can make a page writable meanwhile.
void Detectors::check_written_back(const Event& event) noexcept {
  constexpr std::uint32_t kWillBeClean = 1;
  if (event.flags != kWillBeClean) {
    return;
  }
  auto& mapping = *static_cast<AddressSpace*>(const_cast<void*>(event.object));
  if (any_writable(mapping, {event.pgoff, event.last})) {
    report(FindingKind::clean_entry_with_writable_pte, event, event.ino, event.pgoff);
  }
}

void Detectors::check_flushed(const Event& event) noexcept {
  if (flushed.count == 0 || flushed.count > flushed.runs.size()) {
    return;
  }
  auto& mapping = *static_cast<AddressSpace*>(const_cast<void*>(event.object));
  for (PageRange rest{event.pgoff, event.last}; !rest.empty();) {
    const RealPlace place = real_place(mapping, rest);
    const std::uint64_t pages = std::min(place.pages, rest.pages);
    for (std::uint64_t behind = 0; place.known && behind < pages; ++behind) {
      if (!flushed.contains(place.first + behind)) {
        return report(FindingKind::wrong_device_flush, event, event.ino, rest.first + behind);
      }
    }
    rest = {rest.first + pages, rest.pages - pages};
  }
}

void Detectors::check_walk(const Event& event) noexcept {
  if (walk.visit(event.pgoff)) {
    report(FindingKind::unbounded_sync, event, event.ino, event.pgoff);
  }
}

// No PTE may name a page of a device whose memory is given back.
void Detectors::check_unmapped(const Event& event) noexcept {
  const auto& device = *static_cast<const Attachment*>(event.object);
  const Pfn first = device.first_pfn();
  const Pfn end = first + device.pages();
  const MutexLock guard(state_->watched_lock);
  for (SuperBlock* super_block : state_->watched) {
    if (super_block == nullptr) {
      continue;
    }
    for (const std::shared_ptr<Inode>& inode : super_block->inodes_in_core()) {
      std::optional<Pgoff> stale;
      inode->mapping().for_each_vma(kAllPages, [&](Vma& vma) {
        for (Pgoff page = vma.pages().first; page < vma.pages().end() && !stale;) {
          if (!vma.has_page_table(page)) {
            page = pmd_start(page) + kPagesPerPmd;
            continue;
          }
          const PteState pte = vma.pte(page);
          if (pte.kind == PteState::Kind::memory && pte.pfn >= first && pte.pfn < end) {
            stale = page;
          }
          page = page + 1;
        }
      });
      if (stale) {
        report(FindingKind::stale_mapping, event, inode->number(), *stale);
      }
    }
  }
}

void Detectors::audit() {
  std::array<SuperBlock*, kWatched> watched{};
  {
    const MutexLock guard(state_->watched_lock);
    watched = state_->watched;
  }
  Frames frames;
  for (SuperBlock* super_block : watched) {
    if (super_block == nullptr) {
      continue;
    }
    for (const std::shared_ptr<Inode>& inode : super_block->inodes_in_core()) {
      audit_file(*super_block, inode, frames);
    }
  }
  check_frames(frames);
}

// Of files that share blocks each says so itself, of the block that is behind its entry.
void Detectors::check_frames(Frames& frames) {
  std::ranges::sort(frames, [](const FrameUse& one, const FrameUse& other) {
    return std::pair(one.first, one.inode->number()) < std::pair(other.first, other.inode->number());
  });
  const FrameUse* before = nullptr;  // the use that reaches furthest, of those that begin no later
  for (const FrameUse& use : frames) {
    const bool overlaps =
        before != nullptr && use.first < before->end() && use.inode != before->inode && !(use.shared && before->shared);
    // Looked at again: a file may have lost the frame, and the other one got it, while they were looked at in turn.
    if (overlaps && before->is_still_so() && use.is_still_so()) {
      const Event here{.dev = use.inode->super_block().dev(), .id = events_.next_id()};
      report(FindingKind::frame_of_two_files, here, use.inode->number(), use.page);
    }
    if (before == nullptr || before->end() < use.end()) {
      before = &use;
    }
  }
}

// Whoever unlocks, deletes or passes an entry on wakes before the index's lock is dropped (dax/entry.hpp, I3), so what is
// seen under it is no moment between two steps.
bool Detectors::audit_waiters(SuperBlock& super_block, Inode& inode) noexcept {
  AddressSpace& mapping = inode.mapping();
  bool lost = false;
  for (auto index = next_asleep(&mapping, 0); index; index = next_asleep(&mapping, *index + 1)) {
    XCursor cursor(mapping.pages(), Pgoff{*index});
    const MutexLock guard(cursor.lock());
    const WaitersSeen waiters = waiters_for({&mapping, *index});
    const Entry entry = cursor.load();
    // An entry of another size has its waiters elsewhere.
    const bool has_owner = entry.is_value() && entry.locked() && cursor.found_index() == Pgoff{*index};
    if (waiters.asleep != 0 && waiters.woken == 0 && !has_owner) {
      report(FindingKind::lost_wake_up, {.dev = super_block.dev(), .id = events_.next_id()}, inode.number(), {*index});
      lost = true;
    }
  }
  return lost;
}

// Faults wait meanwhile, so what is clean stays clean, and nobody stores to it.
void Detectors::audit_copies(SuperBlock& super_block, Inode& inode) {
  AddressSpace& mapping = inode.mapping();
  const EventStream::LookingAround quiet;
  for (PageRange rest{{0}, inode.size_in_pages()}; !rest.empty();) {
    if (const auto here = inode.direct_access(rest, Access::read); !here.ok() || here->copy_device == nullptr) {
      const std::uint64_t pages = here.ok() ? here->pages.pages : rest.pages;
      rest = {rest.first + pages, rest.pages - pages};
      continue;
    }
    const ExclusiveLock no_faults(mapping.invalidate_lock());
    const auto extent = inode.direct_access(rest, Access::read);
    if (!extent.ok() || extent->copy_device == nullptr) {
      continue;  // it has moved
    }
    for (std::uint64_t behind = 0; behind < extent->pages.pages; ++behind) {
      const EntryState state = entry_at(mapping, rest.first + behind);
      const bool is_clean = state.entry.is_null() || clean_storage(state);
      if (is_clean && differ(*extent, behind)) {
        report(FindingKind::mirror_divergence, {.dev = super_block.dev(), .id = events_.next_id()}, inode.number(),
               rest.first + behind);
      }
    }
    rest = {rest.first + extent->pages.pages, rest.pages - extent->pages.pages};
  }
}

void Detectors::audit_file(SuperBlock& super_block, const std::shared_ptr<Inode>& file, Frames& frames) {
  Inode& inode = *file;
  if (audit_waiters(super_block, inode)) {
    return;
  }
  // Keeps out read and write, whose copies differ from the media for a moment under a clean entry.
  const ExclusiveLock no_writers(inode.i_rwsem());
  if (inode.is_dax()) {
    audit_copies(super_block, inode);  // of others, fsync makes them while it keeps nobody out
  }
  AddressSpace& mapping = inode.mapping();
  const Event here{.dev = super_block.dev(), .id = events_.next_id()};
  XCursor cursor(mapping.pages(), Pgoff{0});
  const Pgoff last{~std::uint64_t{0}};
  for (;;) {
    EntryState state;
    {
      const MutexLock guard(cursor.lock());
      state.entry = cursor.find(last);
      if (state.entry.is_null()) {
        return;
      }
      state.first = cursor.found_index();
      state.dirty = cursor.marked(Mark::dirty) || cursor.marked(Mark::towrite);
      cursor.pause();
    }
    const PageRange pages{state.first, state.entry.pages()};
    const bool is_read_hole = state.entry.is_zero() && state_->holes_are_dirty.load(std::memory_order_relaxed);
    if (state.dirty && !state.entry.is_real() && !is_read_hole) {
      report(FindingKind::dirty_entry_without_storage, here, inode.number(), pages.first);
    }
    if (!state.entry.is_real()) {
      continue;
    }
    for (PageRange rest = pages; !rest.empty();) {
      const RealPlace place = real_place(mapping, rest);
      std::uint64_t here_pages = std::min(place.pages, rest.pages);
      if (place.known) {
        const Sharing sharing = sharing_of(inode, {rest.first, here_pages}, place.first);
        here_pages = sharing.pages;
        frames.push_back(
            {.first = place.first, .pages = here_pages, .inode = file, .page = rest.first, .shared = sharing.shared});
      }
      rest = {rest.first + here_pages, rest.pages - here_pages};
    }
    if (!clean_storage(state)) {
      continue;
    }
    if (writable_under_clean_entry(mapping, pages)) {
      report(FindingKind::clean_entry_with_writable_pte, here, inode.number(), pages.first);
    }
    const EventStream::LookingAround quiet;
    for (PageRange rest = pages; !rest.empty();) {
      const Result<FileExtent> place = inode.direct_access(rest, Access::read);
      if (!place.ok() || place->kind != FileExtent::Kind::memory) {
        break;
      }
      const ByteRange bytes{byte_of(place->device_page), place->pages.pages << kPageShift};
      const auto differs = [&] { return place->device->view().dirty_lines(bytes) != 0; };
      // A store marks the entry before it can change a line: lines that differ while the entry stays clean were lost
      // track of. (Looked at twice: an fsync may have cleaned both in between.)
      if (differs() && clean_storage(entry_at(mapping, pages.first)) && differs()) {
        report(FindingKind::lost_store, here, inode.number(), pages.first);
        break;
      }
      rest = {rest.first + place->pages.pages, rest.pages - place->pages.pages};
    }
  }
}

DAXSIM_END
