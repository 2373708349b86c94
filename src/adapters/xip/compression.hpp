// SPDX-License-Identifier: BSD-3-Clause
// One page in, one frame out, and back.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <vector>

#include "daxsim/base/config.hpp"
#include "daxsim/base/result.hpp"

struct ZSTD_CCtx_s;

DAXSIM_BEGIN
namespace xip {

// Not in the fault path.
class Compressor {
 public:
  Compressor();
  // A frame with a checksum, as small as it gets.
  std::vector<std::byte> compress(std::span<const std::byte> bytes);

 private:
  struct Free {
    void operator()(ZSTD_CCtx_s* context) const noexcept;
  };
  const std::unique_ptr<ZSTD_CCtx_s, Free> context_;
};

// Bytes of working memory that decompress() wants.
std::size_t workspace_bytes() noexcept;
// `frame` must give exactly the bytes of `to`. `workspace` is aligned to 8 bytes.
// Errors: Errno::eio (damaged). Context: fault path.
Result<void> decompress(std::span<const std::byte> frame, std::span<std::byte> to,
                        std::span<std::byte> workspace) noexcept;

}  // namespace xip
DAXSIM_END
