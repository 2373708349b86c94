// SPDX-License-Identifier: BSD-3-Clause
// What the writer that gets killed and the test that kills it agree on.
#pragma once

#include <atomic>
#include <cstdint>

namespace daxsim::test {

inline constexpr std::uint64_t kWriterDevice = std::uint64_t{8} << 20;
inline constexpr std::uint64_t kWriterPages = 32;
inline constexpr std::uint64_t kCellsPerPage = 4096 / 64;
inline constexpr std::uint64_t kWriterCells = kWriterPages * kCellsPerPage;

// A shared page. Round r stores value_of(r) into the cells of round r and fsyncs.
struct WriterProgress {
  std::atomic<std::uint64_t> started{0};  // the round that is being stored or synced
  std::atomic<std::uint64_t> fenced{0};   // the last round whose fsync returned
  std::atomic<std::uint32_t> in_fsync{0};
};

// Eight equal bytes, so that a torn value shows.
constexpr std::uint64_t value_of(std::uint64_t round) { return (round % 255 + 1) * 0x0101010101010101U; }
// Every third cell, another third each round.
constexpr bool writes(std::uint64_t round, std::uint64_t cell) { return cell % 3 == round % 3; }

}  // namespace daxsim::test
