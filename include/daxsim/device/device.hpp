// SPDX-License-Identifier: BSD-3-Clause
// Device: the medium. It survives power cuts and machines, is shared by reference count, and may be attached again.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "daxsim/base/arena.hpp"
#include "daxsim/base/clock.hpp"
#include "daxsim/base/config.hpp"
#include "daxsim/base/result.hpp"
#include "daxsim/device/dax_device.hpp"

DAXSIM_BEGIN

// What a device can do; data, not subclasses.
struct Capabilities {
  bool direct = true;                  // a CPU can load and store it: DaxDevice; false: it has bytes, and no memory
  bool synchronous = true;             // MAP_SYNC is meaningful (F4.4)
  bool write_cache = true;             // what the kernel believes: false, and dax_flush is a no-op (F5.3 f)
  bool read_only = false;              // nobody stores to it: write and zero answer erofs
  std::uint64_t alignment = kPmdSize;  // of the first byte's physical address: what size of page-table entry can map it
  std::uint64_t granularity = kCacheLine;  // bytes that reach the media whole
};

// What a machine lends to a view. All of it outlives the view.
struct ViewContext {
  Arena& arena;  // fault-path memory
  VirtualClock& clock;
};

class Device {
 public:
  virtual ~Device() = default;
  Device() = default;
  Device(const Device&) = delete;
  Device& operator=(const Device&) = delete;

  // For messages; the base name of the media file.
  [[nodiscard]] virtual const std::string& name() const noexcept = 0;
  // Bytes, a multiple of the page size.
  [[nodiscard]] virtual std::uint64_t size() const noexcept = 0;
  [[nodiscard]] virtual const Capabilities& capabilities() const noexcept = 0;

  // What one machine sees of the medium, which lives as long as its view. A device overrides the one that its capabilities
  // name, and is asked for no other: make_view when it is direct, make_block_view when it is not.
  // Errors: Errno::ebusy (there is a view that was neither cut, unmapped nor destroyed), Errno::enomem (the host
  // refused memory or addresses), Errno::emfile, Errno::enfile, Errno::efbig (host limits on open files and file size),
  // Errno::einval (parts of it that are not in use together share a page).
  virtual Result<std::unique_ptr<DaxDevice>> make_view(const ViewContext& context);
  // Errors: Errno::ebusy (as make_view).
  virtual Result<std::unique_ptr<DeviceView>> make_block_view(const ViewContext& context);
};

DAXSIM_END
