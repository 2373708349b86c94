// SPDX-License-Identifier: BSD-3-Clause
// FaultyDevice: a device that does what another one does, until it is told to fail.
//
//   auto device = std::make_shared<FaultyDevice>(must(sim::open(config)));
//   device->faults().flush = {.from = 3, .error = Errno::enospc};   // the third flush from now on and all later ones
//
// Threads: set the faults while nobody calls.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "daxsim/device/device.hpp"

namespace daxsim::test {

struct Fault {
  std::uint64_t from = 0;  // the call, counted from 1, that fails first; 0: none
  Errno error{};
};

struct Faults {
  Fault make_view;
  Fault direct_access;
  Fault flush;
  Fault power_cut;
};

class FaultyView final : public DaxDevice {
 public:
  FaultyView(std::unique_ptr<DaxDevice> real, Faults& faults) : real_(std::move(real)), faults_(faults) {}

  // Counts a call; the error when it has to fail.
  static Errno strike(Fault& fault) noexcept {
    if (fault.from == 0) {
      return Errno{};
    }
    if (fault.from == 1) {
      return fault.error;
    }
    --fault.from;
    return Errno{};
  }

  Result<Memory> direct_access(Pgoff page, std::uint64_t pages, DaxMode mode) noexcept override {
    if (const Errno error = strike(faults_.direct_access); error != Errno{}) {
      return error;
    }
    return real_->direct_access(page, pages, mode);
  }
  [[nodiscard]] std::span<std::byte> direct_map() const noexcept override { return real_->direct_map(); }
  Result<void> flush(ByteRange bytes) noexcept override {
    if (const Errno error = strike(faults_.flush); error != Errno{}) {
      return error;
    }
    return real_->flush(bytes);
  }
  void fence() noexcept override { real_->fence(); }
  std::vector<LineHistory> pending_lines() override { return real_->pending_lines(); }
  std::uint64_t dirty_lines(ByteRange bytes) noexcept override { return real_->dirty_lines(bytes); }
  Result<PowerCutReport> power_cut(const PowerCut& choice) override {
    if (const Errno error = strike(faults_.power_cut); error != Errno{}) {
      return error;
    }
    return real_->power_cut(choice);
  }
  void unmap() noexcept override { real_->unmap(); }

 private:
  const std::unique_ptr<DaxDevice> real_;
  Faults& faults_;
};

class FaultyDevice final : public Device {
 public:
  explicit FaultyDevice(std::shared_ptr<Device> real) : real_(std::move(real)) {}

  [[nodiscard]] Faults& faults() noexcept { return faults_; }

  [[nodiscard]] const std::string& name() const noexcept override { return real_->name(); }
  [[nodiscard]] std::uint64_t size() const noexcept override { return real_->size(); }
  [[nodiscard]] const Capabilities& capabilities() const noexcept override { return real_->capabilities(); }
  Result<std::unique_ptr<DaxDevice>> make_view(const ViewContext& context) override {
    if (const Errno error = FaultyView::strike(faults_.make_view); error != Errno{}) {
      return error;
    }
    DAXSIM_TRY(std::unique_ptr<DaxDevice> view, real_->make_view(context));
    return std::make_unique<FaultyView>(std::move(view), faults_);
  }

 private:
  const std::shared_ptr<Device> real_;
  Faults faults_;  // outlives the views: an Attachment keeps its device
};

}  // namespace daxsim::test
