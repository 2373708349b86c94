// SPDX-License-Identifier: BSD-3-Clause
#include "nor_view.hpp"

#include <cassert>
#include <cerrno>

#include "daxsim/base/units.hpp"

DAXSIM_BEGIN
namespace sim {
namespace {

struct SharedMemory {
  Descriptor file;
  Region region;
};

Result<SharedMemory> shared_memory(const char* name, std::uint64_t bytes) noexcept {
  SharedMemory memory;
  memory.file = Descriptor(::memfd_create(name, MFD_CLOEXEC));
  if (!memory.file.is_open()) {
    return from_host_errno(errno);
  }
  DAXSIM_TRY_VOID(grow(memory.file, bytes));
  DAXSIM_TRY(memory.region, Region::shared(bytes, memory.file));
  return memory;
}

}  // namespace

Mtd& mtd(Attachment& attachment) noexcept {
  auto* const view = dynamic_cast<NorView*>(&attachment.device_view());
  assert(view != nullptr && "the attachment of a NorMedia");
  return view->mtd();
}

Result<std::unique_ptr<DaxDevice>> NorView::create(std::shared_ptr<NorMediaFile> media, const ViewContext& context) {
  DAXSIM_TRY(std::unique_ptr<Mtd> mtd, Mtd::power_on(media, context.clock));
  std::unique_ptr<NorView> view(new NorView(std::move(media), std::move(mtd)));
  DAXSIM_TRY_VOID(view->take_memory());
  view->mtd_->lend_to(*view);
  return std::unique_ptr<DaxDevice>(std::move(view));
}

Result<void> NorView::take_memory() noexcept {
  const std::uint64_t bytes = media_->size();
  if (media_->is_in_memory()) {
    DAXSIM_TRY(data_, Region::shared_read_only(bytes, media_->file()));
  } else {
    DAXSIM_TRY(SharedMemory memory, shared_memory("daxsim-nor", bytes));
    copy_file_ = std::move(memory.file);
    data_ = std::move(memory.region);
  }
  if (media_->config().while_busy == Busy::raw) {
    DAXSIM_TRY(SharedMemory memory, shared_memory("daxsim-nor-status", bytes));
    status_file_ = std::move(memory.file);
    status_ = std::move(memory.region);
  }
  return {};
}

void NorView::revoke(ByteRange bytes) {
  [[maybe_unused]] const Result<void> revoked = attachment_->revoke(bytes);
  assert(revoked.ok() && "partitions are inside");
}

Result<Memory> NorView::direct_access(Pgoff page, std::uint64_t pages, DaxMode /*mode*/) noexcept {
  const ByteRange bytes{byte_of(page), pages << kPageShift};
  const Mtd::ShowIn places{
      .copy = copy_file_.is_open() ? direct_map() : std::span<std::byte>(),
      .status = {status_.data(), status_.size()},
  };
  const Result<Mtd::Shown> shown = mtd_->show(bytes, places);
  if (!shown.ok()) {
    return Errno::eio;
  }
  const Region& region = shown->is_data ? data_ : status_;
  const Descriptor& file = !shown->is_data ? status_file_ : copy_file_.is_open() ? copy_file_ : media_->file();
  return Memory{
      .kaddr = region.data() + bytes.offset,
      .pages = shown->is_data ? shown->bytes >> kPageShift : 1,
      .fd = file.number(),
      .fd_offset = bytes.offset,
      .is_data = shown->is_data,
  };
}

std::optional<Pgoff> NorView::page_at(std::uintptr_t kaddr) const noexcept {
  for (const Region* const region : {&data_, &status_}) {
    const std::uintptr_t behind = kaddr - reinterpret_cast<std::uintptr_t>(region->data());
    if (behind < region->size()) {
      return page_of(behind);
    }
  }
  return std::nullopt;
}

Result<void> NorView::read(std::uint64_t offset, std::span<std::byte> to) noexcept {
  return mtd_->read_for_view(offset, to).ok() ? Result<void>() : Result<void>(Errno::eio);
}

Result<void> NorView::write(std::uint64_t /*offset*/, std::span<const std::byte> /*from*/) noexcept {
  return Errno::erofs;
}

Result<void> NorView::zero(ByteRange /*bytes*/) noexcept { return Errno::erofs; }

Result<PowerCutReport> NorView::power_cut(const PowerCut& choice) {
  DAXSIM_TRY(const PowerCutReport report, mtd_->power_cut(choice));
  unmap();
  return report;
}

void NorView::claimed() noexcept {
  if (excludes()) {
    mtd_->hold();
  }
}

void NorView::released() noexcept {
  if (excludes()) {
    mtd_->let_go();
  }
}

void NorView::unmap() noexcept {
  mtd_->switch_off();
  data_.forbid();
  status_.forbid();
}

}  // namespace sim
DAXSIM_END
