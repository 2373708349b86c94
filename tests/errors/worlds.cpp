// SPDX-License-Identifier: BSD-3-Clause
// The adverse worlds: a World each, something that happens to it, and then every call.
#include <array>
#include <chrono>
#include <csignal>
#include <cstddef>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "daxsim/sim_devices/pmem.hpp"
#include "daxsim/test_support/must.hpp"
#include "errors/world.hpp"

namespace daxsim::test {

using namespace daxsim::literals;

namespace {

using Happening = std::function<void(World&)>;

// A configuration whose media cannot be opened.
struct ClosedMedia {
  Errno error;
};
[[maybe_unused]] Result<std::shared_ptr<Device>> open(const ClosedMedia& media) { return media.error; }

void advance_to(World& world, LifeState last) {
  Attachment& device = world.handle.attachment();
  for (const LifeState next : {LifeState::pre_remove, LifeState::dax_dead, LifeState::disk_gone}) {
    if (next <= last) {
      must(device.advance(next));
    }
  }
}

// A world ends without faults, so that it can end.
void heal(World& world) {
  world.device->faults() = {};
  world.context().system.arena.fail_from(0);
}

void visit(Observer& saw, const std::string& name, std::uint64_t seeds, const Happening& happening,
           const LinearFs::Options& options = {}) {
  for (std::uint64_t seed = 1; seed <= seeds; ++seed) {
    saw.enter(name + ", seed " + std::to_string(seed));
    World world(options);
    happening(world);
    world.exercise(saw, seed);
    heal(world);
    if (world.machine != nullptr) {
      world.end(saw, seed);
    }
  }
}

bool all_calls(const PlainCall&) { return true; }
// Machine's calls look at the device only when it is there or gone.
bool calls_below_machine(const PlainCall& plain) { return !plain.name.starts_with("Machine::"); }
bool ending_calls(const PlainCall& plain) { return plain.after == PlainCall::After::end_of_world; }

// Each plain call as the first to meet what happened. A call that failed and did no harm leaves the world to the next.
void visit_plainly(Observer& saw, const std::string& name, const Happening& happening,
                   bool (*wanted)(const PlainCall&) = all_calls) {
  std::unique_ptr<World> world;
  for (const PlainCall& plain : plain_calls()) {
    if (!wanted(plain)) {
      continue;
    }
    saw.enter(name + ", before " + plain.name);
    if (world == nullptr) {
      world = std::make_unique<World>();
      happening(*world);
    }
    const bool was_alive = world->fs.super_block()->check_alive().ok();
    const bool failed = !saw.through(plain.name, plain.call(*world)).ok();
    if (!failed || ending_calls(plain) || was_alive != world->fs.super_block()->check_alive().ok()) {
      heal(*world);
      world.reset();
    }
  }
  if (world != nullptr) {
    heal(*world);
  }
}

void visit_first_failures(Observer& saw) {
  for (const Errno error : {Errno::enospc, Errno::eio, Errno::enomem}) {
    visit_plainly(
        saw, "every flush fails with " + std::string(errno_name(error)),
        [error](World& world) { world.device->faults().flush = {.from = 1, .error = error}; }, calls_below_machine);
  }
  for (const Errno error : {Errno::ehwpoison, Errno::eio, Errno::enomem}) {
    visit_plainly(
        saw, "every direct_access fails with " + std::string(errno_name(error)),
        [error](World& world) { world.device->faults().direct_access = {.from = 1, .error = error}; },
        calls_below_machine);
  }
  for (const Errno error : {Errno::enospc, Errno::eio}) {
    visit_plainly(
        saw, "the host fails in a power cut with " + std::string(errno_name(error)),
        [error](World& world) { world.device->faults().power_cut = {.from = 1, .error = error}; },
        [](const PlainCall& plain) { return plain.name == "Machine::power_cut"; });
  }
  for (const Errno error : {Errno::enomem, Errno::emfile, Errno::enfile, Errno::efbig, Errno::ebusy, Errno::einval}) {
    visit_plainly(
        saw, "no view can be made: " + std::string(errno_name(error)),
        [error](World& world) { world.device->faults().make_view = {.from = 1, .error = error}; },
        [](const PlainCall& plain) { return plain.name == "Machine::reboot"; });
  }
  for (const std::uint64_t nth : {1, 2}) {
    visit_plainly(
        saw, "arena fails from allocation " + std::to_string(nth),
        [nth](World& world) { world.machine->arena().fail_from(nth); }, calls_below_machine);
  }
  visit_plainly(saw, "healthy", [](World&) {}, ending_calls);
  visit_plainly(
      saw, "power lost", [](World& world) { must(world.machine->power_cut()); },
      // A view that was cut may only be destroyed.
      [](const PlainCall& plain) {
        return !plain.name.starts_with("DaxDevice::") && !plain.name.starts_with("DeviceView::");
      });
  visit_plainly(saw, "file system shut down", [](World& world) { world.fs.super_block()->shutdown(Errno::eio); });
  visit_plainly(saw, "device dead", [](World& world) { advance_to(world, LifeState::dax_dead); });
  visit_plainly(saw, "disk gone", [](World& world) { advance_to(world, LifeState::disk_gone); });
}

void fill(World& world) {
  File filler = must(world.fs.create("/filler"));
  for (std::uint64_t offset = 0;; offset += kPageSize) {
    if (!filler.fallocate(Fallocate::allocate, {offset, kPageSize}).ok()) {
      return;
    }
  }
}

void visit_lives(Observer& saw) {
  visit(saw, "healthy", 8, [](World&) {});
  // Not unmapped: taking memory away without having told the file system leaves stale mappings behind.
  for (const LifeState state : {LifeState::pre_remove, LifeState::dax_dead, LifeState::disk_gone}) {
    visit(saw, std::string("device ") + life_state_name(state) + ", file system not told", 4,
          [state](World& world) { advance_to(world, state); });
  }
  for (const Removal how : {Removal::orderly, Removal::surprise}) {
    visit(saw, how == Removal::orderly ? "removed in order" : "removed by surprise", 3,
          [how](World& world) { must(world.machine->remove(world.handle, how)); });
  }
  visit(saw, "power lost", 4, [](World& world) { must(world.machine->power_cut()); });
  visit(saw, "machine destroyed", 3, [](World& world) { world.machine.reset(); });
  visit(saw, "machine destroyed after a power cut", 2, [](World& world) {
    must(world.machine->power_cut());
    world.machine.reset();
  });
  visit(saw, "file system shut down", 3, [](World& world) { world.fs.super_block()->shutdown(Errno::eio); });
}

void visit_full(Observer& saw) {
  visit(saw, "full device", 6, fill);
  saw.enter("no inodes left");
  World world({.files = 2});
  saw("FileSystem::create", world.fs.create("new"));
  saw("SuperBlock::create", world.fs.super_block()->create("new"));
}

// Faults of the device: every call of it from the n-th on.
void visit_faulty_devices(Observer& saw) {
  for (const Errno error : {Errno::enospc, Errno::eio, Errno::enomem}) {
    for (const std::uint64_t from : {3, 20}) {
      visit(saw, "flush " + std::to_string(from) + " fails with " + std::string(errno_name(error)), 1,
            [=](World& world) { world.device->faults().flush = {.from = from, .error = error}; });
    }
  }
  for (const Errno error : {Errno::ehwpoison, Errno::eio, Errno::enomem}) {
    for (const std::uint64_t from : {3, 20}) {
      visit(saw, "direct_access " + std::to_string(from) + " fails with " + std::string(errno_name(error)), 1,
            [=](World& world) { world.device->faults().direct_access = {.from = from, .error = error}; });
    }
  }
}

void visit_small_arenas(Observer& saw) {
  for (std::uint64_t nth = 1; nth <= 12; ++nth) {
    visit(saw, "arena fails from allocation " + std::to_string(nth), 1,
          [nth](World& world) { world.machine->arena().fail_from(nth); });
  }
}

// A fatal signal while pages are pinned.
void visit_interrupted(Observer& saw) {
  for (std::uint64_t seed = 1; seed <= 4; ++seed) {
    saw.enter("interrupted, pages pinned, seed " + std::to_string(seed));
    World world;
    Interruption interruption;
    interruption.raise();
    const InterruptScope scope(interruption);
    std::vector<dax::Pin> pins;
    for (std::uint64_t page = 0; page < 8; ++page) {
      pins.push_back(must(dax::pin_page(world.context(), world.file.open_file()->inode().mapping(), {page})));
    }
    Attachment& device = world.handle.attachment();
    OpenFile& open_file = *world.file.open_file();
    saw("Attachment::wait_unpinned", device.wait_unpinned(pins.front().page));
    saw("File::truncate", world.file.truncate(0));
    saw("OpenFile::truncate", open_file.truncate(0));
    saw("Inode::truncate", open_file.inode().truncate(0));
    saw("File::fallocate", world.file.fallocate(Fallocate::punch_hole, {0, 8_KiB}));
    saw("OpenFile::fallocate", open_file.fallocate(Fallocate::collapse_range, {0, 8_KiB}));
    saw("Inode::fallocate", open_file.inode().fallocate(Fallocate::zero_range, {0, 8_KiB}));
    {
      Inode& inode = open_file.inode();
      const ExclusiveLock no_faults(inode.mapping().invalidate_lock());
      saw("dax::break_layouts", dax::break_layouts(world.context(), inode));
    }
    world.exercise(saw, seed);
    saw("Machine::remove", world.machine->remove(world.handle, Removal::orderly, std::chrono::milliseconds{0}));
    for (const dax::Pin& pin : pins) {
      dax::unpin_page(pin);
    }
  }
}

// A dirty huge page of which only a part goes has to be written back first.
void visit_straddling(Observer& saw) {
  World world({}, 8_MiB);
  const File huge = must(world.fs.create("/huge", 2_MiB));
  Inode& inode = huge.open_file()->inode();
  const std::uint64_t at = must(world.process.mmap(huge.open_file(), {}));
  [[maybe_unused]] const auto stored = world.process.store(at, 1);
  const auto truncate_first_page = [&] {
    const ExclusiveLock no_faults(inode.mapping().invalidate_lock());
    saw("dax::truncate_pages", dax::truncate_pages(world.context(), inode, {{0}, 1}));
  };
  for (const Errno error : {Errno::enospc, Errno::eio, Errno::enomem}) {
    saw.enter("part of a dirty huge page goes, flushes fail with " + std::string(errno_name(error)));
    world.device->faults().flush = {.from = 1, .error = error};
    truncate_first_page();
  }
  heal(world);
  saw.enter("the memory of a dirty page is nobody's");
  MemoryMap& memory = world.context().system.memory;
  Attachment& device = world.handle.attachment();
  memory.unbind(device.first_pfn());
  truncate_first_page();
  saw("dax::writeback_range", dax::writeback_range(world.context(), inode.mapping(), {0, kPageSize}));
  must(memory.reserve(device.pages(), device.first_pfn()));
  memory.bind(device.first_pfn(), device);
}

// Identities that other designs stored, and that name nothing, or something else, when write-back comes.
void visit_lost_identities(Observer& saw) {
  struct Loss {
    const IndexDesign& design;
    const char* what;
    void (*happen)(World&);
  };
  for (const Loss& loss :
       {Loss{designs::pfn_and_generation(), "the memory of a dirty page has another generation",
             [](World& world) { world.handle.attachment().end_generation({{0}, world.handle.attachment().pages()}); }},
        Loss{designs::pgoff_and_device(), "the device of a dirty page is dead",
             [](World& world) { must(world.handle.attachment().advance(LifeState::dax_dead)); }},
        Loss{designs::ask_file_system(), "the file system that is to say where a dirty page is has shut down",
             [](World& world) { world.fs.super_block()->shutdown(Errno::eio); }}}) {
    World world({}, 8_MiB, &loss.design);
    const File huge = must(world.fs.create("/huge", 2_MiB));
    Inode& inode = huge.open_file()->inode();
    const std::uint64_t at = must(world.process.mmap(huge.open_file(), {}));
    [[maybe_unused]] const auto stored = world.process.store(at, 1);
    const FileExtent extent = must(inode.direct_access({{0}, 1}, Access::read));
    const StoredEntry entry{.first = {0}, .payload = must(loss.design.encode(extent))};

    loss.happen(world);

    saw.enter(loss.what);
    saw("IndexDesign::resolve", loss.design.resolve(world.context().system, inode, entry, {{0}, 1}));
    saw("Inode::find_by_cookie", inode.find_by_cookie(extent.cookie, 0, {{0}, 1}));
    saw("dax::writeback_range", dax::writeback_range(world.context(), inode.mapping(), {0, kPageSize}));
    const ExclusiveLock no_faults(inode.mapping().invalidate_lock());
    saw("dax::truncate_pages", dax::truncate_pages(world.context(), inode, {{0}, 1}));
  }
}

void visit_asynchronous_device(Observer& saw) {
  saw.enter("MAP_SYNC on a device that is not synchronous");
  const support::TempFile media;
  Machine machine;
  const DeviceHandle device =
      must(machine.attach(sim::Pmem{.path = media.path(), .size = 4_MiB, .synchronous = false}));
  FileSystem fs = must(machine.mkfs<LinearFs>(device));
  File file = must(fs.create("file", 64_KiB));
  const MapOptions options{.sync = MapSync::yes};
  saw("File::map", file.map(options));
  saw("Mapping::map", Mapping::map(machine.context().system, file.open_file(), options));
  saw("Process::mmap", machine.spawn().mmap(file.open_file(), options));
}

void ignore_signal(int) {}

void visit_foreign_handlers(Observer& saw) {
  const World world;  // has live mappings
  saw.enter("somebody's own handler for SIGBUS");
  struct sigaction ours{};
  struct sigaction theirs{};
  theirs.sa_handler = ignore_signal;
  ::sigaction(SIGBUS, &theirs, &ours);
  saw("check_live_signals", check_live_signals());
  ::sigaction(SIGBUS, &ours, nullptr);
  saw("check_live_signals", check_live_signals());
}

// What mkfs, mount and attach meet.
void visit_machines(Observer& saw) {
  saw.enter("devices that cannot be attached");
  {
    World world;
    for (const Errno error : {Errno::ebusy, Errno::enomem, Errno::emfile, Errno::enfile, Errno::efbig}) {
      support::TempFile media;
      const auto device =
          std::make_shared<FaultyDevice>(must(sim::open(sim::Pmem{.path = media.path(), .size = 2_MiB})));
      device->faults().make_view = {.from = 1, .error = error};
      saw("Machine::attach", world.machine->attach(device));
    }
  }
  saw.enter("media that cannot be opened");
  {
    Machine machine;
    for (const Errno error : {Errno::eperm, Errno::enoent, Errno::eio, Errno::enomem, Errno::eacces, Errno::ebusy,
                              Errno::enotdir, Errno::einval, Errno::erofs, Errno::enametoolong}) {
      saw("Machine::attach", machine.attach(ClosedMedia{error}));
    }
  }
  saw.enter("more devices than a machine takes");
  {
    Machine machine;
    std::vector<std::unique_ptr<support::TempFile>> media;
    for (unsigned i = 0; i <= MemoryMap::kMaxRanges; ++i) {
      media.push_back(std::make_unique<support::TempFile>());
      saw("Machine::attach", machine.attach(sim::Pmem{.path = media.back()->path(), .size = 1_MiB}));
    }
  }
}

// One more call of the device succeeds each time, until nothing fails.
void visit_formatting(Observer& saw) {
  const support::TempFile media;
  const auto device = std::make_shared<FaultyDevice>(must(sim::open(sim::Pmem{.path = media.path(), .size = 2_MiB})));
  Machine machine;
  const DeviceHandle handle = must(machine.attach(device));
  for (const Errno error : {Errno::ehwpoison, Errno::eio, Errno::enomem, Errno::enospc}) {
    Fault& fault = error == Errno::enospc ? device->faults().flush : device->faults().direct_access;
    const auto strike_at = [&](std::uint64_t from) {
      saw.enter("call " + std::to_string(from) + " of the device and all later ones fail with " +
                std::string(errno_name(error)));
      fault = {.from = from, .error = error};
    };
    bool done = false;
    for (std::uint64_t from = 1; !done; ++from) {
      strike_at(from);
      done = saw.through("LinearFs::mkfs", LinearFs::mkfs(handle.attachment())).ok();
    }
    done = false;
    for (std::uint64_t from = 1; !done; ++from) {
      strike_at(from);
      auto fs = saw.through("Machine::mkfs", machine.mkfs<LinearFs>(handle));
      fault = {};
      done = fs.ok();
      if (done) {
        must(fs->unmount());
      }
    }
    done = false;
    for (std::uint64_t from = 1; !done; ++from) {
      strike_at(from);
      saw("LinearFs::mount", LinearFs::mount(machine.context(), handle.attachment()));
      strike_at(from);
      auto fs = saw.through("Machine::mount", machine.mount<LinearFs>(handle));
      fault = {};
      done = fs.ok();
      if (done) {
        must(fs->unmount());
      }
    }
  }
}

void visit_damaged(Observer& saw) {
  support::TempFile media;
  Machine machine;
  const DeviceHandle handle = must(machine.attach(sim::Pmem{.path = media.path(), .size = 2_MiB}));
  saw.enter("no file system on the device");
  saw("Machine::mount", machine.mount<LinearFs>(handle));
  saw("LinearFs::mount", LinearFs::mount(machine.context(), handle.attachment()));
  must(LinearFs::mkfs(handle.attachment()));
  for (std::uint64_t offset = 0; offset < 64; offset += 4) {
    saw.enter("byte " + std::to_string(offset) + " of the super record changed");
    std::array<std::byte, 1> byte;
    must(handle.attachment().read(offset, byte));
    byte[0] ^= std::byte{0x10};
    must(handle.attachment().write(offset, byte));
    saw("LinearFs::mount", LinearFs::mount(machine.context(), handle.attachment()));
    saw("Machine::mount", machine.mount<LinearFs>(handle));
    for (const DeviceHandle& device : machine.devices()) {
      // Mounted in spite of it: unmount, so that the next change finds nobody.
      [[maybe_unused]] const auto left = device.attachment().notify_holder();
    }
    byte[0] ^= std::byte{0x10};
    must(handle.attachment().write(offset, byte));
  }
  saw.enter("a device too small, or with a wrong number of files");
  saw("Machine::mkfs", machine.mkfs<LinearFs>(handle, LinearFs::Options{.files = ~0U}));
}

}  // namespace

void visit_worlds(Observer& saw) {
  visit_first_failures(saw);
  visit_lives(saw);
  visit_full(saw);
  visit_faulty_devices(saw);
  visit_small_arenas(saw);
  visit_interrupted(saw);
  visit_straddling(saw);
  visit_lost_identities(saw);
  visit_asynchronous_device(saw);
  visit_foreign_handlers(saw);
  visit_machines(saw);
  visit_formatting(saw);
  visit_damaged(saw);
}

}  // namespace daxsim::test
