// SPDX-License-Identifier: BSD-3-Clause
// ZeroedArray: zeros that cost nothing until they are touched. Not of the arena: for what is made with its owner.
#pragma once

#include <cstddef>
#include <cstdlib>
#include <memory>

#include "daxsim/base/config.hpp"

DAXSIM_BEGIN

struct FreeMemory {
  void operator()(void* memory) const noexcept { std::free(memory); }
};
template <class T>
using ZeroedArray = std::unique_ptr<T[], FreeMemory>;

// Null when there is no memory. Zero bytes must be a T.
template <class T>
[[nodiscard]] ZeroedArray<T> make_zeroed(std::size_t count) noexcept {
  return ZeroedArray<T>(static_cast<T*>(std::calloc(count, sizeof(T))));
}

DAXSIM_END
