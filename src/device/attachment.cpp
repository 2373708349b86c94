// SPDX-License-Identifier: BSD-3-Clause
#include "daxsim/device/attachment.hpp"

#include <algorithm>
#include <array>
#include <cassert>
#include <map>
#include <new>
#include <utility>

#include "daxsim/device/memory_map.hpp"

DAXSIM_BEGIN
namespace {

// MF_MEM_PRE_REMOVE: the notice of a removal that has not happened yet (F7.2).
constexpr std::uint32_t kPreRemoveNotice = 0x80;

// Waiters for the holder's notification wait beside those for pages, whose numbers are smaller.
constexpr std::uint64_t kHolderKey = ~std::uint64_t{0};

std::int64_t kernel_result(const Result<void>& result) noexcept {
  return result.ok() ? 0 : -static_cast<std::int64_t>(result.error());
}

}  // namespace

const char* life_state_name(LifeState state) noexcept {
  static constexpr std::array<const char*, 5> kNames{"ALIVE", "PRE_REMOVE", "DAX_DEAD", "DISK_GONE", "UNMAPPED"};
  return kNames[static_cast<unsigned>(state)];
}

struct Attachment::Pins {
  Mutex lock{LockRank::media};
  std::map<Pgoff, std::uint64_t> count DAXSIM_GUARDED_BY(lock);
  std::uint64_t total DAXSIM_GUARDED_BY(lock) = 0;
};

Attachment::Attachment(std::shared_ptr<Device> device, std::unique_ptr<DeviceView> view, bool direct, Pfn first,
                       std::uint32_t dev, EventStream& events)
    : device_(std::move(device)),
      size_(device_->size()),
      view_(std::move(view)),
      dax_(direct ? static_cast<DaxDevice*>(view_.get()) : nullptr),
      first_(first),
      dev_(dev),
      events_(events),
      pins_(std::make_unique<Pins>()),
      moves_(make_zeroed<std::atomic<std::uint16_t>>(pages() + 1)) {
  if (moves_ == nullptr) {
    throw std::bad_alloc();
  }
  view_->attached(*this);
}

Attachment::Attachment(std::shared_ptr<Device> device, std::unique_ptr<DaxDevice> view, Pfn first, std::uint32_t dev,
                       EventStream& events)
    : Attachment(std::move(device), std::unique_ptr<DeviceView>(std::move(view)), true, first, dev, events) {}

Attachment::Attachment(std::shared_ptr<Device> device, std::unique_ptr<DeviceView> view, std::uint32_t dev,
                       EventStream& events)
    : Attachment(std::move(device), std::move(view), false, MemoryMap::kEnd, dev, events) {}

Attachment::~Attachment() = default;

[[gnu::always_inline]] inline void Attachment::emit(Event event) noexcept {
  event.dev = dev_;
  events_.emit(event);
}

std::uint16_t Attachment::generation(PageRange pages) const noexcept {
  std::uint32_t life = minor_of(dev_);
  for (Pgoff page = pages.first; page < pages.end() && page.value < this->pages(); page = page + 1) {
    life += moves_[page.value].load(std::memory_order_acquire);
  }
  return static_cast<std::uint16_t>(life);
}

void Attachment::end_generation(PageRange pages) noexcept {
  for (Pgoff page = pages.first; page < pages.end(); page = page + 1) {
    moves_[page.value].fetch_add(1, std::memory_order_acq_rel);
  }
}

bool Attachment::inside(ByteRange bytes) const noexcept {
  return bytes.offset <= size() && bytes.length <= size() - bytes.offset;
}

Result<Memory> Attachment::translate(Pgoff page, std::uint64_t pages, DaxMode mode) noexcept {
  Result<Memory> memory = Errno::enxio;
  if (state() >= LifeState::dax_dead || !is_direct()) {
    return memory;
  }
  if (pages == 0) {
    memory = Errno::einval;
  } else if (page.value >= this->pages()) {
    memory = Errno::erange;
  } else {
    memory = dax_->direct_access(page, std::min(pages, this->pages() - page.value), mode);
  }
  if (memory.ok()) {
    memory->pfn = first_ + page.value;
  }
  return memory;
}

