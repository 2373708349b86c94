// SPDX-License-Identifier: BSD-3-Clause
// A device of plain memory that counts what it is asked, for tests of what lies above it.
#pragma once

#include <atomic>
#include <cstring>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "daxsim/base/clock.hpp"
#include "daxsim/base/events.hpp"
#include "daxsim/device/attachment.hpp"
#include "daxsim/device/device.hpp"

namespace daxsim {

struct FakeView final : DaxDevice {
  explicit FakeView(std::uint64_t size) : words(size / sizeof(std::uint64_t)) {}

  Result<Memory> direct_access(Pgoff page, std::uint64_t pages, DaxMode) noexcept override {
    if (fails != Errno{}) {
      return fails;
    }
    return Memory{.kaddr = bytes() + byte_of(page), .pages = std::min(pages, run)};
  }
  [[nodiscard]] std::span<std::byte> direct_map() const noexcept override {
    return std::as_writable_bytes(std::span(const_cast<std::uint64_t*>(words.data()), words.size()));
  }
  Result<void> flush(ByteRange bytes) noexcept override {
    flushed.push_back(bytes);
    return fails != Errno{} ? Result<void>(fails) : Result<void>();
  }
  void fence() noexcept override { ++fences; }
  std::vector<LineHistory> pending_lines() override { return {}; }
  std::uint64_t dirty_lines(ByteRange) noexcept override { return 0; }
  Result<PowerCutReport> power_cut(const PowerCut&) override { return PowerCutReport{}; }
  void unmap() noexcept override { ++unmaps; }

  std::byte* bytes() { return reinterpret_cast<std::byte*>(words.data()); }

  std::vector<std::uint64_t> words;
  std::uint64_t run = ~std::uint64_t{0};  // pages that are contiguous
  Errno fails{};                          // what every call answers, unless 0
  std::vector<ByteRange> flushed;
  int fences = 0;
  std::atomic<int> unmaps{0};
};

struct FakeDevice final : Device {
  explicit FakeDevice(std::uint64_t size) : size_(size) {}
  [[nodiscard]] const std::string& name() const noexcept override { return name_; }
  [[nodiscard]] std::uint64_t size() const noexcept override { return size_; }
  [[nodiscard]] const Capabilities& capabilities() const noexcept override { return capabilities_; }
  Result<std::unique_ptr<DaxDevice>> make_view(const ViewContext&) override { return Errno::ebusy; }

  std::string name_ = "fake";
  std::uint64_t size_;
  Capabilities capabilities_;
};

// An attachment of 16 pages at frame 0x48000, and what it said.
struct AttachedFake {
  static constexpr std::uint64_t kPages = 16;
  static constexpr Pfn kFirst{0x48000};
  static constexpr std::uint32_t kDev = 259u << 20 | 3;

  AttachedFake() : AttachedFake(Capabilities{}) {}
  explicit AttachedFake(Capabilities capabilities) {
    device->capabilities_ = capabilities;
    auto owned = std::make_unique<FakeView>(kPages * kPageSize);
    view = owned.get();
    attachment = std::make_unique<Attachment>(device, std::move(owned), kFirst, kDev, events);
  }

  // The only event of this type so far; a default one when there is none or more than one.
  Event only(EventType type) {
    Event found;
    int count = 0;
    for (const Event& event : events.since(1)) {
      if (event.type == type) {
        found = event;
        ++count;
      }
    }
    return count == 1 ? found : Event{};
  }
  std::uint64_t all_events() { return events.next_id() - 1; }

  // Through the life of a removal with notice, up to `state`.
  void live_until(LifeState state) {
    while (attachment->state() != state) {
      const auto next = static_cast<LifeState>(static_cast<int>(attachment->state()) + 1);
      if (!attachment->advance(next).ok()) {
        std::abort();
      }
    }
  }

  VirtualClock clock;
  EventStream events{clock, 1024};
  std::shared_ptr<FakeDevice> device = std::make_shared<FakeDevice>(kPages * kPageSize);
  FakeView* view = nullptr;
  std::unique_ptr<Attachment> attachment;
};

}  // namespace daxsim
