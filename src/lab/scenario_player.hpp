// SPDX-License-Identifier: BSD-3-Clause
// Plays the steps of a scenario on one simulated machine after the other: who acts, what is open and mapped, which media
// there are. What the verbs do is in scenario_files.cpp, scenario_mappings.cpp and scenario_world.cpp.
//
// Steps are played one after the other, in the thread that calls run(), save those with '&', which have a thread each. After
// every step each of these is waited for until it sleeps or is done, so that the order is the same every time.
#pragma once

#include <atomic>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "daxsim/base/sync.hpp"
#include "daxsim/machine/machine.hpp"
#include "lab/scenario_adapters.hpp"
#include "lab/scenario_steps.hpp"

DAXSIM_BEGIN
namespace lab {

// What a scenario calls a process.
struct ScenarioProcess {
  struct Mapped {
    ByteRange bytes;            // of the file
    std::uint64_t address = 0;  // soft
    std::shared_ptr<Mapping> live;
  };
  Process* soft = nullptr;
  std::vector<std::shared_ptr<File>> files;  // null: closed
  std::size_t file = 0;                      // the current one
  std::vector<Mapped> mappings;
  std::size_t mapping = 0;
};

// A step that was begun.
class BackgroundStep {
 public:
  explicit BackgroundStep(std::function<Outcome()> step);
  // Ends what can be interrupted, and waits for the rest.
  ~BackgroundStep();
  BackgroundStep(const BackgroundStep&) = delete;
  BackgroundStep& operator=(const BackgroundStep&) = delete;

  // Until it sleeps or is done.
  void settle() const;
  // Until it is done, or sleeps for longer than anything here takes on its own. Done?
  bool finish() const;
  void interrupt() noexcept { interruption_.raise(); }
  [[nodiscard]] bool done() const noexcept { return done_.load(std::memory_order_acquire); }
  // Precondition: done().
  [[nodiscard]] Outcome take() { return std::move(outcome_); }

 private:
  Interruption interruption_;
  Outcome outcome_;
  std::atomic<int> thread_id_{0};
  std::atomic<bool> done_{false};
  std::thread thread_;
};

class ScenarioPlayer {
 public:
  ScenarioPlayer(const SimulatedMachine& kind, std::size_t ring_events);
  ~ScenarioPlayer();
  ScenarioPlayer(const ScenarioPlayer&) = delete;
  ScenarioPlayer& operator=(const ScenarioPlayer&) = delete;

  // Devices, a file system, mounted: what a scenario gets that declares none. Errors: any of the calls that make them.
  Result<void> make_default_world();

  Outcome play(const Step& step);

  [[nodiscard]] Machine& machine() noexcept { return *machine_; }
  [[nodiscard]] std::uint64_t reboots() const noexcept { return reboots_; }
  // Of all machines so far.
  [[nodiscard]] std::vector<Finding> findings() const;

 private:
  using Mapped = ScenarioProcess::Mapped;
  struct Medium {
    std::string name;
    std::shared_ptr<Device> device;
    std::optional<DeviceHandle> handle{};  // none: removed
    Pfn first_frame{};                     // when it was attached last
  };

  struct Pinned {
    Process* process;
    std::uint64_t address;
    Pin pin;
  };

  // --- actors ---
  ScenarioProcess& process_of(const Step& step);
  Outcome begin(const Step& step, ScenarioProcess& process);
  Outcome wait(const Step& step);
  Outcome kill(const Step& step);
  void settle();
  void unpin_all();
  void end_processes();

  Outcome perform(const Step& step, ScenarioProcess& process);

