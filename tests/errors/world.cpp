// SPDX-License-Identifier: BSD-3-Clause
#include "errors/world.hpp"

#include <algorithm>
#include <array>
#include <chrono>
#include <functional>
#include <initializer_list>
#include <limits>
#include <utility>
#include <vector>

#include "daxsim/base/random.hpp"
#include "daxsim/sim_devices/pmem.hpp"
#include "daxsim/test_support/must.hpp"

namespace daxsim::test {

using namespace daxsim::literals;

namespace {

constexpr std::uint64_t kHuge = std::numeric_limits<std::uint64_t>::max();

// Arguments, good and bad.
class Choice {
 public:
  explicit Choice(std::uint64_t seed) : random_(seed) {}

  template <class T>
  T of(std::initializer_list<T> values) {
    return values.begin()[random_.below(values.size())];
  }
  std::uint64_t below(std::uint64_t bound) { return random_.below(bound); }

  std::uint64_t offset() {
    return of({0_KiB, std::uint64_t{1}, 4_KiB - 1, 4_KiB, 8_KiB, 512_KiB, kFileSize - 1, kFileSize, 2_MiB, kSparseSize,
               LinearFs::kMaxFileSize + 4_KiB, kLastFileByte, kHuge - 4_KiB + 1, kHuge});
  }
  std::uint64_t length() {
    return of({0_KiB, std::uint64_t{1}, 64_KiB + 7, 4_KiB, 8_KiB, 512_KiB, kFileSize, 2_MiB, kLastFileByte, kHuge});
  }
  ByteRange range() { return {offset(), length()}; }
  // One that a call can do: it may take long to zero all of a file of 16 TiB.
  ByteRange near_range() {
    return {of({0_KiB, 4_KiB - 1, 4_KiB, 512_KiB, kFileSize}), of({std::uint64_t{1}, 4_KiB, 64_KiB + 7, kFileSize})};
  }
  PageRange pages() {
    return {{of({std::uint64_t{0}, std::uint64_t{1}, std::uint64_t{100}, std::uint64_t{512}})},
            of({std::uint64_t{1}, std::uint64_t{2}, std::uint64_t{512}})};
  }
  std::span<std::byte> buffer() {
    return std::span(buffer_).first(of({std::size_t{0}, std::size_t{1}, std::size_t{4096}, buffer_.size()}));
  }
  std::string name() {
    return of<std::string>({"/file", "/sparse", "new", "/other", "", "/", ".", "..", "a/b", std::string("a\0b", 3),
                            std::string(255, 'n'), std::string(256, 'n'), "/missing"});
  }
  Fallocate mode() {
    return of({Fallocate::allocate, Fallocate::allocate_keep_size, Fallocate::punch_hole, Fallocate::zero_range,
               Fallocate::collapse_range, Fallocate::insert_range});
  }
  MapOptions mapping() {
    return {.prot = of({Prot::read, Prot::read_write}),
            .sharing = of({Sharing::shared, Sharing::private_copy}),
            .sync = of({MapSync::no, MapSync::yes}),
            .offset = of({0_KiB, std::uint64_t{1}, 4_KiB, 2_MiB, kFileSize, kHuge - 4_KiB + 1}),
            .length = of({0_KiB, 0_KiB, std::uint64_t{1}, kFileSize, std::uint64_t{1} << 48, kHuge - 1})};
  }

