// SPDX-License-Identifier: BSD-3-Clause
// Questions that a file system on one pmem is enough to ask.
#include <array>

#include "lab/bare_fs.hpp"
#include "lab/questions.hpp"
#include "lab/trial.hpp"

DAXSIM_BEGIN
namespace lab {
namespace {

constexpr std::uint64_t kMiB = std::uint64_t{1} << 20;
constexpr std::uint64_t kGiB = std::uint64_t{1} << 30;
constexpr std::uint64_t kPages = 255;  // less than a huge page, so that none can be used

constexpr Era kNobodyIsTold = eras::v6_12.without(Step::notify_holder);

Result<void> page_fsync(Trial& trial) {
  DAXSIM_TRY_VOID(trial.start());
  DAXSIM_TRY(TrialFile file, trial.create("/a", kPages * kPageSize));
  for (std::uint64_t page = 0; page < kPages; ++page) {
    trial.store(file, page * kPageSize);
  }
  trial.fsync(file);
  return trial.end();
}

Result<void> huge_fsync(Trial& trial) {
  DAXSIM_TRY_VOID(trial.start());
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

Result<void> surprise_removal(Trial& trial) {
  DAXSIM_TRY_VOID(trial.start());
  DAXSIM_TRY(TrialFile file, trial.create("/a", kPages * kPageSize));
  trial.store(file, 7 * kPageSize);
  DAXSIM_TRY_VOID(trial.remove(Removal::surprise));
  trial.fsync(file);
  return trial.end();
}

// The mapping goes first: about the page tables there is a question of its own.
Result<void> removal_untold(Trial& trial) {
  DAXSIM_TRY_VOID(trial.start({.era = kNobodyIsTold}));
  DAXSIM_TRY(TrialFile file, trial.create("/a", kPages * kPageSize));
  trial.store(file, 7 * kPageSize);
  DAXSIM_TRY_VOID(trial.munmap(file));
  DAXSIM_TRY_VOID(trial.remove(Removal::surprise));
  trial.fsync(file);
  return trial.end();
}

Result<void> removal_mapped(Trial& trial) {
  DAXSIM_TRY_VOID(trial.start({.era = kNobodyIsTold}));
  DAXSIM_TRY(const TrialFile file, trial.create("/a", kPages * kPageSize));
  trial.store(file, 7 * kPageSize);
  DAXSIM_TRY_VOID(trial.remove(Removal::surprise));
  return trial.end();
}

Result<void> replaced(Trial& trial) {
  DAXSIM_TRY_VOID(trial.start({.era = kNobodyIsTold}));
  DAXSIM_TRY(TrialFile file, trial.create("/a", kPages * kPageSize));
  trial.store(file, 7 * kPageSize);
  DAXSIM_TRY_VOID(trial.munmap(file));
  DAXSIM_TRY_VOID(trial.remove(Removal::surprise));
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
};

}  // namespace

std::span<const Question> one_device_questions() noexcept { return kQuestions; }

}  // namespace lab
DAXSIM_END