Result<Memory> Attachment::direct_access(Pgoff page, std::uint64_t pages, DaxMode mode) noexcept {
  auto memory = translate(page, pages, mode);
  emit({.type = EventType::dax_direct_access,
        .flags = memory.ok() && !memory->is_data ? 1U : 0U,
        .pgoff = page,
        .last = pages,
        .pfn = memory.ok() ? memory->pfn : Pfn{},
        .ret = memory.ok() ? static_cast<std::int64_t>(memory->pages) : -static_cast<std::int64_t>(memory.error())});
  return memory;
}

Result<void> Attachment::flush(ByteRange bytes) noexcept {
  const Gate::Reader reader(gate_);
  if (!inside(bytes)) {
    return Errno::erange;
  }
  const Result<void> there = state() >= LifeState::disk_gone ? Result<void>(Errno::eio) : Result<void>();
  emit({.type = EventType::dax_flush,
        .pfn = first_ + page_of(bytes.offset).value,
        .length = bytes.length,
        .ret = kernel_result(there)});
  DAXSIM_TRY_VOID(there);
  if (!capabilities().write_cache) {
    return {};
  }
  return dax_->flush(bytes);
}

Result<void> Attachment::fence() noexcept {
  const Gate::Reader reader(gate_);
  Result<void> result;
  if (state() >= LifeState::disk_gone) {
    result = Errno::eio;
  } else {
    device_view().fence();
  }
  emit({.type = EventType::blkdev_issue_flush, .ret = kernel_result(result)});
  return result;
}

Result<void> Attachment::check_bytes(ByteRange bytes) const noexcept {
  if (state() >= LifeState::dax_dead) {
    return Errno::enxio;
  }
  return inside(bytes) ? Result<void>() : Result<void>(Errno::erange);
}

Result<void> Attachment::read(std::uint64_t offset, std::span<std::byte> to) noexcept {
  const Gate::Reader reader(gate_);
  DAXSIM_TRY_VOID(check_bytes({offset, to.size()}));
  return view_->read(offset, to);
}

Result<void> Attachment::write(std::uint64_t offset, std::span<const std::byte> from) noexcept {
  const Gate::Reader reader(gate_);
  DAXSIM_TRY_VOID(check_bytes({offset, from.size()}));
  return view_->write(offset, from);
}

Result<void> Attachment::zero(ByteRange bytes) noexcept {
  const Gate::Reader reader(gate_);
  DAXSIM_TRY_VOID(check_bytes(bytes));
  return view_->zero(bytes);
}

Result<void> Attachment::claim(Holder& holder) noexcept {
  const Gate::Reader reader(gate_);
  if (state() != LifeState::alive) {
    return Errno::enxio;
  }
  {
    const MutexLock guard(holder_lock_);
    if (holder_ != nullptr) {
      return Errno::ebusy;
    }
    holder_ = &holder;
  }
  view_->claimed();
  return {};
}

void Attachment::release(Holder& holder) noexcept {
  bool was_holder = false;
  for (;;) {
    // Queued before the test: the notifier counts itself out under the lock and wakes afterwards.
    Waiter waiter({this, kHolderKey}, WaitMode::shared);
    waiter.enqueue();
    {
      const MutexLock guard(holder_lock_);
      if (holder_ == &holder) {
        holder_ = nullptr;
        was_holder = true;
      }
      if (notifiers_ == 0) {
        break;
      }
    }
    waiter.wait();
  }
  if (was_holder) {
    view_->released();
  }
}

template <class What>
Result<void> Attachment::tell_holder(Event told, What what) {
  Holder* holder = nullptr;
  {
    // The holder is read once, and cannot go while it is counted as being told (F7, B26).
    const MutexLock guard(holder_lock_);
    if (holder_ == nullptr) {
      return Errno::eopnotsupp;
    }
    holder = holder_;
    ++notifiers_;
  }
  const Result<void> result = what(*holder);
  told.ret = kernel_result(result);
  emit(told);
  {
    const MutexLock guard(holder_lock_);
    --notifiers_;
  }
  wake_waiters({this, kHolderKey}, Wake::all);
  return result;
}

