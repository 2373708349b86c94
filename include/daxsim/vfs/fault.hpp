// SPDX-License-Identifier: BSD-3-Clause
// A page fault's request and outcome (F4.1). An outcome is not an error: it says what the memory manager does next.
#pragma once

#include <cstdint>

#include "daxsim/base/config.hpp"
#include "daxsim/base/errno.hpp"
#include "daxsim/base/units.hpp"
#include "daxsim/vfs/vma.hpp"

DAXSIM_BEGIN

// FAULT_FLAG_*, the kernel's values.
namespace fault_flag {
inline constexpr std::uint32_t kWrite = 0x001;
inline constexpr std::uint32_t kMkwrite = 0x002;
inline constexpr std::uint32_t kAllowRetry = 0x004;
inline constexpr std::uint32_t kKillable = 0x010;
inline constexpr std::uint32_t kUser = 0x040;
inline constexpr std::uint32_t kInterruptible = 0x200;
inline constexpr std::uint32_t kOrigPteValid = 0x800;
inline constexpr std::uint32_t kVmaLock = 0x1000;
// What every fault from a user's load or store carries.
inline constexpr std::uint32_t kUserFault = kAllowRetry | kKillable | kUser | kInterruptible;
// What a fault carries that the kernel takes for its own access to a user's page (get_user_pages), the mm lock held.
inline constexpr std::uint32_t kKernelFault = kAllowRetry | kKillable;
}  // namespace fault_flag

// VM_FAULT_*: a set of bits with the kernel's values.
class FaultOutcome {
 public:
  enum Bit : std::uint32_t {
    oom = 0x0001,        // no memory for a node, a page table or a host mapping
    sigbus = 0x0002,     // beyond EOF, file system error, dead device
    major = 0x0004,      // or-ed in: blocks were allocated
    hwpoison = 0x0010,   // known media error: SIGBUS with BUS_MCEERR_AR
    nopage = 0x0100,     // done, or raced: run the access again
    retry = 0x0400,      // had to wait; fault again
    fallback = 0x0800,   // try a smaller page
    done_cow = 0x1000,   // a private copy was made
    needdsync = 0x2000,  // MAP_SYNC: commit first, then finish_sync_fault
  };

  constexpr FaultOutcome(Bit bit) noexcept : bits_(bit) {}  // NOLINT(google-explicit-constructor)
  // vmf_error: ENOMEM is oom, EHWPOISON is hwpoison, everything else sigbus.
  static constexpr FaultOutcome from(Errno error) noexcept {
    switch (error) {
      case Errno::enomem:
        return oom;
      case Errno::ehwpoison:
        return hwpoison;
      default:
        return sigbus;
    }
  }

  [[nodiscard]] constexpr bool has(Bit bit) const noexcept { return (bits_ & bit) != 0; }
  // The access may be run again.
  [[nodiscard]] constexpr bool resolved() const noexcept { return (bits_ & (nopage | done_cow | retry)) != 0; }
  [[nodiscard]] constexpr std::uint32_t bits() const noexcept { return bits_; }
  friend constexpr FaultOutcome operator|(FaultOutcome a, FaultOutcome b) noexcept {
    a.bits_ |= b.bits_;
    return a;
  }
  friend constexpr bool operator==(FaultOutcome, FaultOutcome) = default;

 private:
  std::uint32_t bits_;
};

// One fault, on its way down from mm through Inode::fault to dax. Lives on the stack of the faulting thread.
struct FaultRequest {
  Vma& vma;
  Pgoff pgoff;                // of the faulting page in the file
  std::uint64_t address = 0;  // the faulting byte
  unsigned order = 0;         // 0 or kPmdOrder
  std::uint32_t flags = fault_flag::kUserFault;
  std::uint32_t task = 0;  // who, for events

  [[nodiscard]] bool is_write() const noexcept { return (flags & fault_flag::kWrite) != 0; }
  // A write that must not reach the file: to a private mapping.
  [[nodiscard]] bool is_cow() const noexcept { return is_write() && !vma.flags().shared; }
};

DAXSIM_END
