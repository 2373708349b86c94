// SPDX-License-Identifier: BSD-3-Clause
// An image's metadata in memory. Nothing in it is believed before it was checked: what load() answers lies inside the image.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "adapters/xip/definitions.hpp"
#include "daxsim/base/config.hpp"
#include "daxsim/base/result.hpp"
#include "daxsim/base/units.hpp"

DAXSIM_BEGIN
namespace xip {

enum class PageKind : std::uint8_t {
  hole,
  direct,      // in a page of the device of its own, as it is
  copied,      // as it is, but no mapping may have the page of the device that it is in
  compressed,  // a frame of zstd
};

struct Page {
  std::uint64_t offset = 0;  // byte of the image
  std::uint32_t length = 0;  // bytes there
  PageKind kind = PageKind::hole;
};

// Pages of a file, one behind the other, that are alike; direct ones also on the device.
struct Run {
  PageRange pages;
  PageKind kind = PageKind::hole;
  Pgoff device_page;  // direct: of the first
};

struct File {
  std::string name;
  std::uint64_t size = 0;
  std::vector<Page> pages;
  std::vector<Run> runs;  // ascending; all pages are in one

  // How many bytes of the file are in this page of it.
  [[nodiscard]] std::uint64_t bytes_in(Pgoff page) const noexcept { return std::min(kPageSize, size - byte_of(page)); }
  // The run with this page, which the file has.
  [[nodiscard]] const Run& run_of(Pgoff page) const noexcept;
};

struct Image {
  std::vector<File> files;  // ascending by name
  std::uint64_t metadata_bytes = 0;
  std::uint64_t image_bytes = 0;
};

// Reads bytes of the medium, which are inside it. Errors: any that a device answers.
using ReadAt = std::function<Result<void>(std::uint64_t offset, std::span<std::byte> to)>;

// Errors: Errno::einval (there is none), Errno::eopnotsupp, Errno::euclean, and those of `read_at`. Not in the fault path.
Result<Image> load(const ReadAt& read_at, std::uint64_t medium_bytes);

}  // namespace xip
DAXSIM_END
