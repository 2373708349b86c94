// SPDX-License-Identifier: BSD-3-Clause
// The verbs of the machine: devices, file systems, power.
#include <fmt/format.h>

#include <algorithm>

#include "base/temporary_file.hpp"
#include "daxsim/adapters/chunk.hpp"
#include "daxsim/sim_devices/pmem.hpp"
#include "daxsim/sim_devices/ram_disk.hpp"
#include "lab/scenario_player.hpp"

DAXSIM_BEGIN
namespace lab {
namespace {

constexpr std::uint64_t kDefaultSize = std::uint64_t{8} << 20;

// The first of "a,b,c", which it is taken from.
std::string_view take_option(std::string_view& options) noexcept {
  const std::size_t comma = options.find(',');
  const std::string_view first = options.substr(0, comma);
  options.remove_prefix(comma == std::string_view::npos ? options.size() : comma + 1);
  return first;
}

bool apply(std::string_view option, sim::Pmem& pmem) noexcept {
  if (option == "eadr") {
    pmem.domain = sim::PersistenceDomain::eadr;
  } else if (option == "no-write-cache") {
    pmem.write_cache = false;
  } else if (option == "asynchronous") {
    pmem.synchronous = false;
  } else {
    return false;
  }
  return true;
}

}  // namespace

// --- devices ---

ScenarioPlayer::Medium* ScenarioPlayer::find_medium(std::string_view name) noexcept {
  const auto found = std::ranges::find(media_, name, &Medium::name);
  return found == media_.end() ? nullptr : &*found;
}

Result<void> ScenarioPlayer::attach(Medium& medium, const AttachOptions& options) {
  DAXSIM_TRY(DeviceHandle handle, machine_->attach(medium.device, options));
  medium.first_frame = handle.attachment().first_pfn();
  medium.handle = std::move(handle);
  return {};
}

Result<void> ScenarioPlayer::create_medium(std::string name, std::uint64_t size, bool is_disk,
                                           std::string_view options) {
  std::shared_ptr<Device> device;
  if (is_disk) {
    sim::RamDisk disk{.size = size};
    while (!options.empty()) {
      if (take_option(options) != "no-write-cache") {
        return Errno::einval;
      }
      disk.write_cache = false;
    }
    DAXSIM_TRY(device, sim::open(disk));
  } else {
    sim::Pmem pmem{.size = size};
    while (!options.empty()) {
      if (!apply(take_option(options), pmem)) {
        return Errno::einval;
      }
    }
    DAXSIM_TRY(pmem.path, make_temporary_file());
    files_.push_back(pmem.path);
    DAXSIM_TRY(device, sim::open(pmem));
  }
  media_.push_back({.name = std::move(name), .device = std::move(device)});
  if (const Result<void> attached = attach(media_.back(), {}); !attached.ok()) {
    media_.pop_back();
    return attached;
  }
  return {};
}

Outcome ScenarioPlayer::device_create(const Step& step) {
  if (find_medium(step.words[0]) != nullptr) {
    return failed("device create", Errno::eexist);
  }
  const Flag* const type = step.flag('t');
  if (type != nullptr && type->word != "pmem" && type->word != "ram") {
    return failed("device create", Errno::einval);
  }
  const Flag* const options = step.flag('o');
  return outcome_of("device create",
                    create_medium(step.words[0], step.numbers[0], type != nullptr && type->word == "ram",
                                  options == nullptr ? "" : options->word));
}

Outcome ScenarioPlayer::device_remove(const Step& step) {
  Medium* const medium = find_medium(step.words[0]);
  if (medium == nullptr || !medium->handle) {
    return failed("device remove", Errno::enxio);
  }
  const Removal how = step.flag('s') != nullptr ? Removal::surprise : Removal::orderly;
  const Result<RemovalReport> removed = machine_->remove(*medium->handle, how);
  if (!removed.ok()) {
    return failed("device remove", removed.error());
  }
  medium->handle.reset();
  return answered("device remove = 0");
}

Outcome ScenarioPlayer::device_attach(const Step& step) {
  Medium* const medium = find_medium(step.words[0]);
  if (medium == nullptr) {
    return failed("device attach", Errno::enodev);
  }
  if (medium->handle) {
    return failed("device attach", Errno::ebusy);
  }
  AttachOptions options;
  if (const Flag* const at = step.flag('a'); at != nullptr) {
    const Medium* const other = find_medium(at->word);
    if (other == nullptr) {
      return failed("device attach", Errno::enodev);
    }
    options.at = other->first_frame;
  }
  return outcome_of("device attach", attach(*medium, options));
}

Result<std::vector<DeviceHandle>> ScenarioPlayer::devices(const std::vector<std::string>& names,
                                                          const AdapterKind& kind) const {
  std::vector<DeviceHandle> handles;
  if (names.empty()) {
    for (const Medium& medium : media_) {
      if (medium.handle && handles.size() < kind.devices) {
        handles.push_back(*medium.handle);
      }
    }
  }
  for (const std::string& name : names) {
    const auto medium = std::ranges::find(media_, name, &Medium::name);
    if (medium == media_.end() || !medium->handle) {
      return Errno::enodev;
    }
    handles.push_back(*medium->handle);
  }
  // Chunks are on as many devices as there are.
  if (handles.size() < kind.devices && !(kind.is_any_number && !handles.empty())) {
    return Errno::enodev;
  }
  return handles;
}

// --- file systems ---

Outcome ScenarioPlayer::mkfs(const Step& step) {
  const Flag* const type = step.flag('t');
  const AdapterKind* const kind = type == nullptr ? &default_adapter_ : find_adapter_kind(type->word);
  if (kind == nullptr) {
    return failed("mkfs", Errno::einval);
  }
  const Result<std::vector<DeviceHandle>> on = devices(step.words, *kind);
  if (!on.ok()) {
    return failed("mkfs", on.error());
  }
  const Result<void> made = kind->mkfs(*machine_, *on);
  if (made.ok()) {
    adapter_ = kind;
    fs_devices_ = step.words;
  }
  return outcome_of("mkfs", made);
}

Outcome ScenarioPlayer::mount(const Step& step) {
  if (fs_) {
    return failed("mount", Errno::ebusy);
  }
  if (const Flag* const options = step.flag('o'); options != nullptr) {
    if (options->word == "dax=always") {
      mount_options_.dax = DaxOption::always;
    } else if (options->word == "dax=inode") {
      mount_options_.dax = DaxOption::inode;
    } else if (options->word == "dax=never") {
      mount_options_.dax = DaxOption::never;
    } else {
      return failed("mount", Errno::einval);
    }
  }
  const Result<std::vector<DeviceHandle>> on = devices(step.words.empty() ? fs_devices_ : step.words, *adapter_);
  if (!on.ok()) {
    return failed("mount", on.error());
  }
  Result<FileSystem> mounted = adapter_->mount(*machine_, *on, mount_options_);
  if (!mounted.ok()) {
    return failed("mount", mounted.error());
  }
  fs_.emplace(std::move(*mounted));
  return answered("mount = 0");
}

Outcome ScenarioPlayer::umount(FileSystem& fs) {
  const Result<void> done = fs.unmount();
  if (done.ok()) {
    const MutexLock guard(lock_);
    fs_.reset();
  }
  return outcome_of("umount2", done);
}

Outcome ScenarioPlayer::balance(FileSystem& fs) {
  SuperBlock& super_block = *fs.super_block();
  const Result<std::vector<ChunkInfo>> chunks = ChunkFs::chunks(super_block);
  if (!chunks.ok()) {
    return failed("balance", chunks.error());
  }
  std::uint64_t pages = 0;
  for (std::uint32_t chunk = 0; chunk < chunks->size(); ++chunk) {
    const Result<ChunkFs::BalanceReport> moved = ChunkFs::balance(super_block, chunk);
    if (!moved.ok()) {
      return failed("balance", moved.error());
    }
    pages += moved->pages;
  }
  return outcome_of("balance", Result<std::uint64_t>(pages));
}

// --- power ---

Outcome ScenarioPlayer::power_cut(const Step& step) {
  PowerCut cut;
  if (!step.words.empty() && step.words[0] == "all") {
    cut.kind = PowerCut::Kind::all;
  } else if (!step.words.empty() && step.words[0] != "none") {
    const std::optional<std::uint64_t> seed = number_of(step.words[0]);
    if (!seed) {
      return failed("power-cut", Errno::einval);
    }
    cut.kind = PowerCut::Kind::seeded;
    cut.seed = *seed;
  }
  const Result<PowerCutReport> report = machine_->power_cut(cut);
  return report.ok() ? outcome_of("power-cut", Result<std::uint64_t>(report->lost_lines))
                     : failed("power-cut", report.error());
}

Outcome ScenarioPlayer::reboot() {
  if (!background_.empty()) {
    return failed("reboot", Errno::ebusy);
  }
  end_processes();
  fs_.reset();
  earlier_findings_ = findings();
  Result<Machine> next = machine_->reboot();
  if (!next.ok()) {
    return failed("reboot", next.error());
  }
  for (Medium& medium : media_) {
    medium.handle.reset();
  }
  machine_.emplace(std::move(*next));
  for (const DeviceHandle& handle : machine_->devices()) {
    const auto medium = std::ranges::find(media_, handle.medium(), &Medium::device);
    medium->first_frame = handle.attachment().first_pfn();
    medium->handle = handle;
  }
  ++reboots_;
  return answered("reboot = 0");
}

Result<void> ScenarioPlayer::make_default_world() {
  for (std::size_t which = 0; which < default_adapter_.devices; ++which) {
    const bool is_disk = which + default_adapter_.disks >= default_adapter_.devices;
    DAXSIM_TRY_VOID(create_medium(fmt::format("pmem{}", which), kDefaultSize, is_disk, ""));
  }
  DAXSIM_TRY(const std::vector<DeviceHandle> on, devices({}, default_adapter_));
  DAXSIM_TRY_VOID(default_adapter_.mkfs(*machine_, on));
  DAXSIM_TRY(FileSystem mounted, default_adapter_.mount(*machine_, on, mount_options_));
  fs_.emplace(std::move(mounted));
  return {};
}

}  // namespace lab
DAXSIM_END
