// SPDX-License-Identifier: BSD-3-Clause
#include "daxsim/mm/live.hpp"

#include <algorithm>
#include <cstdlib>
#include <string_view>
#include <utility>

#include "daxsim/vfs/inode.hpp"
#include "daxsim/vfs/super_block.hpp"
#include "mm/live_area.hpp"
#include "mm/live_host.hpp"
#include "mm/live_registry.hpp"

DAXSIM_BEGIN
namespace {

// Errors: Errno::einval (the environment names no backend).
Result<LiveBackend> asked_backend(LiveBackend backend) noexcept {
  if (backend != LiveBackend::automatic) {
    return backend;
  }
  const char* const name = std::getenv("DAXSIM_LIVE_BACKEND");
  if (name == nullptr) {
    return probe_live_backend();
  }
  for (const LiveBackend one : {LiveBackend::userfaultfd, LiveBackend::sigsegv}) {
    if (std::string_view(name) == live_backend_name(one)) {
      return one;
    }
  }
  return Errno::einval;
}

live::Host& host_of(LiveBackend backend) noexcept {
  return backend == LiveBackend::userfaultfd ? live::userfaultfd_host() : live::sigsegv_host();
}

struct Part {
  PageRange pages;        // of the file
  bool is_short = false;  // the asked range goes beyond the mapping
};

// Errors: Errno::einval.
Result<Part> part_of(const Vma& vma, ByteRange bytes) noexcept {
  if ((bytes.offset & (kPageSize - 1)) != 0) {
    return Errno::einval;
  }
  const std::uint64_t size = vma.pages().pages << kPageShift;
  const std::uint64_t first = std::min(bytes.offset, size);
  const std::uint64_t length = std::min(bytes.length, size - first);
  Part part{.pages = pages_of({first, length}), .is_short = length != bytes.length};
  part.pages.first = vma.pages().first + part.pages.first.value;
  return part;
}

}  // namespace

const char* live_backend_name(LiveBackend backend) noexcept {
  switch (backend) {
    case LiveBackend::automatic:
      return "automatic";
    case LiveBackend::userfaultfd:
      return "userfaultfd";
    case LiveBackend::sigsegv:
      return "sigsegv";
  }
  return "?";
}

LiveBackend probe_live_backend() noexcept {
  // Asked once: a host that has no descriptor left just now would answer otherwise later.
  static const LiveBackend kBest =
      live::prepare(live::userfaultfd_host()).ok() ? LiveBackend::userfaultfd : LiveBackend::sigsegv;
  return kBest;
}

Result<Mapping> Mapping::map(System& system, std::shared_ptr<OpenFile> file, const MapOptions& options,
                             LiveBackend backend) {
  if ((options.offset & (kPageSize - 1)) != 0 || options.address != 0) {
    return Errno::einval;
  }
  DAXSIM_TRY_VOID(file->super_block()->check_alive());
  std::uint64_t length = options.length;
  if (length == 0) {
    const std::uint64_t size = file->inode().size();
    if (size <= options.offset) {
      return Errno::einval;
    }
    length = size - options.offset;
  }
  const PageRange pages{page_of(options.offset), pages_for(length)};
  if (pages.end() > page_of(~std::uint64_t{0})) {
    return Errno::einval;
  }
  const bool shared = options.sharing == Sharing::shared;
  const bool write = options.prot == Prot::read_write;
  if (shared && write && file->mode() == OpenMode::read_only) {
    return Errno::eacces;
  }
  if (shared && options.sync == MapSync::yes && !file->inode().is_synchronous()) {
    return Errno::eopnotsupp;
  }
  const VmFlags flags{.shared = shared, .write = write, .sync = shared && options.sync == MapSync::yes};

  DAXSIM_TRY(const LiveBackend chosen, asked_backend(backend));
  live::Host& host = host_of(chosen);
  DAXSIM_TRY_VOID(live::prepare(host));
  DAXSIM_TRY(live::Area* const area, live::Area::create(system, std::move(file), flags, pages, host));
  if (const Result<void> enlisted = live::enlist(*area); !enlisted.ok()) {
    live::Area::destroy(area);
    return enlisted.error();
  }
  area->mapping().insert(*area);
  return Mapping(area);
}

Mapping::Mapping(live::Area* area) noexcept
    : area_(area), data_(area->data()), size_(area->pages().pages << kPageShift) {}

Mapping::Mapping(Mapping&& other) noexcept
    : area_(std::exchange(other.area_, nullptr)),
      data_(std::exchange(other.data_, nullptr)),
      size_(std::exchange(other.size_, 0)) {}

Mapping& Mapping::operator=(Mapping&& other) noexcept {
  if (this != &other) {
    unmap();
    area_ = std::exchange(other.area_, nullptr);
    data_ = std::exchange(other.data_, nullptr);
    size_ = std::exchange(other.size_, 0);
  }
  return *this;
}

LiveBackend Mapping::backend() const noexcept { return area_->host().backend(); }
Vma& Mapping::vma() const noexcept { return *area_; }
FaultCounts Mapping::faults() const noexcept { return area_->fault_counts(); }
const char* Mapping::refusal() const noexcept { return area_->refusal(); }

Result<void> Mapping::msync(ByteRange bytes) {
  DAXSIM_TRY(const Part part, part_of(*area_, bytes));
  if (!part.pages.empty() && area_->flags().shared) {
    DAXSIM_TRY_VOID(
        area_->file()->fsync_range({byte_of(part.pages.first), part.pages.pages << kPageShift}, Datasync::yes));
  }
  return part.is_short ? Result<void>(Errno::enomem) : Result<void>();
}

Result<void> Mapping::prefault(ByteRange bytes, Access access) {
  DAXSIM_TRY(const Part part, part_of(*area_, bytes));
  for (Pgoff page = part.pages.first; page < part.pages.end(); page = page + 1) {
    const std::uint64_t address = area_->address_of(page);
    const live::Visit visit(reinterpret_cast<const void*>(address));
    if (visit.area() != area_) {
      return Errno::enomem;
    }
    DAXSIM_TRY_VOID(area_->populate(page, access));
  }
  return part.is_short ? Result<void>(Errno::enomem) : Result<void>();
}

Result<void> Mapping::dont_need(ByteRange bytes) {
  DAXSIM_TRY(const Part part, part_of(*area_, bytes));
  area_->unmap(part.pages, EvenCows::yes);
  return part.is_short ? Result<void>(Errno::enomem) : Result<void>();
}

void Mapping::unmap() noexcept {
  live::Area* const area = std::exchange(area_, nullptr);
  data_ = nullptr;
  size_ = 0;
  if (area == nullptr || area->inherited()) {
    // A child process leaves its parent's objects alone: other threads may have been inside them when it was made.
    return;
  }
  live::strike_off(*area);
  area->mapping().remove(*area);
  live::Area::destroy(area);
}

DAXSIM_END
