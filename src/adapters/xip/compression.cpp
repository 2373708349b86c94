// SPDX-License-Identifier: BSD-3-Clause
#include "adapters/xip/compression.hpp"

// For decompression in memory of ours.
#define ZSTD_STATIC_LINKING_ONLY
#include <zstd.h>

#include <new>

DAXSIM_BEGIN
namespace xip {
namespace {

// An image is made once and read often.
constexpr int kLevel = 19;

}  // namespace

void Compressor::Free::operator()(ZSTD_CCtx_s* context) const noexcept { ZSTD_freeCCtx(context); }

Compressor::Compressor() : context_(ZSTD_createCCtx()) {
  if (context_ == nullptr) {
    throw std::bad_alloc();
  }
  ZSTD_CCtx_setParameter(context_.get(), ZSTD_c_compressionLevel, kLevel);
  ZSTD_CCtx_setParameter(context_.get(), ZSTD_c_checksumFlag, 1);
}

std::vector<std::byte> Compressor::compress(std::span<const std::byte> bytes) {
  std::vector<std::byte> frame(ZSTD_compressBound(bytes.size()));
  const std::size_t length = ZSTD_compress2(context_.get(), frame.data(), frame.size(), bytes.data(), bytes.size());
  if (ZSTD_isError(length) != 0) {
    throw std::bad_alloc();  // there is room for the frame, so nothing else can be wrong
  }
  frame.resize(length);
  return frame;
}

std::size_t workspace_bytes() noexcept { return ZSTD_estimateDCtxSize(); }

Result<void> decompress(std::span<const std::byte> frame, std::span<std::byte> to,
                        std::span<std::byte> workspace) noexcept {
  ZSTD_DCtx* const context = ZSTD_initStaticDCtx(workspace.data(), workspace.size());
  const std::size_t length = ZSTD_decompressDCtx(context, to.data(), to.size(), frame.data(), frame.size());
  if (ZSTD_isError(length) != 0 || length != to.size()) {
    return Errno::eio;
  }
  return {};
}

}  // namespace xip
DAXSIM_END
