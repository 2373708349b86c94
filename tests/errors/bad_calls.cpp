// SPDX-License-Identifier: BSD-3-Clause
// Calls that have only themselves to blame.
#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "daxsim/adapters/realtime.hpp"
#include "daxsim/sim_devices/pmem.hpp"
#include "daxsim/test_support/builders.hpp"
#include "daxsim/test_support/must.hpp"
#include "errors/world.hpp"

namespace daxsim::test {

using namespace daxsim::literals;

namespace {

constexpr std::uint64_t kHuge = ~std::uint64_t{0};
constexpr std::uint64_t kLastPage = kHuge - 4_KiB + 1;
constexpr std::uint64_t kTooLong = std::uint64_t{1} << 48;
constexpr std::uint64_t kTooLarge = LinearFs::kMaxFileSize + 1;

std::span<std::byte> buffer() {
  static std::array<std::byte, 4096> bytes{};
  return bytes;
}
const std::string& long_name() {
  static const std::string name(256, 'n');
  return name;
}

// Of File, OpenFile and Inode alike.
template <class Node>
void ask_too_much(Observer& saw, const std::string& kind, Node& node) {
  saw(kind + "::truncate", node.truncate(kTooLarge));
  saw(kind + "::fallocate", node.fallocate(Fallocate::allocate, {0, kTooLarge}));
  saw(kind + "::fallocate", node.fallocate(Fallocate::allocate, {0, 0}));
  saw(kind + "::fallocate", node.fallocate(Fallocate::collapse_range, {1, 4_KiB}));
  saw(kind + "::fallocate", node.fallocate(Fallocate::collapse_range, {0, kFileSize}));
  saw(kind + "::fallocate", node.fallocate(Fallocate::insert_range, {kFileSize, 4_KiB}));
  saw(kind + "::fallocate", node.fallocate(Fallocate::insert_range, {0, LinearFs::kMaxFileSize}));
  saw(kind + "::fallocate", node.fallocate(Fallocate::unshare_range, {0, 4_KiB}));
}

// A RealtimeFs whose files may share blocks: one of 16 pages with a clone, and one on another file system.
struct SharingWorld {
  SharingWorld() {
    must(clone.pwrite(0, std::vector<std::byte>(16 * kPageSize)));
    must(source.pwrite(0, std::vector<std::byte>(16 * kPageSize)));
    must(clone.reflink(source, {0, 0}, 0));
  }
  TemporaryFile media[3];
  Machine machine;
  DeviceHandle data = must(machine.attach(sim::Pmem{.path = media[0].path(), .size = 2_MiB}));
  DeviceHandle realtime = must(machine.attach(sim::Pmem{.path = media[1].path(), .size = 2_MiB}));
  FileSystem fs = must(machine.mkfs<RealtimeFs>(data, realtime, RealtimeFsOptions{.reflink = Reflink::yes}));
  FileSystem other =
      must(machine.mkfs<LinearFs>(must(machine.attach(sim::Pmem{.path = media[2].path(), .size = 2_MiB}))));
  File source = must(fs.create("/source"));
  File clone = must(fs.create("/clone"));
  File stranger = must(other.create("/stranger", 4_KiB));
};

// `reflink(to, source, bytes, offset)` is the call of File, OpenFile or Inode.
template <class Reflink>
void clone_in_vain(Reflink reflink) {
  {
    SharingWorld world;
    reflink(world.clone, world.source, {1, 4_KiB}, 0);
    reflink(world.clone, world.source, {0, 4_KiB}, RealtimeFs::kMaxFileSize);
    reflink(world.stranger, world.stranger, {0, 4_KiB}, 4_KiB);
    {
      Interruption interruption;
      interruption.raise();
      const InterruptScope scope(interruption);
      Process& process = world.machine.spawn();
      Inode& inode = world.source.open_file()->inode();
      [[maybe_unused]] const auto stored = process.store(must(process.mmap(world.source.open_file(), {})), 1);
      const dax::Pin pin = must(dax::pin_page(world.machine.context(), inode.mapping(), {0}));
      reflink(world.clone, world.source, {0, 0}, 0);
      dax::unpin_page(pin);
    }
    world.machine.arena().fail_from(1);
    reflink(world.clone, world.source, {4_KiB, 4_KiB}, 4_KiB);
    world.machine.arena().fail_from(0);
    for (std::uint64_t end = 16; end < 2048; end += 16) {
      reflink(world.clone, world.source, {0, 0}, end * kPageSize);
    }
    must(world.machine.remove(world.data, Removal::surprise));
    reflink(world.clone, world.source, {0, 0}, 0);
  }
  SharingWorld world;
  must(world.machine.power_cut());
  reflink(world.clone, world.source, {0, 0}, 0);
}

void copy_in_vain(Observer& saw) {
  SharingWorld world;
  saw("Inode::begin_copy", world.stranger.open_file()->inode().begin_copy({{0}, 1}));
  Inode& inode = world.clone.open_file()->inode();
  File filler = must(world.fs.create("/filler"));
  while (filler.pwrite(filler.size(), std::vector<std::byte>(kPageSize)).ok()) {
  }
  saw("Inode::begin_copy", inode.begin_copy({{0}, 1}));
  {
    const ExclusiveLock no_faults(inode.mapping().invalidate_lock());
    saw("dax::unshare_range", dax::unshare_range(world.machine.context(), inode, {{0}, 16}));
  }
  must(filler.truncate(0));
  must(world.fs.sync());
  const FileExtent first = must(inode.begin_copy({{0}, 1}));
  const FileExtent second = must(inode.begin_copy({{1}, 1}));
  must(world.machine.remove(world.data, Removal::surprise));
  saw("Inode::end_copy", inode.end_copy(first, Copied::yes));
  saw("Inode::end_copy", inode.end_copy(second, Copied::no));
  saw("Inode::begin_copy", inode.begin_copy({{0}, 1}));
  SharingWorld dark;
  Inode& lost = dark.clone.open_file()->inode();
  const FileExtent copy = must(lost.begin_copy({{0}, 1}));
  must(dark.machine.power_cut());
  saw("Inode::begin_copy", lost.begin_copy({{0}, 1}));
  saw("Inode::end_copy", lost.end_copy(copy, Copied::yes));
}

void share_in_vain(Observer& saw) {
  saw.enter("files that share blocks");
  clone_in_vain([&](File& to, const File& from, ByteRange bytes, std::uint64_t offset) {
    saw("File::reflink", to.reflink(from, bytes, offset));
  });
  clone_in_vain([&](const File& to, const File& from, ByteRange bytes, std::uint64_t offset) {
    saw("OpenFile::reflink", to.open_file()->reflink(*from.open_file(), bytes, offset));
  });
  clone_in_vain([&](const File& to, const File& from, ByteRange bytes, std::uint64_t offset) {
    saw("Inode::reflink", to.open_file()->inode().reflink(from.open_file()->inode(), bytes, offset));
  });
  SharingWorld world;
  File read_only = must(world.fs.open("/clone", OpenMode::read_only));
  saw("File::reflink", read_only.reflink(world.source, {0, 0}, 0));
  saw("OpenFile::reflink", read_only.open_file()->reflink(*world.source.open_file(), {0, 0}, 0));
  saw("File::reflink", world.stranger.reflink(world.source, {0, 0}, 0));
  saw("OpenFile::reflink", world.stranger.open_file()->reflink(*world.source.open_file(), {0, 0}, 0));
  copy_in_vain(saw);
  saw("Attachment::notify_failure", world.data.attachment().notify_failure({2_MiB, 1}));
  saw("Attachment::revoke", world.data.attachment().revoke({2_MiB, 1}));
  const TemporaryFile media;
  saw("Attachment::notify_failure",
      must(world.machine.attach(sim::Pmem{.path = media.path(), .size = 2_MiB})).attachment().notify_failure({0, 1}));
}

// Of File and OpenFile alike.
template <class Node>
void write_to_read_only(Observer& saw, const std::string& kind, Node& node) {
  saw(kind + "::pwrite", node.pwrite(0, buffer()));
  saw(kind + "::truncate", node.truncate(0));
  saw(kind + "::fallocate", node.fallocate(Fallocate::punch_hole, {0, 4_KiB}));
}

// Of FileSystem and SuperBlock alike.
template <class Names>
void use_bad_names(Observer& saw, const std::string& kind, Names& names) {
  for (const std::string& name : {std::string(), std::string("a/b"), std::string(".."), std::string("a\0b", 3),
                                  long_name(), std::string("/missing")}) {
    saw(kind + "::open", names.open(name));
    saw(kind + "::unlink", names.unlink(name));
    saw(kind + "::rename", names.rename(name, "new"));
    if (name != "/missing") {
      saw(kind + "::rename", names.rename("/file", name));
      saw(kind + "::create", names.create(name));
    }
  }
  saw(kind + "::create", names.create("/file"));
  saw(kind + "::unmount", names.unmount());  // files are open
}

void misuse_files(World& world, Observer& saw) {
  Inode& inode = world.file.open_file()->inode();
  ask_too_much(saw, "File", world.file);
  ask_too_much(saw, "OpenFile", *world.file.open_file());
  ask_too_much(saw, "Inode", inode);
  saw("OpenFile::fiemap", world.file.open_file()->fiemap({0, 0}));
  saw("OpenFile::seek", world.file.open_file()->seek(kFileSize, Seek::hole));
  saw("File::pwrite", world.file.pwrite(kTooLarge, buffer()));
  saw("OpenFile::pwrite", world.file.open_file()->pwrite(kTooLarge, buffer()));
  saw("Inode::write", inode.write(kTooLarge, buffer()));
  {
    const ExclusiveLock writing(inode.i_rwsem());
    saw("dax::write", dax::write(world.context(), inode, kLastFileByte, buffer()));
    saw("Inode::direct_access", inode.direct_access({page_of(LinearFs::kMaxFileSize), 1}, Access::read));
  }
  write_to_read_only(saw, "File", world.read_only);
  write_to_read_only(saw, "OpenFile", *world.read_only.open_file());
  use_bad_names(saw, "FileSystem", world.fs);
  use_bad_names(saw, "SuperBlock", *world.fs.super_block());
  saw("FileSystem::create", world.fs.create("huge", kHuge));
  saw("FileSystem::create", world.fs.create("large", 2 * kDeviceSize));
}

void misuse_processes(World& world, Observer& saw) {
  Process& process = world.process;
  const auto& file = world.file.open_file();
  const std::uint64_t at = world.address;
  const std::uint64_t readable = must(process.mmap(world.read_only.open_file(), {.prot = Prot::read}));
  saw("Process::mmap", process.mmap(file, {.offset = 1}));
  saw("Process::mmap", process.mmap(file, {.offset = kLastPage, .length = 8_KiB}));
  saw("Process::mmap", process.mmap(file, {.length = kTooLong}));
  saw("Process::mmap", process.mmap(world.read_only.open_file(), {}));
  for (const std::uint64_t address : {at + 1, std::uint64_t{0}, kLastPage}) {
    saw("Process::munmap", process.munmap(address, address == 0 ? 0 : 8_KiB));
    saw("Process::mprotect", process.mprotect(address, 8_KiB, Prot::read));
    saw("Process::msync", process.msync(address, 8_KiB));
    saw("Process::dont_need", process.dont_need(address, 8_KiB));
    saw("Process::populate", process.populate(address, 8_KiB, Access::read));
    saw("Process::mlock", process.mlock(address, 8_KiB));
    saw("Process::munlock", process.munlock(address, 8_KiB));
    saw("Process::mincore", process.mincore(address, 8_KiB));
    saw("Process::pin", process.pin(address == at + 1 ? at - 1 : address, Access::read));
  }
  saw("Process::mmap", process.mmap(file, {.address = at}));
  saw("Process::msync", process.msync(at, 8_KiB, 8));
  saw("Process::populate", process.populate(readable, 4_KiB, Access::write));
  saw("Process::pin", process.pin(readable, Access::write));
  saw("Process::pin", process.pin(at, Access::read, Longterm::yes));
  saw("Process::mprotect", process.mprotect(readable, 4_KiB, Prot::read_write));
}

void misuse_mappings(World& world, Observer& saw) {
  const auto map_both = [&](File& file, const MapOptions& options) {
    saw("File::map", file.map(options));
    saw("Mapping::map", Mapping::map(world.context().system, file.open_file(), options));
  };
  map_both(world.file, {.offset = 1});
  map_both(world.file, {.offset = kFileSize});
  map_both(world.file, {.length = kTooLong});
  map_both(world.read_only, {});
  map_both(world.file, {.address = kFileSize});
  for (const ByteRange bytes : {ByteRange{1, 1}, ByteRange{kSparseSize, 1}}) {
    saw("Mapping::msync", world.map.msync(bytes));
    saw("Mapping::dont_need", world.map.dont_need(bytes));
    saw("Mapping::prefault", world.map.prefault(bytes, Access::read));
  }
  Mapping beyond = must(world.file.map({.length = 2 * kFileSize}));
  saw("Mapping::prefault", beyond.prefault({kFileSize, 4_KiB}, Access::read));
  Mapping readable = must(world.file.map({.prot = Prot::read}));
  saw("Mapping::prefault", readable.prefault({0, 4_KiB}, Access::write));
}

void misuse_devices(World& world, Observer& saw) {
  Attachment& device = world.handle.attachment();
  {
    const Gate::Reader inside(device.gate());
    saw("Attachment::direct_access", device.direct_access({0}, 0));
    saw("Attachment::direct_access", device.direct_access({device.pages()}, 1));
  }
  for (const std::uint64_t offset : {device.size(), kHuge - 63}) {
    saw("Attachment::flush", device.flush({offset, 64}));
    saw("Attachment::read", device.read(offset, buffer()));
    saw("Attachment::write", device.write(offset, buffer()));
    saw("Attachment::zero", device.zero({offset, 64}));
  }
  saw("Attachment::pin", device.pin({device.pages()}));
  for (const LifeState next : {LifeState::alive, LifeState::disk_gone, LifeState::unmapped}) {
    saw("Attachment::advance", device.advance(next));
  }
  saw("LinearFs::mkfs", LinearFs::mkfs(device, {.files = ~0U}));
  saw("Machine::mkfs", world.machine->mkfs<LinearFs>(world.handle, LinearFs::Options{.files = ~0U}));
  saw("Machine::mount", world.machine->mount<LinearFs>(world.handle));
  for (const LineOutcome line : {LineOutcome{.offset = 1}, LineOutcome{.offset = device.size() - 64, .outcome = 1}}) {
    saw("Machine::power_cut", world.machine->power_cut({.kind = PowerCut::Kind::listed, .lines = {line}}));
  }
}

void misuse_dax(World& world, Observer& saw) {
  const dax::Context& context = world.context();
  Inode& inode = world.file.open_file()->inode();
  saw("dax::invalidate_pages", dax::invalidate_pages(context, inode, {{0}, 1}));  // dirty
  saw("dax::pin_page", dax::pin_page(context, inode.mapping(), {1000}));
  FileExtent extent;
  extent.kind = FileExtent::Kind::memory;
  extent.device = &world.handle.attachment();
  saw("dax::generic_direct_access", dax::generic_direct_access(extent));  // no pages
  extent.pages = {{0}, 1};
  extent.device_page = {extent.device->pages()};
  saw("dax::generic_direct_access", dax::generic_direct_access(extent));
  extent.memory.pfn = {kHuge};
  saw("IndexDesign::encode", context.design.encode(extent));
  saw("IndexDesign::encode", designs::cookie().encode({}));
  saw("Inode::find_by_cookie", inode.find_by_cookie(kHuge, 0, {{0}, 1}));
  saw("IndexDesign::resolve", context.design.resolve(context.system, inode, {}, {{0}, 1}));
}

}  // namespace

void visit_bad_calls(Observer& saw) {
  saw.enter("calls that have only themselves to blame");
  World world;
  misuse_dax(world, saw);
  misuse_files(world, saw);
  misuse_processes(world, saw);
  misuse_mappings(world, saw);
  misuse_devices(world, saw);
  share_in_vain(saw);
}

}  // namespace daxsim::test