  // --- files ---
  Outcome open(const Step& step, FileSystem& fs, ScenarioProcess& process);
  Outcome choose_file(const Step& step, ScenarioProcess& process);
  Outcome close(ScenarioProcess& process);
  // Null: there is none.
  std::shared_ptr<File> current_file(const ScenarioProcess& process) const;
  Outcome pread(const Step& step, File& file);
  Outcome pwrite(const Step& step, File& file);
  Outcome fallocate(const Step& step, File& file);
  Outcome sync_range(const Step& step, File& file);
  Outcome fiemap(const Step& step, File& file);
  Outcome seek(const Step& step, File& file);
  Outcome stat(File& file);
  Outcome reflink(const Step& step, FileSystem& fs, File& file);
  Outcome chattr(const Step& step, FileSystem& fs, ScenarioProcess& process);
  Outcome move_tiers(const Step& step, File& file);
  Outcome with_fs(const Step& step, ScenarioProcess& process);
  Outcome with_file(const Step& step, FileSystem& fs, ScenarioProcess& process);

  // --- mappings ---
  Outcome mmap(const Step& step, ScenarioProcess& process);
  Outcome munmap(const Step& step, ScenarioProcess& process, Mapped& mapped) const;
  Outcome mread(const Step& step, ScenarioProcess& process, Mapped& mapped);
  Outcome mwrite(const Step& step, ScenarioProcess& process, Mapped& mapped);
  Outcome msync(const Step& step, ScenarioProcess& process, Mapped& mapped);
  Outcome madvise(const Step& step, ScenarioProcess& process, Mapped& mapped);
  Outcome soft_only(const Step& step, ScenarioProcess& process, Mapped& mapped);
  Outcome transfer_mapped(const Step& step, File& file, ScenarioProcess& process);
  Outcome direct_io(const Step& step, ScenarioProcess& process, std::uint64_t address);
  Outcome with_mapping(const Step& step, ScenarioProcess& process);

  // --- the world ---
  Outcome device_create(const Step& step);
  Outcome device_remove(const Step& step);
  Outcome device_attach(const Step& step);
  Outcome mkfs(const Step& step);
  Outcome mount(const Step& step);
  Outcome umount(FileSystem& fs);
  static Outcome balance(FileSystem& fs);
  Outcome power_cut(const Step& step);
  Outcome reboot();
  Result<void> create_medium(std::string name, std::uint64_t size, bool is_disk, std::string_view options);
  Result<void> attach(Medium& medium, const AttachOptions& options);
  Result<std::vector<DeviceHandle>> devices(const std::vector<std::string>& names, const AdapterKind& kind) const;
  Medium* find_medium(std::string_view name) noexcept;

  const SimulatedMachine kind_;
  const AdapterKind& default_adapter_;
  std::vector<std::filesystem::path> files_;  // media, removed at the end
  std::optional<Machine> machine_;
  // Held while what is below, and what processes have open and mapped, is looked up or changed; a step that was begun may
  // be at work beside another.
  mutable Mutex lock_{LockRank::machine};
  std::list<Medium> media_;
  std::optional<FileSystem> fs_;
  const AdapterKind* adapter_;             // of the file system that was made last
  std::vector<std::string> fs_devices_;    // its
  MountOptions mount_options_;             // of the mount before
  std::vector<Finding> earlier_findings_;  // of machines before this one
  std::uint64_t reboots_ = 0;
  std::map<std::string, ScenarioProcess, std::less<>> processes_;
  std::string current_process_ = "p1";
  std::vector<Pinned> pins_;
  // What `direct-io` writes and reads, from its first byte on.
  std::vector<std::byte> other_file_ DAXSIM_GUARDED_BY(lock_);
  std::map<std::string, std::unique_ptr<BackgroundStep>, std::less<>> background_;  // by actor
};

// The most bytes that one step reads or writes.
inline constexpr std::uint64_t kMostTransfer = std::uint64_t{1} << 30;

// --- outcomes ---

Outcome failed(std::string_view call, Errno error);
// Of a call that answers nothing but success: "fsync = 0".
Outcome outcome_of(std::string_view call, const Result<void>& result);
// Of one that answers how much: "balance = 4".
Outcome outcome_of(std::string_view call, const Result<std::uint64_t>& result);

}  // namespace lab
DAXSIM_END
