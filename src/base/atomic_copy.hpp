// SPDX-License-Identifier: BSD-3-Clause
// Copies between mapped memory and a thread's own. Mapped memory is stored to, flushed and copied by other threads at the
// same time, as real memory is; so it is only touched by relaxed atomics of 1, 2, 4 or 8 bytes.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

#include "daxsim/base/config.hpp"

DAXSIM_BEGIN

template <class T>
void load_one(std::byte* mapped, std::byte* to) noexcept {
  const T value = std::atomic_ref<T>(*reinterpret_cast<T*>(mapped)).load(std::memory_order_relaxed);
  std::memcpy(to, &value, sizeof(T));
}

template <class T>
void store_one(std::byte* mapped, const std::byte* from) noexcept {
  T value;
  std::memcpy(&value, from, sizeof(T));
  std::atomic_ref<T>(*reinterpret_cast<T*>(mapped)).store(value, std::memory_order_relaxed);
}

// Calls `one.operator()<T>(offset)` for pieces of `length` bytes at `mapped`, each aligned and as wide as possible.
template <class One>
void in_aligned_pieces(const std::byte* mapped, std::size_t length, One one) noexcept {
  const auto address = reinterpret_cast<std::uintptr_t>(mapped);
  std::size_t at = 0;
  while (at < length) {
    const std::size_t left = length - at;
    if (const std::uintptr_t here = address + at; here % 8 == 0 && left >= 8) {
      one.template operator()<std::uint64_t>(at);
      at += 8;
    } else if (here % 4 == 0 && left >= 4) {
      one.template operator()<std::uint32_t>(at);
      at += 4;
    } else if (here % 2 == 0 && left >= 2) {
      one.template operator()<std::uint16_t>(at);
      at += 2;
    } else {
      one.template operator()<std::uint8_t>(at);
      at += 1;
    }
  }
}

// `mapped` is only read; atomic_ref wants it mutable.
inline void copy_from_mapped(std::span<std::byte> to, std::byte* mapped) noexcept {
  in_aligned_pieces(mapped, to.size(), [&]<class T>(std::size_t at) { load_one<T>(mapped + at, to.data() + at); });
}

inline void copy_to_mapped(std::byte* mapped, std::span<const std::byte> from) noexcept {
  in_aligned_pieces(mapped, from.size(), [&]<class T>(std::size_t at) { store_one<T>(mapped + at, from.data() + at); });
}

DAXSIM_END
