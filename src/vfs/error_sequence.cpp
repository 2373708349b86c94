// SPDX-License-Identifier: BSD-3-Clause
#include "daxsim/vfs/error_sequence.hpp"

DAXSIM_BEGIN
namespace {

constexpr std::uint32_t kErrnoMask = 0xfff;
constexpr std::uint32_t kSeen = std::uint32_t{1} << 12;
constexpr std::uint32_t kCountOne = std::uint32_t{1} << 13;

}  // namespace

void ErrorSequence::record(Errno error) noexcept {
  const auto number = static_cast<std::uint32_t>(error) & kErrnoMask;
  std::uint32_t old = word_.load(std::memory_order_relaxed);
  std::uint32_t changed = 0;
  do {
    // The counter moves only when somebody holds a sample of the old word: otherwise a flood of errors that nobody looks
    // at would wrap it around.
    changed = (old & ~(kErrnoMask | kSeen)) | number;
    if ((old & kSeen) != 0) {
      changed += kCountOne;
    }
  } while (!word_.compare_exchange_weak(old, changed, std::memory_order_acq_rel, std::memory_order_relaxed));
}

ErrorSequence::Sample ErrorSequence::sample() const noexcept {
  const std::uint32_t word = word_.load(std::memory_order_acquire);
  // An error that nobody has seen yet must still reach somebody, so a newcomer starts before it.
  return (word & kSeen) != 0 ? word : 0;
}

Result<void> ErrorSequence::check_and_advance(Sample& since) noexcept {
  std::uint32_t word = word_.load(std::memory_order_acquire);
  if (word == since) {
    return {};
  }
  while ((word & kSeen) == 0 &&
         !word_.compare_exchange_weak(word, word | kSeen, std::memory_order_acq_rel, std::memory_order_acquire)) {
  }
  since = word | kSeen;
  return static_cast<Errno>(word & kErrnoMask);
}

DAXSIM_END
