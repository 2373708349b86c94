// SPDX-License-Identifier: BSD-3-Clause
// Area: one VMA of a simulated process. Its pages are in a PageTable that it shares with the areas it was split from.
//
// Locks: page_table, of the PageTable, for the entries and the counts. The area itself does not change: mprotect and
// munmap put new areas in its place, under the process's mm lock.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <utility>

#include "daxsim/base/config.hpp"
#include "daxsim/base/result.hpp"
#include "daxsim/device/attachment.hpp"
#include "daxsim/vfs/fault.hpp"
#include "daxsim/vfs/open_file.hpp"
#include "daxsim/vfs/system.hpp"
#include "daxsim/vfs/vma.hpp"
#include "mm/page_table.hpp"

DAXSIM_BEGIN
namespace soft_mmu {

class Area final : public Vma {
 public:
  struct Owner {
    System& system;
    std::uint32_t task;
    Gate& tlb;
  };

  Area(const Owner& owner, PageTable& table, std::shared_ptr<OpenFile> file, VmFlags flags, std::uint64_t start,
       PageRange pages) noexcept
      : Vma(file->inode().mapping(), flags, start, pages), owner_(owner), table_(table), file_(std::move(file)) {}

  [[nodiscard]] PageTable& table() const noexcept { return table_; }
  [[nodiscard]] const std::shared_ptr<OpenFile>& file() const noexcept { return file_; }
  [[nodiscard]] bool contains(std::uint64_t address) const noexcept { return address >= start() && address < end(); }

  FaultOutcome install(const Installation& what) noexcept override;
  FaultOutcome install_private(Pgoff page, const std::byte* source) noexcept override;
  std::uint64_t write_protect(PageRange what) noexcept override;
  void unmap(PageRange what, EvenCows even_cows) noexcept override;
  [[nodiscard]] PteState pte(Pgoff page) noexcept override;
  [[nodiscard]] bool has_page_table(Pgoff page) noexcept override;
  [[nodiscard]] FaultCounts fault_counts() noexcept override;

  // wp_page_copy: the store's own copy of a page that is mapped read-only. done_cow, nopage (the page has gone, or a
  // copy is there), oom. Context: mm lock shared.
  FaultOutcome copy_on_write(std::uint64_t address) noexcept;
  // The memory behind the page, pinned, while its entry permits the access; nothing when it does not. Whoever unmaps the
  // page has either been waited for, or finds the pin. Errors: Errno::efault (the device is dead). Context: mm lock shared;
  // not the fault path.
  Result<std::optional<Pin>> pin(std::uint64_t address, Access access) noexcept;
  void count_sigbus() noexcept;
  void add_counts(const FaultCounts& counts) noexcept;

 private:
  template <class Fill>
  FaultOutcome put_copy(std::uint64_t address, Fill fill) noexcept;
  [[nodiscard]] PteState state_locked(std::uint64_t address) noexcept DAXSIM_REQUIRES(table_.lock());
  void emit_insert(const Installation& what, std::uint64_t address, Writable writable) noexcept;

  const Owner owner_;
  PageTable& table_;
  const std::shared_ptr<OpenFile> file_;
  FaultCounts counts_ DAXSIM_GUARDED_BY(table_.lock());
};

}  // namespace soft_mmu
DAXSIM_END
