// SPDX-License-Identifier: BSD-3-Clause
// Pool: the memory that a file system's page cache may use: a fixed number of real pages with page frames of their own,
// none of which is a device's.
//
// All memory is taken when the pool is made, so that a fault never lacks it for the host's sake. When every page is in
// use, one that is clean is taken from its file: unmapped there, and read again when it is next touched. Dirty pages
// stay until they are written back, so a pool full of them is out of memory.
//
// Threads: any. Locks: one of rank index, for a moment.
#pragma once

#include <cstdint>
#include <memory>

#include "daxsim/base/config.hpp"
#include "daxsim/base/result.hpp"
#include "daxsim/vfs/system.hpp"

DAXSIM_BEGIN
namespace pagecache {

struct PoolState;  // private

class Pool {
 public:
  // A pool of `pages` of the host's memory. `system` outlives it. Not in the fault path.
  // Errors: Errno::einval (no pages), Errno::enospc (no frames left), Errno::enomem, Errno::emfile, Errno::enfile (the
  // host's limits).
  static Result<std::unique_ptr<Pool>> create(System& system, std::uint64_t pages);
  // Nobody may have pages of it any more.
  ~Pool();
  Pool(const Pool&) = delete;
  Pool& operator=(const Pool&) = delete;

  struct Usage {
    std::uint64_t pages = 0;  // of the pool
    std::uint64_t used = 0;   // in files
    std::uint64_t dirty = 0;  // of the used ones
  };
  [[nodiscard]] Usage usage() noexcept;

 private:
  friend class FilePages;
  explicit Pool(std::unique_ptr<PoolState> state) noexcept;
  const std::unique_ptr<PoolState> state_;
};

}  // namespace pagecache
DAXSIM_END
