// SPDX-License-Identifier: BSD-3-Clause
#include <algorithm>
#include <array>

#include "lab/scenario_steps.hpp"

DAXSIM_BEGIN
namespace lab {
namespace {

constexpr std::array kVerbs{
    VerbKind{Verb::open, "open", "frtd", "W", "[-f] [-r] [-t] [-d] PATH",
             "open a file: -f makes it, -r read-only, -t truncates, -d O_DIRECT"},
    VerbKind{Verb::file, "file", "", "N", "N", "make the Nth open file the current one"},
    VerbKind{Verb::close, "close", "", "", "", "close the current file"},
    VerbKind{Verb::truncate, "truncate", "", "N", "SIZE", "ftruncate"},
    VerbKind{Verb::falloc, "falloc", "k", "NN", "[-k] OFFSET LENGTH", "fallocate; -k keeps the size"},
    VerbKind{Verb::fpunch, "fpunch", "", "NN", "OFFSET LENGTH", "punch a hole"},
    VerbKind{Verb::fzero, "fzero", "k", "NN", "[-k] OFFSET LENGTH", "zero a range; -k keeps the size"},
    VerbKind{Verb::fcollapse, "fcollapse", "", "NN", "OFFSET LENGTH", "take a range out of the file"},
    VerbKind{Verb::finsert, "finsert", "", "NN", "OFFSET LENGTH", "insert a hole"},
    VerbKind{Verb::funshare, "funshare", "", "NN", "OFFSET LENGTH", "get blocks of its own"},
    VerbKind{Verb::pread, "pread", "m:", "NN", "[-m BUFFER] OFFSET LENGTH",
             "read; -m into the current mapping at BUFFER"},
    VerbKind{Verb::pwrite, "pwrite", "S:m:", "NN", "[-S BYTE] [-m BUFFER] OFFSET LENGTH",
             "write BYTE (0xcd); -m what is in the current mapping at BUFFER"},
    VerbKind{Verb::fsync, "fsync", "", "", "", "fsync"},
    VerbKind{Verb::fdatasync, "fdatasync", "", "", "", "fdatasync"},
    VerbKind{Verb::sync, "sync", "", "", "", "sync"},
    VerbKind{Verb::syncfs, "syncfs", "", "", "", "syncfs"},
    VerbKind{Verb::sync_range, "sync_range", "", "NN", "OFFSET LENGTH", "sync_file_range"},
    VerbKind{Verb::fadvise, "fadvise", "d", "", "-d", "posix_fadvise(POSIX_FADV_DONTNEED)"},
    VerbKind{Verb::fiemap, "fiemap", "", "|NN", "[OFFSET LENGTH]", "the extents"},
    VerbKind{Verb::seek, "seek", "dh", "N", "-d|-h OFFSET", "lseek with SEEK_DATA or SEEK_HOLE"},
    VerbKind{Verb::stat, "stat", "", "", "", "size and blocks"},
    VerbKind{Verb::statx, "statx", "", "", "", "1 when the file has STATX_ATTR_DAX, else 0"},
    VerbKind{Verb::reflink, "reflink", "", "W|NNN", "PATH [FROM TO LENGTH]", "FICLONE or FICLONERANGE of PATH"},
    VerbKind{Verb::chattr, "chattr", "", "W|W", "+x|-x|+r|-r [/]",
             "set or clear FS_XFLAG_DAX, FS_XFLAG_REALTIME; / is the folder, whose FS_XFLAG_DAX new files get"},
    VerbKind{Verb::unlink, "unlink", "", "W", "PATH", "unlink"},
    VerbKind{Verb::rename, "rename", "", "WW", "PATH PATH", "rename"},
    VerbKind{Verb::mmap, "mmap", "rwpSa:", "N|N", "[-r] [-w] [-p] [-S] [-a ADDRESS] OFFSET LENGTH | N",
             "map the current file: -r read-only, -p private, -S MAP_SYNC; or make the Nth mapping the current one"},
    VerbKind{Verb::munmap, "munmap", "", "|NN", "[OFFSET LENGTH]", "unmap"},
    VerbKind{Verb::mread, "mread", "", "NN", "OFFSET LENGTH", "load"},
    VerbKind{Verb::mwrite, "mwrite", "S:", "NN", "[-S BYTE] OFFSET LENGTH", "store BYTE (0x58)"},
    VerbKind{Verb::msync, "msync", "sai", "NN", "[-s] [-a] [-i] OFFSET LENGTH",
             "MS_SYNC (as without), MS_ASYNC, MS_INVALIDATE"},
    VerbKind{Verb::mprotect, "mprotect", "rw", "NN", "-r|-rw OFFSET LENGTH", "mprotect"},
    VerbKind{Verb::madvise, "madvise", "", "WNN", "ADVICE OFFSET LENGTH",
             "dontneed, populate_read, populate_write, pageout"},
    VerbKind{Verb::mlock, "mlock", "f", "NN", "[-f] OFFSET LENGTH", "mlock; -f MLOCK_ONFAULT"},
    VerbKind{Verb::munlock, "munlock", "", "NN", "OFFSET LENGTH", "munlock"},
    VerbKind{Verb::mincore, "mincore", "", "NN", "OFFSET LENGTH", "1 or 0 for each page"},
    VerbKind{Verb::pagemap, "pagemap", "", "N", "OFFSET", "the page-table entry: none, ro, rw"},
    VerbKind{Verb::pin, "pin", "wl", "N", "[-w] [-l] OFFSET",
             "get_user_pages of a page: -w for writing, -l FOLL_LONGTERM"},
    VerbKind{Verb::unpin, "unpin", "", "N", "OFFSET", "give the oldest pin of the page back"},
    VerbKind{Verb::direct_io, "direct-io", "", "WNN", "from|into OFFSET LENGTH",
             "O_DIRECT I/O of another file with this mapping as its buffer"},
    VerbKind{Verb::wait, "wait", "", "", "", "until what the actor began is done"},
    VerbKind{Verb::kill, "kill", "", "", "", "SIGTERM: what the actor waits for ends"},
    VerbKind{Verb::device_create, "device create", "t=o=", "WN", "NAME SIZE [-t pmem|ram] [-o OPTION,...]",
             "a medium, attached: options eadr, no-write-cache, asynchronous"},
    VerbKind{Verb::device_remove, "device remove", "s", "W", "[-s] NAME", "remove in order, or with -s by surprise"},
    VerbKind{Verb::device_attach, "device attach", "a=", "W", "NAME [-a OTHER]",
             "attach what was removed, with the frames of OTHER"},
    VerbKind{Verb::mkfs, "mkfs", "t=", "|*", "[-t ADAPTER] [DEVICE...]", "make a file system"},
    VerbKind{Verb::mount, "mount", "o=", "|*", "[-o dax=always|inode|never] [DEVICE...]", "mount it"},
    VerbKind{Verb::umount, "umount", "", "", "", "unmount it"},
    VerbKind{Verb::balance, "balance", "", "", "", "move every chunk (chunk adapters)"},
    VerbKind{Verb::promote, "promote", "", "NN", "OFFSET LENGTH", "move blocks to the direct tier (tiered)"},
    VerbKind{Verb::demote, "demote", "", "NN", "OFFSET LENGTH", "move blocks to the block tier (tiered)"},
    VerbKind{Verb::drop_caches, "drop_caches", "", "", "", "evict what nobody has open"},
    VerbKind{Verb::power_cut, "power-cut", "", "|W", "[none|all|SEED]",
             "how much of what was not fenced reaches the media"},
    VerbKind{Verb::reboot, "reboot", "", "", "", "a new machine with the devices"},
    VerbKind{Verb::echo, "echo", "", "|*", "TEXT", "print, with -v"},
};
static_assert(kVerbs.size() == static_cast<std::size_t>(Verb::echo) + 1);
static_assert(std::ranges::is_sorted(kVerbs, {}, &VerbKind::verb));

}  // namespace

std::span<const VerbKind> verb_kinds() noexcept { return kVerbs; }

const VerbKind& kind_of(Verb verb) noexcept { return kVerbs[static_cast<std::size_t>(verb)]; }

}  // namespace lab
DAXSIM_END
