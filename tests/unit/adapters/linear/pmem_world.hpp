// SPDX-License-Identifier: BSD-3-Clause
// PmemWorld: a machine with one pmem device, by hand.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string_view>

#include "daxsim/adapters/linear.hpp"
#include "daxsim/base/arena.hpp"
#include "daxsim/base/clock.hpp"
#include "daxsim/base/events.hpp"
#include "daxsim/dax/dax.hpp"
#include "daxsim/device/attachment.hpp"
#include "daxsim/device/memory_map.hpp"
#include "daxsim/sim_devices/pmem.hpp"
#include "daxsim/test_support/must.hpp"
#include "daxsim/vfs/open_file.hpp"
#include "daxsim/vfs/system.hpp"
#include "support/temp_file.hpp"

namespace daxsim::test {

class PmemWorld {
 public:
  PmemWorld(const std::filesystem::path& path, std::uint64_t size) {
    auto medium = must(sim::open({.path = path, .size = size}));
    auto view = must(medium->make_view({arena_, clock_}));
    const Pfn first = must(memory_.reserve(medium->size() >> kPageShift));
    device = std::make_unique<Attachment>(medium, std::move(view), first, 1, events_);
    memory_.bind(first, *device);
  }
  ~PmemWorld() { fs.reset(); }
  PmemWorld(const PmemWorld&) = delete;
  PmemWorld& operator=(const PmemWorld&) = delete;

  void mount() { fs = must(LinearFs::mount(context, *device)); }
  std::shared_ptr<OpenFile> open(std::string_view name) {
    return std::make_shared<OpenFile>(fs, must(fs->open(name)), OpenMode::read_write);
  }
  std::shared_ptr<OpenFile> create(std::string_view name) {
    return std::make_shared<OpenFile>(fs, must(fs->create(name)), OpenMode::read_write);
  }
  // In the order in which a machine does it.
  void cut(const PowerCut& choice) {
    fs->shutdown(Errno::eshutdown);
    must(device->advance(LifeState::dax_dead));
    must(device->view().power_cut(choice));
  }
  Arena& arena() { return arena_; }
  System& system() { return system_; }

 private:
  VirtualClock clock_;
  EventStream events_{clock_, 256};
  Arena arena_;
  MemoryMap memory_;
  System system_{.clock = clock_, .events = events_, .arena = arena_, .memory = memory_};

 public:
  std::unique_ptr<Attachment> device;
  const dax::Context context{.system = system_, .design = designs::pfn()};
  std::shared_ptr<SuperBlock> fs;
};

}  // namespace daxsim::test
