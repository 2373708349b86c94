// SPDX-License-Identifier: BSD-3-Clause
// What the host refuses, call by call. The functions below take the place of libc's in this program, so that every user
// can have a full disk or a read-only file system.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdarg>
#include <fstream>
#include <string>

#include "daxsim/sim_devices/ram_disk.hpp"
#include "pmem_test.hpp"
#include "support/child.hpp"
#include "support/error_of.hpp"

namespace {

// Calls of one function: the first `let_pass` go through, the next `fail` end with `error`.
struct Refusal {
  std::atomic<int> let_pass{0};
  std::atomic<int> fail{0};
  std::atomic<int> error{0};

  // 0, or what the call ends with.
  int next() {
    if (fail == 0) {
      return 0;
    }
    if (let_pass > 0) {
      --let_pass;
      return 0;
    }
    --fail;
    return error;
  }
};

Refusal refuse_open;
Refusal refuse_madvise;          // populating the view's memory
Refusal refuse_fallocate;        // the same on old hosts
Refusal refuse_posix_fallocate;  // of the media
Refusal refuse_pread;
Refusal refuse_pwrite;  // of a RAM disk
Refusal refuse_memfd;
Refusal refuse_flock;
std::atomic<bool> locks_are_granted{false};  // to everybody, as within one process where locks belong to it

void refuse(Refusal& call, int error, int let_pass = 0, int times = 1) {
  call.error = error;
  call.let_pass = let_pass;
  call.fail = times;
}

int refused(Refusal& call) {
  const int error = call.next();
  if (error != 0) {
    errno = error;
  }
  return error;
}

}  // namespace

extern "C" {

int open(const char* path, int flags, ...) {
  va_list arguments;
  va_start(arguments, flags);
  const mode_t mode = (flags & O_CREAT) != 0 ? va_arg(arguments, mode_t) : 0;
  va_end(arguments);
  return refused(refuse_open) != 0 ? -1 : static_cast<int>(::syscall(SYS_openat, AT_FDCWD, path, flags, mode));
}

int fallocate(int file, int mode, off_t offset, off_t length) {
  return refused(refuse_fallocate) != 0 ? -1 : static_cast<int>(::syscall(SYS_fallocate, file, mode, offset, length));
}

int madvise(void* start, size_t length, int advice) noexcept {
  return refused(refuse_madvise) != 0 ? -1 : static_cast<int>(::syscall(SYS_madvise, start, length, advice));
}

int posix_fallocate(int file, off_t offset, off_t length) {
  if (const int error = refuse_posix_fallocate.next(); error != 0) {
    return error;
  }
  return ::syscall(SYS_fallocate, file, 0, offset, length) == 0 ? 0 : errno;
}

ssize_t pread(int file, void* to, size_t length, off_t offset) {
  return refused(refuse_pread) != 0 ? -1 : ::syscall(SYS_pread64, file, to, length, offset);
}

ssize_t pwrite(int file, const void* from, size_t length, off_t offset) {
  return refused(refuse_pwrite) != 0 ? -1 : ::syscall(SYS_pwrite64, file, from, length, offset);
}

int memfd_create(const char* name, unsigned flags) noexcept {
  return refused(refuse_memfd) != 0 ? -1 : static_cast<int>(::syscall(SYS_memfd_create, name, flags));
}

// Under another name here, since `flock` is also a struct.
int lock_file(int file, int operation) noexcept __asm__("flock");
int lock_file(int file, int operation) noexcept {
  if (locks_are_granted) {
    return 0;
  }
  return refused(refuse_flock) != 0 ? -1 : static_cast<int>(::syscall(SYS_flock, file, operation));
}

}  // extern "C"

