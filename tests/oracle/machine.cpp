// SPDX-License-Identifier: BSD-3-Clause
#include "machine.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <spawn.h>
#include <sys/mount.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <thread>

namespace oracle {
namespace {

using daxsim::lab::Verb;

const std::vector<std::string> kMke2fs{"/sbin/mke2fs", "-q", "-F", "-t", "ext4", "-b", "4096"};
const std::vector<std::string> kMkfsXfs{"/sbin/mkfs.xfs", "-q", "-f", "-d", "su=2m,sw=1", "-l", "size=64m,su=4k"};

std::vector<std::string> with(std::vector<std::string> words, std::initializer_list<std::string> more) {
  words.insert(words.end(), more);
  return words;
}

// Blocks begin at multiples of 2 MiB, so that there can be huge pages.
const std::array kFileSystems{
    FileSystemKind{"ext4", "ext4", "ext4",
                   with(kMke2fs, {"-E", "lazy_itable_init=0,lazy_journal_init=0,stride=512,stripe_width=512"})},
    FileSystemKind{"ext4nj", "ext4", "ext4",
                   with(kMke2fs, {"-O", "^has_journal,^metadata_csum,^64bit", "-E",
                                  "lazy_itable_init=0,stride=512,stripe_width=512"})},
    FileSystemKind{"xfs", "xfs", "xfs", kMkfsXfs},
    FileSystemKind{"xfsrmap", "xfsrmap", "xfs", with(kMkfsXfs, {"-m", "rmapbt=1"})},
};

// Its exit status; what it says goes to the report.
int run(const std::vector<std::string>& words) {
  std::vector<char*> arguments;
  arguments.reserve(words.size() + 1);
  for (const std::string& word : words) {
    arguments.push_back(const_cast<char*>(word.c_str()));
  }
  arguments.push_back(nullptr);
  pid_t process = 0;
  int status = -1;
  if (posix_spawn(&process, arguments[0], nullptr, nullptr, arguments.data(), environ) != 0 ||
      waitpid(process, &status, 0) != process) {
    return -1;
  }
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

// The value of a write(2) of `text` to a file of /proc or /sys.
ssize_t write_to(const std::string& path, std::string_view text) {
  const int file = open(path.c_str(), O_WRONLY | O_CLOEXEC);
  if (file < 0) {
    return -1;
  }
  const ssize_t count = write(file, text.data(), text.size());
  const int error = errno;
  close(file);
  errno = error;
  return count;
}

bool exists(const std::string& block) { return std::filesystem::exists("/dev/" + block); }

void wait_for(const std::string& block) {
  for (int tries = 0; tries < 50 && !exists(block); ++tries) {
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
  }
}

bool is_xfs(const std::string& block) {
  std::ifstream device("/dev/" + block, std::ios::binary);
  std::array<char, 4> magic{};
  device.read(magic.data(), magic.size());
  return std::string_view(magic.data(), magic.size()) == "XFSB";
}

std::uint64_t size_of(const std::string& block) {
  std::ifstream file("/sys/block/" + block + "/size");
  std::uint64_t sectors = 0;
  file >> sectors;
  return sectors * 512;
}

int kernel_major() {
  struct utsname name{};
  uname(&name);
  return std::atoi(name.release);
}

bool is_realtime_flag(const Step& step) { return step.verb == Verb::chattr && step.words[0] == "+r"; }

Outcome refused(const std::string& call, int error) {
  errno = error;
  return called(call, -1);
}

}  // namespace

const FileSystemKind* find_file_system(std::string_view name) {
  const auto* const found = std::ranges::find(kFileSystems, name, &FileSystemKind::name);
  return found == kFileSystems.end() ? nullptr : found;
}

RealMachine::RealMachine(const FileSystemKind& file_system, std::span<const Step> steps) : file_system_(file_system) {
  for (const std::string block : {"pmem0", "pmem1"}) {
    const std::filesystem::path sys = "/sys/block/" + block + "/device";
    devices_.push_back({.block = block,
                        .name_space = std::filesystem::canonical(sys).filename(),
                        .driver = std::filesystem::canonical(sys / "driver").filename(),
                        .size = size_of(block)});
  }
  std::string options = "dax=always";
  for (const Step& step : steps) {
    if (step.verb == Verb::device_create) {
      creates_devices_ = true;
      names_.try_emplace(step.words[0], names_.size());
    } else if (step.verb == Verb::mount) {
      options = step.flag('o') != nullptr ? step.flag('o')->word : options;
      mount_options_.emplace(&step, options);
    } else if (step.verb == Verb::device_remove && first_removal_ == nullptr) {
      first_removal_ = &step;
    }
    has_realtime_files_ = has_realtime_files_ || is_realtime_flag(step);
    has_clones_ = has_clones_ || step.verb == Verb::reflink;
  }
  if (!creates_devices_) {
    names_ = {{"pmem0", 0}, {"pmem1", 1}};
  }
}

bool RealMachine::prepare() const {
  return creates_devices_ || (make_file_system(file_system_, devices_[0]).kind == Outcome::Kind::answered &&
                              mount_device(devices_[0], "dax=always").kind == Outcome::Kind::answered);
}

bool RealMachine::may_read_page_tables(const Step& step) const {
  return first_removal_ == nullptr || &step < first_removal_ || kernel_major() < 7;
}

std::optional<Outcome> RealMachine::play(const Step& step) const {
  switch (step.verb) {
    case Verb::device_create:
      return create_device(step);
    case Verb::device_remove:
      return remove_device(step);
    case Verb::device_attach:
      return attach_device(step);
    case Verb::mkfs:
      return mkfs(step);
    case Verb::mount:
      return mount(step);
    case Verb::umount:
      return called("umount2", umount2(kMountPoint, 0));
    case Verb::drop_caches:
      return called("drop_caches", write_to("/proc/sys/vm/drop_caches", "3") < 0 ? -1 : 0);
    case Verb::chattr:
      return has_clones_ && is_realtime_flag(step)
                 ? std::optional(cannot("XFS has reflink or a realtime device, and not both"))
                 : std::nullopt;
    case Verb::echo:
      return answered(step.command);
    case Verb::power_cut:
    case Verb::reboot:
      return cannot("nobody cuts the power of a machine that is to go on");
    case Verb::balance:
    case Verb::promote:
    case Verb::demote:
      return cannot(fmt::format("no file system here has {}", daxsim::lab::kind_of(step.verb).name));
    default:
      return std::nullopt;
  }
}

// --- devices ---

const RealMachine::Device* RealMachine::device_of(const std::vector<std::string>& names) const {
  if (names.empty()) {
    return devices_.data();
  }
  const auto found = names_.find(names[0]);
  return found == names_.end() || found->second >= devices_.size() ? nullptr : &devices_[found->second];
}

Outcome RealMachine::create_device(const Step& step) const {
  const Device* const device = device_of(step.words);
  if (device == nullptr) {
    return cannot("the machine has two devices");
  }
  if (step.flag('o') != nullptr || (step.flag('t') != nullptr && step.flag('t')->word != "pmem")) {
    return cannot("the machine's devices are persistent memory with a write cache");
  }
  if (step.numbers[0] > device->size) {
    return cannot(fmt::format("the machine's device has {} bytes", device->size));
  }
  return called("device create", 0);
}

// Linux knows one way to lose a device: its driver lets go of it.
Outcome RealMachine::remove_device(const Step& step) const {
  const Device* const device = device_of(step.words);
  if (device == nullptr) {
    return refused("device remove", ENXIO);
  }
  const ssize_t done = write_to("/sys/bus/nd/drivers/" + device->driver + "/unbind", device->name_space);
  return called("device remove", done < 0 ? -1 : 0);
}

Outcome RealMachine::attach_device(const Step& step) const {
  const Device* const device = device_of(step.words);
  if (device == nullptr) {
    return refused("device attach", ENODEV);
  }
  if (step.flag('a') != nullptr) {
    return cannot("the machine's devices stay where they are");
  }
  const ssize_t done = write_to("/sys/bus/nd/drivers/" + device->driver + "/bind", device->name_space);
  if (done >= 0) {
    wait_for(device->block);
  }
  return called("device attach", done < 0 ? -1 : 0);
}

// --- file systems ---

Outcome RealMachine::make_file_system(const FileSystemKind& kind, const Device& device) const {
  std::vector<std::string> words = kind.mkfs;
  if (kind.type == "xfs" && has_realtime_files_ && !has_clones_) {
    words = with(words, {"-m", "reflink=0", "-r", "rtdev=/dev/" + devices_[1].block});
  }
  words.push_back("/dev/" + device.block);
  const int status = run(words);
  return status == 0 ? called("mkfs", 0) : refused("mkfs", status == 1 ? EBUSY : EIO);
}

Outcome RealMachine::mount_device(const Device& device, const std::string& options) const {
  const bool xfs = is_xfs(device.block);
  const std::string all =
      options + (xfs && has_realtime_files_ && !has_clones_ ? ",rtdev=/dev/" + devices_[1].block : "");
  return called("mount", ::mount(("/dev/" + device.block).c_str(), kMountPoint, xfs ? "xfs" : "ext4", 0, all.c_str()));
}

Outcome RealMachine::mkfs(const Step& step) const {
  const Device* const device = device_of(step.words);
  if (device == nullptr) {
    return refused("mkfs", ENODEV);
  }
  const auto* const type = step.flag('t');
  // Of its own accord a scenario knows no variants.
  if (type == nullptr || type->word == file_system_.adapter) {
    return make_file_system(file_system_, *device);
  }
  const FileSystemKind* const kind = find_file_system(type->word);
  return kind == nullptr ? cannot(fmt::format("no file system here is like {}", type->word))
                         : make_file_system(*kind, *device);
}

Outcome RealMachine::mount(const Step& step) const {
  const Device* const device = device_of(step.words);
  return device == nullptr ? refused("mount", ENODEV) : mount_device(*device, mount_options_.at(&step));
}

}  // namespace oracle
