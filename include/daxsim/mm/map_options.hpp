// SPDX-License-Identifier: BSD-3-Clause
// What mmap is told; the same for simulated processes and live mappings.
#pragma once

#include <cstdint>

#include "daxsim/base/config.hpp"
#include "daxsim/base/units.hpp"

DAXSIM_BEGIN

enum class Prot : std::uint8_t { read, read_write };
enum class Sharing : std::uint8_t { shared, private_copy };
enum class MapSync : std::uint8_t { no, yes };

struct MapOptions {
  Prot prot = Prot::read_write;
  Sharing sharing = Sharing::shared;
  MapSync sync = MapSync::no;  // MAP_SYNC; shared mappings on synchronous devices only
  std::uint64_t offset = 0;    // bytes into the file, page aligned
  std::uint64_t length = 0;    // bytes, rounded up to pages; 0: from offset to the end of the file
  // MAP_FIXED_NOREPLACE, simulated processes only: where, a multiple of the page size; 0: anywhere. It need not agree with
  // the offset modulo 2 MiB, and where it does not there are no huge pages.
  std::uint64_t address = 0;
};

DAXSIM_END
