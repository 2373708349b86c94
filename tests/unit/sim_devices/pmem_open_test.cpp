// SPDX-License-Identifier: BSD-3-Clause
// Opening a media file: what is accepted, what is refused and how, and who is kept out meanwhile.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <csignal>
#include <fstream>
#include <latch>
#include <thread>

#include "daxsim/sim_devices/pmem.hpp"
#include "daxsim/test_support/must.hpp"
#include "pmem_test.hpp"
#include "support/child.hpp"
#include "support/error_of.hpp"
#include "support/temp_file.hpp"

namespace daxsim {
namespace {

using support::error_of;
using support::in_child;
using support::TempFile;
using namespace literals;

constexpr std::uint64_t kSmall = PmemOnFile::kSmall;

TEST(PmemOpenTest, CreatesASparseFile) {
  // A missing file comes to be, with its size and without blocks; the device is named after it.
  const TempFile file;
  const auto device = must(sim::open({.path = file.path(), .size = 64_MiB}));
  EXPECT_EQ(std::filesystem::file_size(file.path()), 64_MiB);
  EXPECT_EQ(file.allocated(), 0U);
  EXPECT_EQ(device->size(), 64_MiB);
  EXPECT_EQ(device->name(), "media.pmem");
}

TEST(PmemOpenTest, FillsAnEmptyFile) {
  // What mkstemp leaves counts as missing.
  const TempFile file;
  std::ofstream(file.path()).close();
  EXPECT_EQ(must(sim::open({.path = file.path(), .size = kSmall}))->size(), kSmall);
}

TEST(PmemOpenTest, TakesTheSizeOfTheFile) {
  // Size 0 means as it is.
  const TempFile file;
  must(sim::open({.path = file.path(), .size = 6_MiB}));
  EXPECT_EQ(must(sim::open({.path = file.path()}))->size(), 6_MiB);
}

TEST(PmemOpenTest, ChangesNothingBeforeTheFirstFlush) {
  // Opening, viewing and loading leave content and blocks alone.
  const TempFile file;
  std::ofstream(file.path()) << std::string(kSmall, 'x');
  const auto before = file.read();
  const auto allocated = file.allocated();
  {
    Arena arena;
    VirtualClock clock;
    const auto device = must(sim::open({.path = file.path()}));
    const auto view = must(device->make_view({arena, clock}));
    must(view->direct_access({3}, 9, DaxMode::access));
    view->fence();
  }
  EXPECT_EQ(file.read(), before);
  EXPECT_EQ(file.allocated(), allocated);
}

TEST(PmemOpenTest, CapabilitiesAreTheConfigs) {
  // Flags are data.
  const TempFile file;
  const auto plain = must(sim::open({.path = file.path(), .size = kSmall}))->capabilities();
  EXPECT_TRUE(plain.synchronous);
  EXPECT_TRUE(plain.write_cache);
  EXPECT_EQ(plain.alignment, kPmdSize);
  const auto other = must(sim::open({.path = file.path(), .write_cache = false, .synchronous = false}))->capabilities();
  EXPECT_FALSE(other.synchronous);
  EXPECT_FALSE(other.write_cache);
}

TEST(PmemOpenTest, RefusesOddSizes) {
  // Errno::einval for sizes that no device has; nothing is created.
  for (const std::uint64_t size : {1UL, 4096UL, kSmall - 1, kSmall + 4096, 3 * kSmall, 2_MiB + 1, 1_TiB + 2_MiB}) {
    const TempFile file;
    EXPECT_EQ(error_of(sim::open({.path = file.path(), .size = size})), Errno::einval) << size;
    EXPECT_FALSE(std::filesystem::exists(file.path()));
  }
  for (const std::uint64_t size : {kSmall, 2_MiB, 6_MiB, 1_TiB}) {
    const TempFile file;
    EXPECT_TRUE(sim::open({.path = file.path(), .size = size}).ok()) << size;
  }
}

TEST(PmemOpenTest, RefusesFilesThatDoNotFit) {
  // Errno::einval for a file of another size than asked, or of a size that no device has, or without any.
  const TempFile file;
  EXPECT_EQ(error_of(sim::open({.path = file.path()})), Errno::einval) << "missing, and no size";
  std::ofstream(file.path()).close();
  EXPECT_EQ(error_of(sim::open({.path = file.path()})), Errno::einval) << "empty, and no size";
  std::filesystem::resize_file(file.path(), 2_MiB);
  EXPECT_EQ(error_of(sim::open({.path = file.path(), .size = 4_MiB})), Errno::einval);
  std::filesystem::resize_file(file.path(), 2_MiB + 1);
  EXPECT_EQ(error_of(sim::open({.path = file.path()})), Errno::einval);
  EXPECT_EQ(std::filesystem::file_size(file.path()), 2_MiB + 1) << "never truncated";
}

TEST(PmemOpenTest, RefusesWhatIsNoFile) {
  // Errno::einval for folders, pipes and devices, without waiting for anybody.
  const TempFile file;
  EXPECT_EQ(error_of(sim::open({.path = file.folder(), .size = kSmall})), Errno::einval);
  EXPECT_EQ(error_of(sim::open({.path = file.folder()})), Errno::einval);
  ASSERT_EQ(::mkfifo(file.path().c_str(), 0600), 0);
  EXPECT_EQ(error_of(sim::open({.path = file.path(), .size = kSmall})), Errno::einval);
  EXPECT_EQ(error_of(sim::open({.path = "/dev/null", .size = kSmall})), Errno::einval);
}

TEST(PmemOpenTest, RefusesWrongPaths) {
  // The host's words for a path that leads nowhere.
  const TempFile file;
  EXPECT_EQ(error_of(sim::open({.path = file.folder() / "no" / "x", .size = kSmall})), Errno::enoent);
  EXPECT_EQ(error_of(sim::open({.path = file.folder() / "no" / "x"})), Errno::enoent);
  EXPECT_EQ(error_of(sim::open({.path = "", .size = kSmall})), Errno::enoent);
  std::ofstream(file.path()).close();
  EXPECT_EQ(error_of(sim::open({.path = file.path() / "x", .size = kSmall})), Errno::enotdir);
  EXPECT_EQ(error_of(sim::open({.path = file.folder() / std::string(300, 'n'), .size = kSmall})), Errno::enametoolong);
}

TEST(PmemOpenTest, RefusesForbiddenFiles) {
  // Errno::eacces; root is nobody for the time of the test.
  const TempFile file;
  std::filesystem::permissions(file.folder(), std::filesystem::perms::all);
  must(sim::open({.path = file.path(), .size = kSmall}));
  for (const mode_t mode : {0444, 0000}) {
    ASSERT_EQ(::chmod(file.path().c_str(), mode), 0);
    EXPECT_EQ(in_child([&](std::ostream& out) {
                if (::geteuid() == 0 && ::setresuid(65534, 65534, 65534) != 0) {
                  out << "cannot become nobody";
                }
                const auto error = error_of(sim::open({.path = file.path()}));
                if (error != Errno::eacces) {
                  out << (error ? errno_name(*error) : "opened");
                }
              }),
              "");
  }
}

TEST(PmemOpenTest, RefusesSealedFiles) {
  // Errno::eperm for a file that lets itself be opened but not be written.
  const int sealed = ::memfd_create("sealed", MFD_ALLOW_SEALING | MFD_CLOEXEC);
  ASSERT_EQ(::ftruncate(sealed, static_cast<off_t>(kSmall)), 0);
  ASSERT_EQ(::fcntl(sealed, F_ADD_SEALS, F_SEAL_WRITE), 0);
  EXPECT_EQ(error_of(sim::open({.path = "/proc/self/fd/" + std::to_string(sealed)})), Errno::eperm);
  ::close(sealed);
}

TEST(PmemOpenTest, RefusesARunningProgram) {
  // Errno::ebusy: the host does not let anybody write what is being executed.
  const auto error = error_of(sim::open({.path = "/proc/self/exe"}));
  EXPECT_TRUE(error == Errno::ebusy || (::geteuid() != 0 && error == Errno::eacces));
}

// A soft limit of the process, for a scope.
class Limit {
 public:
  Limit(__rlimit_resource resource, rlim_t limit) : resource_(resource) {
    ::getrlimit(resource_, &before_);
    const rlimit lower{limit, before_.rlim_max};
    ::setrlimit(resource_, &lower);
  }
  ~Limit() { ::setrlimit(resource_, &before_); }
  Limit(const Limit&) = delete;
  Limit& operator=(const Limit&) = delete;

