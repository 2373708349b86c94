// SPDX-License-Identifier: BSD-3-Clause
// flush, drain and the host's system calls over live mappings: what reaches which device, and what does not.
#include "daxsim/mm/persist.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstring>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "daxsim/device/attachment.hpp"
#include "daxsim/mm/live.hpp"
#include "daxsim/test_support/expect.hpp"
#include "daxsim/test_support/must.hpp"
#include "live_world.hpp"

namespace daxsim::test {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

// Remembers what it was told.
class LoggingView final : public DaxDevice {
 public:
  Result<Memory> direct_access(Pgoff, std::uint64_t, DaxMode) noexcept override { return Errno::eopnotsupp; }
  [[nodiscard]] std::span<std::byte> direct_map() const noexcept override { return {}; }
  Result<void> flush(ByteRange bytes) noexcept override {
    flushed.push_back(bytes);
    return answer;
  }
  void fence() noexcept override { ++fences; }
  std::vector<LineHistory> pending_lines() override { return {}; }
  std::uint64_t dirty_lines(ByteRange) noexcept override { return 0; }
  Result<PowerCutReport> power_cut(const PowerCut&) override { return Errno::eopnotsupp; }
  void unmap() noexcept override {}

  std::vector<ByteRange> flushed;
  int fences = 0;
  Result<void> answer;
};

class NamedDevice final : public Device {
 public:
  explicit NamedDevice(std::uint64_t pages) : pages_(pages) {}
  [[nodiscard]] const std::string& name() const noexcept override { return name_; }
  [[nodiscard]] std::uint64_t size() const noexcept override { return pages_ << kPageShift; }
  [[nodiscard]] const Capabilities& capabilities() const noexcept override { return capabilities_; }
  Result<std::unique_ptr<DaxDevice>> make_view(const ViewContext&) override { return Errno::ebusy; }

 private:
  const std::uint64_t pages_;
  const std::string name_ = "logging";
  const Capabilities capabilities_{};
};

class Persist : public ::testing::TestWithParam<LiveBackend> {
 protected:
  static constexpr std::uint64_t kPages = 64;

  Persist() {
    auto logging = std::make_unique<LoggingView>();
    view = logging.get();
    device = std::make_unique<Attachment>(std::make_shared<NamedDevice>(kPages), std::move(logging),
                                          must(world.memory.reserve(kPages, LiveInode::kFirstPfn)), 1, world.events);
    world.memory.bind(LiveInode::kFirstPfn, *device);
    world.inode->place(0, 32, 16);
  }
  ~Persist() override { world.memory.unbind(LiveInode::kFirstPfn); }

