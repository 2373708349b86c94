// SPDX-License-Identifier: BSD-3-Clause
// Journal: how the metadata gets to volume 0 and back. Players: the running transaction (a buffer of records, in
// memory), the log (committed transactions, on the device), two checkpoints (all metadata, on the device).
//
// 1. A change makes sure of room (has_room), applies its records to Metadata and appends them to the running transaction.
// 2. commit() makes the running transaction durable: fence all volumes (zeroed blocks and data come first), write to the
//    log, fence.
// 3. When the log is full, or space runs out while freed blocks wait for it, checkpoint() writes all metadata into the
//    slot that is not in use, fences, names that slot in the root word by one 8-byte store, and fences.
// 4. load() reads the checkpoint that the root word names, or the other when it is damaged, and applies its log.
//
// A change that needs several records appends them all with no commit in between.
// All memory is taken by load(): the rest works in the fault path. Threads: the caller's lock.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "adapters/extent_fs/chunks.hpp"
#include "adapters/extent_fs/definitions.hpp"
#include "adapters/extent_fs/metadata.hpp"
#include "adapters/extent_fs/records.hpp"
#include "daxsim/base/arena.hpp"
#include "daxsim/base/config.hpp"
#include "daxsim/base/result.hpp"
#include "daxsim/device/attachment.hpp"

DAXSIM_BEGIN
namespace extent_fs {

class Journal {
 public:
  // Writes an empty file system. Errors: those of LinearFs::mkfs but ebusy.
  static Result<void> format(Volumes volumes, const Geometry& geometry, const Kind& kind, const ChunkMap& chunks);
  // Brings the newest complete state back; the caller goes on with release_orphans() and checkpoint().
  // `volumes` outlives the journal. Errors: those of LinearFs::mount but ebusy, Errno::enodev (a volume belongs to another
  // file system).
  static Result<std::unique_ptr<Journal>> load(Volumes volumes, const Kind& kind, Arena& arena);

  [[nodiscard]] const ChunkMap& chunks() const noexcept { return chunks_; }
  [[nodiscard]] Reflink reflink() const noexcept { return geometry_.reflink; }
  [[nodiscard]] Metadata& metadata() noexcept { return *metadata_; }

  // Whether the records of one change fit into the running transaction; if not, commit first.
  static constexpr std::size_t kMostChangeBytes = 4 * kMostRecordBytes;
  [[nodiscard]] bool has_room() const noexcept {
    return sizeof(CommitHeader) + used_ + kMostChangeBytes <= transaction_.size();
  }
  // Applies one record and appends it. There is room. Errors: as Metadata::apply; nothing is appended then.
  Result<void> change(const Record& record) noexcept;

  // The sequence that the running transaction will have.
  [[nodiscard]] std::uint64_t running() const noexcept { return committed_ + 1; }
  [[nodiscard]] bool is_dirty() const noexcept { return used_ != 0; }
  // A crash now would lose the file's last change.
  [[nodiscard]] bool is_dirty(const File& file) const noexcept { return file.changed_in > committed_; }

  // A failure leaves the device with the old state or the new one; the caller shuts the file system down.
  // Errors: those of Attachment::write and fence.
  Result<void> commit() noexcept;
  Result<void> checkpoint() noexcept;
  // Fences all volumes.
  Result<void> fence() noexcept;

  // Frees the files that have no name. Errors: as commit, Errno::enomem.
  Result<void> release_orphans() noexcept;

 private:
  Journal(Volumes volumes, Arena& arena, const Geometry& geometry, ChunkMap chunks);
  Result<void> choose_slot();
  Result<void> load_slot(std::uint64_t slot);
  Result<void> load_files(const CheckpointHeader& header, std::uint64_t slot);
  Result<void> replay_log(std::uint64_t slot);
  Result<void> append_to_log() noexcept;

  const Volumes volumes_;
  Attachment& device_;  // volume 0
  Arena& arena_;
  const Geometry geometry_;
  const ChunkMap chunks_;
  std::unique_ptr<Metadata> metadata_;
  std::uint64_t number_ = 0;            // of the newest checkpoint
  std::uint64_t committed_ = 0;         // sequence of the last commit
  std::uint64_t log_used_ = 0;          // bytes of the log behind the newest checkpoint
  std::size_t used_ = 0;                // bytes of records in the running transaction
  std::size_t last_ = 0;                // where its last record begins
  std::vector<std::byte> transaction_;  // room for a header, then the records
  std::vector<std::byte> staging_;      // checkpoints pass through here
};

}  // namespace extent_fs
DAXSIM_END
