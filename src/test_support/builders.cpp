// SPDX-License-Identifier: BSD-3-Clause
#include "daxsim/test_support/builders.hpp"

#include <algorithm>
#include <utility>
#include <vector>

#include "base/temporary_file.hpp"

namespace daxsim::test {

TemporaryFile::TemporaryFile() {
  path_ = must(make_temporary_file());
  std::filesystem::remove(path_);
}

TemporaryFile::~TemporaryFile() {
  if (!path_.empty()) {
    std::error_code ignored;
    std::filesystem::remove(path_, ignored);
  }
}

TemporaryFile::TemporaryFile(TemporaryFile&& other) noexcept : path_(std::exchange(other.path_, {})) {}
TemporaryFile& TemporaryFile::operator=(TemporaryFile&& other) noexcept {
  std::swap(path_, other.path_);
  return *this;
}

PowerCutReport MountedWorld::power_cycle(const PowerCut& choice) {
  const PowerCutReport report = must(machine.power_cut(choice));
  reboot();
  return report;
}

void MountedWorld::reboot() {
  machine = must(machine.reboot());
  const std::vector<DeviceHandle> devices = machine.devices();
  device = devices.front();
  if (realtime) {
    realtime = devices.back();
  }
  mount();
}

void MountedWorld::mount() {
  fs = must(realtime ? machine.mount<RealtimeFs>(device, *realtime) : machine.mount<LinearFs>(device));
}

MountedWorld mounted(std::uint64_t device_size, const MachineOptions& options) {
  TemporaryFile media;
  Machine machine(options);
  DeviceHandle device = must(machine.attach(sim::Pmem{.path = media.path(), .size = device_size}));
  FileSystem fs = must(machine.mkfs<LinearFs>(device));
  return {std::move(media), {}, std::move(machine), std::move(device), {}, std::move(fs)};
}

MountedWorld mounted_realtime(std::uint64_t device_size, const MachineOptions& options) {
  TemporaryFile media;
  TemporaryFile realtime_media;
  Machine machine(options);
  DeviceHandle data = must(machine.attach(sim::Pmem{.path = media.path(), .size = device_size}));
  DeviceHandle realtime = must(machine.attach(sim::Pmem{.path = realtime_media.path(), .size = device_size}));
  FileSystem fs = must(machine.mkfs<RealtimeFs>(data, realtime));
  return {std::move(media), std::move(realtime_media), std::move(machine),
          std::move(data),  std::move(realtime),       std::move(fs)};
}

namespace {

std::uint64_t device_size_for(std::uint64_t file_size) {
  using namespace daxsim::literals;
  return std::max(round_up(2 * file_size, kPmdSize), 8_MiB);
}

LiveWorld with_mapping(FileWorld world, const MapOptions& mapping, LiveBackend backend) {
  Mapping map = must(world.file.map(mapping, backend));
  return {std::move(world), std::move(map)};
}

}  // namespace

FileWorld with_file(std::uint64_t file_size, const MachineOptions& options) {
  MountedWorld world = mounted(device_size_for(file_size), options);
  File file = must(world.fs.create("/file", file_size));
  must(world.fs.sync());
  return {std::move(world), std::move(file)};
}

LiveWorld live_file(std::uint64_t file_size, const MapOptions& mapping, const MachineOptions& options,
                    LiveBackend backend) {
  return with_mapping(with_file(file_size, options), mapping, backend);
}

FileWorld with_realtime_file(std::uint64_t file_size, const MachineOptions& options) {
  MountedWorld world = mounted_realtime(device_size_for(file_size), options);
  File file = must(world.fs.create("/file"));
  must(RealtimeFs::set_realtime(file.open_file()->inode()));
  must(file.fallocate(Fallocate::allocate, {0, file_size}));
  must(world.fs.sync());
  return {std::move(world), std::move(file)};
}

LiveWorld live_realtime_file(std::uint64_t file_size, const MapOptions& mapping, const MachineOptions& options,
                             LiveBackend backend) {
  return with_mapping(with_realtime_file(file_size, options), mapping, backend);
}

}  // namespace daxsim::test
