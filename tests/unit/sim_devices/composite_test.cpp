// SPDX-License-Identifier: BSD-3-Clause
// Composites: where their pages are, what they can do, and what a power cut does to their parts.
#include "daxsim/sim_devices/composite.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <memory>
#include <vector>

#include "daxsim/base/clock.hpp"
#include "daxsim/base/events.hpp"
#include "daxsim/device/attachment.hpp"
#include "daxsim/device/memory_map.hpp"
#include "daxsim/sim_devices/ram_disk.hpp"
#include "pmem_test.hpp"
#include "support/error_of.hpp"

namespace daxsim {
namespace {

using namespace daxsim::literals;

using support::error_of;
using Lines = std::vector<LineHistory>;

// Two pmems and a composite of them, with a view.
template <class Config>
struct Composite {
  explicit Composite(std::uint64_t size = 2_MiB, std::uint64_t second = 0)
      : config{.parts = {must(sim::open(sim::Pmem{.path = files[0].path(), .size = size})),
                         must(sim::open(sim::Pmem{.path = files[1].path(), .size = second == 0 ? size : second}))}},
        device(must(sim::open(config))),
        view(must(device->make_view({arena, clock}))) {}

  Memory at(std::uint64_t offset, std::uint64_t pages = 1) {
    return must(view->direct_access(page_of(offset), pages, DaxMode::access));
  }
  void store(std::uint64_t offset, std::uint64_t value) {
    __atomic_store_n(reinterpret_cast<std::uint64_t*>(at(offset).kaddr + offset % kPageSize), value, __ATOMIC_RELAXED);
  }
  std::uint64_t load(std::uint64_t offset) {
    return *reinterpret_cast<const std::uint64_t*>(at(offset).kaddr + offset % kPageSize);
  }
  PowerCutReport power_cycle(const PowerCut& choice) {
    const PowerCutReport report = must(view->power_cut(choice));
    view.reset();
    view = must(device->make_view({arena, clock}));
    return report;
  }
  // The word at this place of a part's media file.
  [[nodiscard]] std::uint64_t media(std::size_t part, std::uint64_t offset) const {
    const std::vector<std::byte> bytes = files[part].read();
    std::uint64_t value = 0;
    std::memcpy(&value, bytes.data() + offset, sizeof value);
    return value;
  }

