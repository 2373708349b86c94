// SPDX-License-Identifier: BSD-3-Clause
// What a simulated device takes from the host, each with one owner: file descriptors and ranges of address space.
//
// Threads: as the standard library's containers. Nothing here allocates or throws; all of it may be used in the fault
// path.
#pragma once

#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <utility>

#include "daxsim/base/config.hpp"
#include "daxsim/base/result.hpp"

DAXSIM_BEGIN
namespace sim {

class Descriptor {
 public:
  Descriptor() noexcept = default;
  explicit Descriptor(int number) noexcept : number_(number) {}
  ~Descriptor() {
    if (number_ >= 0) {
      ::close(number_);
    }
  }
  Descriptor(Descriptor&& other) noexcept : number_(std::exchange(other.number_, -1)) {}
  Descriptor& operator=(Descriptor&& other) noexcept {
    std::swap(number_, other.number_);
    return *this;
  }
  [[nodiscard]] int number() const noexcept { return number_; }
  [[nodiscard]] bool is_open() const noexcept { return number_ >= 0; }

 private:
  int number_ = -1;
};

// A range of this process's address space. Memory is taken from the host when it is touched, not before.
class Region {
 public:
  Region() noexcept = default;
  ~Region() {
    if (data_ != nullptr) {
      ::munmap(data_, size_);
    }
  }
  Region(Region&& other) noexcept : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}
  Region& operator=(Region&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    return *this;
  }

  // Zeroes. Errors: Errno::enomem.
  static Result<Region> anonymous(std::uint64_t bytes) noexcept {
    return map(bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1);
  }
  // The first `bytes` of a file. Errors: Errno::enomem, and what else mmap says.
  static Result<Region> shared(std::uint64_t bytes, const Descriptor& file) noexcept {
    return map(bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, file.number());
  }

  // The same to load from only.
  static Result<Region> shared_read_only(std::uint64_t bytes, const Descriptor& file) noexcept {
    return map(bytes, PROT_READ, MAP_SHARED | MAP_NORESERVE, file.number());
  }

  [[nodiscard]] std::byte* data() const noexcept { return data_; }
  [[nodiscard]] std::uint64_t size() const noexcept { return size_; }

  // The addresses stay taken, but every access faults from now on.
  void forbid() noexcept {
    if (data_ != nullptr) {
      void* const forbidden =
          ::mmap(data_, size_, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);
      if (forbidden == MAP_FAILED) {
        ::mprotect(data_, size_, PROT_NONE);
      }
    }
  }

 private:
  static Result<Region> map(std::uint64_t bytes, int protection, int flags, int file) noexcept {
    void* const memory = ::mmap(nullptr, bytes, protection, flags, file, 0);
    if (memory == MAP_FAILED) {
      return from_host_errno(errno);
    }
    Region region;
    region.data_ = static_cast<std::byte*>(memory);
    region.size_ = bytes;
    return region;
  }

  std::byte* data_ = nullptr;
  std::uint64_t size_ = 0;
};

// Makes an empty file `bytes` long, without blocks. Errors: Errno::efbig (the process's file size limit, asked first
// because running into it is a signal), Errno::enospc, and what else the host says.
inline Result<void> grow(const Descriptor& file, std::uint64_t bytes) noexcept {
  rlimit limit{};
  if (::getrlimit(RLIMIT_FSIZE, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY && bytes > limit.rlim_cur) {
    return Errno::efbig;
  }
  if (::ftruncate(file.number(), static_cast<off_t>(bytes)) != 0) {
    return from_host_errno(errno);
  }
  return {};
}

}  // namespace sim
DAXSIM_END
