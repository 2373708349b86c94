// SPDX-License-Identifier: BSD-3-Clause
#include <array>
#include <span>
#include <utility>

#include "daxsim/test_support/must.hpp"
#include "errors/world.hpp"

namespace daxsim::test {

using namespace daxsim::literals;

namespace {

constexpr ByteRange kAllBytes{0, ~std::uint64_t{0}};
constexpr std::uint64_t kUnaligned = 4_KiB + 100;
// Part of a page, whole pages, part of a page.
constexpr ByteRange kRagged{100, 64_KiB};
// Nothing of it is written yet.
constexpr std::uint64_t kUnwritten = 192_KiB;

Inode& inode_of(const File& file) { return file.open_file()->inode(); }

// Nobody has a file open any more.
void close_all(World& world) {
  world.map.unmap();
  world.private_map.unmap();
  must(world.process.munmap(world.address, kFileSize));
  must(world.process.munmap(world.private_address, kFileSize));
  const std::array closed{std::move(world.file), std::move(world.read_only), std::move(world.sparse)};
}

template <class T>
Result<void> outcome(const Result<T>& result) {
  return result.ok() ? Result<void>() : Result<void>(result.error());
}

template <class Call>
PlainCall on_file(const char* name, Call call) {
  return {name, [call](World& world) { return outcome(call(world.file)); }};
}
template <class Call>
PlainCall on_open_file(const char* name, Call call) {
  return {name, [call](World& world) { return outcome(call(*world.file.open_file())); }};
}
template <class Call>
PlainCall on_inode(const char* name, Call call) {
  return {name, [call](World& world) { return outcome(call(inode_of(world.file))); }};
}
template <class Call>
PlainCall on_world(const char* name, Call call) {
  return {name, [call](World& world) { return outcome(call(world)); }};
}
template <class Call>
PlainCall ends_world(const char* name, Call call) {
  return {name, [call](World& world) { return outcome(call(world)); }, PlainCall::After::end_of_world};
}

std::span<std::byte> buffer() {
  static std::array<std::byte, 8192> bytes{};
  return bytes;
}

void add_file_calls(std::vector<PlainCall>& calls) {
  const auto punch = [](auto& file) { return file.fallocate(Fallocate::punch_hole, kRagged); };
  const auto zero = [](auto& file) { return file.fallocate(Fallocate::zero_range, kRagged); };
  const auto collapse = [](auto& file) { return file.fallocate(Fallocate::collapse_range, {4_KiB, 8_KiB}); };
  const auto allocate = [](auto& file) { return file.fallocate(Fallocate::allocate, {kFileSize, 64_KiB}); };
  const auto truncate = [](auto& file) { return file.truncate(kUnaligned); };
  const auto fsync = [](auto& file) { return file.fsync(); };
  const auto fdatasync = [](auto& file) { return file.fdatasync(); };
  const auto fsync_range = [](auto& file) { return file.fsync_range(kAllBytes, Datasync::no); };
  const auto pread = [](auto& file) { return file.pread(0, buffer()); };
  const auto pwrite = [](auto& file) { return file.pwrite(100, buffer()); };
  const auto append = [](auto& file) { return file.pwrite(kUnwritten, buffer()); };
  const auto read = [](auto& inode) { return inode.read(0, buffer()); };
  const auto write = [](auto& inode) { return inode.write(100, buffer()); };
  const auto rewrite = [](auto& inode) { return inode.write(kUnwritten, buffer()); };
  calls.insert(calls.end(),
               {
                   on_file("File::pread", pread),
                   on_file("File::pwrite", pwrite),
                   on_file("File::pwrite", append),
                   on_file("File::truncate", truncate),
                   on_file("File::fallocate", punch),
                   on_file("File::fallocate", zero),
                   on_file("File::fallocate", collapse),
                   on_file("File::fallocate", allocate),
                   on_file("File::fsync", fsync),
                   on_file("File::fdatasync", fdatasync),
                   on_open_file("OpenFile::pread", pread),
                   on_open_file("OpenFile::pwrite", pwrite),
                   on_open_file("OpenFile::pwrite", append),
                   on_open_file("OpenFile::truncate", truncate),
                   on_open_file("OpenFile::fallocate", punch),
                   on_open_file("OpenFile::fallocate", allocate),
                   on_open_file("OpenFile::fiemap", [](OpenFile& file) { return file.fiemap(kAllBytes); }),
                   on_open_file("OpenFile::seek", [](OpenFile& file) { return file.seek(0, Seek::data); }),
                   on_open_file("OpenFile::fsync", fsync),
                   on_open_file("OpenFile::fdatasync", fdatasync),
                   on_open_file("OpenFile::fsync_range", fsync_range),
                   on_inode("Inode::read", read),
                   on_inode("Inode::write", write),
                   on_inode("Inode::write", rewrite),
                   on_inode("Inode::truncate", truncate),
                   on_inode("Inode::fallocate", punch),
                   on_inode("Inode::fallocate", allocate),
                   on_inode("Inode::fsync_range", fsync_range),
                   on_inode("Inode::direct_access",
                            [](Inode& inode) {
                              const SharedLock still(inode.i_rwsem());
                              return inode.direct_access({page_of(kUnwritten), 1}, Access::write);
                            }),
                   on_inode("Inode::report_blocks",
                            [](Inode& inode) {
                              const SharedLock still(inode.i_rwsem());
                              return inode.report_blocks({{0}, 1});
                            }),
                   on_inode("Inode::xflag_dax", [](Inode& inode) { return inode.xflag_dax(); }),
                   on_inode("Inode::set_xflag_dax", [](Inode& inode) { return inode.set_xflag_dax(XflagDax::set); }),
                   on_inode("Inode::find_by_cookie", [](Inode& inode) { return inode.find_by_cookie(1, 0, {{0}, 1}); }),
               });
}

void add_file_system_calls(std::vector<PlainCall>& calls) {
  calls.insert(
      calls.end(),
      {
          on_world("FileSystem::create", [](World& world) { return world.fs.create("new", 64_KiB); }),
          on_world("FileSystem::create", [](World& world) { return world.fs.create("new"); }),
          on_world("FileSystem::sync", [](World& world) { return world.fs.sync(); }),
          on_world("FileSystem::unlink", [](World& world) { return world.fs.unlink("/file"); }),
          on_world("FileSystem::rename", [](World& world) { return world.fs.rename("/file", "/sparse"); }),
          ends_world("FileSystem::unmount",
                     [](World& world) {
                       close_all(world);
                       return world.fs.unmount();
                     }),
          on_world("SuperBlock::create", [](World& world) { return world.fs.super_block()->create("new"); }),
          on_world("FileSystem::open", [](World& world) { return world.fs.open("/file"); }),
          on_world("FileSystem::list", [](World& world) { return world.fs.list(); }),
          on_world("FileSystem::space", [](World& world) { return world.fs.space(); }),
          on_world("SuperBlock::check_alive", [](World& world) { return world.fs.super_block()->check_alive(); }),
          on_world("SuperBlock::open", [](World& world) { return world.fs.super_block()->open("/file"); }),
          on_world("SuperBlock::list", [](World& world) { return world.fs.super_block()->list(); }),
          on_world("SuperBlock::space", [](World& world) { return world.fs.super_block()->space(); }),
          on_world("SuperBlock::xflag_dax", [](World& world) { return world.fs.super_block()->xflag_dax(); }),
          on_world("SuperBlock::set_xflag_dax",
                   [](World& world) { return world.fs.super_block()->set_xflag_dax(XflagDax::set); }),
          on_world("SuperBlock::unlink", [](World& world) { return world.fs.super_block()->unlink("/file"); }),
          on_world("SuperBlock::rename", [](World& world) { return world.fs.super_block()->rename("/file", "new"); }),
          on_world("SuperBlock::sync", [](World& world) { return world.fs.super_block()->sync(); }),
          ends_world("SuperBlock::unmount",
                     [](World& world) {
                       close_all(world);
                       return world.fs.super_block()->unmount();
                     }),
          ends_world("SuperBlock::unmount",
                     [](World& world) {
                       close_all(world);
                       [[maybe_unused]] const auto first = world.fs.super_block()->unmount();
                       return world.fs.super_block()->unmount();
                     }),
          ends_world("FileSystem::unmount",
                     [](World& world) {
                       close_all(world);
                       [[maybe_unused]] const auto first = world.fs.unmount();
                       return world.fs.unmount();
                     }),
      });
}

Result<void> pin_for_a_moment(Process& process, std::uint64_t address) {
  const Result<Pin> pin = process.pin(address, Access::write);
  if (pin.ok()) {
    Process::unpin(*pin);
  }
  return outcome(pin);
}

void add_memory_calls(std::vector<PlainCall>& calls) {
  calls.insert(
      calls.end(),
      {
          on_world("Process::mmap", [](World& world) { return world.process.mmap(world.file.open_file(), {}); }),
          on_world("Process::msync", [](World& world) { return world.process.msync(world.address, kFileSize); }),
          on_world("Process::populate",
                   [](World& world) { return world.process.populate(world.address, 192_KiB, Access::write); }),
          on_world("Process::mlock", [](World& world) { return world.process.mlock(world.private_address, 64_KiB); }),
          on_world("Process::pin", [](World& world) { return pin_for_a_moment(world.process, world.address); }),
          on_world("Process::pin", [](World& world) { return pin_for_a_moment(world.process, world.private_address); }),
          on_world("Process::munmap", [](World& world) { return world.process.munmap(world.address + 4_KiB, 4_KiB); }),
          on_world("Process::mprotect",
                   [](World& world) { return world.process.mprotect(world.address + 4_KiB, 4_KiB, Prot::read); }),
          on_world("Mapping::msync", [](World& world) { return world.map.msync({0, 64_KiB}); }),
          on_world("Mapping::prefault",
                   [](World& world) { return world.map.prefault({64_KiB, 64_KiB}, Access::write); }),
          on_world("Mapping::prefault",
                   [](World& world) { return world.private_map.prefault({0, 64_KiB}, Access::read); }),
          on_world("File::map", [](World& world) { return world.read_only.map(); }),
          on_world("File::map", [](World& world) { return world.file.map(); }),
          on_world("Mapping::map",
                   [](World& world) { return Mapping::map(world.context().system, world.file.open_file(), {}); }),
      });
}

void add_dax_calls(std::vector<PlainCall>& calls) {
  calls.insert(
      calls.end(),
      {
          on_world("dax::pin_page",
                   [](World& world) { return dax::pin_page(world.context(), inode_of(world.file).mapping(), {0}); }),
          on_world("dax::writeback_range",
                   [](World& world) {
                     return dax::writeback_range(world.context(), inode_of(world.file).mapping(), kAllBytes);
                   }),
          on_world("dax::read",
                   [](World& world) {
                     Inode& inode = inode_of(world.file);
                     const SharedLock still(inode.i_rwsem());
                     return dax::read(world.context(), inode, 0, buffer());
                   }),
          on_world("dax::write",
                   [](World& world) {
                     Inode& inode = inode_of(world.file);
                     const ExclusiveLock writing(inode.i_rwsem());
                     return dax::write(world.context(), inode, kUnwritten, buffer());
                   }),
          on_world("dax::zero_range",
                   [](World& world) {
                     Inode& inode = inode_of(world.file);
                     const ExclusiveLock writing(inode.i_rwsem());
                     const ExclusiveLock no_faults(inode.mapping().invalidate_lock());
                     must(dax::break_layouts(world.context(), inode));
                     return dax::zero_range(world.context(), inode, kRagged);
                   }),
          on_world("dax::truncate_page",
                   [](World& world) {
                     Inode& inode = inode_of(world.file);
                     const ExclusiveLock writing(inode.i_rwsem());
                     const ExclusiveLock no_faults(inode.mapping().invalidate_lock());
                     must(dax::break_layouts(world.context(), inode));
                     return dax::truncate_page(world.context(), inode, kRagged.offset);
                   }),
          ends_world("dax::orderly_teardown",
                     [](World& world) { return dax::orderly_teardown(world.context(), *world.fs.super_block()); }),
          ends_world("Attachment::notify_holder",
                     [](World& world) { return world.handle.attachment().notify_holder(); }),
          ends_world("Attachment::notify_holder",
                     [](World& world) {
                       close_all(world);
                       [[maybe_unused]] const auto unmounted = world.fs.unmount();
                       return world.handle.attachment().notify_holder();
                     }),
          on_world(
              "DaxDevice::direct_access",
              [](World& world) { return world.handle.attachment().view().direct_access({0}, 1, DaxMode::access); }),
          on_world("DaxDevice::flush", [](World& world) { return world.handle.attachment().view().flush({0, 64}); }),
          on_world("DeviceView::read",
                   [](World& world) { return world.handle.attachment().device_view().read(0, buffer()); }),
          on_world("DeviceView::write",
                   [](World& world) { return world.handle.attachment().device_view().write(0, buffer()); }),
          on_world("DeviceView::zero",
                   [](World& world) { return world.handle.attachment().device_view().zero({0, kPageSize}); }),
      });
}

class IdleHolder final : public Holder {
 public:
  Result<void> pre_remove(Attachment&) override { return {}; }
  Result<void> failure(Attachment&, ByteRange) override { return {}; }
  void revoke(Attachment&, ByteRange) override {}
};

Result<void> claim_for_a_moment(Attachment& device) {
  IdleHolder holder;
  const Result<void> claimed = device.claim(holder);
  device.release(holder);
  return claimed;
}

Result<void> pin_for_a_moment(Attachment& device, Pgoff page) {
  const Result<void> pinned = device.pin(page);
  if (pinned.ok()) {
    device.unpin(page);
  }
  return pinned;
}

Result<Memory> translate(Attachment& device, Pgoff page, std::uint64_t pages) {
  const Gate::Reader inside(device.gate());
  return device.direct_access(page, pages);
}

Result<FileExtent> locate(Attachment& device, Pgoff page, std::uint64_t pages) {
  FileExtent extent;
  extent.kind = FileExtent::Kind::memory;
  extent.pages = {{0}, pages};
  extent.extent = extent.pages;
  extent.device = &device;
  extent.device_page = page;
  return dax::generic_direct_access(extent);
}

template <class Call>
PlainCall on_device(const char* name, Call call) {
  return {name, [call](World& world) { return outcome(call(world.handle.attachment())); }};
}

// Of the last page, which no file has: its bytes stay what they are.
void add_device_calls(std::vector<PlainCall>& calls) {
  calls.insert(
      calls.end(),
      {
          on_device("Attachment::direct_access", [](Attachment& device) { return translate(device, {0}, 1); }),
          on_device("Attachment::read", [](Attachment& device) { return device.read(device.size() - 8192, buffer()); }),
          on_device("Attachment::write",
                    [](Attachment& device) { return device.write(device.size() - 8192, buffer()); }),
          on_device("Attachment::zero", [](Attachment& device) { return device.zero({device.size() - 64, 64}); }),
          on_device("Attachment::flush", [](Attachment& device) { return device.flush({0, 64}); }),
          on_device("Attachment::fence", [](Attachment& device) { return device.fence(); }),
          on_device("Attachment::claim", claim_for_a_moment),
          on_device("Attachment::pin", [](Attachment& device) { return pin_for_a_moment(device, {0}); }),
          on_device("dax::generic_direct_access", [](Attachment& device) { return locate(device, {0}, 1); }),
          on_device("LinearFs::mkfs", [](Attachment& device) { return LinearFs::mkfs(device); }),
          on_world("LinearFs::mount",
                   [](World& world) { return LinearFs::mount(world.context(), world.handle.attachment()); }),
      });
}

void add_machine_calls(std::vector<PlainCall>& calls) {
  calls.insert(
      calls.end(),
      {
          ends_world("Machine::power_cut", [](World& world) { return world.machine->power_cut(); }),
          ends_world("Machine::mkfs", [](World& world) { return world.machine->mkfs<LinearFs>(world.handle); }),
          ends_world("Machine::mkfs",
                     [](World& world) {
                       close_all(world);
                       [[maybe_unused]] const auto unmounted = world.fs.unmount();
                       return world.machine->mkfs<LinearFs>(world.handle);
                     }),
          ends_world("Machine::mount",
                     [](World& world) {
                       close_all(world);
                       [[maybe_unused]] const auto unmounted = world.fs.unmount();
                       return world.machine->mount<LinearFs>(world.handle);
                     }),
          ends_world("Machine::reboot", [](World& world) { return world.machine->reboot(); }),
          ends_world("Machine::attach", [](World& world) { return world.machine->attach(world.device); }),
          ends_world("Machine::remove",
                     [](World& world) {
                       [[maybe_unused]] const auto removed = world.machine->remove(world.handle);
                       return world.machine->remove(world.handle);
                     }),
      });
}

}  // namespace

const std::vector<PlainCall>& plain_calls() {
  static const std::vector<PlainCall> all = [] {
    std::vector<PlainCall> calls;
    add_file_calls(calls);
    add_file_system_calls(calls);
    add_memory_calls(calls);
    add_device_calls(calls);
    add_dax_calls(calls);
    add_machine_calls(calls);
    return calls;
  }();
  return all;
}

}  // namespace daxsim::test
