// SPDX-License-Identifier: BSD-3-Clause
// The question of the thread itself: a file on the realtime device, which is not the super block's.
#include "daxsim/adapters/realtime.hpp"

#include <array>

#include "lab/questions.hpp"
#include "lab/trial.hpp"

DAXSIM_BEGIN
namespace lab {
namespace {

constexpr std::uint64_t kPages = 255;  // less than a huge page, so that none can be used
constexpr std::size_t kRealtime = 1;   // of the trial's devices

Result<FileSystem> mkfs(Machine& machine, std::span<const DeviceHandle> devices) {
  return machine.mkfs<RealtimeFs>(devices[0], devices[kRealtime]);
}
Result<FileSystem> mount(Machine& machine, std::span<const DeviceHandle> devices) {
  return machine.mount<RealtimeFs>(devices[0], devices[kRealtime]);
}
Result<void> put_on_realtime(File& file) { return RealtimeFs::set_realtime(file.open_file()->inode()); }

TrialSetup two_devices(const Era& era = eras::v6_12) {
  constexpr std::uint64_t kSize = std::uint64_t{8} << 20;
  return {
      .era = era, .fs = {.mkfs = &mkfs, .mount = &mount, .arrange = &put_on_realtime}, .device_sizes = {kSize, kSize}};
}

Result<void> fsync(Trial& trial) {
  DAXSIM_TRY_VOID(trial.start(two_devices()));
  DAXSIM_TRY(TrialFile file, trial.create("/a", kPages * kPageSize));
  for (std::uint64_t page = 0; page < kPages; ++page) {
    trial.store(file, page * kPageSize);
  }
  trial.fsync(file);
  return trial.end();
}

Result<void> huge_fsync(Trial& trial) {
  DAXSIM_TRY_VOID(trial.start(two_devices()));
  DAXSIM_TRY(TrialFile file, trial.create("/a", kPmdSize));
  trial.store(file, 300 * kPageSize);
  if (trial.pte(file, 300 * kPageSize).order != kPmdOrder) {
    trial.not_applicable("no huge page");
  }
  trial.fsync(file);
  return trial.end();
}

Result<void> removal_untold(Trial& trial) {
  DAXSIM_TRY_VOID(trial.start(two_devices(eras::v6_12.without(Step::notify_holder))));
  DAXSIM_TRY(TrialFile file, trial.create("/a", kPages * kPageSize));
  trial.store(file, 7 * kPageSize);
  DAXSIM_TRY_VOID(trial.munmap(file));
  DAXSIM_TRY_VOID(trial.remove(Removal::surprise, kRealtime));
  trial.fsync(file);
  return trial.end();
}

constexpr std::array kQuestions{
    Question{"rt-fsync", "page-fsync, of a file on the realtime device", &fsync},
    Question{"rt-huge-fsync", "the same through one huge page", &huge_fsync},
    Question{"rt-untold", "the realtime device is pulled out and nobody is told; what does fsync flush?",
             &removal_untold},
};

}  // namespace

std::span<const Question> realtime_questions() noexcept { return kQuestions; }

}  // namespace lab
DAXSIM_END