namespace daxsim {
namespace {

using support::error_of;
using support::in_child;
using support::TempFile;
using namespace literals;

constexpr std::uint64_t kSmall = PmemOnFile::kSmall;

TEST(PmemHostTest, OpenSaysWhatTheHostSays) {
  // Every errno that the header names for open(2); what it does not name is eio.
  const struct {
    int host;
    Errno ours;
  } cases[] = {{EROFS, Errno::erofs},   {ENOSPC, Errno::enospc}, {ENFILE, Errno::enfile}, {EMFILE, Errno::emfile},
               {EACCES, Errno::eacces}, {EPERM, Errno::eperm},   {ENOMEM, Errno::enomem}, {ETXTBSY, Errno::ebusy},
               {EIO, Errno::eio},       {ELOOP, Errno::eio}};
  const TempFile file;
  for (const auto& [host, ours] : cases) {
    refuse(refuse_open, host);
    EXPECT_EQ(error_of(sim::open({.path = file.path(), .size = kSmall})), ours) << host;
  }
}

TEST(PmemHostTest, NoLocksOnThisFileSystem) {
  // Errno::eio: without a lock there is no device.
  const TempFile file;
  refuse(refuse_flock, ENOLCK);
  EXPECT_EQ(error_of(sim::open({.path = file.path(), .size = kSmall})), Errno::eio);
}

TEST(PmemHostTest, LocksOfTheProcessAreNotEnough) {
  // Errno::ebusy also on a file system whose locks belong to the process, which does not keep the process from itself.
  const TempFile file;
  locks_are_granted = true;
  const auto device = must(sim::open({.path = file.path(), .size = kSmall}));
  EXPECT_EQ(error_of(sim::open({.path = file.path()})), Errno::ebusy);
  locks_are_granted = false;
}

TEST(PmemHostTest, NoMoreDescriptorsForAView) {
  // Errno::emfile, Errno::enfile and Errno::enomem from make_view(), after which the device can still be had.
  PmemOnFile pmem;
  pmem.view.reset();
  for (const auto& [host, ours] :
       {std::pair(EMFILE, Errno::emfile), {ENFILE, Errno::enfile}, {ENOMEM, Errno::enomem}}) {
    refuse(refuse_memfd, host);
    EXPECT_EQ(error_of(pmem.device->make_view({pmem.arena, pmem.clock})), ours);
  }
  EXPECT_TRUE(pmem.device->make_view({pmem.arena, pmem.clock}).ok());
}

TEST(PmemHostTest, NoMemoryForAPage) {
  // Errno::enomem from direct_access(); the page can be had later.
  PmemOnFile pmem;
  for (const int error : {ENOMEM, EFAULT, EHWPOISON}) {
    refuse(refuse_madvise, error);
    EXPECT_EQ(error_of(pmem.view->direct_access({0}, 1, DaxMode::access)), Errno::enomem);
  }
  EXPECT_EQ(pmem.load(0), 0U);
}

TEST(PmemHostTest, OldHostsMakePagesAnotherWay) {
  // Without MADV_POPULATE_WRITE the pages come from fallocate, with the same promises.
  PmemOnFile pmem;
  refuse(refuse_madvise, EINVAL);
  refuse(refuse_fallocate, ENOSPC);
  EXPECT_EQ(error_of(pmem.view->direct_access({20}, 3, DaxMode::access)), Errno::enomem);
  refuse(refuse_madvise, EINVAL);
  const auto memory = must(pmem.view->direct_access({20}, 3, DaxMode::access));
  struct stat status{};
  ASSERT_EQ(::fstat(memory.fd, &status), 0);
  EXPECT_EQ(static_cast<std::uint64_t>(status.st_blocks) * 512, 3 * kPageSize);
  pmem.persist(20 * kPageSize, 5);
  EXPECT_EQ(pmem.media(20 * kPageSize), 5U);
}

TEST(PmemHostTest, SignalsOnlyDelay) {
  // Interrupted calls are repeated.
  PmemOnFile pmem;
  refuse(refuse_madvise, EINTR, 0, 3);
  pmem.store(0, 1);
  refuse(refuse_posix_fallocate, EINTR, 0, 3);
  pmem.flush(0);
  EXPECT_EQ(pmem.media(0), 1U);
  EXPECT_EQ(refuse_madvise.fail + refuse_posix_fallocate.fail, 0) << "all were met";
}

TEST(PmemHostTest, TheMediaCannotBeRead) {
  // Errno::eio from direct_access(), and the data once the disk reads again. An interruption is no error.
  TempFile file;
  std::ofstream(file.path(), std::ios::binary) << std::string(kSmall, 'd');
  Arena arena;
  VirtualClock clock;
  const auto device = must(sim::open({.path = file.path()}));
  const auto view = must(device->make_view({arena, clock}));
  refuse(refuse_pread, EIO);
  EXPECT_EQ(error_of(view->direct_access({0}, 1, DaxMode::access)), Errno::eio);
  refuse(refuse_pread, EINTR, 0, 2);
  const auto memory = must(view->direct_access({0}, 1, DaxMode::access));
  EXPECT_EQ(memory.kaddr[kPageSize - 1], std::byte{'d'});
  EXPECT_EQ(refuse_pread.fail, 0);
}

TEST(PmemHostTest, AFullDiskMovesNothing) {
  // Errno::enospc from flush(), whichever chunk has no room: no line of the range is moved, the view is as it was, and
  // when there is room again the same flush succeeds.
  for (int let_pass = 0; let_pass < 4; ++let_pass) {
    PmemOnFile pmem;
    for (std::uint64_t chunk = 0; chunk < 4; ++chunk) {
      pmem.store(chunk * 64_KiB, chunk + 1);
    }
    refuse(refuse_posix_fallocate, let_pass % 2 == 0 ? ENOSPC : EDQUOT, let_pass);
    EXPECT_EQ(error_of(pmem.view->flush({0, 256_KiB})), Errno::enospc);
    EXPECT_EQ(refuse_posix_fallocate.fail, 0);
    EXPECT_EQ(pmem.view->dirty_lines({0, kSmall}), 4U);
    EXPECT_EQ(pmem.file.read(), std::vector<std::byte>(kSmall));
    pmem.flush(0, 256_KiB);
    EXPECT_EQ(pmem.media(3 * 64_KiB), 4U);
  }
}

TEST(PmemHostTest, OtherTroubleWithBlocksIsPassedOn) {
  // Errno::eio for what flush() does not name.
  PmemOnFile pmem;
  pmem.store(0, 1);
  refuse(refuse_posix_fallocate, EIO);
  EXPECT_EQ(error_of(pmem.view->flush({0, 64})), Errno::eio);
  EXPECT_EQ(pmem.media(0), 0U);
}

TEST(PmemHostTest, BlocksAreReservedOnce) {
  // A chunk that has its blocks needs no room on the disk any more, also in the device's next life.
  PmemOnFile pmem;
  pmem.persist(0, 1);
  pmem.power_cycle({});
  refuse(refuse_posix_fallocate, ENOSPC);
  pmem.persist(64, 2);
  EXPECT_EQ(refuse_posix_fallocate.fail, 1) << "nobody asked";
  refuse_posix_fallocate.fail = 0;
}

TEST(PmemHostTest, AFullDiskAtAPowerCutChangesNothing) {
  // Errno::enospc from power_cut() when a line of the view would need a block; the cut can be tried again.
  PmemOnFile pmem;
  pmem.persist(0, 1);
  pmem.store(0, 2);
  pmem.store(64_KiB, 3);
  refuse(refuse_posix_fallocate, ENOSPC);
  EXPECT_EQ(error_of(pmem.view->power_cut({.kind = PowerCut::Kind::all})), Errno::enospc);
  EXPECT_EQ(pmem.media(0), 1U);
  EXPECT_EQ(pmem.load(64_KiB), 3U);
  EXPECT_EQ(pmem.view->dirty_lines({0, kSmall}), 2U);
  pmem.power_cycle({.kind = PowerCut::Kind::all});
  EXPECT_EQ(pmem.load(64_KiB), 3U);
}

TEST(PmemHostTest, AnOrderlyEndSavesWhatItCan) {
  // The caches are written back where there is room.
  PmemOnFile pmem;
  pmem.store(0, 1);
  pmem.store(64_KiB, 2);
  refuse(refuse_posix_fallocate, ENOSPC);
  pmem.reopen();
  EXPECT_EQ(pmem.load(0), 0U);
  EXPECT_EQ(pmem.load(64_KiB), 2U);
}

// Fills a file system of one MiB around a device, and flushes more into it than there is room for.
void flush_into_a_full_disk(const std::filesystem::path& folder, std::ostream& out) {
  PmemOnFile pmem(sim::Pmem{.path = folder / "media", .size = 2_MiB});
  for (std::uint64_t page = 0; page < 512; ++page) {
    pmem.store(page * kPageSize, page + 1);
  }
  const auto error = error_of(pmem.view->flush({0, 2_MiB}));
  if (error != Errno::enospc) {
    out << "flush: " << (error ? errno_name(*error) : "ok");
  }
  if (pmem.view->dirty_lines({0, 2_MiB}) != 512) {
    out << "lines were moved";
  }
  pmem.flush(0, 512_KiB);
  if (pmem.view->dirty_lines({0, 2_MiB}) != 384) {
    out << "what fits was not moved";
  }
}

// Gives this process mounts of its own, as root or as root of a user namespace, and a file system of one MiB at
// `folder`.
bool mount_one_mebibyte(const std::filesystem::path& folder) {
  const auto user = ::geteuid();
  const auto group = ::getegid();
  if (::unshare(CLONE_NEWNS) != 0) {
    if (::unshare(CLONE_NEWUSER | CLONE_NEWNS) != 0) {
      return false;
    }
    std::ofstream("/proc/self/setgroups") << "deny";
    std::ofstream("/proc/self/uid_map") << user << " " << user << " 1";
    std::ofstream("/proc/self/gid_map") << group << " " << group << " 1";
  }
  return ::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0 &&
         ::mount("none", folder.c_str(), "tmpfs", 0, "size=1m") == 0;
}

TEST(PmemHostTest, ARealFullDisk) {
  // The same with a file system of one MiB, where the host lets this user mount one; elsewhere by refusal as above. The
  // library must not die of SIGBUS.
  EXPECT_EQ(in_child([](std::ostream& out) {
              const TempFile file;
              const bool mounted = mount_one_mebibyte(file.folder());
              if (!mounted) {
                refuse(refuse_posix_fallocate, ENOSPC, 10);
              }
              flush_into_a_full_disk(file.folder(), out);
              if (mounted) {
                ::umount2(file.folder().c_str(), MNT_DETACH);
              }
            }),
            "");
}

TEST(RamDiskHostTest, WritesSayWhatTheHostSays) {
  // Errno::enospc for a full disk or quota, Errno::eio for other trouble; an interrupted call is made again.
  Arena arena;
  VirtualClock clock;
  const auto device = must(sim::open(sim::RamDisk{.size = kSmall}));
  const auto view = must(device->make_block_view({arena, clock}));
  const std::array<std::byte, kSectorSize> sector{};
  for (const auto& [host, ours] : {std::pair(ENOSPC, Errno::enospc), {EDQUOT, Errno::enospc}, {EFBIG, Errno::eio}}) {
    refuse(refuse_pwrite, host);
    EXPECT_EQ(error_of(view->write(0, sector)), ours);
  }
  refuse(refuse_pwrite, EINTR);
  must(view->write(0, sector));
  refuse(refuse_memfd, EMFILE);
  EXPECT_EQ(error_of(sim::open(sim::RamDisk{.size = kSmall})), Errno::emfile);
}

}  // namespace
}  // namespace daxsim