  LiveMmuWorld world{kPages};
  LoggingView* view = nullptr;
  std::unique_ptr<Attachment> device;
};

INSTANTIATE_TEST_SUITE_P(, Persist, ::testing::ValuesIn(live_backends()),
                         [](const auto& backend) { return live_backend_name(backend.param); });

// A flush names the device's bytes behind the pages, in one piece where they are contiguous there.
TEST_P(Persist, FlushesTheLinesOnTheDevice) {
  world.inode->place(4, 1, 3);
  const Mapping map = must(world.map(GetParam()));
  for (int page = 0; page < 6; ++page) {
    store(map.data() + page * 4096, 1);
  }

  flush(map.data() + 2 * kPageSize + 100, 3 * kPageSize);

  EXPECT_THAT(view->flushed, ElementsAre(ByteRange{18 * kPageSize + 100, 2 * kPageSize - 100},
                                         ByteRange{3 * kPageSize, kPageSize}, ByteRange{21 * kPageSize, 100}));
  EXPECT_EQ(view->fences, 0);
  drain();
}

// drain fences what this thread flushed to, once.
TEST_P(Persist, DrainFencesOnce) {
  const Mapping map = must(world.map(GetParam()));
  store(map.data(), 1);

  drain();
  EXPECT_EQ(view->fences, 0);
  persist(map.data(), 8);
  EXPECT_EQ(view->fences, 1);
  drain();
  EXPECT_EQ(view->fences, 1);
  flush(map.data(), 8);
  std::thread([] { drain(); }).join();
  EXPECT_EQ(view->fences, 1);
  drain();
  EXPECT_EQ(view->fences, 2);
}

// What was flushed through a mapping is ordered when the mapping goes, and a drain after that finds nothing.
TEST_P(Persist, UnmapDrains) {
  Mapping map = must(world.map(GetParam()));
  store(map.data(), 1);
  flush(map.data(), 8);

  map.unmap();
  EXPECT_EQ(view->fences, 1);
  drain();

  EXPECT_EQ(view->fences, 1);
}

// A flush reads: an absent page is faulted in, and what the fault ends in, the caller gets.
TEST_P(Persist, FlushFaultsAbsentPagesIn) {
  const Mapping map = must(world.map(GetParam(), {.length = 2 * kPages * kPageSize}));

  flush(map.data(), 8);
  EXPECT_FAULTS(map, pte = 1);
  EXPECT_THAT(view->flushed, ElementsAre(ByteRange{16 * kPageSize, 8}));
  const std::optional<FaultSignal> signal = SignalProbe::run([&] { flush(map.data() + kPages * kPageSize, 8); });

  ASSERT_TRUE(signal.has_value());
  EXPECT_EQ(signal->code, BUS_ADRERR);
  drain();
}

// Zero pages, private copies and memory that is no live mapping have nothing to flush.
TEST_P(Persist, NothingToFlush) {
  const Mapping shared = must(world.map(GetParam()));
  load(shared.data() + 40 * kPageSize);
  const Mapping copied = must(world.map(GetParam(), {.sharing = Sharing::private_copy}));
  store(copied.data(), 1);
  std::vector<char> heap(100'000);

  persist(shared.data() + 40 * kPageSize, 64);
  persist(copied.data(), 64);
  persist(heap.data(), heap.size());
  persist(nullptr, 0);

  EXPECT_THAT(view->flushed, IsEmpty());
  EXPECT_EQ(view->fences, 0);
}

// A device that refuses leaves the program alone, as the instruction would.
TEST_P(Persist, RefusedFlush) {
  const Mapping map = must(world.map(GetParam()));
  store(map.data(), 1);
  view->answer = Errno::enospc;

  persist(map.data(), 64);

  EXPECT_EQ(view->flushed.size(), 1U);
}

// --- system calls ---------------------------------------------------------------------------------------------------

struct Pipe {
  Pipe() {
    if (::pipe(ends) != 0) {
      std::abort();
    }
  }
  ~Pipe() {
    ::close(ends[0]);
    ::close(ends[1]);
  }
  int ends[2];
};

// Reading into and writing from pages that are not there works.
TEST_P(Persist, SystemCallsFaultPagesIn) {
  world.inode->block(1)[0] = std::byte{'x'};
  const Mapping map = must(world.map(GetParam()));
  Pipe pipe;

  EXPECT_EQ(posix::write(pipe.ends[1], map.data() + kPageSize - 1, 3), 3);
  EXPECT_EQ(posix::read(pipe.ends[0], map.data() + 3 * kPageSize - 1, 8), 3);

  EXPECT_EQ(world.inode->block(3)[0], std::byte{'x'});
  EXPECT_TRUE(world.inode->dirty(2));
}

// A large transfer with a file keeps its place, in both directions.
TEST_P(Persist, LargeTransfers) {
  const Mapping map = must(world.map(GetParam()));
  std::vector<unsigned char> bytes(100'001);
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    bytes[i] = static_cast<unsigned char>(i * 7 + i / 251);
  }
  const int file = ::memfd_create("file", MFD_CLOEXEC);
  ASSERT_EQ(::pwrite(file, bytes.data(), bytes.size(), 17), static_cast<ssize_t>(bytes.size()));

  EXPECT_EQ(posix::pread(file, map.data() + 5, 120'000, 17), static_cast<ssize_t>(bytes.size()));
  EXPECT_EQ(std::memcmp(map.data() + 5, bytes.data(), bytes.size()), 0);
  EXPECT_EQ(posix::pwrite(file, map.data() + 5, bytes.size(), 1), static_cast<ssize_t>(bytes.size()));
  std::vector<unsigned char> back(bytes.size());
  ASSERT_EQ(::pread(file, back.data(), back.size(), 1), static_cast<ssize_t>(back.size()));

  EXPECT_EQ(back, bytes);
  ::close(file);
}

// Where a load or store would end in a signal the call ends short, or with EFAULT, and takes nothing from a pipe.
TEST_P(Persist, UnreachableBuffers) {
  const Mapping map = must(world.map(GetParam(), {.length = 2 * kPages * kPageSize}));
  Pipe pipe;
  ASSERT_EQ(::write(pipe.ends[1], "abcdef", 6), 6);
  std::byte* const end = map.data() + kPages * kPageSize;

  errno = 0;
  EXPECT_EQ(posix::read(pipe.ends[0], end, 4), -1);
  EXPECT_EQ(errno, EFAULT);
  EXPECT_EQ(posix::read(pipe.ends[0], end - 2, 4), 2);
  EXPECT_EQ(posix::write(pipe.ends[1], end - 3, 10), 3);
  errno = 0;
  EXPECT_EQ(posix::write(pipe.ends[1], end, 10), -1);
  EXPECT_EQ(errno, EFAULT);
  char rest[16];
  ASSERT_EQ(::read(pipe.ends[0], rest, sizeof rest), 7);

  EXPECT_EQ(std::string(rest, 4), "cdef");
  EXPECT_FAULTS(map, pte = 1);
}

// Other buffers and errors are the host's own.
TEST_P(Persist, HostErrors) {
  const Mapping map = must(world.map(GetParam()));
  char buffer[8] = "1234567";
  Pipe pipe;

  EXPECT_EQ(posix::write(pipe.ends[1], buffer, 8), 8);
  EXPECT_EQ(posix::read(pipe.ends[0], buffer, 8), 8);
  errno = 0;
  EXPECT_EQ(posix::read(-1, map.data(), 8), -1);
  EXPECT_EQ(errno, EBADF);
  errno = 0;
  EXPECT_EQ(posix::pwrite(-1, map.data(), 8, 0), -1);
  EXPECT_EQ(errno, EBADF);
  ::close(pipe.ends[1]);
  EXPECT_EQ(posix::read(pipe.ends[0], map.data(), 8), 0);
  pipe.ends[1] = ::dup(pipe.ends[0]);
}

// msync by address: the same as Mapping::msync, with the host's conventions.
TEST_P(Persist, MsyncByAddress) {
  const Mapping map = must(world.map(GetParam(), {.offset = 2 * kPageSize, .length = 4 * kPageSize}));

  EXPECT_EQ(posix::msync(map.data() + kPageSize, 1, MS_SYNC), 0);
  EXPECT_THAT(world.inode->synced, ElementsAre(ByteRange{3 * kPageSize, kPageSize}));
  EXPECT_EQ(posix::msync(map.data(), map.size(), MS_ASYNC), 0);
  EXPECT_EQ(world.inode->synced.size(), 1U);
  errno = 0;
  EXPECT_EQ(posix::msync(map.data() + 1, 1, MS_SYNC), -1);
  EXPECT_EQ(errno, EINVAL);
  errno = 0;
  EXPECT_EQ(posix::msync(map.data(), 1, MS_SYNC | MS_ASYNC), -1);
  EXPECT_EQ(errno, EINVAL);
  EXPECT_EQ(world.inode->synced.size(), 1U);
  errno = 0;
  EXPECT_EQ(posix::msync(map.data() + 3 * kPageSize, 2 * kPageSize, MS_SYNC), -1);
  EXPECT_EQ(errno, ENOMEM);
  EXPECT_EQ(world.inode->synced.back(), (ByteRange{5 * kPageSize, kPageSize}));
  world.inode->sync_result = Errno::eio;
  errno = 0;
  EXPECT_EQ(posix::msync(map.data(), 1, MS_SYNC), -1);
  EXPECT_EQ(errno, EIO);
}

// Memory of the host's own goes to the host.
TEST_P(Persist, MsyncOfOtherMemory) {
  void* const page = ::mmap(nullptr, kPageSize, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

  EXPECT_EQ(posix::msync(page, kPageSize, MS_SYNC), 0);
  ::munmap(page, kPageSize);
  errno = 0;
  EXPECT_EQ(posix::msync(page, kPageSize, MS_SYNC), -1);
  EXPECT_EQ(errno, ENOMEM);
}

}  // namespace
}  // namespace daxsim::test
