// SPDX-License-Identifier: BSD-3-Clause
// The calls of Mapping: what they answer, what they ask of the file, and who owns the addresses.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstdlib>
#include <utility>

#include "daxsim/mm/live.hpp"
#include "daxsim/test_support/expect.hpp"
#include "daxsim/test_support/must.hpp"
#include "live_world.hpp"
#include "support/child.hpp"
#include "support/sanitized.hpp"

namespace daxsim::test {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

class LiveMapping : public ::testing::TestWithParam<LiveBackend> {
 protected:
  LiveMmuWorld world{64};
};

INSTANTIATE_TEST_SUITE_P(, LiveMapping, ::testing::ValuesIn(live_backends()),
                         [](const auto& backend) { return live_backend_name(backend.param); });

// What mmap(2) refuses, by errno.
TEST_P(LiveMapping, RefusesWhatMmapRefuses) {
  const auto map = [&](const MapOptions& options) { return world.map(GetParam(), options); };
  constexpr std::uint64_t kMax = ~std::uint64_t{0};

  EXPECT_ERRNO(map({.offset = 1}), Errno::einval);
  EXPECT_ERRNO(map({.offset = 64 * kPageSize}), Errno::einval);
  EXPECT_ERRNO(map({.offset = round_down(kMax, kPageSize), .length = 2 * kPageSize}), Errno::einval);
  EXPECT_ERRNO(map({.length = kMax - kPageSize}), Errno::enomem);
  EXPECT_ERRNO(map({.length = (std::uint64_t{1} << 44) + 1}), Errno::enomem);
  EXPECT_ERRNO(Mapping::map(world.system, world.open(OpenMode::read_only), {}, GetParam()), Errno::eacces);
  world.inode->resize(0);
  EXPECT_ERRNO(map({}), Errno::einval);
  world.file_system->shutdown(Errno::eshutdown);
  EXPECT_ERRNO(map({.length = 1}), Errno::eshutdown);
}

// A read-only handle can be mapped to be read, and privately to be written.
TEST_P(LiveMapping, ReadOnlyHandle) {
  const auto file = world.open(OpenMode::read_only);

  EXPECT_TRUE(Mapping::map(world.system, file, {.prot = Prot::read}, GetParam()).ok());
  EXPECT_TRUE(Mapping::map(world.system, file, {.sharing = Sharing::private_copy}, GetParam()).ok());
}

// MAP_SYNC reaches the file system through the area's flags; on private mappings it is ignored.
TEST_P(LiveMapping, MapSync) {
  EXPECT_TRUE(must(world.map(GetParam(), {.sync = MapSync::yes})).vma().flags().sync);
  EXPECT_FALSE(
      must(world.map(GetParam(), {.sharing = Sharing::private_copy, .sync = MapSync::yes})).vma().flags().sync);
}

// A device that is not synchronous cannot promise what MAP_SYNC means.
TEST_P(LiveMapping, MapSyncWantsSynchronousDevice) {
  world.inode->synchronous = false;

  EXPECT_ERRNO(world.map(GetParam(), {.sync = MapSync::yes}), Errno::eopnotsupp);
  EXPECT_TRUE(world.map(GetParam(), {.sharing = Sharing::private_copy, .sync = MapSync::yes}).ok());
}

// msync syncs the file bytes of the pages in range, says what is wrong, and does the rest.
TEST_P(LiveMapping, Msync) {
  Mapping map = must(world.map(GetParam(), {.offset = 4 * kPageSize}));

  EXPECT_TRUE(map.msync({kPageSize, 1}).ok());
  EXPECT_THAT(world.inode->synced, ElementsAre(ByteRange{5 * kPageSize, kPageSize}));
  EXPECT_ERRNO(map.msync({1, kPageSize}), Errno::einval);
  EXPECT_EQ(world.inode->synced.size(), 1U);
  EXPECT_ERRNO(map.msync({59 * kPageSize, 2 * kPageSize}), Errno::enomem);
  EXPECT_EQ(world.inode->synced.back(), (ByteRange{63 * kPageSize, kPageSize}));
  EXPECT_ERRNO(map.msync({60 * kPageSize, kPageSize}), Errno::enomem);
  world.inode->sync_result = Errno::enospc;
  EXPECT_ERRNO(map.msync({0, kPageSize}), Errno::enospc);
}

// A private mapping has nothing to sync.
TEST_P(LiveMapping, MsyncOfPrivateMapping) {
  Mapping map = must(world.map(GetParam(), {.sharing = Sharing::private_copy}));

  EXPECT_TRUE(map.msync({0, map.size()}).ok());

  EXPECT_THAT(world.inode->synced, IsEmpty());
}

// prefault brings pages in without a signal, and says why it could not.
TEST_P(LiveMapping, Prefault) {
  world.inode->allocate(0, 8);
  Mapping map = must(world.map(GetParam()));

  EXPECT_TRUE(map.prefault({0, 4 * kPageSize}, Access::read).ok());
  EXPECT_TRUE(map.prefault({0, kPageSize}, Access::write).ok());
  EXPECT_TRUE(map.prefault({0, 4 * kPageSize}, Access::read).ok());

  EXPECT_TRUE(map.vma().pte({0}).writable);
  EXPECT_FALSE(map.vma().pte({3}).writable);
  EXPECT_FAULTS(map, pte = 5);
  EXPECT_ERRNO(map.prefault({1, 1}, Access::read), Errno::einval);
  EXPECT_ERRNO(map.prefault({63 * kPageSize, 2 * kPageSize}, Access::read), Errno::enomem);
  EXPECT_NE(map.vma().pte({63}).kind, PteState::Kind::none);
  for (const auto& [outcome, error] :
       {std::pair{FaultOutcome::sigbus, Errno::efault}, std::pair{FaultOutcome::hwpoison, Errno::ehwpoison},
        std::pair{FaultOutcome::oom, Errno::enomem}}) {
    world.inode->forced = outcome;
    EXPECT_ERRNO(map.prefault({20 * kPageSize, 1}, Access::read), error);
  }
  EXPECT_FAULTS(map, pte = 6);
  EXPECT_EQ(world.events.count(EventType::page_fault_user), 0U);
}

// prefault to write fails where a store would not be allowed.
TEST_P(LiveMapping, PrefaultToWriteReadOnlyMapping) {
  Mapping map = must(world.map(GetParam(), {.prot = Prot::read}));

  EXPECT_ERRNO(map.prefault({0, 1}, Access::write), Errno::efault);
}

// dont_need drops the pages; private copies lose their bytes.
TEST_P(LiveMapping, DontNeed) {
  world.inode->allocate(0, 8);
  Mapping map = must(world.map(GetParam(), {.sharing = Sharing::private_copy}));
  store(map.data(), 1);
  load(map.data() + kPageSize);

  EXPECT_TRUE(map.dont_need({0, 2 * kPageSize}).ok());

  EXPECT_EQ(load(map.data()), std::byte{0});
  EXPECT_FAULTS(map, pte = 2, cow = 1);
  EXPECT_ERRNO(map.dont_need({7, 1}), Errno::einval);
  EXPECT_ERRNO(map.dont_need({0, 65 * kPageSize}), Errno::enomem);
  EXPECT_EQ(map.vma().pte({0}).kind, PteState::Kind::none);
}

// A handle that was moved from is empty, and the mapping lives on in the other.
TEST_P(LiveMapping, MovesAndEnds) {
  world.inode->allocate(0, 8);
  Mapping first = must(world.map(GetParam()));
  std::byte* const data = first.data();
  store(data, 1);

  Mapping second = std::move(first);
  EXPECT_EQ(first.size(), 0U);  // NOLINT(bugprone-use-after-move): that is the promise
  EXPECT_EQ(load(data), std::byte{1});
  first = std::move(second);
  EXPECT_EQ(first.data(), data);
  first.unmap();
  first.unmap();

  EXPECT_EQ(first.data(), nullptr);
  const std::optional<FaultSignal> signal = SignalProbe::run([&] { load(data); });
  ASSERT_TRUE(signal.has_value());
  EXPECT_EQ(signal->number, SIGSEGV);
  EXPECT_EQ(signal->code, SEGV_MAPERR);
}

// The addresses stay reserved when everything behind them is gone.
TEST_P(LiveMapping, AddressesStayReserved) {
  world.inode->allocate(0, 64);
  const Mapping map = must(world.map(GetParam()));
  store(map.data(), 1);
  world.inode->punch(0, 64, EvenCows::yes);
  world.inode->resize(0);

  EXPECT_SIGBUS_LOAD(map.data(), BUS_ADRERR);
  void* const hint = ::mmap(map.data(), kPageSize, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
  EXPECT_EQ(hint, MAP_FAILED);
}

// Two mappings of one file are two views of the same pages, and each is write-protected.
TEST_P(LiveMapping, TwoMappingsOfOneFile) {
  world.inode->allocate(0, 8);
  const Mapping one = must(world.map(GetParam()));
  const Mapping other = must(world.map(GetParam(), {.offset = 2 * kPageSize}));
  store(one.data() + 3 * kPageSize, 7);
  EXPECT_EQ(load(other.data() + kPageSize), std::byte{7});
  store(other.data() + kPageSize, 8);

  EXPECT_EQ(world.inode->write_back(0, 8), 2U);

  EXPECT_EQ(load(one.data() + 3 * kPageSize), std::byte{8});
  EXPECT_FALSE(one.vma().pte({3}).writable);
  EXPECT_FALSE(other.vma().pte({3}).writable);
}

// The kernel does not fault pages in for a system call; prefault does it before.
TEST_P(LiveMapping, SystemCallsWantPresentPages) {
  world.inode->allocate(0, 8);
  Mapping map = must(world.map(GetParam()));
  int ends[2];
  ASSERT_EQ(::pipe(ends), 0);

  errno = 0;
  EXPECT_EQ(::write(ends[1], map.data(), 16), -1);
  EXPECT_EQ(errno, EFAULT);
  EXPECT_TRUE(map.prefault({0, 16}, Access::read).ok());
  EXPECT_EQ(::write(ends[1], map.data(), 16), 16);
  errno = 0;
  EXPECT_EQ(::read(ends[0], map.data(), 16), -1);
  EXPECT_EQ(errno, EFAULT);
  EXPECT_TRUE(map.prefault({0, 16}, Access::write).ok());
  EXPECT_EQ(::read(ends[0], map.data(), 16), 16);

  ::close(ends[0]);
  ::close(ends[1]);
}

// The address table has room for a mapping of a tebibyte, and memory only for what is touched.
TEST_P(LiveMapping, HugeMapping) {
  world.inode->allocate(0, 8);
  const Mapping map = must(world.map(GetParam(), {.length = std::uint64_t{1} << 40}));

  store(map.data() + 7 * kPageSize, 1);
  EXPECT_SIGBUS_LOAD(map.data() + map.size() - 1, BUS_ADRERR);
  EXPECT_EQ(map.vma().write_protect(kAllPages), 1U);

  EXPECT_EQ(map.size(), std::uint64_t{1} << 40);
}

// Blocks that are scattered page by page use up the host's mappings. The fault that finds none left ends in a bus error
// whose reason has a name; pages that are there stay, and can be write-protected and taken away.
TEST_P(LiveMapping, HostMappingsRunOut) {
  if (kSanitized) {
    GTEST_SKIP() << "a sanitizer dies when the host has no mapping left for it";
  }
  const std::string trouble = support::in_child([backend = GetParam()](std::ostream& out) {
    constexpr std::uint64_t kScattered = 80'000;
    LiveMmuWorld big(kScattered);
    for (std::uint64_t page = 0; page < kScattered; ++page) {
      big.inode->place(page, 1, kScattered - 1 - page);
    }
    Mapping map = must(big.map(backend));
    std::uint64_t page = 0;
    std::optional<FaultSignal> signal;
    while (page < kScattered && !signal.has_value()) {
      signal = SignalProbe::run([&] { store(map.data() + page * kPageSize, 1); });
      ++page;
    }
    if (!signal.has_value() || signal->code != BUS_OBJERR || map.refusal() == nullptr) {
      out << "no named bus error after " << page << " pages. ";
      return;
    }
    if (load(map.data()) != std::byte{1}) {
      out << "a page is lost. ";
    }
    if (big.inode->write_back(0, 10) != 10 || map.vma().pte({0}).writable) {
      out << "no write protection. ";
    }
    if (!map.dont_need({0, map.size()}).ok() || map.vma().pte({0}).kind != PteState::Kind::none) {
      out << "pages stayed. ";
    }
  });

  EXPECT_EQ(trouble, "");
}

// `automatic` takes what the environment names, and refuses what it cannot read.
TEST_P(LiveMapping, EnvironmentChoosesTheBackend) {
  ASSERT_EQ(::setenv("DAXSIM_LIVE_BACKEND", live_backend_name(GetParam()), 1), 0);
  EXPECT_EQ(must(world.map(LiveBackend::automatic)).backend(), GetParam());
  ASSERT_EQ(::setenv("DAXSIM_LIVE_BACKEND", "magic", 1), 0);
  EXPECT_ERRNO(world.map(LiveBackend::automatic), Errno::einval);
  ASSERT_EQ(::unsetenv("DAXSIM_LIVE_BACKEND"), 0);

  EXPECT_EQ(must(world.map(LiveBackend::automatic)).backend(), probe_live_backend());
}

// Every backend has the name by which the environment asks for it.
TEST(LiveBackends, Names) {
  EXPECT_STREQ(live_backend_name(LiveBackend::automatic), "automatic");
  EXPECT_STREQ(live_backend_name(LiveBackend::userfaultfd), "userfaultfd");
  EXPECT_STREQ(live_backend_name(LiveBackend::sigsegv), "sigsegv");
}

}  // namespace
}  // namespace daxsim::test