 private:
  Random random_;
  std::array<std::byte, 70'000> buffer_{};
};

// Nobody's.
class IdleHolder final : public Holder {
 public:
  Result<void> pre_remove(Attachment&) override { return {}; }
  Result<void> failure(Attachment&, ByteRange) override { return {}; }
  void revoke(Attachment&, ByteRange) override {}
};

using Actions = std::vector<std::function<void()>>;

void add_file_actions(Actions& actions, World& world, Observer& saw, Choice& choice) {
  const auto file = [&world, &choice]() -> File& {
    return *choice.of({&world.file, &world.file, &world.sparse, &world.read_only});
  };
  const auto open_file = [file]() -> OpenFile& { return *file().open_file(); };
  const auto inode = [file]() -> Inode& { return file().open_file()->inode(); };
  actions.insert(
      actions.end(),
      {
          [=, &saw, &choice] { saw("File::pread", file().pread(choice.offset(), choice.buffer())); },
          [=, &saw, &choice] { saw("File::pwrite", file().pwrite(choice.offset(), choice.buffer())); },
          [=, &saw, &choice] { saw("File::truncate", file().truncate(choice.offset())); },
          [=, &saw, &choice] { saw("File::fallocate", file().fallocate(choice.mode(), choice.range())); },
          [=, &saw, &choice] { saw("File::fallocate", file().fallocate(choice.mode(), choice.near_range())); },
          [=, &saw] { saw("File::fsync", file().fsync()); },
          [=, &saw] { saw("File::fdatasync", file().fdatasync()); },
          [=, &saw, &choice] {
            saw("File::map", file().map(choice.mapping(), choice.of({LiveBackend::automatic, LiveBackend::sigsegv})));
          },
          [=, &saw, &choice] { saw("OpenFile::pread", open_file().pread(choice.offset(), choice.buffer())); },
          [=, &saw, &choice] { saw("OpenFile::pwrite", open_file().pwrite(choice.offset(), choice.buffer())); },
          [=, &saw, &choice] { saw("OpenFile::truncate", open_file().truncate(choice.offset())); },
          [=, &saw, &choice] { saw("OpenFile::fallocate", open_file().fallocate(choice.mode(), choice.near_range())); },
          [=, &saw, &choice] { saw("OpenFile::fallocate", open_file().fallocate(choice.mode(), choice.range())); },
          [=, &saw] { saw("OpenFile::fsync", open_file().fsync()); },
          [=, &saw] { saw("OpenFile::fdatasync", open_file().fdatasync()); },
          [=, &saw, &choice] {
            saw("OpenFile::fsync_range",
                open_file().fsync_range(choice.range(), choice.of({Datasync::no, Datasync::yes})));
          },
          [=, &saw, &choice] { saw("OpenFile::fiemap", open_file().fiemap(choice.range())); },
          [=, &saw, &choice] {
            saw("OpenFile::seek", open_file().seek(choice.offset(), choice.of({Seek::data, Seek::hole})));
          },
          [=, &saw, &choice] {
            Inode& at = inode();
            const SharedLock still(at.i_rwsem());
            saw("Inode::report_blocks", at.report_blocks(choice.pages()));
          },
          [=, &saw, &choice] { saw("Inode::read", inode().read(choice.offset(), choice.buffer())); },
          [=, &saw, &choice] { saw("Inode::write", inode().write(choice.offset(), choice.buffer())); },
          [=, &saw, &choice] { saw("Inode::truncate", inode().truncate(choice.offset())); },
          [=, &saw, &choice] { saw("Inode::fallocate", inode().fallocate(choice.mode(), choice.near_range())); },
          [=, &saw] { saw("Inode::xflag_dax", inode().xflag_dax()); },
          [=, &saw, &choice] {
            saw("Inode::set_xflag_dax", inode().set_xflag_dax(choice.of({XflagDax::clear, XflagDax::set})));
          },
          [=, &saw, &choice] { saw("Inode::fallocate", inode().fallocate(choice.mode(), choice.range())); },
          [=, &saw, &choice] {
            saw("Inode::fsync_range", inode().fsync_range(choice.range(), choice.of({Datasync::no, Datasync::yes})));
          },
          [=, &saw, &choice] {
            Inode& at = inode();
            const SharedLock still(at.i_rwsem());
            PageRange pages = choice.pages();
            pages.first.value = choice.of({pages.first.value, LinearFs::kMaxFileSize >> kPageShift});
            saw("Inode::direct_access", at.direct_access(pages, choice.of({Access::read, Access::write})));
          },
      });
}

void add_file_system_actions(Actions& actions, World& world, Observer& saw, Choice& choice) {
  actions.insert(
      actions.end(),
      {
          [&] { saw("FileSystem::create", world.fs.create(choice.name(), choice.of({0_KiB, 8_KiB, 64_MiB, kHuge}))); },
          [&] { saw("FileSystem::open", world.fs.open(choice.name())); },
          // The files of the world keep their names, so that each exercise finds them.
          [&] { saw("FileSystem::unlink", world.fs.unlink(choice.of<std::string>({"new", "x/y", "/missing"}))); },
          [&] { saw("FileSystem::unlink", world.fs.unlink(std::string(256, 'n'))); },
          [&] {
            saw("FileSystem::rename",
                world.fs.rename(choice.of<std::string>({"new", "/missing", "..", "/other"}),
                                choice.of<std::string>({"new", "/other", "", std::string(256, 'n')})));
          },
          [&] { saw("FileSystem::list", world.fs.list()); }, [&] { saw("FileSystem::space", world.fs.space()); },
          [&] { saw("FileSystem::sync", world.fs.sync()); },
          [&] { saw("FileSystem::unmount", world.fs.unmount()); },  // busy
          [&] { saw("SuperBlock::check_alive", world.fs.super_block()->check_alive()); },
          [&] { saw("SuperBlock::create", world.fs.super_block()->create(choice.name())); },
          [&] { saw("SuperBlock::open", world.fs.super_block()->open(choice.name())); },
          [&] { saw("SuperBlock::unlink", world.fs.super_block()->unlink(choice.of<std::string>({"new", "x/y"}))); },
          [&] { saw("SuperBlock::unlink", world.fs.super_block()->unlink(std::string(256, 'n'))); },
          [&] {
            saw("SuperBlock::rename",
                world.fs.super_block()->rename(choice.of<std::string>({"new", "/missing", "..", "/other"}),
                                               choice.of<std::string>({"new", "/other", "", std::string(256, 'n')})));
          },
          [&] { saw("SuperBlock::list", world.fs.super_block()->list()); },
          [&] { saw("SuperBlock::space", world.fs.super_block()->space()); },
          [&] { saw("SuperBlock::sync", world.fs.super_block()->sync()); },
          [&] { saw("SuperBlock::xflag_dax", world.fs.super_block()->xflag_dax()); },
          [&] {
            saw("SuperBlock::set_xflag_dax",
                world.fs.super_block()->set_xflag_dax(choice.of({XflagDax::clear, XflagDax::set})));
          },
          [&] { saw("SuperBlock::unmount", world.fs.super_block()->unmount()); },  // busy
      });
}

void add_process_actions(Actions& actions, World& world, Observer& saw, Choice& choice) {
  const auto address = [&world, &choice] {
    const std::uint64_t start = choice.of({world.address, world.private_address});
    return choice.of(
        {start, start + 4_KiB, start + 1, start + 512_KiB, start + kFileSize, std::uint64_t{0}, kHuge - 4_KiB + 1});
  };
  actions.insert(
      actions.end(),
      {
          [&] {
            const File& file = *choice.of({&world.file, &world.sparse, &world.read_only});
            const auto at = saw.through("Process::mmap", world.process.mmap(file.open_file(), choice.mapping()));
            if (at.ok()) {
              saw("Process::munmap", world.process.munmap(*at, std::uint64_t{1} << 47));
            }
          },
          [=, &world, &saw, &choice] {
            using namespace msync_flag;
            saw("Process::msync",
                world.process.msync(address(), choice.length(), choice.of({kSync, kSync, kAsync, kSync | kAsync})));
          },
          [=, &world, &saw, &choice] {
            saw("Process::populate", world.process.populate(address(), choice.of({4_KiB, 64_KiB, kHuge}),
                                                            choice.of({Access::read, Access::write})));
          },
          [=, &world, &saw, &choice] {
            saw("Process::mlock", world.process.mlock(address(), choice.of({4_KiB, 64_KiB, kHuge})));
            saw("Process::munlock", world.process.munlock(address(), choice.length()));
          },
          [=, &world, &saw, &choice] { saw("Process::mincore", world.process.mincore(address(), choice.length())); },
          [=, &world, &saw, &choice] {
            const auto pin =
                saw.through("Process::pin", world.process.pin(address(), choice.of({Access::read, Access::write}),
                                                              choice.of({Longterm::no, Longterm::no, Longterm::yes})));
            if (pin.ok()) {
              Process::unpin(*pin);
            }
          },
          [=, &world, &saw, &choice] {
            saw("Process::dont_need", world.process.dont_need(address(), choice.length()));
          },
          [=, &world, &saw, &choice] {
            saw("Process::mprotect", world.process.mprotect(address(), choice.of({4_KiB, 64_KiB, kFileSize, kHuge}),
                                                            choice.of({Prot::read, Prot::read_write})));
          },
          [&] {
            // In a mapping of its own, whose handle is read-only.
            const auto at = world.process.mmap(world.read_only.open_file(), {.prot = Prot::read});
            if (at.ok()) {
              saw("Process::mprotect", world.process.mprotect(*at, 4_KiB, Prot::read_write));
              saw("Process::munmap", world.process.munmap(*at + 4_KiB, 4_KiB));  // splits
              saw("Process::munmap", world.process.munmap(*at, kFileSize));
            }
          },
          [&] {
            saw("Process::munmap", world.process.munmap(choice.of({world.address + 1, 0_KiB, kHuge - 4_KiB + 1}),
                                                        choice.of({0_KiB, 4_KiB, kHuge})));
          },
          [&] {
            [[maybe_unused]] const auto stored = world.process.store(world.address + choice.below(kFileSize - 8), 7UL);
          },
          [&] {
            [[maybe_unused]] const auto loaded = world.process.load<int>(world.private_address + choice.below(64_KiB));
          },
      });
}

void add_mapping_actions(Actions& actions, World& world, Observer& saw, Choice& choice) {
  const auto map = [&world, &choice]() -> Mapping& { return *choice.of({&world.map, &world.private_map}); };
  const auto range = [&choice] {
    return ByteRange{choice.of({0_KiB, std::uint64_t{1}, 4_KiB, 512_KiB, 2_MiB, kSparseSize, kHuge - 4_KiB + 1}),
                     choice.of({0_KiB, 4_KiB, 64_KiB, 64_KiB, kHuge})};
  };
  actions.insert(actions.end(),
                 {
                     [=, &saw] { saw("Mapping::msync", map().msync(range())); },
                     [=, &saw] { saw("Mapping::dont_need", map().dont_need(range())); },
                     [=, &saw, &choice] {
                       // Every page is faulted in, one after the other: not all of them each time.
                       ByteRange some = range();
                       some.length = choice.of({std::uint64_t{1}, 64_KiB, some.offset < kSparseSize ? 4_KiB : kHuge});
                       saw("Mapping::prefault", map().prefault(some, choice.of({Access::read, Access::write})));
                     },
                     [&] {
                       const File& file = *choice.of({&world.file, &world.sparse, &world.read_only});
                       saw("Mapping::map", Mapping::map(world.context().system, file.open_file(), choice.mapping(),
                                                        choice.of({LiveBackend::automatic, LiveBackend::sigsegv})));
                     },
                 });
}

void add_device_actions(Actions& actions, World& world, Observer& saw, Choice& choice) {
  Attachment& device = world.handle.attachment();
  const auto page = [&device, &choice] {
    return Pgoff{choice.of({std::uint64_t{0}, device.pages() - 1, device.pages(), kHuge >> kPageShift})};
  };
  const auto offset = [&device, &choice] { return choice.of({device.size() - 64, device.size(), kHuge}); };
  // Of the last page, which no file has unless the device is full: the bytes stay what they are.
  actions.insert(
      actions.end(),
      {
          [=, &device, &saw, &choice] {
            const Gate::Reader inside(device.gate());
            saw("Attachment::direct_access",
                device.direct_access(page(), choice.of({std::uint64_t{0}, std::uint64_t{1}, kHuge})));
          },
          [=, &device, &saw, &choice] {
            saw("Attachment::flush", device.flush({offset(), choice.of({std::uint64_t{64}, kHuge})}));
          },
          [&device, &saw] { saw("Attachment::fence", device.fence()); },
          [=, &device, &saw, &choice] {
            std::array<std::byte, 64> bytes;
            const std::uint64_t at = offset();
            if (saw.through("Attachment::read", device.read(at, bytes)).ok()) {
              saw("Attachment::write", device.write(at, bytes));
            } else {
              saw("Attachment::write", device.write(choice.of({at, device.size()}), bytes));
            }
          },
          [&device, &saw, &choice] {
            saw("Attachment::zero", device.zero({device.size() - 64, choice.of({std::uint64_t{64}, kHuge})}));
          },
          [&device, &saw] {
            IdleHolder holder;
            if (saw.through("Attachment::claim", device.claim(holder)).ok()) {
              device.release(holder);
            }
          },
          [=, &device, &saw] {
            const Pgoff pinned = page();
            if (saw.through("Attachment::pin", device.pin(pinned)).ok()) {
              device.unpin(pinned);
            }
          },
          [&device, &saw] { saw("Attachment::wait_unpinned", device.wait_unpinned({0})); },
          [&device, &saw] { saw("Attachment::advance", device.advance(LifeState::alive)); },
          [&world, &saw] {
            saw("Device::make_view", world.device->make_view({.arena = world.context().system.arena,
                                                              .clock = world.context().system.clock}));
          },
          [&world, &saw, &choice] {
            saw("LinearFs::mkfs", LinearFs::mkfs(world.handle.attachment(), {.files = choice.of({0U, ~0U})}));
          },
          [&world, &saw] {
            // What it answered when the device is not held goes at once, without unmount.
            saw("LinearFs::mount", LinearFs::mount(world.context(), world.handle.attachment()));
          },
      });
}

void add_dax_actions(Actions& actions, World& world, Observer& saw, Choice& choice) {
  const dax::Context& context = world.context();
  const auto inode = [&world, &choice]() -> Inode& {
    return choice.of({&world.file, &world.sparse})->open_file()->inode();
  };
  actions.insert(
      actions.end(),
      {
          [=, &context, &saw, &choice] {
            saw("dax::writeback_range", dax::writeback_range(context, inode().mapping(), choice.range()));
          },
          [=, &context, &saw, &choice] {
            Inode& at = inode();
            const SharedLock still(at.i_rwsem());
            saw("dax::read", dax::read(context, at, choice.offset(), choice.buffer()));
          },
          [=, &context, &saw, &choice] {
            Inode& at = inode();
            const ExclusiveLock writing(at.i_rwsem());
            saw("dax::write", dax::write(context, at, choice.offset(), choice.buffer()));
          },
          [=, &context, &saw, &choice] {
            Inode& at = inode();
            const ExclusiveLock writing(at.i_rwsem());
            const ExclusiveLock no_faults(at.mapping().invalidate_lock());
            saw("dax::zero_range", dax::zero_range(context, at, choice.near_range()));
            saw("dax::truncate_page", dax::truncate_page(context, at, choice.near_range().offset));
          },
          [=, &context, &saw, &choice] {
            Inode& at = inode();
            const ExclusiveLock no_faults(at.mapping().invalidate_lock());
            saw("dax::break_layouts", dax::break_layouts(context, at));
            saw("dax::truncate_pages", dax::truncate_pages(context, at, choice.pages()));
          },
          [=, &context, &saw, &choice] {
            saw("dax::invalidate_pages", dax::invalidate_pages(context, inode(), choice.pages()));
          },
          [=, &context, &saw, &choice] {
            const auto pin =
                saw.through("dax::pin_page", dax::pin_page(context, inode().mapping(), {choice.below(256)}));
            if (pin.ok()) {
              dax::unpin_page(*pin);
            }
          },
          [&world, &saw, &choice] {
            FileExtent extent;
            extent.kind = FileExtent::Kind::memory;
            extent.pages = {{0}, choice.of({std::uint64_t{0}, std::uint64_t{1}})};
            extent.extent = extent.pages;
            extent.device = &world.handle.attachment();
            extent.device_page = {choice.of({std::uint64_t{0}, extent.device->pages()})};
            saw("dax::generic_direct_access", dax::generic_direct_access(extent));
          },
          [=, &context, &saw, &choice] {
            FileExtent extent;
            extent.memory.pfn = {choice.of({std::uint64_t{1}, kHuge})};
            saw("IndexDesign::encode", context.design.encode(extent));
            saw("IndexDesign::resolve",
                context.design.resolve(
                    context.system, inode(),
                    {.first = {0}, .payload = choice.of({MemoryMap::kFirst.value, std::uint64_t{0}})}, {{0}, 1}));
          },
      });
}

void add_end_actions(Actions& actions, World& world, Observer& saw, Choice& choice) {
  Machine& machine = *world.machine;
  actions.insert(
      actions.end(),
      {
          [&] { saw("Attachment::notify_holder", world.handle.attachment().notify_holder()); },
          [&] { saw("dax::orderly_teardown", dax::orderly_teardown(world.context(), *world.fs.super_block())); },
          [&] { saw("Machine::attach", machine.attach(world.device)); },
          [&] { saw("Machine::attach", machine.attach(sim::Pmem{.path = world.media.path(), .size = 0})); },
          [&] {
            saw("Machine::mkfs",
                machine.mkfs<LinearFs>(world.handle, LinearFs::Options{.files = choice.of({0U, ~0U})}));
          },
          [&] { saw("Machine::mount", machine.mount<LinearFs>(world.handle)); },
          [&] {
            PowerCut cut{.kind = PowerCut::Kind::listed};
            cut.lines = {{.offset = choice.of({std::uint64_t{1}, world.handle.size() - 64}), .outcome = 7}};
            saw("Machine::power_cut", machine.power_cut(cut));
          },
          [&] {
            saw("Machine::remove", machine.remove(world.handle, choice.of({Removal::orderly, Removal::surprise}),
                                                  std::chrono::milliseconds{0}));
          },
          [&] {
            saw("Machine::power_cut",
                machine.power_cut({.kind = choice.of({PowerCut::Kind::none, PowerCut::Kind::all})}));
          },
          [&] {
            if (auto next = saw.through("Machine::reboot", machine.reboot()); next.ok()) {
              for (const DeviceHandle& device : next->devices()) {
                saw("Machine::mount", next->mount<LinearFs>(device));
              }
            }
          },
      });
}

void run_shuffled(Actions& actions, Choice& choice) {
  for (std::size_t left = actions.size(); left > 1; --left) {
    std::swap(actions[left - 1], actions[choice.below(left)]);
  }
  for (const auto& action : actions) {
    action();
  }
}

}  // namespace

World::World(const LinearFs::Options& options, std::uint64_t device_size, const IndexDesign* design)
    : device(std::make_shared<FaultyDevice>(must(sim::open(sim::Pmem{.path = media.path(), .size = device_size})))),
      machine(std::make_unique<Machine>(MachineOptions{.design = design, .ring_events = 256})),
      handle(must(machine->attach(device))),
      fs(must(machine->mkfs<LinearFs>(handle, options))),
      file(must(fs.create("/file", kFileSize))),
      read_only(must(fs.open("/file", OpenMode::read_only))),
      sparse(must(fs.create("/sparse"))),
      process(machine->spawn()),
      context_(&machine->context()) {
  must(sparse.truncate(kSparseSize));
  address = must(process.mmap(file.open_file(), {}));
  private_address = must(process.mmap(file.open_file(), {.sharing = Sharing::private_copy}));
  map = must(sparse.map());
  private_map = must(file.map({.sharing = Sharing::private_copy}));
  must(map.prefault({0, kPageSize}, Access::write));
  must(map.prefault({0, kPageSize}, Access::write));
  const auto dirty = [this] {
    for (std::uint64_t offset = 0; offset < kFileSize / 2; offset += kPageSize) {
      [[maybe_unused]] const auto stored = process.store(address + offset, offset + 1);
    }
    map.data()[0] = std::byte{1};
  };
  dirty();
  must(fs.sync());
  // The metadata is clean now, and the data is not.
  dirty();
}

void World::exercise(Observer& saw, std::uint64_t seed) {
  Choice choice(seed);
  Actions actions;
  for (unsigned round = 0; round < 4; ++round) {
    add_file_actions(actions, *this, saw, choice);
    add_file_system_actions(actions, *this, saw, choice);
    add_process_actions(actions, *this, saw, choice);
    add_mapping_actions(actions, *this, saw, choice);
    add_device_actions(actions, *this, saw, choice);
    add_dax_actions(actions, *this, saw, choice);
  }
  run_shuffled(actions, choice);
}

void World::end(Observer& saw, std::uint64_t seed) {
  Choice choice(seed);
  Actions actions;
  add_end_actions(actions, *this, saw, choice);
  run_shuffled(actions, choice);
}

}  // namespace daxsim::test
