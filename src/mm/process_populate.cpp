// SPDX-License-Identifier: BSD-3-Clause
// Pages that the kernel faults in itself, for system calls and for devices.
#include <optional>
#include <vector>

#include "daxsim/mm/process.hpp"
#include "daxsim/vfs/fault.hpp"
#include "daxsim/vfs/inode.hpp"
#include "mm/call_range.hpp"
#include "mm/process_area.hpp"

DAXSIM_BEGIN

using soft_mmu::Area;
using soft_mmu::CallRange;
using soft_mmu::page_range;
using soft_mmu::touched_range;
using soft_mmu::Translation;

struct Process::FaultErrors {
  Errno not_mapped;
  Errno not_permitted;
  Errno no_memory;
  Errno bus_error;
  Errno media_error;
};

Result<void> Process::fault_in(std::uint64_t address, Access access, const FaultErrors& errors) noexcept {
  while (true) {
    const SharedLock guard(mm_);
    Area* const area = find_area(address);
    if (area == nullptr) {
      return errors.not_mapped;
    }
    const Translation found = area->table().find(address);
    if (found.word.permits(access)) {
      return {};
    }
    if (access == Access::write && !area->flags().write) {
      return errors.not_permitted;
    }
    unsigned order = 0;
    const FaultOutcome outcome = handle_mm_fault(*area, address, access, fault_flag::kKernelFault, found, order);
    if (outcome.has(FaultOutcome::oom)) {
      return errors.no_memory;
    }
    if (!outcome.resolved()) {
      area->count_sigbus();
      return outcome.has(FaultOutcome::hwpoison) ? errors.media_error : errors.bus_error;
    }
  }
}

Result<void> Process::populate(std::uint64_t address, std::uint64_t length, Access access) {
  constexpr FaultErrors kErrors{.not_mapped = Errno::enomem,
                                .not_permitted = Errno::einval,
                                .no_memory = Errno::enomem,
                                .bus_error = Errno::efault,
                                .media_error = Errno::ehwpoison};
  DAXSIM_TRY(const CallRange range, page_range(address, length, Errno::einval));
  for (std::uint64_t at = range.from; at < range.to; at += kPageSize) {
    DAXSIM_TRY_VOID(fault_in(at, access, kErrors));
  }
  return {};
}

Result<void> Process::mlock(std::uint64_t address, std::uint64_t length) {
  constexpr FaultErrors kErrors{.not_mapped = Errno::enomem,
                                .not_permitted = Errno::enomem,
                                .no_memory = Errno::eagain,
                                .bus_error = Errno::enomem,
                                .media_error = Errno::enomem};
  DAXSIM_TRY(const CallRange range, touched_range(address, length));
  DAXSIM_TRY(const std::vector<Piece> pieces, pieces_of(range.from, range.to));
  for (const Piece& piece : pieces) {
    for (std::uint64_t at = piece.from; at < piece.to; at += kPageSize) {
      DAXSIM_TRY_VOID(fault_in(at, piece.access, kErrors));
    }
  }
  return {};
}

Result<void> Process::munlock(std::uint64_t address, std::uint64_t length) {
  DAXSIM_TRY(const CallRange range, touched_range(address, length));
  DAXSIM_TRY_VOID(pieces_of(range.from, range.to));
  return {};
}

Result<std::vector<bool>> Process::mincore(std::uint64_t address, std::uint64_t length) {
  DAXSIM_TRY(const CallRange range, page_range(address, length, Errno::enomem));
  std::vector<bool> in_core;
  const SharedLock guard(mm_);
  for (std::uint64_t at = range.from; at < range.to; at += kPageSize) {
    const Area* const area = find_area(at);
    if (area == nullptr) {
      return Errno::enomem;
    }
    in_core.push_back(area->table().find(at).word.is_present());
  }
  return in_core;
}

Result<Pin> Process::pin(std::uint64_t address, Access access, Longterm longterm) {
  constexpr FaultErrors kErrors{.not_mapped = Errno::efault,
                                .not_permitted = Errno::efault,
                                .no_memory = Errno::enomem,
                                .bus_error = Errno::efault,
                                .media_error = Errno::efault};
  if (longterm == Longterm::yes) {
    const SharedLock guard(mm_);
    if (const Area* const area = find_area(address); area != nullptr && area->mapping().host().is_dax()) {
      return Errno::eopnotsupp;
    }
  }
  while (true) {
    DAXSIM_TRY_VOID(fault_in(round_down(address, kPageSize), access, kErrors));
    const SharedLock guard(mm_);
    if (Area* const area = find_area(address); area != nullptr) {
      DAXSIM_TRY(const std::optional<Pin> pin, area->pin(address, access));
      if (pin) {
        return *pin;
      }
    }
  }
}

void Process::unpin(const Pin& pin) noexcept {
  if (pin.device != nullptr) {
    pin.device->unpin(pin.page);
  }
}

DAXSIM_END
