// SPDX-License-Identifier: BSD-3-Clause
#include "mm/live_area.hpp"

#include <algorithm>
#include <cstdlib>
#include <new>
#include <utility>

#include "daxsim/device/attachment.hpp"
#include "daxsim/vfs/inode.hpp"
#include "daxsim/vfs/super_block.hpp"
#include "mm/insertion.hpp"
#include "mm/live_registry.hpp"
#include "mm/live_signals.hpp"

DAXSIM_BEGIN
namespace live {
namespace {

constinit std::atomic<std::uint64_t> next_id{1};
constexpr std::uint64_t kLargestArea = std::uint64_t{1} << 44;

Pgoff slot_start(Pgoff page) noexcept { return pmd_start(page); }

}  // namespace

// --- life -----------------------------------------------------------------------------------------------------------

Result<Area*> Area::create(System& system, std::shared_ptr<OpenFile> file, VmFlags flags, PageRange pages, Host& host) {
  const std::uint64_t bytes = pages.pages << kPageShift;
  if (pages.pages > (kLargestArea >> kPageShift)) {
    return Errno::enomem;
  }
  // Whole slots, and one more to find their beginning.
  const std::uint64_t colour = byte_of(pages.first) & (kPmdSize - 1);
  const std::uint64_t whole = round_up(colour + bytes, kPmdSize);
  DAXSIM_TRY(const HostRange found, reserve(whole + kPmdSize));
  const auto begin = reinterpret_cast<std::uintptr_t>(found.address);
  const std::uint64_t skipped = round_up(begin, kPmdSize) - begin;
  const HostRange reservation{found.address + skipped, whole};
  give_back({found.address, skipped});
  give_back({reservation.address + whole, found.bytes - skipped - whole});

  const std::uint64_t slots = whole / kPmdSize;
  const std::uint64_t states_bytes = round_up(pages.pages, kPageSize);
  const Result<HostRange> tables = allocate(states_bytes + round_up(slots * sizeof(Slot), kPageSize));
  if (!tables.ok()) {
    give_back(reservation);
    return tables.error();
  }
  return new Area(system, std::move(file), flags, reinterpret_cast<std::uintptr_t>(reservation.address) + colour, pages,
                  host, reservation, *tables);
}

Area::Area(System& system, std::shared_ptr<OpenFile> file, VmFlags flags, std::uint64_t start, PageRange pages,
           Host& host, HostRange reservation, HostRange tables) noexcept
    : Vma(file->inode().mapping(), flags, start, pages),
      id_(next_id.fetch_add(1, std::memory_order_relaxed)),
      system_(system),
      file_(std::move(file)),
      host_(host),
      reservation_(reservation),
      tables_(tables),
      states_(reinterpret_cast<std::uint8_t*>(tables.address)),
      slots_(reinterpret_cast<Slot*>(tables.address + round_up(pages.pages, kPageSize))),
      generation_(process_generation()),
      segments_(system.arena) {}

void Area::destroy(Area* area) noexcept {
  for (Attachment* device : area->flushed_so_far()) {
    if (device != nullptr) {
      static_cast<void>(device->fence());
    }
  }
  give_back(area->reservation_);
  give_back(area->tables_);
  delete area;
}

bool Area::inherited() const noexcept { return generation_ != process_generation(); }

// --- states ---------------------------------------------------------------------------------------------------------

void Area::set_states(PageRange range, std::uint8_t value) noexcept {
  for (Pgoff page = range.first; page < range.end(); page = page + 1) {
    std::uint8_t& old = state(page);
    Slot& around = slot(page);
    around.present = static_cast<std::uint16_t>(around.present + (value & kPresent) - (old & kPresent));
    old = value;
  }
}

// Calls `visit(PageRange)` for each longest run of pages in `range` whose state is wanted. States may be changed by it
// within the run. Slots without present pages cost one look.
template <class Wanted, class Visit>
void Area::for_each_run(PageRange range, Wanted&& wanted, Visit&& visit) noexcept {
  PageRange run{range.first, 0};
  const auto flush = [&] {
    if (run.pages != 0) {
      visit(run);
      run.pages = 0;
    }
  };
  for (Pgoff page = range.first; page < range.end();) {
    const Pgoff slot_end = std::min(slot_start(page) + kPagesPerPmd, range.end());
    if (slot(page).present == 0) {
      flush();
      page = slot_end;
      continue;
    }
    for (; page < slot_end; page = page + 1) {
      if (!wanted(state(page))) {
        flush();
      } else if (run.pages++ == 0) {
        run.first = page;
      }
    }
  }
  flush();
}

// A PMD comes and goes as a whole: a range that cuts one is widened. PMDs lie inside the area.
PageRange Area::whole_pmds(PageRange range) noexcept {
  if (range.empty()) {
    return range;
  }
  Pgoff first = range.first;
  Pgoff end = range.end();
  if ((state(first) & kHuge) != 0) {
    first = slot_start(first);
  }
  if ((state(end - 1) & kHuge) != 0) {
    end = slot_start(end - 1) + kPagesPerPmd;
  }
  return {first, end - first};
}

// The pages around `page` with the same protection in the same segment: where protections are host mappings, all of one.
PageRange Area::alike_around(Pgoff page) noexcept {
  const auto protection = [this](Pgoff of) {
    lock_.assert_held();
    return state(of) & ~kHuge;
  };
  const int wanted = protection(page);
  const PageRange limit = segments_.find(page)->pages;
  Pgoff first = page;
  Pgoff end = page + 1;
  while (first > limit.first && protection(first - 1) == wanted) {
    first = first - 1;
  }
  while (end < limit.end() && protection(end) == wanted) {
    end = end + 1;
  }
  return {first, end - first};
}

// hide() and write_protect() must not fail. When the host has no mapping left to split one, whole mappings are changed,
// which needs none: a page too many only faults again. Answers what was changed.
template <class Change>
PageRange Area::change_for_sure(PageRange range, Change&& change) noexcept {
  if (change(at(range)).ok()) {
    return range;
  }
  Pgoff first = range.first;
  Pgoff page = range.first;
  while (page < range.end()) {
    const PageRange whole = alike_around(page);
    if (!change(at(whole)).ok()) {
      die("daxsim: the host refuses to take away pages of a live mapping\n");
    }
    first = std::min(first, whole.first);
    page = whole.end();
  }
  return {first, page - first};
}

// --- laying ---------------------------------------------------------------------------------------------------------

// Lays what of `wanted` does not have this backing yet, around private copies. Only what concerns `target` must succeed:
// the rest is done ahead of its faults.
Result<void> Area::lay(PageRange wanted, const Backing& backing, const Memory& memory, Pgoff memory_page,
                       PageRange target) noexcept {
  const auto offset_of = [&](Pgoff page) { return memory.fd_offset + byte_of(page) - byte_of(memory_page); };
  for (Pgoff page = wanted.first; page < wanted.end();) {
    // One run of pages that differ: up to the next segment that is right already.
    const Segment* segment = segments_.find_from(page);
    if (segment != nullptr && segment->pages.contains(page) && segment->backing == backing) {
      page = segment->pages.end();
      continue;
    }
    Pgoff end = wanted.end();
    for (; segment != nullptr && segment->pages.first < end; segment = segments_.find_from(segment->pages.end())) {
      if (segment->backing == backing) {
        end = segment->pages.first;
      }
    }
    const Pgoff differs_until = end;
    while (page < differs_until) {
      end = differs_until;
      if (!flags().shared) {
        if ((state(page) & kCopy) != 0) {
          page = page + 1;
          continue;
        }
        for_each_run(
            {page, end - page}, [](std::uint8_t state) { return (state & kCopy) != 0; },
            [&](PageRange copies) { end = std::min(end, copies.first); });
      }
      const PageRange run{page, end - page};
      const Result<void> laid = lay_run(run, backing, memory.fd, offset_of(page));
      if (!laid.ok() && run.overlaps(target)) {
        return laid.error();
      }
      page = end;
    }
  }
  return {};
}

Result<void> Area::lay_run(PageRange run, const Backing& backing, int fd, std::uint64_t offset) noexcept {
  if (!segments_.prepare()) {
    return Errno::enomem;
  }
  // Pages of an older backing: their files have other blocks there by now.
  for_each_run(
      run, [](std::uint8_t state) { return (state & kPresent) != 0; },
      [this](PageRange old) {
        lock_.assert_held();
        hide(old);
      });
  Result<void> laid;
  switch (backing.kind) {
    case Backing::Kind::memory:
      laid = host_.lay_memory(at(run), fd, offset, flags());
      break;
    case Backing::Kind::zeros:
      laid = host_.lay_zeros(at(run));
      break;
    case Backing::Kind::anonymous:
      laid = host_.lay_private(at(run));
      break;
    case Backing::Kind::none:
      break;
  }
  segments_.set(run, laid.ok() ? backing : Backing{});
  return laid;
}

// Takes present pages away that are not private copies.
void Area::hide(PageRange range) noexcept {
  set_states(change_for_sure(range, [this](HostRange part) { return host_.hide(part); }), 0);
}

FaultOutcome Area::refuse(Errno error) noexcept {
  if (error != Errno::enomem) {
    return FaultOutcome::sigbus;
  }
  refusal_.store(
      "the host refused a mapping: too many of them (vm.max_map_count, 65,530 by default), or no "
      "memory",
      std::memory_order_relaxed);
  return FaultOutcome::oom;
}

// --- Vma ------------------------------------------------------------------------------------------------------------

FaultOutcome Area::install(const Installation& what) noexcept {
  const PageRange range{what.pgoff, std::uint64_t{1} << what.order};
  if (range.clip(pages()) != range) {
    return what.order == 0 ? FaultOutcome::sigbus : FaultOutcome::fallback;
  }
  if (inherited()) {
    return FaultOutcome::sigbus;
  }
  const Backing backing = what.zero_page ? Backing{.kind = Backing::Kind::zeros}
                                         : Backing::memory(what.pgoff, what.memory.kaddr, what.memory.pfn);
  FaultOutcome outcome = FaultOutcome::nopage;
  {
    const MutexLock guard(lock_);
    if (what.order == kPmdOrder && slot(range.first).has_table) {
      return FaultOutcome::fallback;
    }
    if ((state(range.first) & kPresent) != 0) {
      outcome = upgrade(range, what, backing);
    } else if (const Result<void> shown = make_present(range, what, backing); !shown.ok()) {
      outcome = refuse(shown.error());
    }
  }
  const std::optional<EventType> event = insertion_event(system_.mm.insertion, what, what.writable);
  if (outcome.resolved() && event) {
    Inode& inode = mapping().host();
    const bool writable = what.writable == Writable::yes;
    system_.events.emit({
        .type = *event,
        .is_private = !flags().shared,
        .dev = inode.super_block().dev(),
        .flags = what.order == kPmdOrder && writable ? 1U : 0U,
        .ino = inode.number(),
        .address = address_of(what.pgoff),
        .pfn = what.zero_page ? kZeroPfn : what.memory.pfn,
    });
  }
  return outcome;
}

Result<void> Area::make_present(PageRange range, const Installation& what, const Backing& backing) noexcept {
  const bool writable = what.writable == Writable::yes && !what.zero_page && flags().shared && flags().write;
  if (!what.zero_page && what.memory.fd < 0) {
    return Errno::enodev;
  }
  const auto lay_and_show = [&]() DAXSIM_REQUIRES(lock_) -> Result<void> {
    const Segment* const segment = segments_.find(range.first);
    if (segment == nullptr || segment->backing != backing || segment->pages.end() < range.end()) {
      const PageRange extent = what.extent.clip(pages());
      DAXSIM_TRY_VOID(lay(extent.clip(range) == range ? extent : range, backing, what.memory, what.pgoff, range));
    }
    return what.zero_page ? host_.show_zeros(at(range))
                          : host_.show(at(range), writable ? Writable::yes : Writable::no, flags(), what.memory.kaddr);
  };
  Result<void> shown = lay_and_show();
  if (!shown.ok() && shown.error() == Errno::enoent) {
    // Somebody else has unmapped it: lay it once more.
    if (!segments_.prepare()) {
      return Errno::enomem;
    }
    segments_.set(range, {});
    shown = lay_and_show();
  }
  if (!shown.ok()) {
    hide(range);  // a part may be there already
    return shown.error();
  }
  std::uint8_t value = kPresent;
  value = static_cast<std::uint8_t>(value | (writable ? kWritable : 0) | (what.zero_page ? kZero : 0) |
                                    (what.order == kPmdOrder ? kHuge : 0));
  set_states(range, value);
  if (what.order == kPmdOrder) {
    ++counts_.pmd;
  } else {
    slot(range.first).has_table = true;
    ++counts_.pte;
  }
  return {};
}

// The page is there. Only one thing can be left to do: let it be written. With other memory behind it, or as part of a
// PMD, it stays as it is and the access faults again, as in Linux (F4.2).
FaultOutcome Area::upgrade(PageRange range, const Installation& what, const Backing& backing) noexcept {
  const std::uint8_t old = state(range.first);
  const bool is_huge = (old & kHuge) != 0;
  if (what.writable == Writable::no || what.zero_page || (old & (kWritable | kZero | kCopy)) != 0 ||
      is_huge != (what.order == kPmdOrder)) {
    return FaultOutcome::nopage;
  }
  const Segment* const segment = segments_.find(range.first);
  if (segment == nullptr || segment->backing != backing) {
    return FaultOutcome::nopage;
  }
  if (const Result<void> done = host_.unprotect(at(range)); !done.ok()) {
    return refuse(done.error());
  }
  set_states(range, static_cast<std::uint8_t>(old | kWritable));
  ++(is_huge ? counts_.pmd : counts_.pte);
  return FaultOutcome::nopage;
}

FaultOutcome Area::install_private(Pgoff page, const std::byte* source) noexcept {
  if (!pages().contains(page) || inherited()) {
    return FaultOutcome::sigbus;
  }
  const MutexLock guard(lock_);
  if ((state(page) & kCopy) != 0) {
    return FaultOutcome::nopage;
  }
  return make_private(page, source);
}

// `page` holds no copy yet.
FaultOutcome Area::make_private(Pgoff page, const std::byte* source) noexcept {
  const PageRange range{page, 1};
  if ((state(page) & kHuge) != 0) {
    hide(whole_pmds(range));
  }
  const Segment* const segment = segments_.find(page);
  if (!host_.fills_in_place()) {
    // The copy replaces whatever is there, in one step; only then the segment is another one.
    if (!segments_.prepare()) {
      return refuse(Errno::enomem);
    }
  } else if (segment == nullptr || segment->backing.kind == Backing::Kind::zeros) {
    if (const Result<void> laid = lay_run(vacant_around(page), {.kind = Backing::Kind::anonymous}, -1, 0); !laid.ok()) {
      return refuse(laid.error());
    }
  } else if ((state(page) & kPresent) != 0) {
    hide(range);
  }
  if (const Result<void> filled = host_.fill_private(at(range).address, source); !filled.ok()) {
    return refuse(filled.error());
  }
  if (!host_.fills_in_place()) {
    segments_.set(range, {.kind = Backing::Kind::anonymous});
  }
  set_states(range, kPresent | kWritable | kCopy);
  slot(page).has_table = true;
  ++counts_.cow;
  return FaultOutcome::done_cow;
}

// The pages of the slot around `page`, and it, that hold nothing and are not laid with memory: what one mapping for
// private copies may cover.
PageRange Area::vacant_around(Pgoff page) noexcept {
  const PageRange limit = PageRange{slot_start(page), kPagesPerPmd}.clip(pages());
  const auto vacant = [&](Pgoff other) {
    lock_.assert_held();
    const Segment* const segment = segments_.find(other);
    return state(other) == 0 && (segment == nullptr || segment->backing.kind == Backing::Kind::zeros);
  };
  Pgoff first = page;
  Pgoff end = page + 1;
  while (first > limit.first && vacant(first - 1)) {
    first = first - 1;
  }
  while (end < limit.end() && vacant(end)) {
    end = end + 1;
  }
  return {first, end - first};
}

std::uint64_t Area::write_protect(PageRange wanted) noexcept {
  if (inherited()) {
    return 0;
  }
  std::uint64_t entries = 0;
  const MutexLock guard(lock_);
  PageRange range = whole_pmds(wanted.clip(pages()));
  for_each_run(
      range, [](std::uint8_t state) { return (state & kWritable) != 0 && (state & kCopy) == 0; },
      [&](PageRange run) {
        lock_.assert_held();
        run = change_for_sure(run, [this](HostRange part) { return host_.protect(part); });
        for (Pgoff page = run.first; page < run.end(); page = page + 1) {
          std::uint8_t& value = state(page);
          entries += (value & kHuge) == 0 || slot_start(page) == page ? 1 : 0;
          value = static_cast<std::uint8_t>(value & ~kWritable);
        }
      });
  return entries;
}

void Area::unmap(PageRange wanted, EvenCows even_cows) noexcept {
  if (inherited()) {
    return;
  }
  const MutexLock guard(lock_);
  const PageRange range = whole_pmds(wanted.clip(pages()));
  for_each_run(
      range, [](std::uint8_t state) { return (state & (kPresent | kCopy)) == kPresent; },
      [this](PageRange run) {
        lock_.assert_held();
        hide(run);
      });
  if (even_cows == EvenCows::no || flags().shared) {
    return;
  }
  for_each_run(
      range, [](std::uint8_t state) { return (state & kCopy) != 0; },
      [this](PageRange run) {
        if (!host_.discard_private(at(run)).ok()) {
          die("daxsim: the host refuses to take away private pages of a live mapping\n");
        }
        lock_.assert_held();
        set_states(run, 0);
      });
}

PteState Area::pte(Pgoff page) noexcept {
  if (!pages().contains(page)) {
    return {};
  }
  const MutexLock guard(lock_);
  const std::uint8_t value = state(page);
  PteState found;
  if ((value & kPresent) == 0) {
    return found;
  }
  found.writable = (value & kWritable) != 0;
  found.order = (value & kHuge) != 0 ? kPmdOrder : 0;
  if ((value & kCopy) != 0) {
    found.kind = PteState::Kind::private_copy;
  } else if ((value & kZero) != 0) {
    found.kind = PteState::Kind::zero_page;
    found.pfn = found.order == kPmdOrder ? kHugeZeroPfn : kZeroPfn;
  } else {
    found.kind = PteState::Kind::memory;
    found.pfn = segments_.find(page)->backing.pfn_of(page);
  }
  return found;
}

bool Area::has_page_table(Pgoff page) noexcept {
  if (!pages().contains(page)) {
    return false;
  }
  const MutexLock guard(lock_);
  const Slot& around = slot(page);
  return around.has_table || around.present != 0;
}

FaultCounts Area::fault_counts() noexcept {
  const MutexLock guard(lock_);
  return counts_;
}

bool Area::is_present(Pgoff page) noexcept {
  const MutexLock guard(lock_);
  return pages().contains(page) && (state(page) & kPresent) != 0;
}

Area::Run Area::memory_at(Pgoff page, std::uint64_t wanted) noexcept {
  const MutexLock guard(lock_);
  const Segment* const segment = segments_.find(page);
  if (segment == nullptr || segment->backing.kind != Backing::Kind::memory) {
    return {};
  }
  const Pgoff limit = std::min(page + wanted, segment->pages.end());
  Pgoff end = page;
  while (end < limit && (state(end) & (kPresent | kCopy)) == kPresent) {
    end = end + 1;
  }
  return {.pfn = segment->backing.pfn_of(page), .pages = end - page};
}

// --- cache lines ----------------------------------------------------------------------------------------------------

void Area::note_flush(Attachment& device) noexcept {
  Attachment* oldest = nullptr;
  {
    const MutexLock guard(lock_);
    for (Attachment*& flushed : flushed_) {
      if (flushed == nullptr || flushed == &device) {
        flushed = &device;
        return;
      }
    }
    oldest = std::exchange(flushed_[0], &device);
  }
  // One device too many to remember: fenced early, as could have happened anyway.
  static_cast<void>(oldest->fence());
}

void Area::fence(Attachment& device) noexcept {
  {
    const MutexLock guard(lock_);
    std::replace(flushed_.begin(), flushed_.end(), &device, static_cast<Attachment*>(nullptr));
  }
  static_cast<void>(device.fence());
}

std::array<Attachment*, Area::kMostFlushed> Area::flushed_so_far() noexcept {
  const MutexLock guard(lock_);
  return flushed_;
}

}  // namespace live
DAXSIM_END
