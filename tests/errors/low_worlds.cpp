// SPDX-License-Identifier: BSD-3-Clause
// The calls that need no machine: frames, events, index, policies, media.
#include <array>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include "daxsim/base/events.hpp"
#include "daxsim/dax/policy.hpp"
#include "daxsim/detect/findings.hpp"
#include "daxsim/device/attachment.hpp"
#include "daxsim/device/block_device.hpp"
#include "daxsim/device/memory_map.hpp"
#include "daxsim/index/xarray.hpp"
#include "daxsim/sim_devices/pmem.hpp"
#include "daxsim/sim_devices/ram_disk.hpp"
#include "daxsim/test_support/must.hpp"
#include "daxsim/vfs/error_sequence.hpp"
#include "errors/world.hpp"

namespace daxsim::test {

using namespace daxsim::literals;

namespace {

void visit_memory_map(Observer& saw) {
  saw.enter("memory map");
  MemoryMap map;
  const std::uint64_t all = MemoryMap::kEnd - MemoryMap::kFirst;
  for (const std::uint64_t pages :
       {std::uint64_t{0}, std::uint64_t{1}, std::uint64_t{512}, all, all + 1, ~std::uint64_t{0}}) {
    for (const std::uint64_t at : {std::uint64_t{0}, MemoryMap::kFirst.value, MemoryMap::kFirst.value + 1,
                                   MemoryMap::kEnd.value - 512, MemoryMap::kEnd.value, ~std::uint64_t{511}}) {
      saw("MemoryMap::reserve", map.reserve(pages, Pfn{at}));
    }
    saw("MemoryMap::reserve", map.reserve(pages));
  }
  for (unsigned i = 0; i <= MemoryMap::kMaxRanges; ++i) {
    saw("MemoryMap::reserve", map.reserve(1));
  }
}

class DeafObserver final : public EventObserver {
 public:
  void on_event(const Event&) noexcept override {}
};

void visit_events(Observer& saw) {
  saw.enter("more observers than fit");
  const VirtualClock clock;
  EventStream events(clock, 16);
  std::vector<std::unique_ptr<DeafObserver>> observers;
  for (unsigned i = 0; i <= EventStream::kMaxObservers; ++i) {
    observers.push_back(std::make_unique<DeafObserver>());
    saw("EventStream::add", events.add(*observers.back()));
  }
  for (unsigned i = 0; i < EventStream::kMaxObservers; ++i) {
    events.remove(*observers[i]);
  }
}

void visit_detectors(Observer& saw) {
  saw.enter("more file systems than are watched");
  const World world;
  const VirtualClock clock;
  EventStream events(clock, 16);
  Detectors detectors(events);
  for (unsigned i = 0; i <= 64; ++i) {
    saw("Detectors::watch", detectors.watch(*world.fs.super_block()));
  }
}

void visit_waiter(Observer& saw) {
  saw.enter("an interrupted wait");
  Interruption interruption;
  interruption.raise();
  const InterruptScope scope(interruption);
  Waiter waiter({&interruption, 0}, WaitMode::shared);
  waiter.enqueue();
  saw("Waiter::wait_interruptible", waiter.wait_interruptible());
}

template <unsigned shift>
void visit_index(Observer& saw) {
  for (std::uint64_t nth = 0; nth < 16; ++nth) {
    saw.enter("an index whose arena fails from allocation " + std::to_string(nth));
    Arena arena;
    {
      BasicXArray<shift> index(arena);
      arena.fail_from(nth);
      const std::array entries{Entry(), Entry::real(1, 0), Entry::retry(), Entry::from_word(2), Entry::from_word(4)};
      for (const std::uint64_t at : {std::uint64_t{0}, std::uint64_t{700}, std::uint64_t{1} << 40, ~std::uint64_t{0}}) {
        for (const unsigned order : {0U, 3U, kMaxOrder, kMaxOrder + 1, ~0U}) {
          for (const Entry entry : entries) {
            saw("BasicXArray::store", index.store({at}, entry, order));
            BasicXCursor<shift> cursor(index, {at}, order);
            const MutexLock guard(cursor.lock());
            saw("BasicXCursor::status", cursor.status());
            saw("BasicXCursor::store", cursor.store(entry));
            saw("BasicXCursor::status", cursor.status());
          }
        }
      }
      arena.fail_from(0);
    }
  }
}

void visit_policies(Observer& saw) {
  saw.enter("policies");
  for (unsigned value = 0; value < 5; ++value) {
    saw("Policy::validate", Policy{.write_protect = static_cast<WriteProtect>(value)}.validate());
    saw("Policy::validate", Policy{.clear_dirty = static_cast<ClearDirty>(value)}.validate());
    saw("Policy::validate", Policy{.read_fault = static_cast<ReadFaultEntry>(value)}.validate());
    saw("Policy::validate", Policy{.skipped = std::uint64_t{1} << (15 * value)}.validate());
  }
}

void visit_error_sequence(Observer& saw) {
  saw.enter("recorded errors");
  ErrorSequence sequence;
  ErrorSequence::Sample sample = sequence.sample();
  saw("ErrorSequence::check_and_advance", sequence.check_and_advance(sample));
  sequence.record(Errno::enospc);
  saw("ErrorSequence::check_and_advance", sequence.check_and_advance(sample));
}

void visit_views(Observer& saw) {
  saw.enter("a view of its own");
  support::TempFile media;
  const std::shared_ptr<Device> device = must(sim::open(sim::Pmem{.path = media.path(), .size = 2_MiB}));
  Arena arena;
  VirtualClock clock;
  const std::unique_ptr<DaxDevice> view = must(saw.through("Device::make_view", device->make_view({arena, clock})));
  saw("Device::make_view", device->make_view({arena, clock}));
  const Memory memory = must(saw.through("DaxDevice::direct_access", view->direct_access({0}, 512, DaxMode::access)));
  const auto change_page = [&memory](std::uint64_t page, unsigned char value) {
    for (std::uint64_t line = 0; line < kPageSize / kCacheLine; ++line) {
      reinterpret_cast<unsigned char*>(memory.kaddr)[page * kPageSize + line * kCacheLine] = value;
    }
  };
  change_page(0, 1);
  saw("DaxDevice::flush", view->flush({0, 64}));
  saw.enter("no memory for the log");
  arena.fail_from(1);
  bool failed = false;
  for (std::uint64_t page = 0; page < 512 && !failed; ++page) {
    change_page(page, 3);
    failed = !saw.through("DaxDevice::flush", view->flush({page * kPageSize, kPageSize})).ok();
  }
  arena.fail_from(0);
  saw.enter("power cuts that are not possible");
  const std::vector<LineHistory> pending = view->pending_lines();
  saw("DeviceView::power_cut", view->power_cut({.kind = PowerCut::Kind::listed, .lines = {{.offset = 1}}}));
  saw("DeviceView::power_cut",
      view->power_cut({.kind = PowerCut::Kind::listed,
                       .lines = {{.offset = pending.front().offset, .outcome = pending.front().outcomes}}}));
  saw("DeviceView::power_cut",
      view->power_cut({.kind = PowerCut::Kind::listed,
                       .lines = {{.offset = pending.front().offset}, {.offset = pending.front().offset}}}));
}

// Somebody takes the second half of the media file away, and with it the room for any block.
void visit_truncated_media(Observer& saw) {
  saw.enter("a media file that somebody has truncated");
  support::TempFile media;
  const std::shared_ptr<Device> device = must(sim::open(sim::Pmem{.path = media.path(), .size = 2_MiB}));
  Arena arena;
  VirtualClock clock;
  const std::unique_ptr<DaxDevice> view = must(device->make_view({arena, clock}));
  const Memory memory = must(view->direct_access({0}, 1, DaxMode::access));
  *memory.kaddr = std::byte{1};
  std::filesystem::resize_file(media.path(), 1_MiB);
  saw("DaxDevice::direct_access", view->direct_access({300}, 1, DaxMode::access));
  saw("DaxDevice::flush", view->flush({0, kPageSize}));
  saw("DeviceView::power_cut", view->power_cut({.kind = PowerCut::Kind::all}));
  std::filesystem::resize_file(media.path(), 2_MiB);
  saw("DeviceView::power_cut", view->power_cut({.kind = PowerCut::Kind::all}));
}

void visit_block_devices(Observer& saw) {
  saw.enter("a block device");
  support::TempFile media;
  const std::shared_ptr<Device> device = must(sim::open(sim::RamDisk{.media = media.path(), .size = 2_MiB}));
  VirtualClock clock;
  EventStream events(clock, 16);
  Arena arena;
  auto view = must(saw.through("Device::make_block_view", device->make_block_view({arena, clock})));
  saw("Device::make_block_view", device->make_block_view({arena, clock}));
  auto& sectors = dynamic_cast<BlockDevice&>(*view);
  Attachment attachment(device, std::move(view), 0, events);
  std::array<std::byte, 2 * kPageSize> bytes{};
  saw("DeviceView::read", attachment.device_view().read(8, std::span(bytes).first(8)));
  saw("DeviceView::write", attachment.device_view().write(8, std::span(bytes).first(8)));
  saw("DeviceView::zero", attachment.device_view().zero({8, 8}));
  for (const std::uint64_t offset : {0_KiB, 4_KiB, std::uint64_t{8}, 2_MiB, ~std::uint64_t{0}}) {
    for (const std::uint64_t length : {0_KiB, 8_KiB, std::uint64_t{100}}) {
      saw("Attachment::direct_access", attachment.direct_access(page_of(offset), length));
      saw("Attachment::read", attachment.read(offset, std::span(bytes).first(length)));
      saw("Attachment::write", attachment.write(offset, std::span(bytes).first(length)));
      saw("Attachment::zero", attachment.zero({offset, length}));
    }
  }
  saw.enter("a block device without memory for its log");
  arena.fail_from(1);
  for (std::uint64_t sector = 0; sector < 256; sector += 16) {
    saw("BlockDevice::write_sectors", sectors.write_sectors(sector, bytes));
    saw("Attachment::write", attachment.write(sector * kSectorSize, bytes));
    saw("Attachment::zero", attachment.zero({sector * kSectorSize, bytes.size()}));
  }
  arena.fail_from(0);
  saw.enter("a block device whose media file somebody has truncated");
  std::filesystem::resize_file(media.path(), 0);
  saw("BlockDevice::read_sectors", sectors.read_sectors(0, bytes));
  saw("BlockDevice::write_sectors", sectors.write_sectors(0, bytes));
  saw("Attachment::read", attachment.read(0, bytes));
  saw("DeviceView::power_cut", sectors.power_cut({}));
}

void visit_media(Observer& saw) {
  saw.enter("media that are none");
  const support::TempFile media;
  const std::filesystem::path file = media.folder() / "file";
  std::ofstream(file) << "not a multiple of anything";
  saw("sim::open", sim::open(sim::Pmem{.path = media.path(), .size = 1}));
  saw("sim::open", sim::open(sim::Pmem{.path = media.path()}));
  saw("sim::open", sim::open(sim::Pmem{.path = file}));
  saw("sim::open", sim::open(sim::Pmem{.path = media.folder(), .size = 1_MiB}));
  saw("sim::open", sim::open(sim::Pmem{.path = media.folder() / "missing" / "file", .size = 1_MiB}));
  saw("sim::open", sim::open(sim::Pmem{.path = file / "file", .size = 1_MiB}));
  saw("sim::open", sim::open(sim::Pmem{.path = media.folder() / std::string(300, 'n'), .size = 1_MiB}));
  const auto first = saw.through("sim::open", sim::open(sim::Pmem{.path = media.path(), .size = 1_MiB}));
  saw("sim::open", sim::open(sim::Pmem{.path = media.path(), .size = 1_MiB}));
}

}  // namespace

void visit_low_worlds(Observer& saw) {
  visit_memory_map(saw);
  visit_events(saw);
  visit_detectors(saw);
  visit_waiter(saw);
  visit_index<6>(saw);
  visit_index<2>(saw);
  visit_policies(saw);
  visit_error_sequence(saw);
  visit_views(saw);
  visit_truncated_media(saw);
  visit_block_devices(saw);
  visit_media(saw);
}

}  // namespace daxsim::test
