// SPDX-License-Identifier: BSD-3-Clause
// AddressSpace: a file's index of pages, the areas that map it (reverse map), and its write-back errors.
//
// Locks: invalidate_lock is shared by faults and exclusive by whatever removes pages from the file (truncate, punch);
// i_mmap_lock guards the list of areas; the index has its own (XArray::lock). Entry locks are bits in the index.
#pragma once

#include <cstdint>

#include "daxsim/base/arena.hpp"
#include "daxsim/base/config.hpp"
#include "daxsim/base/sync.hpp"
#include "daxsim/base/units.hpp"
#include "daxsim/index/xarray.hpp"
#include "daxsim/vfs/error_sequence.hpp"
#include "daxsim/vfs/vma.hpp"

DAXSIM_BEGIN

class Inode;

// Whether write_protect() reaches areas that map the pages by a PMD (B2: kernels once left those writable).
enum class PmdMappings : std::uint8_t { leave, protect };
// And of those that map them one by one, all of the pages, or only the first (B3).
enum class SmallPages : std::uint8_t { all, first };

class AddressSpace {
 public:
  AddressSpace(Inode& host, Arena& arena) noexcept : host_(host), pages_(arena) {}
  AddressSpace(const AddressSpace&) = delete;
  AddressSpace& operator=(const AddressSpace&) = delete;

  [[nodiscard]] Inode& host() const noexcept { return host_; }
  [[nodiscard]] XArray& pages() noexcept { return pages_; }
  [[nodiscard]] SharedMutex& invalidate_lock() noexcept DAXSIM_RETURN_CAPABILITY(invalidate_lock_) {
    return invalidate_lock_;
  }
  [[nodiscard]] ErrorSequence& errors() noexcept { return errors_; }

  // Context: takes i_mmap_lock exclusively; not in the fault path.
  void insert(Vma& vma) noexcept;
  void remove(Vma& vma) noexcept;

  // Calls `visit(Vma&)` for each area that overlaps `pages`, under i_mmap_lock shared, in no particular order.
  template <class Visit>
  void for_each_vma(PageRange pages, Visit&& visit) noexcept {
    const SharedLock guard(i_mmap_lock_);
    for (Vma* vma = areas_; vma != nullptr; vma = vma->next_) {
      if (vma->pages().overlaps(pages)) {
        visit(*vma);
      }
    }
  }
  // unmap_mapping_pages: takes the pages out of every area. Emits unmap_mapping_pages (0 pages: to the end, as the
  // kernel prints it). Fault path.
  void unmap_pages(PageRange pages, EvenCows even_cows) noexcept;
  // unmap_mapping_range: the same of bytes, whole pages; {first, kAllPages.end() - first} is to the end of the file. Emits
  // unmap_mapping_range, and what MmPolicy::unmapping says. Fault path.
  void unmap_range(PageRange pages, EvenCows even_cows) noexcept;
  // mapping_mapped: any area maps some of the file. Fault path.
  [[nodiscard]] bool is_mapped() noexcept;
  // Makes the pages read-only in every area; returns how many page-table entries were writable. Emits pfn_mkclean_range
  // for each area. Fault path.
  std::uint64_t write_protect(PageRange pages, PmdMappings pmd_mappings = PmdMappings::protect,
                              SmallPages small_pages = SmallPages::all) noexcept;

 private:
  void take_out(PageRange pages, EvenCows even_cows) noexcept;

  Inode& host_;
  SharedMutex invalidate_lock_{LockRank::invalidate};
  SharedMutex i_mmap_lock_{LockRank::i_mmap};
  Vma* areas_ DAXSIM_GUARDED_BY(i_mmap_lock_) = nullptr;
  XArray pages_;
  ErrorSequence errors_;
};

DAXSIM_END
