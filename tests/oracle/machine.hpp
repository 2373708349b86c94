// SPDX-License-Identifier: BSD-3-Clause
// The verbs that are not a process's: devices, file systems, mounts. The machine has two devices, /dev/pmem0 and
// /dev/pmem1, whatever sizes a scenario asks for; its devices are these, in the order in which it creates them. One file
// system is mounted at a time, on kMountPoint.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "outcome.hpp"

namespace oracle {

inline constexpr const char* kMountPoint = "/mnt";
// The second disk of the guest, which is there for direct-io.
inline constexpr const char* kDirectFile = "/dev/vdb";

// A file system as `record --fs` names it.
struct FileSystemKind {
  std::string_view name;
  std::string_view adapter;  // what a scenario calls it
  std::string_view type;     // of mount(2)
  std::vector<std::string> mkfs;
};
// Null when there is none of this name.
const FileSystemKind* find_file_system(std::string_view name);

class RealMachine {
 public:
  // What steps say of the machine is looked at now, so that every process of the scenario can play each of them.
  RealMachine(const FileSystemKind& file_system, std::span<const Step> steps);

  // Makes what a scenario gets that creates no device. False: it cannot.
  bool prepare() const;
  // Steps that a process does not play itself. Nothing: it is none of these.
  std::optional<Outcome> play(const Step& step) const;
  // May /proc/self/pagemap be read in this step? Some kernels die of it after a removal.
  [[nodiscard]] bool may_read_page_tables(const Step& step) const;

 private:
  struct Device {
    std::string block;       // "pmem0"
    std::string name_space;  // "namespace0.0"
    std::string driver;      // "nd_pmem"
    std::uint64_t size = 0;
  };

  Outcome create_device(const Step& step) const;
  Outcome remove_device(const Step& step) const;
  Outcome attach_device(const Step& step) const;
  Outcome mkfs(const Step& step) const;
  Outcome mount(const Step& step) const;
  Outcome make_file_system(const FileSystemKind& kind, const Device& device) const;
  Outcome mount_device(const Device& device, const std::string& options) const;
  // Of a scenario's name for it; the first one when there is none.
  const Device* device_of(const std::vector<std::string>& names) const;

  const FileSystemKind& file_system_;
  std::vector<Device> devices_;
  std::map<std::string, std::size_t, std::less<>> names_;  // what the scenario calls them
  std::map<const Step*, std::string> mount_options_;       // of each `mount`: what it says, or what the one before said
  const Step* first_removal_ = nullptr;
  bool creates_devices_ = false;
  bool has_realtime_files_ = false;  // XFS has a realtime device then,
  bool has_clones_ = false;          // and none if it must have reflink
};

}  // namespace oracle
