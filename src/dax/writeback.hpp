// SPDX-License-Identifier: BSD-3-Clause
// The flush of one index entry.
#pragma once

#include <cstdint>

#include "daxsim/base/config.hpp"
#include "daxsim/base/result.hpp"
#include "daxsim/base/units.hpp"
#include "daxsim/dax/dax.hpp"

DAXSIM_BEGIN
namespace dax {

// What the index design needed to find the memory of one entry.
struct Search {
  std::uint32_t lookups = 0;
  std::uint32_t locks = 0;
};

// Flushes the memory of an entry of `pages`, and lets the file system make its copies. Context: fault path; the entry's
// lock held, its pages not writable. Errors: those of IndexDesign::resolve, Attachment::flush and Inode::written_back.
Result<void> flush_entry(const Context& context, Inode& inode, PageRange pages, std::uint64_t payload,
                         Search& search) noexcept;

}  // namespace dax
DAXSIM_END