  support::TempFile files[2];
  Config config;
  Arena arena;
  VirtualClock clock;
  std::shared_ptr<Device> device;
  std::unique_ptr<DaxDevice> view;
};
using Linear = Composite<sim::LinearComposite>;
using Stripe = Composite<sim::StripeComposite>;

TEST(LinearComposite, EndsAtTheBorder) {
  // The parts one behind the other; an answer never goes on into the next part.
  Linear both(2_MiB, 4_MiB);
  EXPECT_EQ(both.device->size(), 6_MiB);
  EXPECT_EQ(both.at(0, 1536).pages, 512U);
  EXPECT_EQ(both.at(2_MiB - 4_KiB, 2).pages, 1U);
  EXPECT_EQ(both.at(2_MiB, 1024).pages, 1024U);
  EXPECT_EQ(both.at(0).fd, both.at(2_MiB - 4_KiB).fd);
  EXPECT_NE(both.at(0).fd, both.at(2_MiB).fd);
  EXPECT_EQ(both.at(2_MiB).fd_offset, 0U);
}

TEST(StripeComposite, EndsAtEachChunk) {
  // 64 KiB of each part in turn: never enough for a PMD (F13/50).
  Stripe both;
  for (std::uint64_t chunk = 0; chunk < 64; ++chunk) {
    const Memory memory = both.at(chunk * 64_KiB, 512);
    EXPECT_EQ(memory.pages, 16U);
    EXPECT_EQ(memory.fd, both.at(chunk % 2 * 64_KiB).fd) << chunk;
    EXPECT_EQ(memory.fd_offset, chunk / 2 * 64_KiB);
  }
  EXPECT_EQ(both.at(60_KiB, 16).pages, 1U);
}

TEST(Composites, FlushAndFenceGoToTheParts) {
  // A range over a border is flushed on both sides, to each part's own media, and one fence makes all of it last.
  Linear linear;
  Stripe stripe;
  const auto persist = [](auto& both, std::uint64_t border) {
    both.store(border - 8, 1);
    both.store(border, 2);
    must(both.view->flush({border - 8, 16}));
    both.view->fence();
    both.store(border, 3);
    EXPECT_EQ(both.view->dirty_lines({border - 8, 16}), 1U);
    EXPECT_EQ(both.power_cycle({}).lost_lines, 1U);
    EXPECT_EQ(both.load(border - 8), 1U);
    EXPECT_EQ(both.load(border), 2U);
  };
  persist(linear, 2_MiB);
  EXPECT_EQ(linear.media(0, 2_MiB - 8), 1U);
  EXPECT_EQ(linear.media(1, 0), 2U);
  persist(stripe, 3 * 64_KiB);  // the third chunk is the first part's second, the fourth the second part's second
  EXPECT_EQ(stripe.media(0, 128_KiB - 8), 1U);
  EXPECT_EQ(stripe.media(1, 64_KiB), 2U);
}

TEST(Composites, CutsAreChosenOverAllParts) {
  // Pending lines are in the composite's offsets, ascending; a list names them so; none, all and seeds mean what they do
  // on one device.
  const auto prepare = [](Stripe& both) {
    for (std::uint64_t chunk = 0; chunk < 8; ++chunk) {
      both.store(chunk * 64_KiB, chunk + 1);
    }
    must(both.view->flush({0, 256_KiB}));
  };
  Stripe listed;
  prepare(listed);
  const Lines lines = listed.view->pending_lines();
  ASSERT_EQ(lines.size(), 8U);
  EXPECT_TRUE(std::ranges::is_sorted(lines, {}, &LineHistory::offset));
  EXPECT_EQ(lines[3], (LineHistory{3 * 64_KiB, 2}));
  const auto list = [](std::vector<LineOutcome> of) {
    return PowerCut{.kind = PowerCut::Kind::listed, .lines = std::move(of)};
  };
  EXPECT_EQ(error_of(listed.view->power_cut(list({{64, 0}}))), Errno::einval);
  EXPECT_EQ(error_of(listed.view->power_cut(list({{3 * 64_KiB, 2}}))), Errno::einval);
  const PowerCutReport report = listed.power_cycle(list({{3 * 64_KiB, 1}, {6 * 64_KiB, 1}}));
  EXPECT_EQ(report.unfenced_lines, 4U);
  EXPECT_EQ(report.dirty_lines, 4U);
  EXPECT_EQ(report.lost_lines, 6U);
  for (std::uint64_t chunk = 0; chunk < 8; ++chunk) {
    EXPECT_EQ(listed.load(chunk * 64_KiB), chunk == 3 || chunk == 6 ? chunk + 1 : 0) << chunk;
  }

  Stripe all;
  prepare(all);
  EXPECT_EQ(all.power_cycle({.kind = PowerCut::Kind::all}).lost_lines, 0U);
  EXPECT_EQ(all.load(7 * 64_KiB), 8U);

  const auto survivors = [&prepare](std::uint64_t seed) {
    Stripe both;
    prepare(both);
    both.power_cycle({.kind = PowerCut::Kind::seeded, .seed = seed});
    std::vector<std::uint64_t> values;
    for (std::uint64_t chunk = 0; chunk < 8; ++chunk) {
      values.push_back(both.load(chunk * 64_KiB));
    }
    return values;
  };
  EXPECT_EQ(survivors(1), survivors(1));
  EXPECT_NE(survivors(1), survivors(2));
}

TEST(Composites, CanDoWhatTheirPartsCan) {
  // Synchronous if all are, a write cache if one has it, the smallest alignment; the names of all.
  support::TempFile files[2];
  const auto left =
      must(sim::open(sim::Pmem{.path = files[0].path(), .size = 2_MiB, .write_cache = false, .synchronous = true}));
  const auto right =
      must(sim::open(sim::Pmem{.path = files[1].path(), .size = 2_MiB, .write_cache = true, .synchronous = false}));
  const auto alone = must(sim::open(sim::LinearComposite{.parts = {left}}));
  EXPECT_TRUE(alone->capabilities().synchronous);
  EXPECT_FALSE(alone->capabilities().write_cache);
  const auto both = must(sim::open(sim::StripeComposite{.parts = {left, right}}));
  EXPECT_TRUE(both->capabilities().direct);
  EXPECT_FALSE(both->capabilities().synchronous);
  EXPECT_TRUE(both->capabilities().write_cache);
  EXPECT_EQ(both->name(), left->name() + "+" + right->name());
}

TEST(Composites, PartsBelongToOne) {
  // Errno::ebusy for a part while the composite has a view, and for the composite while a part has one.
  Linear both;
  EXPECT_EQ(error_of(both.config.parts[1]->make_view({both.arena, both.clock})), Errno::ebusy);
  both.view->unmap();
  const auto part = must(both.config.parts[1]->make_view({both.arena, both.clock}));
  EXPECT_EQ(error_of(both.device->make_view({both.arena, both.clock})), Errno::ebusy);
}

TEST(Composites, RefuseWhatDoesNotFit) {
  // Errno::einval: no parts, parts that are not direct, a border that no PMD fits, chunks and sizes that do not go up.
  support::TempFile files[2];
  const auto small = must(sim::open(sim::Pmem{.path = files[0].path(), .size = 1_MiB}));
  const auto large = must(sim::open(sim::Pmem{.path = files[1].path(), .size = 2_MiB}));
  const auto disk = must(sim::open(sim::RamDisk{.size = 2_MiB}));
  using Parts = std::vector<std::shared_ptr<Device>>;
  for (const Parts& parts : {Parts{}, Parts{large, disk}, Parts{nullptr}, Parts{small, large}}) {
    EXPECT_EQ(error_of(sim::open(sim::LinearComposite{.parts = parts})), Errno::einval);
    EXPECT_EQ(error_of(sim::open(sim::StripeComposite{.parts = parts})), Errno::einval);
  }
  must(sim::open(sim::LinearComposite{.parts = {large, small}}));
  for (const std::uint64_t chunk : {0_KiB, 2_KiB, 12_KiB, 4_MiB}) {
    EXPECT_EQ(error_of(sim::open(sim::StripeComposite{.parts = {large}, .chunk = chunk})), Errno::einval) << chunk;
  }
}

TEST(Composites, FramesAndAddressesLeadBack) {
  // A page of a composite has one frame, in the order of its pages, and its kernel address leads back to it.
  Stripe both;
  VirtualClock clock;
  EventStream events(clock, 64);
  MemoryMap map;
  const Pfn first = must(map.reserve(both.device->size() >> kPageShift));
  Attachment attachment(both.device, std::move(both.view), first, 1, events);
  map.bind(first, attachment);
  for (const std::uint64_t page : {0U, 15U, 16U, 17U, 40U, 1023U}) {
    const Memory memory = must(attachment.direct_access({page}, 1));
    EXPECT_EQ(memory.pfn, first + page);
    EXPECT_EQ(map.find_kaddr(reinterpret_cast<std::uintptr_t>(memory.kaddr) + 100).page, Pgoff{page});
  }
  EXPECT_EQ(map.find_kaddr(0).attachment, nullptr);
}

}  // namespace
}  // namespace daxsim
