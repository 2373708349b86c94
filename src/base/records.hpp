// SPDX-License-Identifier: BSD-3-Clause
// What file systems put on devices: little-endian records, read and written whole, with a CRC-32C.
#pragma once

#include <boost/crc.hpp>
#include <boost/endian/arithmetic.hpp>
#include <cstddef>
#include <cstdint>
#include <span>
#include <type_traits>

#include "daxsim/base/config.hpp"

DAXSIM_BEGIN

using Le16 = boost::endian::little_uint16_t;
using Le32 = boost::endian::little_uint32_t;
using Le48 = boost::endian::little_uint48_t;
using Le64 = boost::endian::little_uint64_t;

// Memory image of a record, for reading and writing it whole.
template <class Record>
  requires std::is_trivially_copyable_v<Record>
std::span<std::byte> bytes_of(Record& record) noexcept {
  return std::as_writable_bytes(std::span(&record, 1));
}
template <class Record>
  requires std::is_trivially_copyable_v<Record>
std::span<const std::byte> bytes_of(const Record& record) noexcept {
  return std::as_bytes(std::span(&record, 1));
}

class Crc32c {
 public:
  void add(std::span<const std::byte> bytes) noexcept { crc_.process_bytes(bytes.data(), bytes.size()); }
  [[nodiscard]] std::uint32_t value() const noexcept { return crc_.checksum(); }

 private:
  boost::crc_optimal<32, 0x1edc6f41, 0xffffffff, 0xffffffff, true, true> crc_;
};

// The CRC of a record whose field `crc` counts as zero.
template <class Record>
std::uint32_t crc_of(Record record) noexcept {
  record.crc = 0;
  Crc32c crc;
  crc.add(bytes_of(record));
  return crc.value();
}

DAXSIM_END
