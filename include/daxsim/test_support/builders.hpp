// SPDX-License-Identifier: BSD-3-Clause
// One-line builders: a machine, a pmem device in a temporary file, a mounted LinearFs, a file, a mapping; or two devices
// with a RealtimeFs.
//
//   auto world = test::live_file(16_MiB);          // machine, device, file system, "/file" of 16 MiB, live mapping
//   world.map.data()[0] = std::byte{1};
//   must(world.machine.remove(world.device, Removal::surprise));
//
// Failures throw MustError. Members are destroyed in reverse order, and the media file last.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>

#include "daxsim/adapters/linear.hpp"
#include "daxsim/adapters/realtime.hpp"
#include "daxsim/machine/machine.hpp"
#include "daxsim/sim_devices/pmem.hpp"
#include "daxsim/test_support/must.hpp"

namespace daxsim::test {

// A fresh path in $TMPDIR, or else in memory (/dev/shm), or else in /tmp; the file is removed at the end.
class TemporaryFile {
 public:
  TemporaryFile();
  ~TemporaryFile();
  TemporaryFile(TemporaryFile&& other) noexcept;
  TemporaryFile& operator=(TemporaryFile&& other) noexcept;
  [[nodiscard]] const std::filesystem::path& path() const noexcept { return path_; }

 private:
  std::filesystem::path path_;
};

struct MountedWorld {
  TemporaryFile media;
  std::optional<TemporaryFile> realtime_media;
  Machine machine;
  DeviceHandle device;
  std::optional<DeviceHandle> realtime;  // if there is one, the file system is a RealtimeFs, else a LinearFs
  FileSystem fs;

  // The power goes; a new machine mounts what is left. Handles of the old machine are dead.
  PowerCutReport power_cycle(const PowerCut& choice = {});
  // The second half of that.
  void reboot();
  // Mounts the file system again, after an unmount.
  void mount();
};
struct FileWorld : MountedWorld {
  File file;
};
struct LiveWorld : FileWorld {
  Mapping map;
};

// The device has twice the file's size, 8 MiB at least. The file "/file" is durable; its blocks are allocated and, as
// after fallocate(2), not written: the first store to a page converts it, and a power cut before an fsync undoes that.
MountedWorld mounted(std::uint64_t device_size, const MachineOptions& options = {});
FileWorld with_file(std::uint64_t file_size, const MachineOptions& options = {});
LiveWorld live_file(std::uint64_t file_size, const MapOptions& mapping = {}, const MachineOptions& options = {},
                    LiveBackend backend = LiveBackend::automatic);
// The same with two devices of that size and the file on the realtime device.
MountedWorld mounted_realtime(std::uint64_t device_size, const MachineOptions& options = {});
FileWorld with_realtime_file(std::uint64_t file_size, const MachineOptions& options = {});
LiveWorld live_realtime_file(std::uint64_t file_size, const MapOptions& mapping = {},
                             const MachineOptions& options = {}, LiveBackend backend = LiveBackend::automatic);

}  // namespace daxsim::test
