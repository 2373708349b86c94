// SPDX-License-Identifier: BSD-3-Clause
// How a program makes its stores to live mappings durable, and hands such memory to the host's system calls.
//
// The library sees page faults, not instructions: a real clwb on a live mapping changes nothing in the model. Programs
// under test call these instead, where they would use libpmem or the instructions themselves. All of them take any
// address: what is in no live mapping is left alone (flush), or goes to the host (posix::*).
//
// Threads: any. Context: as for touching user memory: no lock of rank mm or above held.
#pragma once

#include <sys/types.h>

#include <cstddef>

#include "daxsim/base/config.hpp"

DAXSIM_BEGIN

// clwb of every cache line of the bytes. Like the instruction it reads: an absent page is faulted in, and what that fault
// ends in, the caller gets. A line that the device refuses (it is gone, or the host's disk is full) stays in the cache,
// where the next power cut finds it. Lines of private copies are in no device.
void flush(const void* address, std::size_t length) noexcept;

// sfence: what this thread flushed before is durable (Attachment::fence of each device it flushed to since its last
// drain). The order of two lines that were flushed with no drain between them is open. Mapping::unmap() drains what was
// flushed through the mapping.
void drain() noexcept;

inline void persist(const void* address, std::size_t length) noexcept {
  flush(address, length);
  drain();
}

// The host's calls of the same names and results (-1 and errno). A live mapping as buffer works as ordinary memory does:
// its pages are faulted in, and the call ends with EFAULT, or short, where a load or store would end in a signal. Bytes
// go through a buffer in between, so a large call is made of several of the host's.
namespace posix {

ssize_t read(int fd, void* buffer, std::size_t length) noexcept;
ssize_t pread(int fd, void* buffer, std::size_t length, off_t offset) noexcept;
ssize_t write(int fd, const void* buffer, std::size_t length) noexcept;
ssize_t pwrite(int fd, const void* buffer, std::size_t length, off_t offset) noexcept;

// Live and other mappings may follow each other in the range.
int msync(void* address, std::size_t length, int flags) noexcept;

}  // namespace posix
DAXSIM_END
