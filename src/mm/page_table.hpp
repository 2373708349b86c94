// SPDX-License-Identifier: BSD-3-Clause
// PageTable: the page tables behind one mmap of a simulated process; shared by the areas it is split into later.
//
//   top        one pointer for each 1 GiB
//   directory  512 entries, each a 2 MiB slot: empty, a PMD, or a table
//   table      512 entries, each a 4 KiB page: empty or a PTE
//
// Threads: walks (find, translate) take no lock; they are done inside the process's TLB gate, or under its mm lock, so
// that no table is freed meanwhile. Changes are made under lock(). Whoever takes something away synchronizes the gate
// before it tells anybody.
//
// I1 Entry words are changed under lock() only, each in one atomic store.
// I2 A word is taken away, and a table unlinked, by a sequentially consistent store before Gate::synchronize(), and read
//    by a sequentially consistent load after entering the gate: so a reader that is not waited for does not see it.
// I3 Directories and tables are freed only while the mm lock is held exclusively and after a synchronize().
// I4 A slot that holds a PMD has no table.
#pragma once

#include <array>
#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>

#include "daxsim/base/arena.hpp"
#include "daxsim/base/config.hpp"
#include "daxsim/base/sync.hpp"
#include "daxsim/base/units.hpp"
#include "daxsim/vfs/vma.hpp"

DAXSIM_BEGIN
namespace soft_mmu {

// What the zero pages read as, also each page of the huge one.
alignas(kPageSize) extern const std::array<std::byte, kPageSize> kZeroPage;

// One word of a directory or table.
//
//   bit     63..12        11..5   4       3             2          1         0
//           address       0       table   private copy  zero page  writable  present
//
// The address is the kernel address of the page's memory (of the first page, for a PMD), or of the table when bit 4 is
// set. Not every combination exists: `table` is alone, a zero page is never writable nor private.
class PteWord {
 public:
  constexpr PteWord() noexcept = default;
  static PteWord memory(std::byte* kaddr, Writable writable) noexcept {
    return PteWord(address_bits(kaddr) | kPresent | (writable == Writable::yes ? kWritable : 0));
  }
  static PteWord zeros() noexcept { return PteWord(address_bits(kZeroPage.data()) | kPresent | kZero); }
  static PteWord private_copy(std::byte* page, Writable writable) noexcept {
    return PteWord(memory(page, writable).word_ | kPrivate);
  }
  static PteWord table(const void* table) noexcept { return PteWord(address_bits(table) | kTable); }
  static constexpr PteWord from_word(std::uint64_t word) noexcept { return PteWord(word); }

  [[nodiscard]] constexpr std::uint64_t word() const noexcept { return word_; }
  [[nodiscard]] constexpr bool is_empty() const noexcept { return word_ == 0; }
  [[nodiscard]] constexpr bool is_present() const noexcept { return (word_ & kPresent) != 0; }
  [[nodiscard]] constexpr bool is_writable() const noexcept { return (word_ & kWritable) != 0; }
  [[nodiscard]] constexpr bool is_zero_page() const noexcept { return (word_ & kZero) != 0; }
  [[nodiscard]] constexpr bool is_private_copy() const noexcept { return (word_ & kPrivate) != 0; }
  [[nodiscard]] constexpr bool is_table() const noexcept { return (word_ & kTable) != 0; }
  [[nodiscard]] constexpr bool permits(Access access) const noexcept {
    return (word_ & (access == Access::write ? kWritable : kPresent)) != 0;
  }
  [[nodiscard]] constexpr PteWord with(Writable writable) const noexcept {
    return PteWord(writable == Writable::yes ? word_ | kWritable : word_ & ~kWritable);
  }
  [[nodiscard]] std::byte* address() const noexcept { return reinterpret_cast<std::byte*>(word_ & ~(kPageSize - 1)); }
  friend constexpr bool operator==(PteWord, PteWord) = default;

 private:
  explicit constexpr PteWord(std::uint64_t word) noexcept : word_(word) {}
  static std::uint64_t address_bits(const void* address) noexcept { return reinterpret_cast<std::uintptr_t>(address); }
  static constexpr std::uint64_t kPresent = 1U << 0;
  static constexpr std::uint64_t kWritable = 1U << 1;
  static constexpr std::uint64_t kZero = 1U << 2;
  static constexpr std::uint64_t kPrivate = 1U << 3;
  static constexpr std::uint64_t kTable = 1U << 4;

  std::uint64_t word_ = 0;
};
static_assert(sizeof(PteWord) == 8);

// What a walk finds.
struct Translation {
  enum class Level : std::uint8_t {
    empty,  // no PMD and no table
    page,   // a table
    huge,   // a PMD
  };
  Level level = Level::empty;
  PteWord word;  // of the page or PMD; empty when absent
};

class PageTable {
 public:
  // For the pages in [start, end); `start` need not be a multiple of 2 MiB. Null: no memory.
  static PageTable* create(Arena& arena, Gate& tlb, std::uint64_t start, std::uint64_t end) noexcept;
  // Precondition: no page is present any more and no walk can reach it.
  static void destroy(PageTable* table) noexcept;

  Mutex& lock() noexcept DAXSIM_RETURN_CAPABILITY(lock_) { return lock_; }
  [[nodiscard]] bool contains(std::uint64_t address) const noexcept { return address - start_ < length_; }

