// SPDX-License-Identifier: BSD-3-Clause
// Images of XipFs for tests: what their files are made of, what the builder made of them, and edits of their metadata with
// the checksums made right again.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <random>
#include <span>
#include <string_view>
#include <vector>

#include "adapters/xip/image.hpp"
#include "daxsim/adapters/xip.hpp"
#include "daxsim/test_support/must.hpp"
#include "support/error_of.hpp"

namespace daxsim::test {

using Bytes = std::vector<std::byte>;

// Bytes that get smaller when compressed, each page different.
inline Bytes easy(std::size_t length, unsigned seed = 1) {
  Bytes bytes(length);
  for (std::size_t at = 0; at < length; ++at) {
    bytes[at] = static_cast<std::byte>(seed + at / kPageSize + at % 13);
  }
  return bytes;
}
// Bytes that do not.
inline Bytes hard(std::size_t length, unsigned seed = 1) {
  std::mt19937 random(seed);
  Bytes bytes(length);
  for (std::byte& byte : bytes) {
    byte = static_cast<std::byte>(random() >> 11);
  }
  return bytes;
}
inline Bytes joined(const std::vector<Bytes>& parts) {
  Bytes all;
  for (const Bytes& part : parts) {
    all.insert(all.end(), part.begin(), part.end());
  }
  return all;
}

inline xip::ReadAt reader_of(const Bytes& image) {
  return [&image](std::uint64_t offset, std::span<std::byte> to) {
    std::memcpy(to.data(), image.data() + offset, to.size());
    return Result<void>();
  };
}
inline xip::Image load(const Bytes& image) { return must(xip::load(reader_of(image), image.size())); }

// How each page of a file is stored.
inline std::vector<xip::PageKind> kinds_of(const Bytes& image, std::string_view name) {
  const xip::Image loaded = load(image);
  const auto file = std::ranges::find(loaded.files, name, &xip::File::name);
  std::vector<xip::PageKind> kinds;
  std::ranges::transform(file->pages, std::back_inserter(kinds), &xip::Page::kind);
  return kinds;
}

// Makes the checksums right again, as far as the lengths in the image allow.
inline void fix_checksums(Bytes& image) {
  xip::SuperRecord super;
  std::memcpy(&super, image.data(), sizeof(super));
  if (super.metadata_bytes <= image.size() - sizeof(super)) {
    Crc32c crc;
    crc.add(std::span(image).subspan(sizeof(super), super.metadata_bytes));
    super.metadata_crc = crc.value();
  }
  super.crc = crc_of(super);
  std::memcpy(image.data(), &super, sizeof(super));
}

// Changes one record.
template <class Record, class Change>
void edit(Bytes& image, std::uint64_t offset, Change change) {
  Record record;
  std::memcpy(&record, image.data() + offset, sizeof(record));
  change(record);
  std::memcpy(image.data() + offset, &record, sizeof(record));
  fix_checksums(image);
}

// Where the record of a page of a file is.
inline std::uint64_t offset_of_record(const Bytes& image, std::string_view name, std::uint64_t page) {
  std::uint64_t offset = sizeof(xip::SuperRecord);
  for (const xip::File& file : load(image).files) {
    offset += sizeof(xip::FileRecord) + round_up(file.name.size(), 8);
    if (file.name == name) {
      break;
    }
    offset += file.pages.size() * sizeof(xip::PageRecord);
  }
  return offset + page * sizeof(xip::PageRecord);
}

using support::errno_of;

}  // namespace daxsim::test
