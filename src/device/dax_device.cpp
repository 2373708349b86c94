// SPDX-License-Identifier: BSD-3-Clause
#include "daxsim/device/dax_device.hpp"

#include <algorithm>
#include <array>

#include "base/atomic_copy.hpp"

DAXSIM_BEGIN
namespace {

constexpr std::array<std::byte, kPageSize> kZeroes{};

// Calls copy(memory, done, length) for each contiguous piece of memory behind `bytes`.
template <class Copy>
Result<void> for_each_run(DaxDevice& device, ByteRange bytes, Copy copy) noexcept {
  for (std::uint64_t done = 0; done < bytes.length;) {
    const std::uint64_t offset = bytes.offset + done;
    const std::uint64_t skip = offset % kPageSize;
    const std::uint64_t left = bytes.length - done;
    DAXSIM_TRY(const Memory memory, device.direct_access(page_of(offset), pages_for(skip + left), DaxMode::access));
    const std::uint64_t length = std::min(left, (memory.pages << kPageShift) - skip);
    copy(memory.kaddr + skip, done, length);
    done += length;
  }
  return {};
}

}  // namespace

Result<void> DaxDevice::read(std::uint64_t offset, std::span<std::byte> to) noexcept {
  return for_each_run(*this, {offset, to.size()}, [to](std::byte* memory, std::uint64_t done, std::uint64_t length) {
    copy_from_mapped(to.subspan(done, length), memory);
  });
}

Result<void> DaxDevice::write(std::uint64_t offset, std::span<const std::byte> from) noexcept {
  const ByteRange bytes{offset, from.size()};
  DAXSIM_TRY_VOID(for_each_run(*this, bytes, [from](std::byte* memory, std::uint64_t done, std::uint64_t length) {
    copy_to_mapped(memory, from.subspan(done, length));
  }));
  // Past the cache, so whatever the write-cache flag says.
  return flush(bytes);
}

Result<void> DaxDevice::zero(ByteRange bytes) noexcept {
  DAXSIM_TRY_VOID(for_each_run(*this, bytes, [](std::byte* memory, std::uint64_t, std::uint64_t length) {
    for (std::uint64_t at = 0; at < length; at += kZeroes.size()) {
      copy_to_mapped(memory + at, std::span(kZeroes).first(std::min(length - at, kZeroes.size())));
    }
  }));
  return flush(bytes);
}

DAXSIM_END
