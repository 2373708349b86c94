// SPDX-License-Identifier: BSD-3-Clause
// PageSet: a growing set of numbers below a bound, as a bitmap with summaries: one bit says that 64 bits of the level
// below are not all zero, so that walking the members of a sparse set is proportional to them and not to the bound.
//
// I1 A summary bit is set before what it summarizes: walks see every member that test() has shown to anybody.
// I2 Members are never removed.
//
// Protocol: insert() is a release at the lowest level, test() an acquire: what was done before a number was inserted is
// seen by whoever finds it in.
//
// Threads: any; nothing waits or allocates after create(); allowed in the fault path. Memory is mapped sparse: 1/8 byte
// of address space a number, of which only the touched pages exist.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>

#include "daxsim/base/config.hpp"
#include "daxsim/base/result.hpp"
#include "host.hpp"

DAXSIM_BEGIN
namespace sim {

class PageSet {
 public:
  PageSet() noexcept = default;

  // For numbers below `bound`, 1 to 2^30. Errors: Errno::enomem.
  static Result<PageSet> create(std::uint64_t bound) noexcept {
    PageSet set;
    set.bound_ = bound;
    std::uint64_t words = 0;
    for (std::uint64_t bits = bound; set.levels_ == 0 || bits > 1; bits = (bits + 63) / 64) {
      set.start_[set.levels_++] = words;
      words += (bits + 63) / 64;
    }
    set.words_ = words;
    DAXSIM_TRY(set.region_, Region::anonymous(words * sizeof(std::uint64_t)));
    return set;
  }

  [[nodiscard]] std::uint64_t bound() const noexcept { return bound_; }

  [[nodiscard]] bool test(std::uint64_t number) const noexcept {
    return (__atomic_load_n(word(0, number / 64), __ATOMIC_ACQUIRE) >> (number % 64) & 1) != 0;
  }
  // All of [first, first + count).
  [[nodiscard]] bool test_all(std::uint64_t first, std::uint64_t count) const noexcept {
    for (std::uint64_t done = 0; done < count;) {
      const std::uint64_t shift = (first + done) % 64;
      const std::uint64_t length = std::min(count - done, 64 - shift);
      const std::uint64_t mask = (~std::uint64_t{0} >> (64 - length)) << shift;
      if ((__atomic_load_n(word(0, (first + done) / 64), __ATOMIC_ACQUIRE) & mask) != mask) {
        return false;
      }
      done += length;
    }
    return true;
  }

  void insert(std::uint64_t number) noexcept {
    for (unsigned level = levels_; level-- > 0;) {
      const std::uint64_t at = number >> (6 * level);
      const std::uint64_t bit = std::uint64_t{1} << (at % 64);
      if ((__atomic_load_n(word(level, at / 64), __ATOMIC_RELAXED) & bit) == 0) {
        __atomic_fetch_or(word(level, at / 64), bit, __ATOMIC_RELEASE);
      }
    }
  }

  // The smallest member that is `from` or more; bound() when there is none.
  [[nodiscard]] std::uint64_t next(std::uint64_t from) const noexcept {
    std::uint64_t at = from;
    for (unsigned level = 0; level < levels_;) {
      if (at / 64 >= words_in(level)) {
        return bound_;
      }
      const std::uint64_t rest =
          __atomic_load_n(word(level, at / 64), __ATOMIC_ACQUIRE) & (~std::uint64_t{0} << (at % 64));
      if (rest == 0) {
        at = at / 64 + 1;
        ++level;
        continue;
      }
      at = at / 64 * 64 + static_cast<unsigned>(std::countr_zero(rest));
      if (level == 0) {
        return at;
      }
      at *= 64;
      --level;
    }
    return bound_;
  }

 private:
  static constexpr unsigned kMaxLevels = 5;  // 64^5 = 2^30

  [[nodiscard]] std::uint64_t* word(unsigned level, std::uint64_t index) const noexcept {
    return reinterpret_cast<std::uint64_t*>(region_.data()) + start_[level] + index;
  }
  [[nodiscard]] std::uint64_t words_in(unsigned level) const noexcept {
    return (level + 1 == levels_ ? words_ : start_[level + 1]) - start_[level];
  }

  std::uint64_t bound_ = 0;
  unsigned levels_ = 0;
  std::uint64_t words_ = 0;
  std::array<std::uint64_t, kMaxLevels> start_ = {};  // first word of each level
  Region region_;
};

}  // namespace sim
DAXSIM_END
