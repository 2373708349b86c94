// SPDX-License-Identifier: BSD-3-Clause
// Accesses, and the calls that change areas. Faults are in process_fault.cpp.
#include "daxsim/mm/process.hpp"

#include <algorithm>
#include <utility>

#include "base/atomic_copy.hpp"
#include "daxsim/vfs/super_block.hpp"
#include "mm/call_range.hpp"
#include "mm/page_table.hpp"
#include "mm/process_area.hpp"

DAXSIM_BEGIN

using soft_mmu::Area;
using soft_mmu::CallRange;
using soft_mmu::page_range;
using soft_mmu::PageTable;

namespace {

// What read() and write() keep on the stack between the caller's memory and the gate.
constexpr std::size_t kBounceBytes = 1024;

// Where the next area may be: at least one page stays free after each, so that running over its end is seen.
constexpr std::uint64_t address_behind(std::uint64_t end) noexcept { return round_up(end + kPageSize, kPmdSize); }

}  // namespace

// --- accesses ---

std::byte* Process::translate(std::uint64_t address, Access access) const noexcept {
  for (const std::atomic<PageTable*>& recent : recent_tables_) {
    const PageTable* const table = recent.load(std::memory_order_seq_cst);
    if (table != nullptr && table->contains(address)) {
      return table->translate(address, access);
    }
  }
  return nullptr;
}

void Process::spend(std::uint64_t address, std::uint64_t length) noexcept {
  const std::uint64_t lines = (address + length - 1) / kCacheLine - address / kCacheLine + 1;
  system_.clock.advance(kAccessTime * lines);
}

// One access of 1 to kWidest bytes, so in at most two pages: all of it or nothing.
template <Access access, class Buffer>
AccessResult<void> Process::transfer(std::uint64_t address, Buffer buffer) noexcept {
  const std::uint64_t in_first = std::min<std::uint64_t>(buffer.size(), kPageSize - address % kPageSize);
  const auto copy = [](std::byte* mapped, Buffer part) {
    if constexpr (access == Access::read) {
      copy_from_mapped(part, mapped);
    } else {
      copy_to_mapped(mapped, part);
    }
  };
  bool is_warm = true;
  while (true) {
    std::uint64_t missing = address;
    {
      const Gate::Reader inside(tlb_);
      std::byte* const first = translate(address, access);
      if (first != nullptr) {
        if (in_first == buffer.size()) {
          copy(first, buffer);
          break;
        }
        missing = address + in_first;
        if (std::byte* const second = translate(missing, access); second != nullptr) {
          copy(first, buffer.first(in_first));
          copy(second, buffer.subspan(in_first));
          break;
        }
      }
    }
    is_warm = false;
    if (const AccessResult<void> resolved = fault(missing, access); !resolved.ok()) {
      return resolved;
    }
  }
  if (is_warm) {
    spend(address, buffer.size());
  }
  return {};
}

AccessResult<void> Process::load_bytes(std::uint64_t address, std::span<std::byte> to) noexcept {
  return transfer<Access::read>(address, to);
}

AccessResult<void> Process::store_bytes(std::uint64_t address, std::span<const std::byte> from) noexcept {
  return transfer<Access::write>(address, from);
}

AccessResult<void> Process::read(std::uint64_t address, std::span<std::byte> to) noexcept {
  std::array<std::byte, kBounceBytes> bounce;
  while (!to.empty()) {
    const std::uint64_t size =
        std::min({to.size(), bounce.size(), static_cast<std::size_t>(kPageSize - address % kPageSize)});
    const std::span<std::byte> part = std::span(bounce).first(size);
    if (const AccessResult<void> done = transfer<Access::read>(address, part); !done.ok()) {
      return done;
    }
    std::ranges::copy(part, to.begin());
    to = to.subspan(size);
    address += size;
  }
  return {};
}