Result<void> Attachment::notify_holder(Notice notice) {
  if (notice == Notice::removal && state() < LifeState::dax_dead) {
    return tell_holder({.type = EventType::dax_holder_notify_failure, .flags = kPreRemoveNotice},
                       [this](Holder& holder) { return holder.pre_remove(*this); });
  }
  return tell_holder({.type = EventType::dax_holder_notify_failure},
                     [this](Holder& holder) { return holder.failure(*this, {0, size()}); });
}

Result<void> Attachment::notify_failure(ByteRange bytes) {
  if (!inside(bytes)) {
    return Errno::erange;
  }
  return tell_holder({.type = EventType::dax_holder_notify_failure},
                     [&](Holder& holder) { return holder.failure(*this, bytes); });
}

Result<void> Attachment::revoke(ByteRange bytes) {
  if (!inside(bytes)) {
    return Errno::erange;
  }
  gate_.synchronize();
  const PageRange pages = pages_of(bytes);
  const Result<void> told =
      tell_holder({.type = EventType::dax_holder_revoke, .pgoff = pages.first, .last = pages.pages},
                  [&](Holder& holder) -> Result<void> {
                    holder.revoke(*this, bytes);
                    return {};
                  });
  static_cast<void>(told.ok());  // nobody to tell is fine
  return {};
}

Result<void> Attachment::pin(Pgoff page) noexcept {
  // Inside the gate, so that whoever has seen advance(dax_dead) return sees the last of the pins.
  const Gate::Reader reader(gate_);
  if (state() >= LifeState::dax_dead) {
    return Errno::enxio;
  }
  if (page.value >= pages()) {
    return Errno::erange;
  }
  const MutexLock guard(pins_->lock);
  ++pins_->count[page];
  ++pins_->total;
  return {};
}

void Attachment::unpin(Pgoff page) noexcept {
  {
    const MutexLock guard(pins_->lock);
    const auto pinned = pins_->count.find(page);
    assert(pinned != pins_->count.end() && "I3: unpin() without pin()");
    if (pinned == pins_->count.end()) {
      return;
    }
    --pins_->total;
    if (--pinned->second != 0) {
      return;
    }
    pins_->count.erase(pinned);
  }
  wake_waiters({this, page.value}, Wake::all);
}

bool Attachment::find_pinned(PageRange pages, Pgoff* busy) noexcept {
  const MutexLock guard(pins_->lock);
  const auto pinned = pins_->count.lower_bound(pages.first);
  if (pinned == pins_->count.end() || !pages.contains(pinned->first)) {
    return false;
  }
  *busy = pinned->first;
  return true;
}

Result<void> Attachment::wait_unpinned(Pgoff page) noexcept {
  for (;;) {
    Waiter waiter({this, page.value}, WaitMode::shared);
    waiter.enqueue();
    {
      const MutexLock guard(pins_->lock);
      if (!pins_->count.contains(page)) {
        return {};
      }
    }
    DAXSIM_TRY_VOID(waiter.wait_interruptible());
  }
}

std::uint64_t Attachment::pins() noexcept {
  const MutexLock guard(pins_->lock);
  return pins_->total;
}

Result<void> Attachment::advance(LifeState next) {
  LifeState seen = state();
  do {
    const bool following = static_cast<unsigned>(next) == static_cast<unsigned>(seen) + 1;
    const bool surprise = seen == LifeState::alive && next == LifeState::dax_dead;
    if (!following && !surprise) {
      return Errno::einval;
    }
  } while (!state_.compare_exchange_weak(seen, next));

  switch (next) {
    case LifeState::dax_dead:
      emit({.type = EventType::kill_dax, .object = this});
      gate_.synchronize();
      break;
    case LifeState::disk_gone:
      emit({.type = EventType::disk_gone, .object = this});
      gate_.synchronize();
      break;
    case LifeState::unmapped:
      gate_.synchronize();
      emit({.type = EventType::memunmap_pages, .ret = static_cast<std::int64_t>(pins()), .object = this});
      device_view().unmap();
      break;
    case LifeState::alive:
    case LifeState::pre_remove:
      break;
  }
  return {};
}

DAXSIM_END
