// SPDX-License-Identifier: BSD-3-Clause
// CompositeView: the views of a composite's parts as one.
//
// The *targets* are what a device-mapper table has: the composite is cut into chunks, and each lies whole on one part.
//
// Threads: any; it has no state of its own.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "daxsim/base/config.hpp"
#include "daxsim/base/result.hpp"
#include "daxsim/base/units.hpp"
#include "daxsim/device/dax_device.hpp"

DAXSIM_BEGIN
namespace sim {

// Where pages are. A stripe takes a chunk of each part in turn; a linear composite is a list of parts of any length.
class Targets {
 public:
  struct Place {
    std::size_t part = 0;
    Pgoff page;               // of the part
    std::uint64_t pages = 0;  // up to the end of the chunk
  };

  // `starts`: the first page of each part.
  static Targets linear(std::vector<Pgoff> starts, std::uint64_t pages) { return {std::move(starts), pages, 0}; }
  // `chunk`: pages, not 0.
  static Targets striped(std::size_t parts, std::uint64_t chunk) { return {std::vector<Pgoff>(parts), 0, chunk}; }

  [[nodiscard]] Place find(Pgoff page) const noexcept;
  // The other way: the composite's page for one of a part.
  [[nodiscard]] Pgoff page_of(std::size_t part, Pgoff page) const noexcept;

 private:
  Targets(std::vector<Pgoff> starts, std::uint64_t pages, std::uint64_t chunk)
      : starts_(std::move(starts)), pages_(pages), chunk_(chunk) {}

  std::vector<Pgoff> starts_;  // of each part
  std::uint64_t pages_;        // linear: of the composite
  std::uint64_t chunk_;        // striped: pages; else 0
};

class CompositeView final : public DaxDevice {
 public:
  CompositeView(std::vector<std::unique_ptr<DaxDevice>> parts, Targets targets) noexcept
      : parts_(std::move(parts)), targets_(std::move(targets)) {}

  Result<Memory> direct_access(Pgoff page, std::uint64_t pages, DaxMode mode) noexcept override;
  [[nodiscard]] std::span<std::byte> direct_map() const noexcept override { return {}; }
  [[nodiscard]] std::optional<Pgoff> page_at(std::uintptr_t kaddr) const noexcept override;
  Result<void> flush(ByteRange bytes) noexcept override;
  std::uint64_t dirty_lines(ByteRange bytes) noexcept override;
  void fence() noexcept override;
  std::vector<LineHistory> pending_lines() override;
  Result<PowerCutReport> power_cut(const PowerCut& choice) override;
  void unmap() noexcept override;

 private:
  template <class Visit>
  Result<void> for_each_piece(ByteRange bytes, Visit visit) const;

  const std::vector<std::unique_ptr<DaxDevice>> parts_;
  const Targets targets_;
};

}  // namespace sim
DAXSIM_END
