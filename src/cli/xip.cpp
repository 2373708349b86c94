// SPDX-License-Identifier: BSD-3-Clause
#include "cli/xip.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include "cli/busy_names.hpp"
#include "cli/files.hpp"
#include "cli/xip_stall.hpp"
#include "daxsim/adapters/xip.hpp"
#include "daxsim/base/errno.hpp"
#include "daxsim/base/units.hpp"

namespace daxsim::cli {
namespace {

using Json = nlohmann::ordered_json;

// What is wrong, for the user.
struct BadInput : std::runtime_error {
  using std::runtime_error::runtime_error;
};

std::vector<std::byte> bytes_of(const std::filesystem::path& path) {
  const std::string text = contents_of(path);
  const auto bytes = std::as_bytes(std::span(text));
  return {bytes.begin(), bytes.end()};
}

// Calls `work` for a path of the user's, and says which one it was when something is wrong.
template <class Work>
auto with_path(const std::filesystem::path& path, Work work) {
  try {
    return work();
  } catch (const FileError& error) {
    throw BadInput(fmt::format("{}: {}", path.string(), error.what()));
  }
}

// All files below the folder, by their paths from there.
std::vector<XipFile> files_in(const std::filesystem::path& folder) {
  std::vector<XipFile> files;
  try {
    for (const auto& entry : std::filesystem::recursive_directory_iterator(folder)) {
      const std::filesystem::path& path = entry.path();
      if (entry.is_directory() && !entry.is_symlink()) {
        continue;
      }
      if (!entry.is_regular_file() || entry.is_symlink()) {
        throw BadInput(fmt::format("{}: is neither a file nor a folder, and an image has only files", path.string()));
      }
      files.push_back(
          {.name = path.lexically_relative(folder).string(), .bytes = with_path(path, [&] { return bytes_of(path); })});
    }
  } catch (const std::filesystem::filesystem_error& error) {
    throw BadInput(fmt::format("{}: {}", error.path1().string(), error.code().message()));
  }
  return files;
}

XipProfile profile_in(const std::filesystem::path& path, const std::vector<XipFile>& files) {
  const Result<XipProfile> profile = XipProfile::parse(with_path(path, [&] { return contents_of(path); }));
  if (!profile.ok()) {
    throw BadInput(fmt::format("{}: is no profile: a line \"PAGE FAULTS NAME\" for each page", path.string()));
  }
  for (const auto& [name, pages] : profile->faults) {
    const auto file = std::ranges::find(files, name, &XipFile::name);
    if (file == files.end()) {
      throw BadInput(fmt::format("{}: there is no file {}", path.string(), name));
    }
    if (const std::uint64_t last = pages.rbegin()->first; last >= pages_for(file->bytes.size())) {
      throw BadInput(fmt::format("{}: {} has no page {}", path.string(), name, last));
    }
  }
  return *profile;
}

std::vector<std::byte> built(const std::vector<XipFile>& files, const XipProfile& profile) {
  Result<std::vector<std::byte>> image = XipFs::build(files, profile);
  if (!image.ok()) {
    throw BadInput(fmt::format("a name in the folder cannot be in an image: {}", errno_text(image.error())));
  }
  return std::move(*image);
}

XipProfile every_page_of(const std::vector<XipFile>& files) {
  XipProfile profile;
  for (const XipFile& file : files) {
    for (std::uint64_t page = 0; page < pages_for(file.bytes.size()); ++page) {
      profile.faults[file.name][page] = 1;
    }
  }
  return profile;
}

// One way to store the same files: what it takes of the flash, and of RAM when every page of them is in use.
struct Cost {
  const char* name;
  std::uint64_t flash_bytes = 0;
  std::uint64_t ram_bytes = 0;
};

Cost cost_of(const char* name, const XipUsage& usage) {
  return {.name = name,
          .flash_bytes = usage.image_bytes,
          .ram_bytes = (usage.compressed_pages + usage.copied_pages) << kPageShift};
}
Cost cost_of(const char* name, const std::vector<XipFile>& files, const XipProfile& profile) {
  return cost_of(name, XipFs::inspect(built(files, profile))->usage);
}

Json json_of(const XipUsage& usage) {
  return {{"files", usage.files},
          {"pages",
           {{"direct", usage.direct_pages},
            {"compressed", usage.compressed_pages},
            {"copied", usage.copied_pages},
            {"holes", usage.hole_pages}}},
          {"compressed_bytes", usage.compressed_bytes},
          {"metadata_bytes", usage.metadata_bytes},
          {"image_bytes", usage.image_bytes}};
}

std::string text_of(const XipUsage& usage) {
  return fmt::format(
      "{} files; {} pages direct, {} compressed to {} bytes, {} copied, {} holes; {} bytes of metadata; {} bytes in "
      "all",
      usage.files, usage.direct_pages, usage.compressed_pages, usage.compressed_bytes, usage.copied_pages,
      usage.hole_pages, usage.metadata_bytes, usage.image_bytes);
}

void make_image(const MkxipOptions& options) {
  if (std::error_code ignored; std::filesystem::exists(options.image, ignored)) {
    throw BadInput(fmt::format("{}: exists already", options.image.string()));
  }
  const std::vector<XipFile> files = files_in(options.folder);
  const XipProfile profile = options.profile.empty() ? XipProfile{} : profile_in(options.profile, files);
  const std::vector<std::byte> image = built(files, profile);
  with_path(options.image, [&] { write_file(options.image, image, "wbx"); });
  const XipUsage usage = XipFs::inspect(image)->usage;
  if (options.json) {
    Json json{{"schema", kMkxipSchema}, {"image", options.image.string()}};
    json.update(json_of(usage));
    fmt::print("{}\n", json.dump(2, ' ', false, Json::error_handler_t::replace));
  } else {
    fmt::print("{}: {}\n", options.image.string(), text_of(usage));
  }
}

double milliseconds(std::chrono::nanoseconds time) { return std::chrono::duration<double, std::milli>(time).count(); }

Json json_of(const Stall& stall) {
  Json json{{"policy", busy_name(stall.busy)}};
  if (stall.refused.has_value()) {
    json["refused"] = errno_name(*stall.refused);
    return json;
  }
  json.update({{"fetches", stall.fetches},
               {"without_data", stall.wrong},
               {"fetches_ns", stall.total.count()},
               {"longest_fetch_ns", stall.longest.count()},
               {"update_ns", stall.update.count()}});
  return json;
}

void print(const std::vector<Stall>& stalls, const XipReportOptions& options) {
  if (stalls.empty()) {
    fmt::print("\nNo page is direct, so nobody waits for the flash.\n");
    return;
  }
  fmt::print("\nA direct page is fetched every {} us while {} bytes of the flash are updated (P30, virtual time):\n\n",
             options.fetch_every_us, options.update_bytes);
  fmt::print("{:<10}{:>10}{:>16}{:>18}{:>16}\n", "policy", "fetches", "all, ms", "the longest, ms", "update, ms");
  for (const Stall& stall : stalls) {
    const std::string_view policy = busy_name(stall.busy);
    if (stall.refused.has_value()) {
      fmt::print("{:<10}{:>10}{:>16}{:>18}{:>16}  the update waits until nobody has it mounted\n", policy, "-", "-",
                 "-", errno_name(*stall.refused));
      continue;
    }
    fmt::print("{:<10}{:>10}{:>16.3f}{:>18.3f}{:>16.3f}{}\n", policy, stall.fetches, milliseconds(stall.total),
               milliseconds(stall.longest), milliseconds(stall.update),
               stall.wrong == 0 ? "" : fmt::format("  {} got a status", stall.wrong));
  }
}

void report_image(const XipReportOptions& options) {
  const std::vector<std::byte> image = with_path(options.image, [&] { return bytes_of(options.image); });
  const Result<XipContents> contents = XipFs::inspect(image);
  if (!contents.ok()) {
    const char* const what = contents.error() == Errno::einval       ? "is no image of XipFs"
                             : contents.error() == Errno::eopnotsupp ? "is of a version that is not known"
                                                                     : "is damaged";
    throw BadInput(fmt::format("{}: {}", options.image.string(), what));
  }
  const Cost costs[] = {cost_of("all compressed", contents->files, {}), cost_of("this image", contents->usage),
                        cost_of("all direct", contents->files, every_page_of(contents->files))};
  const Result<std::vector<Stall>> stalls = stalls_of(
      image, {.bytes = options.update_bytes, .fetch_every = std::chrono::microseconds(options.fetch_every_us)});
  if (!stalls.ok()) {
    throw BadInput(fmt::format("{}: cannot be run from P30s, {}", options.image.string(),
                               stalls.error() == Errno::efbig ? "16 of them are too few" : errno_text(stalls.error())));
  }
  const std::uint64_t saved = costs[0].ram_bytes - costs[1].ram_bytes;
  const auto more = static_cast<std::int64_t>(costs[1].flash_bytes - costs[0].flash_bytes);
  if (options.json) {
    Json json{{"schema", kXipReportSchema}, {"image", options.image.string()}};
    json.update(json_of(contents->usage));
    json["ram_saved_bytes"] = saved;
    json["flash_more_bytes"] = more;
    for (const Cost& cost : costs) {
      json["stored"].push_back({{"how", cost.name}, {"flash_bytes", cost.flash_bytes}, {"ram_bytes", cost.ram_bytes}});
    }
    json["update_bytes"] = options.update_bytes;
    json["fetch_every_us"] = options.fetch_every_us;
    json["stalls"] = Json::array();
    for (const Stall& stall : *stalls) {
      json["stalls"].push_back(json_of(stall));
    }
    fmt::print("{}\n", json.dump(2, ' ', false, Json::error_handler_t::replace));
    return;
  }
  fmt::print("{}: {}\n\n", options.image.string(), text_of(contents->usage));
  fmt::print("{:<16}{:>16}{:>28}\n", "", "bytes of flash", "bytes of RAM, all in use");
  for (const Cost& cost : costs) {
    fmt::print("{:<16}{:>16}{:>28}\n", cost.name, cost.flash_bytes, cost.ram_bytes);
  }
  fmt::print("\nAgainst all compressed: {} bytes of RAM saved, {} bytes of flash more.\n", saved, more);
  print(*stalls, options);
}

template <class Work>
int run(const char* command, Work work) {
  try {
    work();
    return 0;
  } catch (const BadInput& error) {
    fmt::print(stderr, "daxsim {}: {}\n", command, error.what());
    return 2;
  }
}

}  // namespace

int mkxip(const MkxipOptions& options) {
  return run("mkxip", [&] { make_image(options); });
}

int xip_report(const XipReportOptions& options) {
  return run("xip-report", [&] { report_image(options); });
}

}  // namespace daxsim::cli
