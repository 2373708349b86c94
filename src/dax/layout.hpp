// SPDX-License-Identifier: BSD-3-Clause
// Taking entries out of the index, for truncate, invalidation and teardown.
#pragma once

#include <cstdint>

#include "daxsim/base/config.hpp"
#include "daxsim/base/units.hpp"
#include "daxsim/dax/dax.hpp"

DAXSIM_BEGIN
namespace dax {

// Waits for each entry that overlaps `pages` and deletes it, dirty or not.
void delete_entries(const Context& context, Inode& inode, PageRange pages) noexcept;

}  // namespace dax
DAXSIM_END
