// SPDX-License-Identifier: BSD-3-Clause
// Vma: one area of one address space that maps a file. Declared here, implemented by mm (soft page tables, live host
// mappings), so that dax can install, write-protect and unmap pages without knowing how.
//
// Protocol. dax calls install() and install_private() while it holds the lock of the index entry that covers the page:
// whoever wants to take the page away locks the same entry first, so a page is never installed behind its back.
// write_protect() and unmap() may be called with or without that lock, under the address space's i_mmap lock (shared).
// All four are in the fault path: no malloc, no waiting save for loads and stores under way, no user memory touched.
//
// I1 After write_protect() has returned, no store to those pages completes without a new fault.
// I2 After unmap() has returned, no load or store to those pages completes without a new fault.
// I3 Private copies survive unmap(EvenCows::no) and write_protect().
// I4 Addresses stay reserved until the area is destroyed, whatever happens to file and device.
#pragma once

#include <cstddef>
#include <cstdint>

#include "daxsim/base/config.hpp"
#include "daxsim/base/result.hpp"
#include "daxsim/base/units.hpp"
#include "daxsim/device/dax_device.hpp"

DAXSIM_BEGIN

class AddressSpace;
class Inode;
class FaultOutcome;

struct VmFlags {
  bool shared = true;  // VM_SHARED
  bool write = true;   // VM_WRITE
  bool sync = false;   // VM_SYNC (MAP_SYNC)
};

enum class EvenCows : std::uint8_t { no, yes };
enum class Writable : std::uint8_t { no, yes };

// What to put where.
struct Installation {
  Pgoff pgoff;         // of the first page, aligned to the order
  unsigned order = 0;  // 0 or kPmdOrder
  Writable writable = Writable::no;
  bool zero_page = false;  // the shared zero page; `memory` is not used
  Memory memory;           // of `pgoff`, at least 1 << order pages
  // The run of file pages around pgoff that is contiguous on the device, as far as the file system knows without work:
  // a live mapping lays it in one piece. Contains pgoff.
  PageRange extent;
};

struct PteState {
  enum class Kind : std::uint8_t { none, zero_page, memory, private_copy };
  Kind kind = Kind::none;
  bool writable = false;
  unsigned order = 0;
  Pfn pfn;  // of the page asked for, also inside a huge one
};

// Faults taken by one area, by what they ended in. Numbers, never reset.
struct FaultCounts {
  std::uint64_t pte = 0;     // PTE faults that installed or upgraded a page
  std::uint64_t pmd = 0;     // PMD faults that installed
  std::uint64_t cow = 0;     // private copies made
  std::uint64_t sigbus = 0;  // ended in a bus error
  friend bool operator==(const FaultCounts&, const FaultCounts&) = default;
};

class Vma {
 public:
  Vma(const Vma&) = delete;
  Vma& operator=(const Vma&) = delete;

  [[nodiscard]] AddressSpace& mapping() const noexcept { return mapping_; }
  [[nodiscard]] VmFlags flags() const noexcept { return flags_; }
  [[nodiscard]] std::uint64_t start() const noexcept { return start_; }
  [[nodiscard]] std::uint64_t end() const noexcept { return start_ + (pages_.pages << kPageShift); }
  // The file pages that the area maps.
  [[nodiscard]] PageRange pages() const noexcept { return pages_; }
  [[nodiscard]] Pgoff pgoff_of(std::uint64_t address) const noexcept {
    return pages_.first + ((address - start_) >> kPageShift);
  }
  [[nodiscard]] std::uint64_t address_of(Pgoff page) const noexcept {
    return start_ + ((page - pages_.first) << kPageShift);
  }

  // nopage: the page is there (or a same one was); fallback: a PMD does not fit here (a page table exists);
  // oom: no page table or host mapping; sigbus: the area is revoked for good.
  virtual FaultOutcome install(const Installation& what) noexcept = 0;
  // Copies one page from `source` (null: zeros) to memory of the area's own and maps it writable. done_cow, nopage (a
  // copy is there already), oom.
  virtual FaultOutcome install_private(Pgoff page, const std::byte* source) noexcept = 0;
  // Makes present shared pages read-only; returns how many page-table entries were writable. `pages` may exceed the area.
  virtual std::uint64_t write_protect(PageRange pages) noexcept = 0;
  virtual void unmap(PageRange pages, EvenCows even_cows) noexcept = 0;

  [[nodiscard]] virtual PteState pte(Pgoff page) noexcept = 0;
  // A PMD-sized page or a table of small ones is present in the 2 MiB around `page`.
  [[nodiscard]] virtual bool has_page_table(Pgoff page) noexcept = 0;
  [[nodiscard]] virtual FaultCounts fault_counts() noexcept = 0;

 protected:
  Vma(AddressSpace& mapping, VmFlags flags, std::uint64_t start, PageRange pages) noexcept
      : mapping_(mapping), flags_(flags), start_(start), pages_(pages) {}
  ~Vma() = default;  // destroyed by its mm, after AddressSpace::remove

 private:
  friend class AddressSpace;
  AddressSpace& mapping_;
  const VmFlags flags_;
  const std::uint64_t start_;
  const PageRange pages_;
  Vma* next_ = nullptr;   // guarded by the address space's i_mmap lock
  Vma** link_ = nullptr;  // guarded by the address space's i_mmap lock
};

DAXSIM_END
