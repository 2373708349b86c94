// SPDX-License-Identifier: BSD-3-Clause
// NorMediaFile: the file behind a simulated NOR flash. The chips' bytes come first, so the file begins as an image of the
// flash; then, from the next page on, a header and the marks of the blocks.
//
// I1 The file has blocks for all its bytes, so a store to the mapping finds room.
// I2 The header is stored last, so a file without one is new.
//
// Threads: any for the NorMedia calls; cells() belong to who has taken the view.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <utility>

#include "daxsim/base/config.hpp"
#include "daxsim/base/result.hpp"
#include "daxsim/sim_devices/nor_flash.hpp"
#include "host.hpp"
#include "media_file.hpp"
#include "nor_chip.hpp"

DAXSIM_BEGIN
namespace sim {

class NorMediaFile final : public NorMedia, public std::enable_shared_from_this<NorMediaFile> {
 public:
  explicit NorMediaFile(NorFlash config);
  // Once, before anything else. Errors: as sim::open().
  Result<void> open();

  [[nodiscard]] const std::string& name() const noexcept override { return name_; }
  [[nodiscard]] std::uint64_t size() const noexcept override { return config_.part.size() * config_.chips; }
  [[nodiscard]] const Capabilities& capabilities() const noexcept override { return capabilities_; }
  // Errors: as Device's, and Errno::einval (partitions that are no whole pages).
  Result<std::unique_ptr<DaxDevice>> make_view(const ViewContext& context) override;
  Result<NorContents> contents() override;
  Result<void> restore(const NorContents& contents) override;

  [[nodiscard]] const NorFlash& config() const noexcept { return config_; }
  // All that survives, as one.
  [[nodiscard]] std::span<std::byte> bytes() const noexcept { return {region_.data(), region_.size()}; }
  // The file whose first bytes are those of the flash.
  [[nodiscard]] const Descriptor& file() const noexcept { return file_.file(); }
  [[nodiscard]] bool is_in_memory() const noexcept { return config_.media.empty(); }
  // The cells of one chip in `bytes`, which are this media's or a copy of them.
  [[nodiscard]] NorCells cells(std::uint32_t chip, std::span<std::byte> bytes) const noexcept;

  // As MediaFile's.
  Result<void> take_view() noexcept { return file_.take_view(); }
  void return_view() noexcept { file_.return_view(); }

 private:
  struct Header;
  [[nodiscard]] std::uint64_t header_at() const noexcept;
  [[nodiscard]] Header header() const noexcept;

  const NorFlash config_;
  const Capabilities capabilities_;
  std::string name_;
  MediaFile file_;
  Region region_;
};

}  // namespace sim
DAXSIM_END
