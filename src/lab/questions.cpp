// SPDX-License-Identifier: BSD-3-Clause
// The questions: of a file system on one pmem, of a file on the realtime device of one on two, of stripes and copies, of
// blocks that move or are shared, and of a file on a pmem and on an ordinary disk.
#include <array>

#include "daxsim/adapters/chunk.hpp"
#include "daxsim/adapters/realtime.hpp"
#include "daxsim/adapters/tiered.hpp"
#include "lab/bare_fs.hpp"
#include "lab/trial.hpp"

DAXSIM_BEGIN
namespace lab {
namespace {

constexpr std::uint64_t kMiB = std::uint64_t{1} << 20;
constexpr std::uint64_t kGiB = std::uint64_t{1} << 30;
constexpr std::uint64_t kPages = 255;  // less than a huge page, so that none can be used
constexpr std::size_t kRealtime = 1;   // of the devices of two_devices()

constexpr Era kNobodyIsTold = eras::v6_12.without(Step::notify_holder);

Result<FileSystem> mkfs_realtime(Machine& machine, std::span<const DeviceHandle> devices) {
  return machine.mkfs<RealtimeFs>(devices[0], devices[kRealtime]);
}
Result<FileSystem> mount_realtime(Machine& machine, std::span<const DeviceHandle> devices) {
  return machine.mount<RealtimeFs>(devices[0], devices[kRealtime]);
}
Result<void> put_on_realtime(File& file) { return RealtimeFs::set_realtime(file.open_file()->inode()); }

TrialSetup two_devices(const Era& era = eras::v6_12) {
  return {.era = era,
          .fs = {.mkfs = &mkfs_realtime, .mount = &mount_realtime, .arrange = &put_on_realtime},
          .device_sizes = {8 * kMiB, 8 * kMiB}};
}

template <ChunkProfile kProfile>
Result<FileSystem> mkfs_chunks(Machine& machine, std::span<const DeviceHandle> devices) {
  return machine.mkfs<ChunkFs>(devices, ChunkFsOptions{.profile = kProfile});
}
Result<FileSystem> mount_chunks(Machine& machine, std::span<const DeviceHandle> devices) {
  return machine.mount<ChunkFs>(devices);
}

template <ChunkProfile kProfile>
TrialSetup chunks(std::size_t devices, const Era& era = eras::v6_12) {
  return {.era = era,
          .fs = {.mkfs = &mkfs_chunks<kProfile>, .mount = &mount_chunks},
          .device_sizes = std::vector<std::uint64_t>(devices, 8 * kMiB)};
}

Result<FileSystem> mkfs_sharing(Machine& machine, std::span<const DeviceHandle> devices) {
  return machine.mkfs<ChunkFs>(devices, ChunkFsOptions{.reflink = Reflink::yes});
}

constexpr std::size_t kDisk = 1;  // of the devices of two_tiers()
constexpr std::uint64_t kFirstOnDisk = (kPages + 1) / 2;

Result<FileSystem> mkfs_tiers(Machine& machine, std::span<const DeviceHandle> devices) {
  return machine.mkfs<TieredFs>(devices[0], devices[kDisk]);
}
Result<FileSystem> mount_tiers(Machine& machine, std::span<const DeviceHandle> devices) {
  return machine.mount<TieredFs>(devices[0], devices[kDisk]);
}
// The blocks that it gets afterwards are on the disk.
Result<void> put_half_on_pmem(File& file) {
  DAXSIM_TRY_VOID(file.fallocate(Fallocate::allocate, {0, kFirstOnDisk * kPageSize}));
  return TieredFs::set_foreground_target(file.open_file()->inode(), Tier::block);
}

TrialSetup two_tiers(const Era& era = eras::v6_12) {
  return {.era = era,
          .fs = {.mkfs = &mkfs_tiers, .mount = &mount_tiers, .arrange = &put_half_on_pmem},
          .device_sizes = {8 * kMiB, 8 * kMiB},
          .disks = 1};
}

// A relocation that copies and switches, and nothing else. Nobody faults meanwhile.
constexpr Era kUnpurged = eras::v6_12.without(Step::relocate_unmap)
                              .without(Step::relocate_wait_pins)
                              .without(Step::relocate_flush)
                              .without(Step::relocate_delete_entries);

// --- stories that are told of more than one setup ---

Result<void> fsync_pages(Trial& trial, const TrialSetup& setup) {
  DAXSIM_TRY_VOID(trial.start(setup));
  DAXSIM_TRY(TrialFile file, trial.create("/a", kPages * kPageSize));
  for (std::uint64_t page = 0; page < kPages; ++page) {
    trial.store(file, page * kPageSize);
  }
  trial.fsync(file);
  return trial.end();
}

Result<void> fsync_huge_page(Trial& trial, const TrialSetup& setup) {
  DAXSIM_TRY_VOID(trial.start(setup));
  DAXSIM_TRY(TrialFile file, trial.create("/a", kPmdSize));
  trial.store(file, 300 * kPageSize);
  if (trial.pte(file, 300 * kPageSize).order != kPmdOrder) {
    trial.not_applicable("no huge page");
  }
  trial.store(file, 0);
  trial.store(file, kPmdSize - kPageSize);
  trial.fsync(file);
  return trial.end();
}

// A file with one dirty page, whose device is then pulled out. About the page tables there is a question of its own: the
// others have the mapping go first.
enum class AtTheEnd : std::uint8_t { mapped, unmapped };
Result<TrialFile> lose_device(Trial& trial, const TrialSetup& setup, AtTheEnd mapping, std::size_t which = 0,
                              std::uint64_t page = 7) {
  DAXSIM_TRY_VOID(trial.start(setup));
  DAXSIM_TRY(TrialFile file, trial.create("/a", kPages * kPageSize));
  trial.store(file, page * kPageSize);
  if (mapping == AtTheEnd::unmapped) {
    DAXSIM_TRY_VOID(trial.munmap(file));
  }
  DAXSIM_TRY_VOID(trial.remove(Removal::surprise, which));
  return file;
}

Result<void> fsync_of_lost(Trial& trial, const TrialSetup& setup, AtTheEnd mapping, std::size_t which = 0,
                           std::uint64_t page = 7) {
  DAXSIM_TRY(TrialFile file, lose_device(trial, setup, mapping, which, page));
  trial.fsync(file);
  return trial.end();
}

// A page is stored to before its blocks move, and again, to another line, through the same mapping after.
Result<void> fsync_after_balance(Trial& trial, const TrialSetup& setup) {
  DAXSIM_TRY_VOID(trial.start(setup));
  DAXSIM_TRY(TrialFile file, trial.create("/a", kPages * kPageSize));
  trial.store(file, 7 * kPageSize);
  trial.balance();
  trial.store(file, 7 * kPageSize + kCacheLine);
  trial.fsync(file);
  return trial.end();
}

// A page is stored to, write(2) to another line of it gives it a new block, and it is stored to again.
Result<void> fsync_after_write(Trial& trial, const Era& era) {
  DAXSIM_TRY_VOID(trial.start(chunks<ChunkProfile::single>(1, era)));
  DAXSIM_TRY(TrialFile file, trial.create("/a", kPages * kPageSize));
  trial.store(file, 7 * kPageSize);
  trial.pwrite(file, 7 * kPageSize + kCacheLine);
  trial.store(file, 7 * kPageSize + 2 * kCacheLine);
  trial.fsync(file);
  return trial.end();
}

// --- one device ---

Result<void> page_fsync(Trial& trial) { return fsync_pages(trial, {}); }
Result<void> huge_fsync(Trial& trial) { return fsync_huge_page(trial, {}); }

// The second file is dirty while the first is written back, and the other way round.
Result<void> two_files(Trial& trial) {
  DAXSIM_TRY_VOID(trial.start());
  DAXSIM_TRY(TrialFile a, trial.create("/a", kPages * kPageSize));
  DAXSIM_TRY(TrialFile b, trial.create("/b", kPages * kPageSize));
  trial.store(a, 7 * kPageSize);
  trial.store(b, 7 * kPageSize);
  trial.fsync(a);
  trial.store(a, 9 * kPageSize);
  trial.fsync(b);
  return trial.end();
}

Result<FileSystem> mount_bare(Machine& machine, std::span<const DeviceHandle> devices) {
  return machine.mount<BareFs>(devices.front());
}

Result<void> block_less(Trial& trial) {
  DAXSIM_TRY_VOID(trial.start({.fs = {.mkfs = &mount_bare, .mount = &mount_bare}}));
  DAXSIM_TRY(TrialFile file, trial.create("/a", trial.device().size()));
  trial.store(file, 7 * kPageSize);
  trial.fsync(file);
  return trial.end();
}

Result<void> orderly_removal(Trial& trial) {
  DAXSIM_TRY_VOID(trial.start());
  DAXSIM_TRY(const TrialFile file, trial.create("/a", kPages * kPageSize));
  trial.store(file, 7 * kPageSize);
  DAXSIM_TRY_VOID(trial.remove(Removal::orderly));
  return trial.end();
}

Result<void> surprise_removal(Trial& trial) { return fsync_of_lost(trial, {}, AtTheEnd::mapped); }
Result<void> removal_untold(Trial& trial) { return fsync_of_lost(trial, {.era = kNobodyIsTold}, AtTheEnd::unmapped); }

Result<void> removal_mapped(Trial& trial) {
  DAXSIM_TRY([[maybe_unused]] const TrialFile file, lose_device(trial, {.era = kNobodyIsTold}, AtTheEnd::mapped));
  return trial.end();
}

Result<void> replaced(Trial& trial) {
  DAXSIM_TRY(TrialFile file, lose_device(trial, {.era = kNobodyIsTold}, AtTheEnd::unmapped));
  const Attachment& gone = trial.device().attachment();
  DAXSIM_TRY_VOID(trial.attach_bystander(gone.size(), gone.first_pfn()));
  trial.fsync(file);
  return trial.end();
}

// The last page of a file that takes nearly all of the device.
Result<void> word32(Trial& trial, std::uint64_t device_size) {
  Era era = eras::v6_12;
  era.layout = era.layout.with_words_of(32);
  DAXSIM_TRY_VOID(trial.start({.era = era, .device_sizes = {device_size}}));
  const std::uint64_t file_size = device_size - device_size / 4;
  DAXSIM_TRY(TrialFile file, trial.create("/a", file_size));
  trial.store(file, file_size - kPageSize);
  trial.fsync(file);
  return trial.end();
}
Result<void> word32_small(Trial& trial) { return word32(trial, 8 * kMiB); }
Result<void> word32_large(Trial& trial) { return word32(trial, 128 * kGiB); }
Result<void> word32_huge(Trial& trial) { return word32(trial, 1024 * kGiB); }

// --- two devices: the question of the thread itself ---

Result<void> rt_fsync(Trial& trial) { return fsync_pages(trial, two_devices()); }
Result<void> rt_huge_fsync(Trial& trial) { return fsync_huge_page(trial, two_devices()); }
Result<void> rt_untold(Trial& trial) {
  return fsync_of_lost(trial, two_devices(kNobodyIsTold), AtTheEnd::unmapped, kRealtime);
}

// --- chunks ---

Result<void> raid0_fsync(Trial& trial) { return fsync_pages(trial, chunks<ChunkProfile::raid0>(2)); }
Result<void> dup_fsync(Trial& trial) { return fsync_pages(trial, chunks<ChunkProfile::dup>(1)); }
Result<void> balance(Trial& trial) { return fsync_after_balance(trial, chunks<ChunkProfile::single>(1)); }
Result<void> balance_unpurged(Trial& trial) {
  return fsync_after_balance(trial, chunks<ChunkProfile::single>(1, kUnpurged));
}

// --- blocks of two files, blocks that are never overwritten ---

Result<void> reflink_store(Trial& trial) {
  DAXSIM_TRY_VOID(trial.start({.fs = {.mkfs = &mkfs_sharing, .mount = &mount_chunks}}));
  DAXSIM_TRY(TrialFile a, trial.create("/a", kPages * kPageSize));
  for (const std::uint64_t page : {7, 9}) {
    trial.store(a, page * kPageSize);
  }
  trial.fsync(a);
  DAXSIM_TRY(TrialFile b, trial.reflink(a, "/b"));
  trial.store(a, 7 * kPageSize + kCacheLine);
  trial.store(b, 9 * kPageSize + kCacheLine);
  trial.fsync(a);
  trial.fsync(b);
  return trial.end();
}

Result<void> cow_write(Trial& trial) { return fsync_after_write(trial, eras::v6_12); }
Result<void> cow_write_stale(Trial& trial) {
  return fsync_after_write(trial, eras::v6_12.without(Step::clear_dirty_before_copy));
}

// --- a pmem and a disk ---

Result<void> tiered_fsync(Trial& trial) { return fsync_pages(trial, two_tiers()); }

// Of each tier a page is stored to before it moves to the other, and again, to another line, through the same mapping
// after.
Result<void> tiered_migrate(Trial& trial) {
  DAXSIM_TRY_VOID(trial.start(two_tiers()));
  DAXSIM_TRY(TrialFile file, trial.create("/a", kPages * kPageSize));
  const std::array offsets{7 * kPageSize, (kFirstOnDisk + 7) * kPageSize};
  for (const std::uint64_t offset : offsets) {
    trial.store(file, offset);
  }
  trial.demote(file, {{0}, 16});
  trial.promote(file, {{kFirstOnDisk}, 16});
  for (const std::uint64_t offset : offsets) {
    trial.store(file, offset + kCacheLine);
  }
  trial.fsync(file);
  return trial.end();
}

Result<void> tiered_unpurged(Trial& trial) {
  DAXSIM_TRY_VOID(trial.start(two_tiers(kUnpurged)));
  DAXSIM_TRY(TrialFile file, trial.create("/a", kPages * kPageSize));
  trial.store(file, 7 * kPageSize);
  trial.demote(file, {{0}, 16});
  trial.store(file, 7 * kPageSize + kCacheLine);
  trial.fsync(file);
  return trial.end();
}

Result<void> tiered_untold(Trial& trial) {
  return fsync_of_lost(trial, two_tiers(kNobodyIsTold), AtTheEnd::unmapped, kDisk, kFirstOnDisk + 7);
}

constexpr std::array kQuestions{
    Question{"page-fsync", "255 pages are stored to and fsynced; are they there after a power cut?", &page_fsync},
    Question{"huge-fsync", "the same through one huge page", &huge_fsync},
    Question{"two-files", "two files are dirty at once, and fsynced one after the other", &two_files},
    Question{"block-less", "a file system on a dax device that is no block device", &block_less},
    Question{"orderly-removal", "the device is unbound while a page is dirty, and attached again", &orderly_removal},
    Question{"surprise-removal", "the device is pulled out; the file system is told; fsync", &surprise_removal},
    Question{"removal-untold", "the device is pulled out and nobody is told; what does fsync flush?", &removal_untold},
    Question{"removal-mapped", "the device is pulled out and nobody is told; who unmaps its pages?", &removal_mapped},
    Question{"replaced", "nobody is told, and another device gets the same frames; what does fsync flush?", &replaced},
    Question{"word32-8M", "an index of 32-bit words, a device of 8 MiB", &word32_small},
    Question{"word32-128G", "an index of 32-bit words, a device of 128 GiB", &word32_large},
    Question{"word32-1T", "an index of 32-bit words, a device of 1 TiB", &word32_huge},
    Question{"rt-fsync", "page-fsync, of a file on the realtime device", &rt_fsync},
    Question{"rt-huge-fsync", "the same through one huge page", &rt_huge_fsync},
    Question{"rt-untold", "the realtime device is pulled out and nobody is told; what does fsync flush?", &rt_untold},
    Question{"raid0-fsync", "page-fsync, of a file striped over two devices", &raid0_fsync},
    Question{"dup-fsync", "page-fsync, of a file with two copies on one device", &dup_fsync},
    Question{"balance", "blocks move between two stores to a page that stays open", &balance},
    Question{"balance-unpurged", "the same, and nothing is unmapped, flushed or forgotten when they move",
             &balance_unpurged},
    Question{"tiered-fsync", "page-fsync, of a file that is half on a pmem and half on an ordinary disk",
             &tiered_fsync},
    Question{"tiered-migrate", "pages move down to the disk and up from it between two stores", &tiered_migrate},
    Question{"tiered-unpurged", "pages move down, and nothing is unmapped, flushed or forgotten", &tiered_unpurged},
    Question{"tiered-untold", "the disk is pulled out and nobody is told; what does fsync answer?", &tiered_untold},
    Question{"reflink-store", "a file that shares its blocks with another is stored to, then both are fsynced",
             &reflink_store},
    Question{"cow-write", "write(2) gives a page a new block between two stores to it", &cow_write},
    Question{"cow-write-stale", "the same, and the dirty page's entry is not let go", &cow_write_stale},
};

}  // namespace

std::span<const Question> questions() noexcept { return kQuestions; }

}  // namespace lab
DAXSIM_END
