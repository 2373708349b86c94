// SPDX-License-Identifier: BSD-3-Clause
// What FS_IOC_FIEMAP answered, as one line for an expectation: "0+4 8+4uL" are pages 0 to 3, and four unwritten ones from
// page 8 on, which are the last; s is for shared.
#pragma once

#include <string>
#include <vector>

#include "daxsim/vfs/open_file.hpp"

namespace daxsim::test {

inline std::string fiemap_text(const std::vector<FiemapExtent>& extents) {
  std::string text;
  for (const FiemapExtent& extent : extents) {
    text += (text.empty() ? "" : " ") + std::to_string(extent.logical / kPageSize) + "+" +
            std::to_string(extent.length / kPageSize);
    text += (extent.flags & kFiemapExtentUnwritten) != 0 ? "u" : "";
    text += (extent.flags & kFiemapExtentShared) != 0 ? "s" : "";
    text += (extent.flags & kFiemapExtentLast) != 0 ? "L" : "";
  }
  return text;
}

}  // namespace daxsim::test
