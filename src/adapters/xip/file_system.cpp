// SPDX-License-Identifier: BSD-3-Clause
#include "adapters/xip/file_system.hpp"

#include <algorithm>
#include <utility>

#include "adapters/xip/inode.hpp"

DAXSIM_BEGIN
namespace xip {
namespace {

// Of the page cache: 16 MiB.
constexpr std::uint64_t kMostPoolPages = 4096;

// Drops one leading '/'. Errors: Errno::einval, Errno::enametoolong.
Result<std::string_view> parse_path(std::string_view path) noexcept {
  if (path.starts_with('/')) {
    path.remove_prefix(1);
  }
  if (path.size() > XipFs::kMaxName) {
    return Errno::enametoolong;
  }
  if (!is_valid_name(path)) {
    return Errno::einval;
  }
  return path;
}

}  // namespace

FileSystem::FileSystem(const dax::Context& context, Attachment& device, const MountOptions& options) noexcept
    : SuperBlock(context.system, device.dev()), context_(context), device_(device), options_(options) {}

FileSystem::~FileSystem() {
  device_.release(*this);
  // Evicted with no lock held.
  std::vector<std::shared_ptr<Inode>> last_uses;
  const MutexLock names(name_space_);
  last_uses.swap(in_core_);
}

Result<void> FileSystem::load() {
  if (!device_.is_direct() || options_.dax == DaxOption::inode) {
    return Errno::einval;
  }
  DAXSIM_TRY_VOID(device_.claim(*this));
  DAXSIM_TRY(image_,
             xip::load([this](std::uint64_t offset, std::span<std::byte> to) { return device_.read(offset, to); },
                       device_.size()));
  std::uint64_t pages = 1;
  for (const File& file : image_.files) {
    pages += file.pages.size();
  }
  DAXSIM_TRY(page_pool_, pagecache::Pool::create(system(), std::min(pages, kMostPoolPages)));
  const MutexLock names(name_space_);
  in_core_.resize(image_.files.size());
  return {};
}

Result<void> FileSystem::check_mounted() const noexcept {
  DAXSIM_TRY_VOID(check_alive());
  return unmounted_.load(std::memory_order_acquire) ? Errno::eio : Result<void>();
}

// --- names ---

Result<std::shared_ptr<Inode>> FileSystem::open(std::string_view path) {
  DAXSIM_TRY(const std::string_view name, parse_path(path));
  const MutexLock names(name_space_);
  DAXSIM_TRY_VOID(check_mounted());
  const auto found = std::ranges::lower_bound(image_.files, name, {}, &File::name);
  if (found == image_.files.end() || found->name != name) {
    return Errno::enoent;
  }
  const auto number = static_cast<std::size_t>(found - image_.files.begin());
  std::shared_ptr<Inode>& inode = in_core_[number];
  if (inode == nullptr) {
    inode = std::make_shared<XipInode>(*this, *found, number + 1);
    insert_in_core(inode);
  }
  return inode;
}

Result<std::vector<DirectoryEntry>> FileSystem::list() {
  DAXSIM_TRY_VOID(check_mounted());
  std::vector<DirectoryEntry> entries;
  entries.reserve(image_.files.size());
  for (const File& file : image_.files) {
    entries.push_back({.name = file.name, .ino = entries.size() + 1, .size = file.size});
  }
  return entries;
}

Result<void> FileSystem::refuse_change() const noexcept {
  DAXSIM_TRY_VOID(check_mounted());
  return Errno::erofs;
}

Result<std::shared_ptr<Inode>> FileSystem::create(std::string_view path) {
  DAXSIM_TRY([[maybe_unused]] const std::string_view name, parse_path(path));
  return refuse_change().error();
}

Result<void> FileSystem::unlink(std::string_view path) {
  DAXSIM_TRY([[maybe_unused]] const std::string_view name, parse_path(path));
  return refuse_change();
}

Result<void> FileSystem::rename(std::string_view from, std::string_view to) {
  for (const std::string_view path : {from, to}) {
    DAXSIM_TRY([[maybe_unused]] const std::string_view name, parse_path(path));
  }
  return refuse_change();
}

// --- the whole file system ---

Result<void> FileSystem::sync() { return check_mounted(); }

Result<SpaceUsage> FileSystem::space() {
  DAXSIM_TRY_VOID(check_mounted());
  return SpaceUsage{.total_pages = image_.image_bytes >> kPageShift, .free_pages = 0};
}

Result<void> FileSystem::unmount() {
  std::vector<std::shared_ptr<Inode>> last_uses;
  {
    const MutexLock names(name_space_);
    if (unmounted_.load(std::memory_order_acquire)) {
      return Errno::eio;
    }
    if (std::ranges::any_of(in_core_, [](const auto& inode) { return inode.use_count() > 1; })) {
      return Errno::ebusy;
    }
    unmounted_.store(true, std::memory_order_release);
    last_uses.swap(in_core_);
  }
  last_uses.clear();
  device_.release(*this);
  return {};
}

XipProfile FileSystem::recorded_profile() {
  XipProfile profile;
  for (const std::shared_ptr<Inode>& inode : inodes_in_core()) {
    const auto& file = static_cast<const XipInode&>(*inode);
    if (auto faults = file.faults(); !faults.empty()) {
      profile.faults.emplace(image_.files[file.number() - 1].name, std::move(faults));
    }
  }
  return profile;
}

// --- what its device tells it (F7.3) ---

Result<void> FileSystem::pre_remove(Attachment& /*device*/) { return dax::orderly_teardown(context_, *this); }

Result<void> FileSystem::failure(Attachment& device, ByteRange bytes) {
  if (device.state() >= LifeState::dax_dead) {
    dax::surprise_teardown(context_, *this, Errno::eio);
  } else {
    // The metadata is in memory; whoever comes for these pages hears of it from the device.
    unmap_device_pages(pages_of(bytes));
  }
  return {};
}

void FileSystem::revoke(Attachment& /*device*/, ByteRange bytes) { unmap_device_pages(pages_of(bytes)); }

void FileSystem::unmap_device_pages(PageRange device_pages) {
  // The references go when no lock is held.
  for (const std::shared_ptr<Inode>& inode : inodes_in_core()) {
    static_cast<XipInode&>(*inode).unmap_device_pages(device_pages);
  }
}

}  // namespace xip

Result<std::shared_ptr<SuperBlock>> XipFs::mount(const dax::Context& context, Attachment& device,
                                                 const MountOptions& options) {
  auto file_system = std::make_shared<xip::FileSystem>(context, device, options);
  DAXSIM_TRY_VOID(file_system->load());
  return std::shared_ptr<SuperBlock>(std::move(file_system));
}

Result<XipProfile> XipFs::recorded_profile(SuperBlock& super_block) {
  auto* const file_system = dynamic_cast<xip::FileSystem*>(&super_block);
  return file_system != nullptr ? file_system->recorded_profile() : Result<XipProfile>(Errno::einval);
}

DAXSIM_END