AccessResult<void> Process::write(std::uint64_t address, std::span<const std::byte> from) noexcept {
  std::array<std::byte, kBounceBytes> bounce;
  while (!from.empty()) {
    const std::uint64_t size =
        std::min({from.size(), bounce.size(), static_cast<std::size_t>(kPageSize - address % kPageSize)});
    const std::span<std::byte> part = std::span(bounce).first(size);
    std::ranges::copy(from.first(size), part.begin());
    if (const AccessResult<void> done = transfer<Access::write>(address, std::span<const std::byte>(part));
        !done.ok()) {
      return done;
    }
    from = from.subspan(size);
    address += size;
  }
  return {};
}

std::span<std::byte> Process::contiguous_run(std::uint64_t address, std::uint64_t length,
                                             Access access) const noexcept {
  std::byte* const first = translate(address, access);
  if (first == nullptr) {
    return {};
  }
  std::uint64_t run = kPageSize - address % kPageSize;
  while (run < length && translate(address + run, access) == first + run) {
    run += kPageSize;
  }
  return {first, std::min(run, length)};
}

AccessResult<BulkAccess> Process::access(std::uint64_t address, std::uint64_t length, Access access) {
  length = std::max<std::uint64_t>(length, 1);
  while (true) {
    for (std::uint64_t at = address; at - address < length; at = round_down(at, kPageSize) + kPageSize) {
      if (const AccessResult<void> resolved = fault(at, access); !resolved.ok()) {
        if (at == address) {
          return resolved.error();
        }
        break;
      }
    }
    auto inside = std::make_unique<Gate::Reader>(tlb_);
    // Empty when the page was taken away again before the gate was entered.
    if (const std::span<std::byte> run = contiguous_run(address, length, access); !run.empty()) {
      spend(address, run.size());
      return BulkAccess(std::move(inside), run, access);
    }
  }
}

// --- areas ---

Process::~Process() {
  // The whole address space, which is neither misaligned nor in need of a split.
  [[maybe_unused]] const Result<void> done = munmap(0, kEndOfAddresses);
}

Process::Areas::iterator Process::first_ending_after(std::uint64_t address) noexcept {
  return std::ranges::upper_bound(areas_, address, {}, [](const Area* area) { return area->end(); });
}

Area* Process::find_area(std::uint64_t address) noexcept {
  if (Area* const last = last_area_.load(std::memory_order_relaxed); last != nullptr && last->contains(address)) {
    return last;
  }
  const auto found = first_ending_after(address);
  if (found == areas_.end() || !(*found)->contains(address)) {
    return nullptr;
  }
  last_area_.store(*found, std::memory_order_relaxed);
  return *found;
}

void Process::remember(PageTable& table) noexcept {
  for (const std::atomic<PageTable*>& recent : recent_tables_) {
    if (recent.load(std::memory_order_relaxed) == &table) {
      return;
    }
  }
  const unsigned oldest = oldest_recent_.fetch_add(1, std::memory_order_relaxed) % kRecentTables;
  recent_tables_[oldest].store(&table, std::memory_order_release);
}

void Process::forget(const PageTable& table) noexcept {
  for (std::atomic<PageTable*>& recent : recent_tables_) {
    if (recent.load(std::memory_order_relaxed) == &table) {
      recent.store(nullptr, std::memory_order_seq_cst);
    }
  }
}

// An area that maps what `of` maps, but from `start` to `end`, which may lie outside it. Null: no memory.
Area* Process::make_piece(const Area& of, VmFlags flags, std::uint64_t start, std::uint64_t end) noexcept {
  const Pgoff first = start < of.start() ? of.pages().first - ((of.start() - start) >> kPageShift) : of.pgoff_of(start);
  return system_.arena.create<Area>(Area::Owner{system_, pid_, tlb_}, of.table(), of.file(), flags, start,
                                    PageRange{first, (end - start) >> kPageShift});
}

// Puts `pieces`, which lie where the areas [first, last) are, in their place. There is room for them in the vector. For a
// moment both map the same pages: whoever write-protects or unmaps meanwhile reaches each page at least once.
void Process::replace(Areas::iterator first, Areas::iterator last, std::span<Area* const> pieces) {
  for (Area* const piece : pieces) {
    ++piece->table().users;
    piece->mapping().insert(*piece);
  }
  for (auto old = first; old != last; ++old) {
    if (!pieces.empty()) {
      pieces.front()->add_counts((*old)->fault_counts());
    }
    destroy(*old);
  }
  const auto at = areas_.erase(first, last);
  areas_.insert(at, pieces.begin(), pieces.end());
}

