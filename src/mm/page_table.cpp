// SPDX-License-Identifier: BSD-3-Clause
#include "mm/page_table.hpp"

#include <algorithm>
#include <memory>
#include <new>

DAXSIM_BEGIN
namespace soft_mmu {

alignas(kPageSize) constinit const std::array<std::byte, kPageSize> kZeroPage{};

namespace {

// How many pages or tables are taken away between two synchronizations of the gate, when they have to be freed after.
constexpr std::size_t kBatch = 64;

}  // namespace

std::size_t PageTable::top_bytes(std::uint64_t start, std::uint64_t end) noexcept {
  const std::uint64_t span = end - round_down(start, kPmdSize);
  return static_cast<std::size_t>((span - 1) >> kDirectoryShift) * sizeof(Top) + sizeof(Top);
}

PageTable* PageTable::create(Arena& arena, Gate& tlb, std::uint64_t start, std::uint64_t end) noexcept {
  const std::size_t bytes = top_bytes(start, end);
  void* const top = arena.allocate(bytes);
  if (top == nullptr) {
    return nullptr;
  }
  void* const self = arena.allocate(sizeof(PageTable));
  if (self == nullptr) {
    arena.deallocate(top, bytes);
    return nullptr;
  }
  auto* const directories = static_cast<Top*>(top);
  std::uninitialized_value_construct_n(directories, bytes / sizeof(Top));
  return new (self) PageTable(arena, tlb, start, end, directories);
}

void PageTable::destroy(PageTable* table) noexcept {
  Arena& arena = table->arena_;
  table->~PageTable();
  arena.deallocate(table, sizeof(PageTable));
}

PageTable::PageTable(Arena& arena, Gate& tlb, std::uint64_t start, std::uint64_t end, Top* top) noexcept
    : arena_(arena),
      tlb_(tlb),
      start_(start),
      length_(end - start),
      base_(round_down(start, kPmdSize)),
      top_(top),
      directories_(top_bytes(start, end) / sizeof(Top)) {}

PageTable::~PageTable() {
  for (std::size_t index = 0; index < directories_; ++index) {
    Entries* const directory = top_[index].load(std::memory_order_relaxed);
    if (directory == nullptr) {
      continue;
    }
    for (Entry& slot : directory->at) {
      if (const PteWord word = slot.load(); word.is_table()) {
        arena_.destroy(reinterpret_cast<Entries*>(word.address()));
      }
    }
    arena_.destroy(directory);
  }
  arena_.deallocate(top_, directories_ * sizeof(Top));
}

PageTable::Entry* PageTable::slot(std::uint64_t address) const noexcept {
  Entries* const directory = top_[top_index(address)].load(std::memory_order_seq_cst);
  return directory == nullptr ? nullptr : &slot_in(*directory, address);
}

Translation PageTable::find(std::uint64_t address) const noexcept {
  const Entry* const at = slot(address);
  if (at == nullptr) {
    return {};
  }
  const PteWord word = at->load();
  if (word.is_table()) {
    return {Translation::Level::page, page_in(word, address).load()};
  }
  return {word.is_empty() ? Translation::Level::empty : Translation::Level::huge, word};
}

std::byte* PageTable::translate(std::uint64_t address, Access access) const noexcept {
  const Translation found = find(address);
  if (!found.word.permits(access)) {
    return nullptr;
  }
  const bool whole_pmd = found.level == Translation::Level::huge && !found.word.is_zero_page();
  return found.word.address() + (address & ((whole_pmd ? kPmdSize : kPageSize) - 1));
}

Pfn PageTable::pfn_locked(std::uint64_t address) const noexcept {
  const Entry* const at = slot(address);
  if (at == nullptr) {
    return {};
  }
  const PteWord word = at->load();
  return word.is_table() ? page_in(word, address).pfn : at->pfn;
}

PageTable::Entry* PageTable::make_slot_locked(std::uint64_t address, unsigned order) noexcept {
  Top& top = top_[top_index(address)];
  Entries* directory = top.load(std::memory_order_relaxed);
  Entries* new_directory = nullptr;
  if (directory == nullptr) {
    new_directory = arena_.create<Entries>();
    if (new_directory == nullptr) {
      return nullptr;
    }
    directory = new_directory;
  }
  Entry& slot = slot_in(*directory, address);
  if (order == 0 && slot.load().is_empty()) {
    const auto* const table = arena_.create<Entries>();
    if (table == nullptr) {
      arena_.destroy(new_directory);
      return nullptr;
    }
    slot.publish(PteWord::table(table));
  }
  if (new_directory != nullptr) {
    top.store(new_directory, std::memory_order_release);
  }
  return &slot;
}

PageTable::Put PageTable::put_locked(std::uint64_t address, unsigned order, PteWord word, Pfn pfn) noexcept {
  Entry* entry = make_slot_locked(address, order);
  if (entry == nullptr) {
    return Put::no_memory;
  }
  PteWord there = entry->load();
  if (there.is_table()) {
    if (order != 0) {
      return Put::occupied;
    }
    entry = &page_in(there, address);
    there = entry->load();
  } else if (!there.is_empty() && order == 0) {
    return Put::present;
  }
  if (there.is_empty()) {
    entry->pfn = pfn;
    entry->publish(word);
    return Put::installed;
  }
  if (word.is_writable() && !there.is_writable() && word == there.with(Writable::yes)) {
    entry->publish(word);
    return Put::upgraded;
  }
  return Put::present;
}

PageTable::Put PageTable::put_private_locked(std::uint64_t address, std::byte* copy) noexcept {
  Entry* const slot = make_slot_locked(address, 0);
  if (slot == nullptr) {
    return Put::no_memory;
  }
  if (!slot->load().is_table()) {
    return Put::present;
  }
  Entry& entry = page_in(slot->load(), address);
  const PteWord there = entry.load();
  if (there.is_private_copy()) {
    return Put::present;
  }
  entry.pfn = {};
  entry.withdraw(PteWord::private_copy(copy, Writable::yes));
  return there.is_empty() ? Put::installed : Put::replaced;
}

template <class Visit>
void PageTable::for_each_slot(std::uint64_t from, std::uint64_t to, Visit visit) noexcept {
  while (from < to) {
    Entry* const at = slot(from);
    if (at == nullptr) {
      from = base_ + ((top_index(from) + 1) << kDirectoryShift);
      continue;
    }
    const std::uint64_t next = std::min(to, round_down(from, kPmdSize) + kPmdSize);
    if (!at->load().is_empty()) {
      visit(*at, from, next);
    }
    from = next;
  }
}

void PageTable::zap(std::uint64_t from, std::uint64_t to, EvenCows even_cows) noexcept {
  std::array<std::byte*, kBatch> copies{};  // taken away, to be freed
  std::size_t used = 0;
  bool any = false;
  const auto drain = [&] {
    tlb_.synchronize();
    std::for_each_n(copies.begin(), used, [this](std::byte* page) { arena_.deallocate(page, kPageSize); });
    used = 0;
    any = false;
  };
  for_each_slot(from, to, [&](Entry& slot, std::uint64_t at, std::uint64_t end) {
    while (at < end) {
      {
        const MutexLock guard(lock_);
        const PteWord slot_word = slot.load();
        if (!slot_word.is_table()) {
          any |= slot_word.is_present();
          slot.withdraw({});
          break;
        }
        for (; at < end && used < kBatch; at += kPageSize) {
          Entry& entry = page_in(slot_word, at);
          const PteWord word = entry.load();
          if (word.is_empty() || (word.is_private_copy() && even_cows == EvenCows::no)) {
            continue;
          }
          entry.withdraw({});
          any = true;
          if (word.is_private_copy()) {
            copies[used++] = word.address();
          }
        }
      }
      if (used == kBatch) {
        drain();
      }
    }
  });
  if (any) {
    drain();
  }
}

std::uint64_t PageTable::write_protect(std::uint64_t from, std::uint64_t to) noexcept {
  std::uint64_t writable = 0;
  const auto protect = [&writable](Entry& entry) {
    entry.withdraw(entry.load().with(Writable::no));
    ++writable;
  };
  for_each_slot(from, to, [&](Entry& slot, std::uint64_t at, std::uint64_t end) {
    const MutexLock guard(lock_);
    const PteWord slot_word = slot.load();
    if (!slot_word.is_table()) {
      if (slot_word.is_writable()) {
        protect(slot);
      }
      return;
    }
    for (; at < end; at += kPageSize) {
      Entry& entry = page_in(slot_word, at);
      if (entry.load().is_writable()) {
        protect(entry);
      }
    }
  });
  if (writable != 0) {
    tlb_.synchronize();
  }
  return writable;
}

void PageTable::unprotect_copies(std::uint64_t from, std::uint64_t to) noexcept {
  for_each_slot(from, to, [&](Entry& slot, std::uint64_t at, std::uint64_t end) {
    const MutexLock guard(lock_);
    const PteWord slot_word = slot.load();
    if (!slot_word.is_table()) {
      return;
    }
    for (; at < end; at += kPageSize) {
      Entry& entry = page_in(slot_word, at);
      if (const PteWord word = entry.load(); word.is_private_copy()) {
        entry.publish(word.with(Writable::yes));
      }
    }
  });
}

void PageTable::drop_huge(std::uint64_t address) noexcept {
  {
    const MutexLock guard(lock_);
    Entry* const at = slot(address);
    if (at == nullptr || !at->load().is_present()) {
      return;
    }
    at->withdraw({});
  }
  tlb_.synchronize();
}

void PageTable::free_tables(std::uint64_t from, std::uint64_t to) noexcept {
  std::array<Entries*, kBatch> tables{};
  std::size_t used = 0;
  const auto drain = [&] {
    tlb_.synchronize();
    std::for_each_n(tables.begin(), used, [this](Entries* table) { arena_.destroy(table); });
    used = 0;
  };
  for_each_slot(round_up(from, kPmdSize), round_down(to, kPmdSize), [&](Entry& slot, std::uint64_t, std::uint64_t) {
    {
      const MutexLock guard(lock_);
      tables[used++] = reinterpret_cast<Entries*>(slot.load().address());
      slot.withdraw({});
    }
    if (used == kBatch) {
      drain();
    }
  });
  if (used != 0) {
    drain();
  }
}

}  // namespace soft_mmu
DAXSIM_END
