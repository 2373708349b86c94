// SPDX-License-Identifier: BSD-3-Clause
// `daxsim mkxip` and `daxsim xip-report`: images of XipFs, made of a folder, and what they cost.
#pragma once

#include <cstdint>
#include <filesystem>

namespace daxsim::cli {

struct MkxipOptions {
  std::filesystem::path folder;
  std::filesystem::path image;    // must not exist
  std::filesystem::path profile;  // empty: everything is compressed
  bool json = false;
};
struct XipReportOptions {
  std::filesystem::path image;
  std::uint64_t update_bytes = std::uint64_t{1} << 20;
  std::uint64_t fetch_every_us = 1000;
  bool json = false;
};

// "schema" of the JSON documents.
inline constexpr const char* kMkxipSchema = "daxsim-mkxip-1";
inline constexpr const char* kXipReportSchema = "daxsim-xip-report-1";

// Both return the exit status: 0 when it was done, 2 when what they were given is not what it should be, or the image
// cannot be written; then there is none.
int mkxip(const MkxipOptions& options);
int xip_report(const XipReportOptions& options);

}  // namespace daxsim::cli