void Process::destroy(Area* area) noexcept {
  PageTable& table = area->table();
  area->mapping().remove(*area);
  last_area_.store(nullptr, std::memory_order_relaxed);
  system_.arena.destroy(area);
  if (--table.users == 0) {
    forget(table);
    tlb_.synchronize();
    PageTable::destroy(&table);
  }
}

Result<std::uint64_t> Process::find_room(std::uint64_t bytes, const MapOptions& options) noexcept {
  const bool is_asked = options.address != 0;
  while (true) {
    const std::uint64_t start = is_asked ? options.address : next_address_ + options.offset % kPmdSize;
    if (start > kEndOfAddresses || bytes > kEndOfAddresses - start) {
      return Errno::enomem;
    }
    const auto next = first_ending_after(start);
    if (next == areas_.end() || (*next)->start() >= start + bytes) {
      return start;
    }
    if (is_asked) {
      return Errno::eexist;
    }
    next_address_ = address_behind((*next)->end());
  }
}

Result<std::uint64_t> Process::mmap(std::shared_ptr<OpenFile> file, const MapOptions& options) {
  Inode& inode = file->inode();
  if (options.offset % kPageSize != 0 || options.address % kPageSize != 0) {
    return Errno::einval;
  }
  DAXSIM_TRY_VOID(file->super_block()->check_alive());
  std::uint64_t length = options.length;
  if (length == 0 && options.offset < inode.size()) {
    length = inode.size() - options.offset;
  }
  const std::uint64_t pages = pages_for(length);
  if (pages == 0 || options.offset + length < length) {
    return Errno::einval;
  }
  const bool shared = options.sharing == Sharing::shared;
  const bool write = options.prot == Prot::read_write;
  if (shared && write && file->mode() == OpenMode::read_only) {
    return Errno::eacces;
  }
  const bool sync = shared && options.sync == MapSync::yes;
  if (sync && !inode.is_synchronous()) {
    return Errno::eopnotsupp;
  }

  const ExclusiveLock guard(mm_);
  if (pages > kEndOfAddresses >> kPageShift) {
    return Errno::enomem;
  }
  DAXSIM_TRY(const std::uint64_t start, find_room(pages << kPageShift, options));
  const std::uint64_t end = start + (pages << kPageShift);
  areas_.reserve(areas_.size() + 1);
  PageTable* const table = PageTable::create(system_.arena, tlb_, start, end);
  if (table == nullptr) {
    return Errno::enomem;
  }
  const VmFlags flags{.shared = shared, .write = write, .sync = sync};
  Area* const area = system_.arena.create<Area>(Area::Owner{system_, pid_, tlb_}, *table, std::move(file), flags, start,
                                                PageRange{page_of(options.offset), pages});
  if (area == nullptr) {
    PageTable::destroy(table);
    return Errno::enomem;
  }
  ++table->users;
  area->mapping().insert(*area);
  areas_.insert(first_ending_after(start), area);
  if (options.address == 0) {
    next_address_ = address_behind(end);
  }
  return start;
}

