// SPDX-License-Identifier: BSD-3-Clause
// IndexDesign: what one index entry stores, and how write-back finds the memory again (F11, F12).
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

#include "daxsim/base/config.hpp"
#include "daxsim/base/result.hpp"
#include "daxsim/base/units.hpp"

DAXSIM_BEGIN

class Attachment;
class Inode;
struct FileExtent;
struct System;

// Where a flush goes, and what finding that out took.
struct FlushTarget {
  Attachment* device = nullptr;
  Pgoff page;               // device page
  std::uint64_t pages = 1;  // contiguous from there, 1 or more, at most as many as asked
  // For comparing designs: searches (of a device table, the memory map, an extent map) and the locks they took.
  std::uint32_t lookups = 0;
  std::uint32_t locks = 0;
};

// One entry of storage as a fault stored it.
struct StoredEntry {
  Pgoff first;                // of the file; all pages of the entry are contiguous on the device
  std::uint64_t pages = 1;    // of the entry
  std::uint64_t payload = 0;  // what IndexDesign::encode answered
};

// Stateless: one constant object serves every file of every machine. All calls are in the fault path.
class IndexDesign {
 public:
  virtual ~IndexDesign() = default;
  IndexDesign() = default;
  IndexDesign(const IndexDesign&) = delete;
  IndexDesign& operator=(const IndexDesign&) = delete;

  // For tables: "pfn".
  [[nodiscard]] virtual std::string_view name() const noexcept = 0;
  // The payload that a fault stores for memory the file system named. Errors: Errno::eoverflow (does not fit),
  // Errno::eopnotsupp (the file system gave nothing that could be stored).
  [[nodiscard]] virtual Result<std::uint64_t> encode(const FileExtent& extent) const noexcept = 0;
  // Where write-back flushes `pages`, which the entry covers, or the first of them.
  // Errors: Errno::enxio (the device is gone, and the design knows), Errno::efault (there is nothing at the address it
  // would have flushed: a kernel oopses here), Errno::estale (the memory has become something else), Errno::eio (the file
  // system was asked, and has no answer).
  [[nodiscard]] virtual Result<FlushTarget> resolve(System& system, Inode& inode, const StoredEntry& entry,
                                                    PageRange pages) const noexcept = 0;
  // After waiting for an entry's lock: does the entry still name the same memory? (F5.4)
  [[nodiscard]] virtual bool still_valid(std::uint64_t sampled, std::uint64_t now) const noexcept {
    return sampled == now;
  }
};

// The design space of F12, in its order. Sectors are of 512 bytes; the device of a sector is the block device, so a file
// system without one (SuperBlock::bdev() null) cannot use those.
namespace designs {
// Patches of 2015, never merged: the kernel address.
const IndexDesign& kaddr() noexcept;
// Linux 4.5-rc1: the sector, on the super block's device whatever the file is on.
const IndexDesign& sector_of_super_block() noexcept;
// Linux 4.5 to 4.16: the sector, on the device that the file system names for the inode.
const IndexDesign& sector_of_inode() noexcept;
// Too wide for a word then: the sector and which device.
const IndexDesign& sector_and_device() noexcept;
// The page offset and which dax device, found again only while it is alive.
const IndexDesign& pgoff_and_device() noexcept;
// Linux 4.17 and later: the page frame number. Unique in the whole machine; what it cannot tell is whether the memory is
// still the same device's, or there at all.
const IndexDesign& pfn() noexcept;
// The page frame number and the generation of that memory (Attachment::generation).
const IndexDesign& pfn_and_generation() noexcept;
// Whatever the file system calls the place (FileExtent::cookie), and asks it back.
const IndexDesign& cookie() noexcept;
// Nothing: the file system is asked where the pages are now.
const IndexDesign& ask_file_system() noexcept;

// All of the above.
inline constexpr std::size_t kCount = 9;
const std::array<const IndexDesign*, kCount>& all() noexcept;
// Null when there is none of this name.
const IndexDesign* find(std::string_view name) noexcept;
}  // namespace designs

DAXSIM_END
