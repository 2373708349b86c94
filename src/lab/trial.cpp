// SPDX-License-Identifier: BSD-3-Clause
#include "lab/trial.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <csignal>

#include "base/temporary_file.hpp"
#include "daxsim/adapters/chunk.hpp"
#include "daxsim/adapters/linear.hpp"
#include "daxsim/adapters/tiered.hpp"
#include "daxsim/sim_devices/pmem.hpp"
#include "daxsim/sim_devices/ram_disk.hpp"

DAXSIM_BEGIN
namespace lab {
namespace {

constexpr std::uint64_t kBystanderSize = kPmdSize;
constexpr std::byte kPaint{0xb5};
constexpr std::size_t kMostEventsOfAStep = 16;
constexpr std::size_t kMostStoresTold = 2;

std::byte value_of(std::string_view name, std::uint64_t offset) noexcept {
  constexpr std::uint64_t kValues = 255;  // every byte but 0, which is what was there before
  const auto letter = static_cast<unsigned char>(name.back());
  return std::byte{static_cast<unsigned char>(1 + ((offset >> kPageShift) + letter) % kValues)};
}

std::string signal_text(const FaultSignal& signal) {
  return signal.number == SIGBUS ? "SIGBUS" : signal.number == SIGSEGV ? "SIGSEGV" : "SIGKILL";
}

std::string answer(const Result<void>& result) { return result.ok() ? "ok" : std::string(errno_name(result.error())); }

// The kernel's text of these two does not say which device.
std::string event_text(const Event& event) {
  const bool silent = event.type == EventType::dax_flush || event.type == EventType::dax_direct_access;
  return fs_dax_text(event) + (silent ? fmt::format(" (dev {}:{})", event.dev >> 20, minor_of(event.dev)) : "");
}

Result<FileSystem> mkfs_linear(Machine& machine, std::span<const DeviceHandle> devices) {
  return machine.mkfs<LinearFs>(devices.front());
}
Result<FileSystem> mount_linear(Machine& machine, std::span<const DeviceHandle> devices) {
  return machine.mount<LinearFs>(devices.front());
}

}  // namespace

constinit const TrialFs kLinear{.mkfs = &mkfs_linear, .mount = &mount_linear};

Trial::~Trial() {
  for (const std::filesystem::path& file : files_) {
    std::error_code ignored;
    std::filesystem::remove(file, ignored);
  }
}

// --- arranging ---

Result<std::shared_ptr<Device>> Trial::make_medium(std::uint64_t size) {
  DAXSIM_TRY(const std::filesystem::path name, make_temporary_file());
  files_.emplace_back(name);
  return sim::open(sim::Pmem{.path = name, .size = size});
}

Result<void> Trial::start(const TrialSetup& setup) {
  fs_kind_ = setup.fs;
  machine_.emplace(MachineOptions{.era = setup.era, .design = &design_});
  for (std::size_t which = 0; which < setup.device_sizes.size(); ++which) {
    const std::uint64_t size = setup.device_sizes[which];
    const bool is_disk = which + setup.disks >= setup.device_sizes.size();
    say(fmt::format("attach a {} of {} MiB", is_disk ? "disk" : "pmem", size >> 20));
    DAXSIM_TRY(std::shared_ptr<Device> medium, is_disk ? sim::open(sim::RamDisk{.size = size}) : make_medium(size));
    DAXSIM_TRY(DeviceHandle device, machine_->attach(medium));
    media_.push_back(std::move(medium));
    devices_.push_back(std::move(device));
  }
  say("make a file system and mount it");
  DAXSIM_TRY(FileSystem fs, fs_kind_.mkfs(*machine_, devices_));
  fs_.emplace(std::move(fs));
  DAXSIM_TRY_VOID(attach_bystander(kBystanderSize));
  process_ = &machine_->spawn();
  told_ = machine_->events().next_id();
  return {};
}

Result<void> Trial::attach_bystander(std::uint64_t size, std::optional<Pfn> at) {
  say(fmt::format("attach a device of {} MiB; its owner stores to every page and flushes none", size >> 20));
  DAXSIM_TRY(const std::shared_ptr<Device> medium, make_medium(size));
  DAXSIM_TRY(DeviceHandle device, machine_->attach(medium, {.at = at}));
  bystanders_.push_back(medium);
  return paint(device);
}

// Its owner has stored to every page and has not flushed.
Result<void> Trial::paint(DeviceHandle& device) {
  Attachment& attachment = device.attachment();
  const Gate::Reader inside(attachment.gate());
  for (Pgoff page{0}; page.value < attachment.pages();) {
    DAXSIM_TRY(const Memory memory, attachment.direct_access(page, attachment.pages() - page.value));
    for (std::uint64_t done = 0; done < memory.pages; ++done) {
      memory.kaddr[done * kPageSize] = kPaint;
    }
    page = page + memory.pages;
  }
  return {};
}

Result<TrialFile> Trial::create(std::string_view name, std::uint64_t size) {
  say(fmt::format("create {} of {} pages, and map it", name, size / kPageSize));
  DAXSIM_TRY(File file, fs_->create(name));
  if (fs_kind_.arrange != nullptr) {
    DAXSIM_TRY_VOID(fs_kind_.arrange(file));
  }
  DAXSIM_TRY_VOID(file.fallocate(Fallocate::allocate, {0, size}));
  DAXSIM_TRY_VOID(fs_->sync());
  DAXSIM_TRY(const std::uint64_t address, process_->mmap(file.open_file(), {}));
  told_ = machine_->events().next_id();
  return TrialFile{.name = std::string(name), .file = std::move(file), .address = address};
}

Result<TrialFile> Trial::reflink(const TrialFile& source, std::string_view name) {
  say(fmt::format("create {} with the blocks of {}, fsync it and map it", name, source.name));
  DAXSIM_TRY(File file, fs_->create(name));
  DAXSIM_TRY_VOID(file.reflink(source.file, {}, 0));
  DAXSIM_TRY_VOID(file.fsync());
  for (const auto& [place, value] : Bytes(promised_)) {
    if (place.first == source.name) {
      promised_[{std::string(name), place.second}] = value;
    }
  }
  DAXSIM_TRY(const std::uint64_t address, process_->mmap(file.open_file(), {}));
  return TrialFile{.name = std::string(name), .file = std::move(file), .address = address};
}

// --- acting ---

void Trial::store(const TrialFile& file, std::uint64_t offset) {
  const std::byte value = value_of(file.name, offset);
  if (++stores_in_a_row_ <= kMostStoresTold) {
    tell(fmt::format("store {:#x} to page {} of {}", static_cast<unsigned>(value), offset >> kPageShift, file.name));
  }
  if (const AccessResult<void> done = process_->store(file.address + offset, value); !done.ok()) {
    refused(signal_text(done.error()));
    return;
  }
  stored_[{file.name, offset}] = value;
}

void Trial::pwrite(TrialFile& file, std::uint64_t offset) {
  const std::byte value = value_of(file.name, offset);
  say(fmt::format("write {:#x} to page {} of {}", static_cast<unsigned>(value), offset >> kPageShift, file.name));
  if (const auto done = file.file.pwrite(offset, {&value, 1}); !done.ok()) {
    refused(errno_name(done.error()));
    return;
  }
  stored_[{file.name, offset}] = value;
}

PteState Trial::pte(const TrialFile& file, std::uint64_t offset) { return process_->pte(file.address + offset); }

Result<void> Trial::munmap(const TrialFile& file) {
  say(fmt::format("munmap {}", file.name));
  return process_->munmap(file.address, file.file.size());
}

void Trial::fsync(TrialFile& file) {
  say(fmt::format("fsync {}", file.name));
  costs_.index_bytes = std::max(costs_.index_bytes, file.file.open_file()->inode().mapping().pages().bytes());
  const std::uint64_t first_event = machine_->events().next_id();
  const auto begin = std::chrono::steady_clock::now();
  const Result<void> done = file.file.fsync();
  costs_.fsync_time += std::chrono::steady_clock::now() - begin;
  for (const Event& event : machine_->events().since(first_event)) {
    if (event.type == EventType::dax_writeback_one) {
      costs_.pages += event.last;
      costs_.lookups += event.length;
      costs_.locks += event.result;
    }
  }
  say(fmt::format("fsync {} answers {}", file.name, answer(done)));
  if (!done.ok()) {
    refused(errno_name(done.error()));
    return;
  }
  for (auto each = stored_.begin(); each != stored_.end();) {
    const auto next = std::next(each);
    if (each->first.first == file.name) {
      promised_[each->first] = each->second;
      stored_.erase(each);
    }
    each = next;
  }
}

void Trial::balance() {
  say("balance: move the blocks of the first chunk");
  if (const auto done = ChunkFs::balance(*fs_->super_block(), 0); done.ok()) {
    say(fmt::format("{} pages of {} files have moved", done->pages, done->files));
  } else {
    refused(errno_name(done.error()));
  }
}

void Trial::promote(TrialFile& file, PageRange pages) {
  say(fmt::format("promote pages {} to {} of {}", pages.first.value, pages.end().value - 1, file.name));
  moved(TieredFs::promote(file.file.open_file()->inode(), pages));
}

void Trial::demote(TrialFile& file, PageRange pages) {
  say(fmt::format("demote pages {} to {} of {}", pages.first.value, pages.end().value - 1, file.name));
  moved(TieredFs::demote(file.file.open_file()->inode(), pages));
}

void Trial::moved(const Result<std::uint64_t>& pages) {
  if (pages.ok()) {
    say(fmt::format("{} pages have moved", *pages));
  } else {
    refused(errno_name(pages.error()));
  }
}

Result<void> Trial::remove(Removal how, std::size_t which) {
  say(how == Removal::orderly ? "unbind the device" : "pull the device out");
  DAXSIM_TRY(const RemovalReport report, machine_->remove(devices_.at(which), how));
  if (how == Removal::surprise) {
    return {};
  }
  if (report.holder_error) {
    refused(errno_name(*report.holder_error));
  } else {
    promised_.merge(stored_);
  }
  return {};
}

// --- looking ---

Result<void> Trial::end() {
  // A fence of anybody orders what anybody has flushed.
  say("the other devices' owners fence, and the power goes");
  for (const std::shared_ptr<Device>& medium : bystanders_) {
    DAXSIM_TRY(DeviceHandle device, attached(medium));
    DAXSIM_TRY_VOID(device.attachment().fence());
  }
  DAXSIM_TRY([[maybe_unused]] const PowerCutReport cut, machine_->power_cut());
  take_findings();
  say("reboot");
  DAXSIM_TRY(Machine next, machine_->reboot());
  machine_.emplace(std::move(next));
  told_ = machine_->events().next_id();
  DAXSIM_TRY_VOID(check_bystanders());
  return check_promises();
}

void Trial::take_findings() {
  for (const Finding& finding : machine_->findings()) {
    harmed(finding_name(finding.kind));
  }
}

Result<DeviceHandle> Trial::attached(const std::shared_ptr<Device>& medium) {
  for (DeviceHandle& device : machine_->devices()) {
    if (device.medium() == medium) {
      return std::move(device);
    }
  }
  return machine_->attach(medium);
}

Result<void> Trial::check_promises() {
  std::vector<DeviceHandle> devices;
  for (const std::shared_ptr<Device>& medium : media_) {
    DAXSIM_TRY(DeviceHandle device, attached(medium));
    devices.push_back(std::move(device));
  }
  Result<FileSystem> fs = fs_kind_.mount(*machine_, devices);
  if (!fs.ok()) {
    harmed(fmt::format("the file system does not mount: {}", errno_name(fs.error())));
    return {};
  }
  std::uint64_t lost = 0;
  for (const auto& [place, value] : promised_) {
    std::byte found{};
    Result<File> file = fs->open(place.first);
    lost += file.ok() && file->pread(place.second, {&found, 1}).ok() && found == value ? 0 : 1;
  }
  say(fmt::format("{} of {} promised bytes are missing", lost, promised_.size()));
  if (lost != 0) {
    harmed(finding_name(FindingKind::lost_store));
  }
  return {};
}

Result<void> Trial::check_bystanders() {
  for (const std::shared_ptr<Device>& medium : bystanders_) {
    DAXSIM_TRY(DeviceHandle device, attached(medium));
    std::uint64_t changed = 0;
    for (std::uint64_t offset = 0; offset < device.size(); offset += kPageSize) {
      std::byte found{};
      DAXSIM_TRY_VOID(device.attachment().read(offset, {&found, 1}));
      changed += found == std::byte{0} ? 0 : 1;
    }
    say(fmt::format("of the device of {} MiB that its owner did not flush, {} pages have changed on the media",
                    device.size() >> 20, changed));
    if (changed != 0) {
      harmed(finding_name(FindingKind::wrong_device_flush));
    }
  }
  return {};
}

// --- the cell ---

void Trial::refused(std::string_view how) {
  if (!refused_) {
    refused_ = how;
  }
}

void Trial::not_applicable(std::string_view why) { not_applicable_ = why; }

void Trial::harmed(std::string_view how) {
  say(fmt::format("seen: {}", how));
  if (std::ranges::find(harms_, how) == harms_.end()) {
    harms_.emplace_back(how);
  }
}

Cell Trial::take_cell() {
  tell_events();
  Cell cell;
  cell.costs = costs_;
  cell.story = std::move(story_);
  if (!harms_.empty()) {
    cell.verdict = Verdict::harm;
    cell.what = fmt::format("{}", fmt::join(harms_, ", "));
  } else if (refused_) {
    cell.verdict = Verdict::refused;
    cell.what = *refused_;
  } else if (not_applicable_) {
    cell.verdict = Verdict::not_applicable;
    cell.what = *not_applicable_;
  }
  return cell;
}

void Trial::say(std::string line) {
  if (stores_in_a_row_ > kMostStoresTold) {
    tell(fmt::format("and {} more stores", stores_in_a_row_ - kMostStoresTold));
  }
  stores_in_a_row_ = 0;
  tell(std::move(line));
}

void Trial::tell(std::string line) {
  tell_events();
  if (telling_ == Telling::story) {
    story_.push_back(std::move(line));
  }
}

void Trial::tell_events() {
  if (telling_ != Telling::story || !machine_) {
    return;
  }
  const std::vector<Event> events = machine_->events().since(told_);
  told_ = machine_->events().next_id();
  for (std::size_t index = 0; index < std::min(events.size(), kMostEventsOfAStep); ++index) {
    story_.push_back("    " + event_text(events[index]));
  }
  if (events.size() > kMostEventsOfAStep) {
    story_.push_back(fmt::format("    and {} more events", events.size() - kMostEventsOfAStep));
  }
}

}  // namespace lab
DAXSIM_END