Result<void> Process::munmap(std::uint64_t address, std::uint64_t length) {
  DAXSIM_TRY(const CallRange range, page_range(address, length, Errno::einval));
  if (length == 0) {
    return Errno::einval;
  }
  // The last use of a file may need locks below mm: not before that one is dropped.
  std::vector<std::shared_ptr<OpenFile>> closed;
  const ExclusiveLock guard(mm_);
  const auto first = first_ending_after(range.from);
  const auto last = std::find_if(first, areas_.end(), [&](const Area* area) { return area->start() >= range.to; });
  if (first == last) {
    return {};
  }
  const auto first_index = first - areas_.begin();
  const auto last_index = last - areas_.begin();
  areas_.reserve(areas_.size() + 1);
  closed.reserve(static_cast<std::size_t>(last_index - first_index));

  std::array<Area*, 2> rest{};
  std::size_t rests = 0;
  const Area& low = *areas_[first_index];
  const Area& high = *areas_[last_index - 1];
  if (low.start() < range.from) {
    rest[rests] = make_piece(low, low.flags(), low.start(), range.from);
    if (rest[rests] == nullptr) {
      return Errno::enomem;
    }
    ++rests;
  }
  if (high.end() > range.to) {
    rest[rests] = make_piece(high, high.flags(), range.to, high.end());
    if (rest[rests] == nullptr) {
      system_.arena.destroy(rest[0]);
      return Errno::enomem;
    }
    ++rests;
  }
  for (auto index = first_index; index < last_index; ++index) {
    const Area& area = *areas_[index];
    const std::uint64_t from = std::max(area.start(), range.from);
    const std::uint64_t to = std::min(area.end(), range.to);
    area.table().zap(from, to, EvenCows::yes);
    area.table().free_tables(from, to);
    closed.push_back(area.file());
  }
  replace(areas_.begin() + first_index, areas_.begin() + last_index, std::span(rest).first(rests));
  return {};
}

// Linux splits the huge page, there or not, where the area is cut; of the second cut only if the first has not cut it.
void Process::tell_of_splits(const Area& area, std::uint64_t from, std::uint64_t to) noexcept {
  std::uint64_t start = area.start();
  for (const std::uint64_t cut : {from, to}) {
    const std::uint64_t pmd = round_down(cut, kPmdSize);
    if (cut != pmd && pmd >= start && pmd + kPmdSize <= area.end()) {
      emit_split(cut);
    }
    start = cut;
  }
}

// [from, to) lies in `area`, whose flags are to become `flags` there. Joins the piece with neighbours that are alike.
Result<void> Process::protect_in(Area& area, std::uint64_t from, std::uint64_t to, VmFlags flags) {
  auto first = first_ending_after(area.start());
  auto last = first + 1;
  std::uint64_t start = from;
  std::uint64_t end = to;
  const auto joins = [&](const Area& other) {
    return &other.table() == &area.table() && other.flags().write == flags.write;
  };
  if (from == area.start() && first != areas_.begin() && joins(**(first - 1)) && (*(first - 1))->end() == from) {
    --first;
    start = (*first)->start();
  }
  if (to == area.end() && last != areas_.end() && joins(**last) && (*last)->start() == to) {
    end = (*last)->end();
    ++last;
  }
  const auto first_index = first - areas_.begin();
  const auto last_index = last - areas_.begin();
  areas_.reserve(areas_.size() + 2);

  std::array<Area*, 3> pieces{};
  std::size_t used = 0;
  bool failed = false;
  const auto add = [&](VmFlags piece_flags, std::uint64_t piece_start, std::uint64_t piece_end) {
    if (piece_start < piece_end && !failed) {
      pieces[used] = make_piece(area, piece_flags, piece_start, piece_end);
      failed = pieces[used] == nullptr;
      used += failed ? 0 : 1;
    }
  };
  if (start == from) {
    add(area.flags(), area.start(), from);
  }
  add(flags, start, end);
  if (end == to) {
    add(area.flags(), to, area.end());
  }
  if (failed) {
    std::for_each_n(pieces.begin(), used, [this](Area* piece) { system_.arena.destroy(piece); });
    return Errno::enomem;
  }
  PageTable& table = area.table();
  tell_of_splits(area, from, to);
  // A PMD must not reach beyond its area.
  for (const std::uint64_t cut : {from, to}) {
    if (cut % kPmdSize != 0 && table.contains(cut)) {
      table.drop_huge(cut);
    }
  }
  replace(areas_.begin() + first_index, areas_.begin() + last_index, std::span(pieces).first(used));
  if (!flags.write) {
    table.write_protect(from, to);
  } else if (!flags.shared) {
    table.unprotect_copies(from, to);
  }
  return {};
}

