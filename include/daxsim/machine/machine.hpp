// SPDX-License-Identifier: BSD-3-Clause
// Machine: the front door. A simulated computer with devices, file systems and processes.
//
//   Machine m;
//   auto dev  = must(m.attach(sim::Pmem{.path = "kv.pmem", .size = 64_MiB}));
//   auto fs   = must(m.mkfs<LinearFs>(dev));
//   auto file = must(fs.create("/kv", 16_MiB));
//   auto map  = must(file.map());            // real loads and stores from here on
//
// Handles (DeviceHandle, FileSystem, File, Mapping, Process) keep what they need alive; when the machine is gone, or lost
// power, they answer Errno::eshutdown, and their mappings raise SIGBUS. Threads: every call from any thread, except
// that one thread destroys or moves a handle. Not in the fault path.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "daxsim/base/config.hpp"
#include "daxsim/base/events.hpp"
#include "daxsim/base/result.hpp"
#include "daxsim/base/units.hpp"
#include "daxsim/dax/dax.hpp"
#include "daxsim/dax/era.hpp"
#include "daxsim/detect/findings.hpp"
#include "daxsim/device/attachment.hpp"
#include "daxsim/machine/file_system.hpp"
#include "daxsim/mm/process.hpp"

DAXSIM_BEGIN

class MachineCore;

// A device attached to a machine. Copyable; compares by identity.
class DeviceHandle {
 public:
  [[nodiscard]] const std::string& name() const noexcept { return attachment_->name(); }
  [[nodiscard]] std::uint64_t size() const noexcept { return attachment_->size(); }
  [[nodiscard]] LifeState state() const noexcept { return attachment_->state(); }
  // The medium: Machine::attach() of another machine, or of this one after a removal, takes it as it is.
  [[nodiscard]] const std::shared_ptr<Device>& medium() const noexcept { return attachment_->device(); }
  // For tests and tools that want the machine's side of it.
  [[nodiscard]] Attachment& attachment() const noexcept { return *attachment_; }
  friend bool operator==(const DeviceHandle& a, const DeviceHandle& b) noexcept {
    return a.attachment_ == b.attachment_;
  }

 private:
  friend class Machine;
  friend class MachineCore;
  DeviceHandle(std::shared_ptr<MachineCore> core, Attachment& attachment) noexcept
      : core_(std::move(core)), attachment_(&attachment) {}
  std::shared_ptr<MachineCore> core_;
  Attachment* attachment_;
};

struct AttachOptions {
  // The first page frame number, for the frames of a device that was removed; none: frames that no device ever had.
  std::optional<Pfn> at{};
};

// How a device goes away (F7).
enum class Removal : std::uint8_t {
  orderly,   // the holder is told first, writes back, revokes; nothing stored is lost
  surprise,  // pulled out: dead at once; what was not flushed is lost
};
struct RemovalReport {
  // What the holder met while it wrote back (orderly), if anything. It does not stop the removal.
  std::optional<Errno> holder_error;
};

struct MachineOptions {
  Era era = eras::v6_12;
  const IndexDesign* design = nullptr;             // null: the era's
  std::size_t ring_events = std::size_t{1} << 14;  // events kept, 1 or more
};

class Machine {
 public:
  explicit Machine(const MachineOptions& options = {});
  // Shuts down in order: syncs and unmounts file systems, detaches devices. Never waits for pins or user threads.
  ~Machine();
  Machine(Machine&&) noexcept;
  Machine& operator=(Machine&&) noexcept;

  // From the configuration of a simulated device (sim::Pmem, ...): opens and attaches it.
  // Errors: those of sim::open and attach.
  template <class Config>
    requires requires(const Config& config) { open(config); }
  Result<DeviceHandle> attach(const Config& config, const AttachOptions& options = {}) {
    DAXSIM_TRY(std::shared_ptr<Device> device, open(config));
    return attach(std::move(device), options);
  }
  // A medium that exists.
  // Errors: those of Device::make_view and Device::make_block_view, those of MemoryMap::reserve (the frames of a direct
  // device), Errno::eshutdown (no power).
  Result<DeviceHandle> attach(std::shared_ptr<Device> device, const AttachOptions& options = {});
  // In the order in which they were attached, removed ones too.
  [[nodiscard]] std::vector<DeviceHandle> devices() const;