 private:
  const __rlimit_resource resource_;
  rlimit before_{};
};

TEST(PmemOpenTest, RefusesMoreThanTheLimits) {
  // Errno::emfile and Errno::efbig from the process's limits, and no signal. A file of just the limit's size is fine.
  const TempFile file;
  const auto open_under = [&](__rlimit_resource resource, rlim_t limit) {
    const Limit lower(resource, limit);
    return error_of(sim::open({.path = file.path(), .size = kSmall}));
  };
  EXPECT_EQ(open_under(RLIMIT_NOFILE, 0), Errno::emfile);
  EXPECT_EQ(open_under(RLIMIT_FSIZE, kSmall - 1), Errno::efbig);
  EXPECT_EQ(open_under(RLIMIT_FSIZE, kSmall), std::nullopt);
}

TEST(PmemOpenTest, ViewsHaveLimitsToo) {
  // make_view() with no descriptors left, and with files limited since the device was opened.
  const TempFile file;
  Arena arena;
  VirtualClock clock;
  const auto device = must(sim::open({.path = file.path(), .size = kSmall}));
  const auto view_under = [&](__rlimit_resource resource, rlim_t limit) {
    const Limit lower(resource, limit);
    return error_of(device->make_view({arena, clock}));
  };
  EXPECT_EQ(view_under(RLIMIT_NOFILE, 0), Errno::emfile);
  EXPECT_EQ(view_under(RLIMIT_FSIZE, kSmall - 1), Errno::efbig);
  EXPECT_EQ(view_under(RLIMIT_FSIZE, kSmall), std::nullopt) << "a refused view leaves the device free";
}

TEST(PmemOpenTest, RefusesTheSecondAttacher) {
  // Errno::ebusy in this process, by whatever name, until the last reference is gone.
  const TempFile file;
  const auto link = file.folder() / "link";
  auto device = must(sim::open({.path = file.path(), .size = kSmall}));
  std::filesystem::create_hard_link(file.path(), link);
  EXPECT_EQ(error_of(sim::open({.path = file.path()})), Errno::ebusy);
  EXPECT_EQ(error_of(sim::open({.path = link})), Errno::ebusy);

  Arena arena;

  VirtualClock clock;
  auto view = must(device->make_view({arena, clock}));
  device.reset();
  EXPECT_EQ(error_of(sim::open({.path = link})), Errno::ebusy) << "a view is left";
  view.reset();
  EXPECT_TRUE(sim::open({.path = link}).ok());
}

TEST(PmemOpenTest, RefusesAnotherProcess) {
  // Errno::ebusy across processes, in both directions.
  const TempFile file;
  auto device = must(sim::open({.path = file.path(), .size = kSmall}));
  int ready[2];
  int done[2];
  ASSERT_EQ(::pipe(ready), 0);
  ASSERT_EQ(::pipe(done), 0);
  const pid_t child = ::fork();
  if (child == 0) {
    // The inherited device would keep the file locked for ever.
    device.reset();
    ::close(done[1]);
    char verdict = error_of(sim::open({.path = file.path()})) == Errno::ebusy ? 'b' : 'x';
    bool ok = ::write(ready[1], &verdict, 1) == 1 && ::read(done[0], &verdict, 1) == 1;
    const auto mine = sim::open({.path = file.path()});
    verdict = mine.ok() ? 'o' : 'x';
    ok = ok && ::write(ready[1], &verdict, 1) == 1 && ::read(done[0], &verdict, 1) == 0;
    ::_exit(ok ? 0 : 1);
  }
  char verdict = 0;
  ASSERT_EQ(::read(ready[0], &verdict, 1), 1);
  EXPECT_EQ(verdict, 'b') << "the child got the parent's device";
  device.reset();
  ASSERT_EQ(::write(done[1], "", 1), 1);
  ASSERT_EQ(::read(ready[0], &verdict, 1), 1);
  EXPECT_EQ(verdict, 'o') << "the child did not get the free device";
  EXPECT_EQ(error_of(sim::open({.path = file.path()})), Errno::ebusy);
  ::close(done[1]);
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
  EXPECT_TRUE(sim::open({.path = file.path()}).ok());
  for (const int end : {ready[0], ready[1], done[0]}) {
    ::close(end);
  }
}

TEST(PmemOpenTest, OneViewAtATime) {
  // Errno::ebusy for a second machine, until the first has lost its view by a power cut, by unmapping, or by its end.
  // What is left of a dead view does not disturb the next one.
  const TempFile file;
  Arena arena;
  VirtualClock clock;
  const auto device = must(sim::open({.path = file.path(), .size = kSmall}));
  auto view = must(device->make_view({arena, clock}));
  EXPECT_EQ(error_of(device->make_view({arena, clock})), Errno::ebusy);
  must(view->power_cut({}));
  auto second = must(device->make_view({arena, clock}));
  view.reset();
  EXPECT_EQ(error_of(device->make_view({arena, clock})), Errno::ebusy) << "the dead one gave away what was not its own";
  second->unmap();
  auto third = must(device->make_view({arena, clock}));
  second.reset();
  EXPECT_EQ(error_of(device->make_view({arena, clock})), Errno::ebusy);
  third.reset();
  EXPECT_TRUE(device->make_view({arena, clock}).ok());
}

TEST(PmemOpenTest, ManyDevicesAtOnce) {
  // The process's list of media takes them in any order, from several threads.
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([] {
      for (int round = 0; round < 20; ++round) {
        const TempFile first;
        const TempFile second;
        auto one = must(sim::open({.path = first.path(), .size = kSmall}));
        const auto two = must(sim::open({.path = second.path(), .size = kSmall}));
        one.reset();
        one = must(sim::open({.path = first.path()}));
        EXPECT_EQ(error_of(sim::open({.path = second.path()})), Errno::ebusy);
      }
    });
  }
  for (std::thread& thread : threads) {
    thread.join();
  }
}

}  // namespace
}  // namespace daxsim
