// SPDX-License-Identifier: BSD-3-Clause
// NorView: a NOR flash as one machine sees it: memory to load from, and the driver that changes it.
//
// Who maps the memory has been given data, or the status of a busy chip (Busy::raw). The driver remembers which, for each
// partition, and when a partition begins or ceases to be busy it asks here to take the mappings away. The command comes
// first and the mappings go after: bytes change at the end of an operation only, so a load in between is one that came
// before the command, and a fault in between sees the busy chip.
//
// I1 When a call of the driver has returned, no mapping shows data of a partition that is busy, nor the status of one that
//    is not.
//
// Threads: any.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "daxsim/base/config.hpp"
#include "daxsim/base/result.hpp"
#include "daxsim/device/attachment.hpp"
#include "daxsim/device/device.hpp"
#include "daxsim/sim_devices/nor_flash.hpp"
#include "host.hpp"
#include "nor_media.hpp"

DAXSIM_BEGIN
namespace sim {

struct Mtd::Shown {
  std::uint64_t bytes = 0;
  bool is_data = true;
};
// Memory as large as the flash, each.
struct Mtd::ShowIn {
  std::span<std::byte> copy;    // where data is to be shown from; empty: the media's own
  std::span<std::byte> status;  // where the status is; empty: it is never shown
};

class NorView final : public DaxDevice {
 public:
  // Errors: as Device::make_view.
  static Result<std::unique_ptr<DaxDevice>> create(std::shared_ptr<NorMediaFile> media, const ViewContext& context);

  [[nodiscard]] Mtd& mtd() noexcept { return *mtd_; }
  // For the driver, with no lock held but one of rank machine.
  void revoke(ByteRange bytes);

  Result<Memory> direct_access(Pgoff page, std::uint64_t pages, DaxMode mode) noexcept override;
  [[nodiscard]] std::span<std::byte> direct_map() const noexcept override { return {data_.data(), data_.size()}; }
  [[nodiscard]] std::optional<Pgoff> page_at(std::uintptr_t kaddr) const noexcept override;
  Result<void> flush(ByteRange /*bytes*/) noexcept override { return {}; }
  std::uint64_t dirty_lines(ByteRange /*bytes*/) noexcept override { return 0; }
  void fence() noexcept override {}
  std::vector<LineHistory> pending_lines() override { return mtd_->pending_operations(); }
  Result<PowerCutReport> power_cut(const PowerCut& choice) override;
  void attached(Attachment& attachment) noexcept override { attachment_ = &attachment; }
  void claimed() noexcept override;
  void released() noexcept override;
  void unmap() noexcept override;

 private:
  NorView(std::shared_ptr<NorMediaFile> media, std::unique_ptr<Mtd> mtd) noexcept
      : media_(std::move(media)), mtd_(std::move(mtd)) {}
  Result<void> take_memory() noexcept;
  // As MTD's users do, so never a status.
  Result<void> read(std::uint64_t offset, std::span<std::byte> to) noexcept override;
  Result<void> write(std::uint64_t offset, std::span<const std::byte> from) noexcept override;
  Result<void> zero(ByteRange bytes) noexcept override;
  [[nodiscard]] bool excludes() const noexcept { return media_->config().while_busy == Busy::exclude; }

  const std::shared_ptr<NorMediaFile> media_;
  const std::unique_ptr<Mtd> mtd_;
  Attachment* attachment_ = nullptr;
  // Live mappings want a file in memory: the media's own, or one with copies of what was asked for.
  Descriptor copy_file_;
  Region data_;
  Descriptor status_file_;
  Region status_;
};

}  // namespace sim
DAXSIM_END