  // Makes a file system of type Fs (LinearFs, ...) and mounts it.
  // Errors: those of Fs::mkfs, Errno::euclean (the medium went bad in between), Errno::eshutdown (no power).
  template <class Fs, class... Options>
  Result<FileSystem> mkfs(const DeviceHandle& device, const Options&... options) {
    DAXSIM_TRY_VOID(check_power());
    DAXSIM_TRY_VOID(Fs::mkfs(device.attachment(), options...));
    return mount<Fs>(device);
  }
  // With options as MountOptions{.dax = DaxOption::inode}.
  // Errors: those of Fs::mount, Errno::eshutdown (no power).
  template <class Fs, class... Options>
  Result<FileSystem> mount(const DeviceHandle& device, const Options&... options) {
    DAXSIM_TRY_VOID(check_power());
    DAXSIM_TRY(std::shared_ptr<SuperBlock> super_block, Fs::mount(context(), device.attachment(), options...));
    return adopt(std::move(super_block));
  }

  // The same for one on two devices (RealtimeFs).
  // Errors: those of Fs::mkfs, Errno::euclean (a medium went bad in between), Errno::eshutdown (no power).
  template <class Fs, class... Options>
  Result<FileSystem> mkfs(const DeviceHandle& first, const DeviceHandle& second, const Options&... options) {
    DAXSIM_TRY_VOID(check_power());
    DAXSIM_TRY_VOID(Fs::mkfs(first.attachment(), second.attachment(), options...));
    return mount<Fs>(first, second);
  }
  // Errors: those of RealtimeFs::mount, Errno::eshutdown (no power).
  template <class Fs, class... Options>
  Result<FileSystem> mount(const DeviceHandle& first, const DeviceHandle& second, const Options&... options) {
    DAXSIM_TRY_VOID(check_power());
    DAXSIM_TRY(std::shared_ptr<SuperBlock> super_block,
               Fs::mount(context(), first.attachment(), second.attachment(), options...));
    return adopt(std::move(super_block));
  }

  // The same for one on any number of devices (ChunkFs).
  // Errors: those of Fs::mkfs, Errno::euclean (a medium went bad in between), Errno::eshutdown (no power).
  template <class Fs, class... Options>
  Result<FileSystem> mkfs(std::span<const DeviceHandle> devices, const Options&... options) {
    DAXSIM_TRY_VOID(check_power());
    DAXSIM_TRY_VOID(Fs::mkfs(attachments(devices), options...));
    return mount<Fs>(devices);
  }
  // Errors: those of ChunkFs::mount, Errno::eshutdown (no power).
  template <class Fs, class... Options>
  Result<FileSystem> mount(std::span<const DeviceHandle> devices, const Options&... options) {
    DAXSIM_TRY_VOID(check_power());
    DAXSIM_TRY(std::shared_ptr<SuperBlock> super_block, Fs::mount(context(), attachments(devices), options...));
    return adopt(std::move(super_block));
  }

  // A new simulated process (soft MMU). Lives as long as the machine.
  Process& spawn();

  // Walks the device through its life states (docs/states.md). Running loads and stores end in SIGBUS, fsync in EIO.
  // `pin_wait` bounds how long the last edge waits for pinned pages, for which Linux waits for ever.
  // Errors: Errno::ebusy (pages are still pinned: the device stays disk_gone, call again), Errno::enxio (removed
  // already), Errno::eshutdown.
  Result<RemovalReport> remove(const DeviceHandle& device, Removal how = Removal::orderly,
                               std::chrono::milliseconds pin_wait = std::chrono::seconds{1});

  // The power goes, now. New calls answer eshutdown, calls under way eio, mappings raise SIGBUS. Each device's media is
  // left as `choice` says (with several devices, Kind::listed is Errno::einval).
  // Errors: Errno::eshutdown (no power any more), Errno::einval (a listed line or outcome does not exist; the power is
  // still on), Errno::eio and Errno::enospc (the host failed; the media file may lack lines).
  Result<PowerCutReport> power_cut(const PowerCut& choice = {});
  // A new machine with the same options over the devices that were not removed. Without a power cut before, this one
  // shuts down in order first. Errors: those of Device::make_view and Device::make_block_view.
  Result<Machine> reboot();

  [[nodiscard]] EventStream& events() const noexcept;
  [[nodiscard]] VirtualClock& clock() const noexcept;
  [[nodiscard]] Arena& arena() const noexcept;
  [[nodiscard]] const dax::Context& context() const noexcept;
  // What the detectors saw so far.
  [[nodiscard]] std::vector<Finding> findings() const;

 private:
  explicit Machine(std::shared_ptr<MachineCore> core) noexcept : core_(std::move(core)) {}
  [[nodiscard]] Result<void> check_power() const noexcept;
  [[nodiscard]] static std::vector<Attachment*> attachments(std::span<const DeviceHandle> devices);
  Result<FileSystem> adopt(std::shared_ptr<SuperBlock> super_block);
  std::shared_ptr<MachineCore> core_;
};

DAXSIM_END
