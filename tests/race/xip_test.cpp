// SPDX-License-Identifier: BSD-3-Clause
// An execute-in-place file system whose device takes its pages back while programs fault them in.
#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <thread>
#include <vector>

#include "daxsim/mm/process.hpp"
#include "support/blocked_thread.hpp"
#include "support/stop_at_event.hpp"
#include "support/xip_world.hpp"

namespace daxsim::test {
namespace {

// A file of four pages, the first two direct, in a process.
struct World {
  World() : xip(must(XipFs::build({&file, 1}, {.faults = {{"f", {{0, 1}, {1, 1}}}}}))) {
    xip.mount();
    opened = xip.open_to_read("f");
    at = must(process.mmap(opened, {.prot = Prot::read}));
  }
  [[nodiscard]] PteState::Kind mapped(std::uint64_t page) const {
    PteState::Kind kind{};
    opened->inode().mapping().for_each_vma(kAllPages, [&](Vma& vma) { kind = vma.pte({page}).kind; });
    return kind;
  }
  void revoke_all() { must(xip.device->revoke({0, xip.device->size()})); }

  const XipFile file{"f", easy(4 * kPageSize)};
  XipWorld xip;
  Process process{xip.system, 1};
  std::shared_ptr<OpenFile> opened;
  std::uint64_t at = 0;
};

// A fault has the memory and is about to map it: the revocation waits, and takes it away again.
TEST(XipRace, ARevocationMeetsAFault) {
  World world;
  StopAtEvent stop(world.xip.events, [](const Event& event) { return event.type == EventType::dax_insert_entry; });
  BlockedThread load([&] {
    // Mapped, revoked, and maybe faulted once more before the load is through.
    EXPECT_EQ(world.process.load<std::byte>(world.at).value(), world.file.bytes[0]);
  });
  stop.wait_until_stopped();
  {
    BlockedThread revocation([&] { world.revoke_all(); });
    EXPECT_TRUE(revocation.blocks());
    stop.let_go();
  }
}

// Loads of all pages while the device takes them back again and again: each sees the file, and in the end nothing is mapped.
TEST(XipRace, LoadsAndRevocations) {
  World world;
  std::atomic<bool> done{false};
  std::vector<std::jthread> loaders;
  for (unsigned who = 0; who < 2; ++who) {
    loaders.emplace_back([&, who] {
      for (std::uint64_t count = who; !done.load(std::memory_order_relaxed); ++count) {
        const std::uint64_t offset = count * 509 % world.file.bytes.size();
        ASSERT_EQ(world.process.load<std::byte>(world.at + offset).value(), world.file.bytes[offset]);
      }
    });
  }
  while (world.xip.count(EventType::dax_insert_entry) < 2000) {
    world.revoke_all();
  }
  done = true;
  loaders.clear();
  world.revoke_all();
  EXPECT_EQ(world.mapped(0), PteState::Kind::none);
  EXPECT_EQ(world.mapped(1), PteState::Kind::none);
}

}  // namespace
}  // namespace daxsim::test