  // Context: inside the gate, or mm lock held.
  [[nodiscard]] Translation find(std::uint64_t address) const noexcept;
  // Where the byte at `address` is, if the page tables permit the access; else null. Context: inside the gate.
  [[nodiscard]] std::byte* translate(std::uint64_t address, Access access) const noexcept;
  // Not for private copies, whose frame number is 0.
  [[nodiscard]] Pfn pfn_locked(std::uint64_t address) const noexcept DAXSIM_REQUIRES(lock_);

  enum class Put : std::uint8_t {
    installed,
    upgraded,   // the same page was there read-only and is writable now
    replaced,   // another page was there: synchronize the gate before telling anybody
    present,    // something was there, and stays
    occupied,   // a PMD does not fit: there is a table
    no_memory,  // nothing was changed
  };
  // Makes `word` present at `address`, which is a multiple of the order's size, unless something is there; what is there
  // becomes writable when it is the same memory.
  Put put_locked(std::uint64_t address, unsigned order, PteWord word, Pfn pfn) noexcept DAXSIM_REQUIRES(lock_);
  // Makes a private copy present instead of nothing or of a read-only page; not instead of a PMD or another copy.
  Put put_private_locked(std::uint64_t address, std::byte* copy) noexcept DAXSIM_REQUIRES(lock_);

  // Ranges are multiples of the page size; of a PMD that reaches beyond, all is meant. Each waits for the loads and
  // stores under way when it has taken something away, and only then. Context: fault path; not inside the gate.

  // Drops the pages; frees the private copies when they are meant too.
  void zap(std::uint64_t from, std::uint64_t to, EvenCows even_cows) noexcept DAXSIM_EXCLUDES(lock_);
  // Returns how many entries were writable.
  std::uint64_t write_protect(std::uint64_t from, std::uint64_t to) noexcept DAXSIM_EXCLUDES(lock_);
  // Private copies are writable again.
  void unprotect_copies(std::uint64_t from, std::uint64_t to) noexcept DAXSIM_EXCLUDES(lock_);
  // Drops the PMD around `address`, if there is one.
  void drop_huge(std::uint64_t address) noexcept DAXSIM_EXCLUDES(lock_);
  // Frees the tables of slots that lie wholly in the range. Precondition: nothing is present there; I3.
  void free_tables(std::uint64_t from, std::uint64_t to) noexcept DAXSIM_EXCLUDES(lock_);

  // How many areas use it; changed under the process's mm lock, exclusively.
  unsigned users = 0;

 private:
  struct Entry {
    std::atomic<std::uint64_t> word{0};
    Pfn pfn;  // changed and read under lock_

    [[nodiscard]] PteWord load() const noexcept { return PteWord::from_word(word.load(std::memory_order_seq_cst)); }
    // Adds or widens: nobody has to be waited for.
    void publish(PteWord what) noexcept { word.store(what.word(), std::memory_order_release); }
    // Takes away or narrows (I2).
    void withdraw(PteWord what) noexcept { word.store(what.word(), std::memory_order_seq_cst); }
  };
  struct Entries {
    std::array<Entry, kPagesPerPmd> at;
  };
  static_assert(std::has_single_bit(sizeof(Entries)), "the arena aligns only those to a page, as PteWord wants");
  using Top = std::atomic<Entries*>;
  static constexpr unsigned kDirectoryShift = kPageShift + 2 * kPmdOrder;  // 1 GiB

  PageTable(Arena& arena, Gate& tlb, std::uint64_t start, std::uint64_t end, Top* top) noexcept;
  ~PageTable();

  static std::size_t top_bytes(std::uint64_t start, std::uint64_t end) noexcept;
  [[nodiscard]] std::size_t top_index(std::uint64_t address) const noexcept {
    return (address - base_) >> kDirectoryShift;
  }
  // The directory's entry for the slot; null when there is no directory.
  [[nodiscard]] Entry* slot(std::uint64_t address) const noexcept;
  [[nodiscard]] Entry& slot_in(Entries& directory, std::uint64_t address) const noexcept {
    return directory.at[((address - base_) >> (kPageShift + kPmdOrder)) & (kPagesPerPmd - 1)];
  }
  [[nodiscard]] static Entry& page_in(PteWord slot_word, std::uint64_t address) noexcept {
    return reinterpret_cast<Entries*>(slot_word.address())->at[(address >> kPageShift) & (kPagesPerPmd - 1)];
  }
  // The slot, with a directory made for it; for order 0 also with a table, unless it holds a PMD. Null: no memory, and
  // nothing was changed.
  Entry* make_slot_locked(std::uint64_t address, unsigned order) noexcept DAXSIM_REQUIRES(lock_);
  // visit(slot, from, to) for every slot that holds something, with the part of the range that lies in it.
  template <class Visit>
  void for_each_slot(std::uint64_t from, std::uint64_t to, Visit visit) noexcept;

  Arena& arena_;
  Gate& tlb_;
  const std::uint64_t start_;
  const std::uint64_t length_;
  const std::uint64_t base_;  // start_ rounded down to 2 MiB
  Top* const top_;
  const std::size_t directories_;
  Mutex lock_{LockRank::page_table};
};

}  // namespace soft_mmu
DAXSIM_END
