// SPDX-License-Identifier: BSD-3-Clause
// IndexDesign: what one index entry stores, and how write-back finds the memory again (F11, F12).
#pragma once

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

// Where a flush goes.
struct FlushTarget {
  Attachment* device = nullptr;
  Pgoff page;  // device page
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
  // The payload that a fault stores for memory the file system named. Errors: Errno::eoverflow (does not fit).
  [[nodiscard]] virtual Result<std::uint64_t> encode(const FileExtent& extent) const noexcept = 0;
  // Where write-back flushes the page that was stored as `payload`. Errors: Errno::enxio (the device is gone).
  [[nodiscard]] virtual Result<FlushTarget> resolve(System& system, Inode& inode, Pgoff page,
                                                    std::uint64_t payload) const noexcept = 0;
  // After waiting for an entry's lock: does the entry still name the same memory? (F5.4)
  [[nodiscard]] virtual bool still_valid(std::uint64_t sampled, std::uint64_t now) const noexcept = 0;
};

namespace designs {
// Linux 4.17 and later: the page frame number.
const IndexDesign& pfn() noexcept;
}  // namespace designs

DAXSIM_END