Result<void> Process::mprotect(std::uint64_t address, std::uint64_t length, Prot prot) {
  DAXSIM_TRY(const CallRange range, page_range(address, length, Errno::enomem));
  const bool write = prot == Prot::read_write;
  const ExclusiveLock guard(mm_);
  for (std::uint64_t at = range.from; at < range.to;) {
    const auto found = first_ending_after(at);
    if (found == areas_.end() || (*found)->start() > at) {
      return Errno::enomem;
    }
    Area& area = **found;
    const std::uint64_t to = std::min(area.end(), range.to);
    VmFlags flags = area.flags();
    if (flags.write != write) {
      if (write && flags.shared && area.file()->mode() == OpenMode::read_only) {
        return Errno::eacces;
      }
      flags.write = write;
      DAXSIM_TRY_VOID(protect_in(area, at, to, flags));
    }
    at = to;
  }
  return {};
}

Result<void> Process::msync(std::uint64_t address, std::uint64_t length, std::uint32_t flags) {
  using namespace msync_flag;
  if ((flags & ~(kAsync | kInvalidate | kSync)) != 0 || (flags & (kAsync | kSync)) == (kAsync | kSync)) {
    return Errno::einval;
  }
  DAXSIM_TRY(const CallRange range, page_range(address, length, Errno::enomem));
  bool complete = true;
  for (std::uint64_t at = range.from; at < range.to;) {
    std::shared_ptr<OpenFile> file;
    ByteRange bytes;
    {
      const SharedLock guard(mm_);
      const auto found = first_ending_after(at);
      if (found == areas_.end() || (*found)->start() >= range.to) {
        return Errno::enomem;
      }
      const Area& area = **found;
      complete &= area.start() <= at;
      const std::uint64_t from = std::max(area.start(), at);
      at = std::min(area.end(), range.to);
      bytes = {byte_of(area.pgoff_of(from)), at - from};
      if (area.flags().shared && (flags & kSync) != 0) {
        file = area.file();
      }
    }
    if (file != nullptr) {
      DAXSIM_TRY_VOID(file->fsync_range(bytes, Datasync::yes));
    }
  }
  if (!complete) {
    return Errno::enomem;
  }
  return {};
}

Result<void> Process::dont_need(std::uint64_t address, std::uint64_t length) {
  DAXSIM_TRY(const CallRange range, page_range(address, length, Errno::einval));
  bool complete = true;
  const SharedLock guard(mm_);
  for (std::uint64_t at = range.from; at < range.to;) {
    const auto found = first_ending_after(at);
    if (found == areas_.end() || (*found)->start() >= range.to) {
      return Errno::enomem;
    }
    const Area& area = **found;
    complete &= area.start() <= at;
    const std::uint64_t from = std::max(area.start(), at);
    at = std::min(area.end(), range.to);
    area.table().zap(from, at, EvenCows::yes);
  }
  if (!complete) {
    return Errno::enomem;
  }
  return {};
}

Result<std::vector<Process::Piece>> Process::pieces_of(std::uint64_t from, std::uint64_t to) {
  std::vector<Piece> pieces;
  const SharedLock guard(mm_);
  for (std::uint64_t at = from; at < to;) {
    const auto found = first_ending_after(at);
    if (found == areas_.end() || (*found)->start() > at) {
      return Errno::enomem;
    }
    const VmFlags flags = (*found)->flags();
    const std::uint64_t end = std::min((*found)->end(), to);
    pieces.push_back({at, end, flags.write && !flags.shared ? Access::write : Access::read});
    at = end;
  }
  return pieces;
}

FaultCounts Process::fault_counts(std::uint64_t address) noexcept {
  const SharedLock guard(mm_);
  Area* const area = find_area(address);
  return area == nullptr ? FaultCounts() : area->fault_counts();
}

PteState Process::pte(std::uint64_t address) noexcept {
  const SharedLock guard(mm_);
  Area* const area = find_area(address);
  return area == nullptr ? PteState() : area->pte(area->pgoff_of(address));
}

DAXSIM_END
