// SPDX-License-Identifier: BSD-3-Clause
// Findings: what went wrong, as typed facts with the events that led there. A design or policy is judged by its findings
// and by the bytes read after a reboot, never by a message.
//
// The detectors are synchronous observers of the event stream. They look at index, areas and device at the moment of the
// event, keep a bounded list, and never change what they look at. Threads: any.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "daxsim/base/config.hpp"
#include "daxsim/base/events.hpp"
#include "daxsim/base/sync.hpp"
#include "daxsim/base/units.hpp"

DAXSIM_BEGIN

class Inode;
class SuperBlock;

enum class FindingKind : std::uint8_t {
  clean_entry_with_writable_pte,  // write-back left a page writable: the next store will not be noticed (F3 I3, B2)
  missing_fence,                  // fsync answered success with flushed lines that no fence has ordered
  lost_store,                     // at a power cut: lines differ from media under an entry that says clean
  dirty_entry_without_storage,    // a zero or empty entry marked dirty (F3 I1)
  flush_of_dead_memory,           // a flush went to a disk that is gone, or to no memory at all
  stale_mapping,                  // a page of the device was still mapped when its memory was given back (F7)
  wrong_device_flush,             // write-back flushed another device than the pages are on, or other pages of it (F11)
  unbounded_sync,       // write-back comes back to what it has passed, beyond what was dirty when it began (B1)
  frame_of_two_files,   // at a power cut: a page frame is behind entries of two files (F3 I4, B33)
  mirror_divergence,    // at a power cut: the copies of a page that is clean differ (F11)
  lost_wake_up,         // at a power cut: a thread sleeps for an entry that nobody owns, and nobody will wake it (B5)
  status_read_as_data,  // a load gets what a busy device shows in place of what is stored there (F10.3); the page is the
                        // device's
};
inline constexpr unsigned kFindingKinds = static_cast<unsigned>(FindingKind::status_read_as_data) + 1;
// "lost store", ... for people.
std::string_view finding_name(FindingKind kind) noexcept;

struct Finding {
  FindingKind kind{};
  std::uint32_t dev = 0;
  std::uint64_t ino = 0;    // 0: not about one file
  Pgoff page;               // of the file, if it is about one
  std::uint64_t event = 0;  // id of the event at which it was seen; the ring has what led there
};

class Detectors final : public EventObserver {
 public:
  static constexpr std::size_t kMostFindings = 1024;  // kept; all are counted

  explicit Detectors(EventStream& events);
  ~Detectors();

  // Which file systems to look at. The caller keeps `super_block` alive until forget(). Errors: Errno::enospc (64 are
  // watched).
  Result<void> watch(SuperBlock& super_block) noexcept;
  void forget(SuperBlock& super_block) noexcept;

  // Looks at every entry of every file in core: lost stores, dirty entries without storage, clean entries with writable
  // pages, frames of two files, copies that differ, lost wake-ups (a file that has one is not looked at further: who sleeps
  // in it may have its locks). The machine calls it just before the power goes. Context: no locks held; devices and file
  // systems alive.
  void audit();

  [[nodiscard]] std::vector<Finding> findings() const;
  [[nodiscard]] std::uint64_t count(FindingKind kind) const noexcept;

  void on_event(const Event& event) noexcept override;

 private:
  struct State;
  struct FrameUse;
  using Frames = std::vector<FrameUse>;
  void report(FindingKind kind, const Event& seen, std::uint64_t ino, Pgoff page) noexcept;
  void check_written_back(const Event& event) noexcept;
  void check_flushed(const Event& event) noexcept;
  void check_unmapped(const Event& event) noexcept;
  void check_walk(const Event& event) noexcept;
  bool audit_waiters(SuperBlock& super_block, Inode& inode) noexcept;
  void audit_copies(SuperBlock& super_block, Inode& inode);
  void audit_file(SuperBlock& super_block, const std::shared_ptr<Inode>& file, Frames& frames);
  void check_frames(Frames& frames);
  EventStream& events_;
  const std::unique_ptr<State> state_;
};

DAXSIM_END
