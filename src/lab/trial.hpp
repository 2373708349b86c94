// SPDX-License-Identifier: BSD-3-Clause
// Trial: one question put to one design. It keeps the promises that the file system made (fsync succeeded, a device was
// removed in order) and holds them against the bytes that are there in the end, and it keeps bystanders: devices whose
// every page has a line that nobody flushed, so that a flush that goes astray changes their media.
//
// A question is a function that arranges, acts and ends:
//
//   DAXSIM_TRY_VOID(trial.start());                        // machine, device, bystander, file system
//   DAXSIM_TRY(TrialFile file, trial.create("/a", size));  // allocated and mapped
//   trial.store(file, 0);                                  // refused, or remembered
//   trial.fsync(file);                                     // refused, or what was stored is now promised
//   return trial.end();                                    // power cut, reboot, look
//
// What the design under test does wrong becomes part of the cell; what the host cannot do is an error of the call.
// Errors of all: those of the Machine, FileSystem and Process call that is named like it.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "daxsim/lab/matrix.hpp"
#include "daxsim/machine/machine.hpp"

DAXSIM_BEGIN
namespace lab {

// A file with a mapping of the whole of it in the trial's process.
struct TrialFile {
  std::string name;
  File file;
  std::uint64_t address = 0;
};

// What the trial's file system is, and on how many devices. mkfs also mounts.
struct TrialFs {
  using Mount = Result<FileSystem>(Machine& machine, std::span<const DeviceHandle> devices);
  using Arrange = Result<void>(File& file);
  Mount* mkfs = nullptr;
  Mount* mount = nullptr;
  Arrange* arrange = nullptr;  // a new file, before it gets its blocks; null: nothing to do
};
extern const TrialFs kLinear;

struct TrialSetup {
  Era era = eras::v6_12;
  TrialFs fs = kLinear;
  std::vector<std::uint64_t> device_sizes{std::uint64_t{8} << 20};  // bytes
  std::size_t disks = 0;                                            // of them, at the end: ordinary block devices
};

class Trial {
 public:
  Trial(const IndexDesign& design, Telling telling) noexcept : design_(design), telling_(telling) {}
  ~Trial();
  Trial(const Trial&) = delete;
  Trial& operator=(const Trial&) = delete;

  Result<void> start(const TrialSetup& setup = {});
  Result<TrialFile> create(std::string_view name, std::uint64_t size);
  // A file with the blocks of another, mapped, that was promised what the other was.
  Result<TrialFile> reflink(const TrialFile& source, std::string_view name);
  // A further device, painted as a bystander. `at`: with these frames.
  Result<void> attach_bystander(std::uint64_t size, std::optional<Pfn> at = {});

  // One byte at `offset`, different for each page.
  void store(const TrialFile& file, std::uint64_t offset);
  [[nodiscard]] PteState pte(const TrialFile& file, std::uint64_t offset);
  Result<void> munmap(const TrialFile& file);
  // The same by write(2).
  void pwrite(TrialFile& file, std::uint64_t offset);
  void fsync(TrialFile& file);
  // The blocks of the first chunk move to others (ChunkFs).
  void balance();
  // Pages of the file move between its tiers (TieredFs).
  void promote(TrialFile& file, PageRange pages);
  void demote(TrialFile& file, PageRange pages);
  // Of one of the devices that start() attached. An orderly removal promises everything that was stored.
  Result<void> remove(Removal how, std::size_t which = 0);

  // The power goes; a new machine over all media, whether they were removed or not, looks at promises and bystanders.
  Result<void> end();

  // What the question sees by itself.
  void not_applicable(std::string_view why);

  [[nodiscard]] const DeviceHandle& device(std::size_t which = 0) const { return devices_.at(which); }
  [[nodiscard]] Cell take_cell();

 private:
  using Bytes = std::map<std::pair<std::string, std::uint64_t>, std::byte>;

  Result<std::shared_ptr<Device>> make_medium(std::uint64_t size);
  void moved(const Result<std::uint64_t>& pages);
  Result<void> paint(DeviceHandle& device);
  Result<DeviceHandle> attached(const std::shared_ptr<Device>& medium);
  Result<void> check_promises();
  Result<void> check_bystanders();
  void take_findings();
  void refused(std::string_view how);
  void harmed(std::string_view how);
  // The story: the next step; one line of it, after the events of the step before; these events.
  void say(std::string line);
  void tell(std::string line);
  void tell_events();

  const IndexDesign& design_;
  const Telling telling_;
  std::vector<std::filesystem::path> files_;  // media, removed at the end
  std::vector<std::shared_ptr<Device>> bystanders_;
  std::vector<std::shared_ptr<Device>> media_;  // of the file system
  TrialFs fs_kind_;
  std::optional<Machine> machine_;
  std::vector<DeviceHandle> devices_;
  std::optional<FileSystem> fs_;
  Process* process_ = nullptr;

  Bytes stored_;  // not promised yet
  Bytes promised_;
  std::optional<std::string> refused_;
  std::optional<std::string> not_applicable_;
  std::vector<std::string> harms_;
  Costs costs_;
  std::vector<std::string> story_;
  std::uint64_t told_ = 0;           // events before this id are told, or not worth it
  std::size_t stores_in_a_row_ = 0;  // since the last line
};

}  // namespace lab
DAXSIM_END
