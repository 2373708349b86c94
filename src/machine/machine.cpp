// SPDX-License-Identifier: BSD-3-Clause
#include "daxsim/machine/machine.hpp"

#include <algorithm>
#include <iterator>
#include <thread>

#include "machine/core.hpp"

DAXSIM_BEGIN

MachineCore::MachineCore(const MachineOptions& chosen) : options(chosen) {}

MachineCore::~MachineCore() { shut_down(); }

std::vector<std::shared_ptr<SuperBlock>> MachineCore::mounted() {
  const MutexLock guard(lock);
  return super_blocks;
}

std::vector<Attachment*> MachineCore::attached() {
  const MutexLock guard(lock);
  std::vector<Attachment*> found;
  found.reserve(attachments.size());
  for (const auto& attachment : attachments) {
    found.push_back(attachment.get());
  }
  return found;
}

void MachineCore::forget(const SuperBlock& super_block) {
  std::shared_ptr<SuperBlock> last;  // destroyed after the lock is dropped
  const MutexLock guard(lock);
  const auto found = std::ranges::find_if(super_blocks, [&](const auto& each) { return each.get() == &super_block; });
  if (found != super_blocks.end()) {
    detectors.forget(**found);
    last = std::move(*found);
    super_blocks.erase(found);
  }
}

void MachineCore::shut_down() {
  if (!power.exchange(false)) {
    return;
  }
  for (const auto& super_block : mounted()) {
    // Open files make unmount fail; then syncing and tearing down is what is left of an orderly end.
    if (!super_block->unmount().ok()) {
      [[maybe_unused]] const Result<void> unsynced = dax::orderly_teardown(context, *super_block);
    }
    super_block->shutdown(Errno::eshutdown);
    forget(*super_block);
  }
  for (Attachment* attachment : attached()) {
    for (const LifeState next : {LifeState::dax_dead, LifeState::disk_gone}) {
      if (attachment->state() < next) {
        [[maybe_unused]] const Result<void> advanced = attachment->advance(next);
      }
    }
    if (attachment->state() < LifeState::unmapped) {
      memory.unbind(attachment->first_pfn());
      [[maybe_unused]] const Result<void> unmapped = attachment->advance(LifeState::unmapped);
    }
  }
}

Machine::Machine(const MachineOptions& options) : core_(std::make_shared<MachineCore>(options)) {}

Machine::~Machine() {
  if (core_ != nullptr) {
    core_->shut_down();
  }
}

Machine::Machine(Machine&&) noexcept = default;

Machine& Machine::operator=(Machine&& other) noexcept {
  if (this != &other) {
    if (core_ != nullptr) {
      core_->shut_down();
    }
    core_ = std::move(other.core_);
  }
  return *this;
}

Result<void> Machine::check_power() const noexcept {
  if (!core_->power.load(std::memory_order_acquire)) {
    return Errno::eshutdown;
  }
  return {};
}

std::vector<Attachment*> Machine::attachments(std::span<const DeviceHandle> devices) {
  std::vector<Attachment*> all;
  std::ranges::transform(devices, std::back_inserter(all),
                         [](const DeviceHandle& device) { return &device.attachment(); });
  return all;
}

Result<DeviceHandle> Machine::attach(std::shared_ptr<Device> device, const AttachOptions& options) {
  DAXSIM_TRY_VOID(check_power());
  // Only memory has frames.
  const bool direct = device->capabilities().direct;
  Pfn first;
  std::unique_ptr<DaxDevice> view;
  std::unique_ptr<DeviceView> block_view;
  const ViewContext lent{.arena = core_->arena, .clock = core_->clock};
  if (direct) {
    DAXSIM_TRY(view, device->make_view(lent));
    DAXSIM_TRY(first, core_->memory.reserve(device->size() >> kPageShift, options.at));
  } else {
    DAXSIM_TRY(block_view, device->make_block_view(lent));
  }
  const MutexLock guard(core_->lock);
  // pmem's major number, and one minor per device, as the recordings have them.
  const auto dev = (std::uint32_t{259} << 20) | static_cast<std::uint32_t>(core_->attachments.size());
  core_->attachments.push_back(
      direct ? std::make_unique<Attachment>(std::move(device), std::move(view), first, dev, core_->events)
             : std::make_unique<Attachment>(std::move(device), std::move(block_view), dev, core_->events));
  Attachment& attached = *core_->attachments.back();
  if (direct) {
    core_->memory.bind(first, attached);
  }
  core_->events.emit(
      {.type = EventType::attach, .dev = dev, .last = attached.pages(), .pfn = first, .object = &attached});
  return DeviceHandle(core_, attached);
}

std::vector<DeviceHandle> Machine::devices() const {
  std::vector<DeviceHandle> handles;
  for (Attachment* attachment : core_->attached()) {
    handles.push_back(DeviceHandle(core_, *attachment));
  }
  return handles;
}

Result<FileSystem> Machine::adopt(std::shared_ptr<SuperBlock> super_block) {
  const MutexLock guard(core_->lock);
  DAXSIM_TRY_VOID(core_->detectors.watch(*super_block));
  core_->super_blocks.push_back(super_block);
  return FileSystem(core_, std::move(super_block));
}

Process& Machine::spawn() {
  const MutexLock guard(core_->lock);
  const auto pid = static_cast<std::uint32_t>(core_->processes.size() + 1);
  return core_->processes.emplace_back(core_->system, pid);
}

