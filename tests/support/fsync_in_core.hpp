// SPDX-License-Identifier: BSD-3-Clause
// sync(2) for file systems of tests: every file in core; the last error.
#pragma once

#include <cstdint>
#include <optional>

#include "daxsim/base/result.hpp"
#include "daxsim/vfs/inode.hpp"
#include "daxsim/vfs/super_block.hpp"

namespace daxsim::test {

inline Result<void> fsync_in_core(SuperBlock& super_block) {
  std::optional<Errno> error;
  for (const auto& inode : super_block.inodes_in_core()) {
    if (const Result<void> synced = inode->fsync_range({0, ~std::uint64_t{0}}, Datasync::no); !synced.ok()) {
      error = synced.error();
    }
  }
  return error ? Result<void>(*error) : Result<void>();
}

}  // namespace daxsim::test
