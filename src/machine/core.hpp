// SPDX-License-Identifier: BSD-3-Clause
// MachineCore: what a Machine and its handles share. It outlives the Machine while handles are left.
#pragma once

#include <atomic>
#include <list>
#include <memory>
#include <vector>

#include "daxsim/machine/machine.hpp"

DAXSIM_BEGIN

class MachineCore {
 public:
  explicit MachineCore(const MachineOptions& chosen);
  ~MachineCore();
  MachineCore(const MachineCore&) = delete;
  MachineCore& operator=(const MachineCore&) = delete;

  // Orderly end: syncs and shuts down every file system, detaches every device. Idempotent.
  void shut_down();

  const MachineOptions options;
  VirtualClock clock;
  EventStream events{clock, options.ring_events};
  Arena arena;
  MemoryMap memory;
  System system{clock, events, arena, memory, options.era.mm};
  const dax::Context context{
      .system = system,
      .design = options.design != nullptr ? *options.design : options.era.design(),
      .policy = options.era.policy,
      .layout = options.era.layout,
  };
  std::atomic<bool> power{true};

  Mutex lock{LockRank::machine};
  // Attachments live as long as the core (Attachment I2); super blocks until nothing uses them.
  std::vector<std::unique_ptr<Attachment>> attachments DAXSIM_GUARDED_BY(lock);
  std::vector<const Attachment*> removed DAXSIM_GUARDED_BY(lock);
  std::vector<std::shared_ptr<SuperBlock>> super_blocks DAXSIM_GUARDED_BY(lock);
  std::list<Process> processes DAXSIM_GUARDED_BY(lock);
  Detectors detectors{events};

  void forget(const SuperBlock& super_block);
  // Copies of the lists, to walk without the lock.
  [[nodiscard]] std::vector<std::shared_ptr<SuperBlock>> mounted();
  [[nodiscard]] std::vector<Attachment*> attached();
};

DAXSIM_END