Result<RemovalReport> Machine::remove(const DeviceHandle& device, Removal how, std::chrono::milliseconds pin_wait) {
  DAXSIM_TRY_VOID(check_power());
  Attachment& attachment = device.attachment();
  if (attachment.state() == LifeState::unmapped) {
    return Errno::enxio;
  }
  RemovalReport report;
  const auto tell_holder = [&] {
    const Policy& policy = core_->context.policy;
    if (!policy.takes(Step::notify_holder)) {
      return;
    }
    const Notice notice = policy.takes(Step::announce_removal) ? Notice::removal : Notice::failure;
    if (const Result<void> told = attachment.notify_holder(notice); !told.ok() && told.error() != Errno::eopnotsupp) {
      report.holder_error = told.error();
    }
  };
  if (how == Removal::orderly && attachment.state() == LifeState::alive) {
    DAXSIM_TRY_VOID(attachment.advance(LifeState::pre_remove));
    tell_holder();
  }
  if (attachment.state() < LifeState::dax_dead) {
    DAXSIM_TRY_VOID(attachment.advance(LifeState::dax_dead));
    if (how == Removal::surprise) {
      tell_holder();
    }
  }
  if (attachment.state() < LifeState::disk_gone) {
    DAXSIM_TRY_VOID(attachment.advance(LifeState::disk_gone));
  }
  // Pins are held by other threads or by the caller itself, so the wait has a bound; one poll a millisecond is enough
  // for an edge that happens once in a device's life.
  for (const auto deadline = std::chrono::steady_clock::now() + pin_wait; attachment.pins() != 0;) {
    if (std::chrono::steady_clock::now() >= deadline) {
      return Errno::ebusy;
    }
    std::this_thread::sleep_for(std::chrono::milliseconds{1});
  }
  core_->memory.unbind(attachment.first_pfn());
  DAXSIM_TRY_VOID(attachment.advance(LifeState::unmapped));
  const MutexLock guard(core_->lock);
  core_->removed.push_back(&attachment);
  return report;
}

namespace {

// `pending` is ascending.
bool all_possible(const std::vector<LineOutcome>& chosen, const std::vector<LineHistory>& pending) {
  return std::ranges::all_of(chosen, [&](const LineOutcome& line) {
    const auto found = std::ranges::lower_bound(pending, line.offset, {}, &LineHistory::offset);
    return found != pending.end() && found->offset == line.offset && line.outcome < found->outcomes;
  });
}

}  // namespace

Result<PowerCutReport> Machine::power_cut(const PowerCut& choice) {
  DAXSIM_TRY_VOID(check_power());
  std::vector<Attachment*> devices;
  for (Attachment* attachment : core_->attached()) {
    if (attachment->state() < LifeState::disk_gone) {
      devices.push_back(attachment);
    }
  }
  if (choice.kind == PowerCut::Kind::listed) {
    // While the power is still on, so that a bad list costs nothing.
    if (devices.size() != 1 || !all_possible(choice.lines, devices.front()->device_view().pending_lines())) {
      return Errno::einval;
    }
  }
  core_->detectors.audit();
  if (!core_->power.exchange(false)) {
    return Errno::eshutdown;
  }
  // Nobody gets in from here on; then the devices die, which waits for those inside; then nothing maps the view.
  const std::vector<std::shared_ptr<SuperBlock>> mounted = core_->mounted();
  for (const auto& super_block : mounted) {
    super_block->shutdown(Errno::eshutdown);
  }
  for (Attachment* device : devices) {
    DAXSIM_TRY_VOID(device->advance(LifeState::dax_dead));
    DAXSIM_TRY_VOID(device->advance(LifeState::disk_gone));
  }
  for (const auto& super_block : mounted) {
    dax::surprise_teardown(core_->context, *super_block, Errno::eshutdown);
  }
  PowerCutReport total;
  for (std::size_t index = 0; index < devices.size(); ++index) {
    PowerCut own = choice;
    own.seed += index;
    DAXSIM_TRY(const PowerCutReport report, devices[index]->device_view().power_cut(own));
    total.unfenced_lines += report.unfenced_lines;
    total.dirty_lines += report.dirty_lines;
    total.lost_lines += report.lost_lines;
    core_->events.emit({.type = EventType::power_cut,
                        .dev = devices[index]->dev(),
                        .length = report.dirty_lines,
                        .object = devices[index]});
    core_->memory.unbind(devices[index]->first_pfn());
    DAXSIM_TRY_VOID(devices[index]->advance(LifeState::unmapped));
  }
  for (const auto& super_block : mounted) {
    core_->forget(*super_block);
  }
  return total;
}

Result<Machine> Machine::reboot() {
  std::vector<std::shared_ptr<Device>> media;
  {
    const MutexLock guard(core_->lock);
    for (const auto& attachment : core_->attachments) {
      if (std::ranges::find(core_->removed, attachment.get()) == core_->removed.end()) {
        media.push_back(attachment->device());
      }
    }
  }
  core_->shut_down();
  Machine next(core_->options);
  for (std::shared_ptr<Device>& device : media) {
    DAXSIM_TRY([[maybe_unused]] const DeviceHandle handle, next.attach(std::move(device)));
  }
  return next;
}

EventStream& Machine::events() const noexcept { return core_->events; }
VirtualClock& Machine::clock() const noexcept { return core_->clock; }
Arena& Machine::arena() const noexcept { return core_->arena; }
const dax::Context& Machine::context() const noexcept { return core_->context; }
std::vector<Finding> Machine::findings() const { return core_->detectors.findings(); }

DAXSIM_END
