// SPDX-License-Identifier: BSD-3-Clause
// Holder: who must be told when a device goes away (F7.2: the holder operations of a dax device), or cannot be read for a
// while. Declared here, implemented by file systems; one holder per attachment.
#pragma once

#include "daxsim/base/config.hpp"
#include "daxsim/base/result.hpp"
#include "daxsim/base/units.hpp"

DAXSIM_BEGIN

class Attachment;

class Holder {
 public:
  Holder() = default;
  Holder(const Holder&) = delete;
  Holder& operator=(const Holder&) = delete;

  // The device is about to be removed and still works: freeze, write back, revoke every mapping, shut down, thaw.
  // Whatever it answers, the removal goes on. Errors: any that the write-back met. Context: may wait; no locks held.
  virtual Result<void> pre_remove(Attachment& device) = 0;

  // The device is dead (`bytes` = all of it), or its memory failed there: revoke mappings, shut down; nothing can be
  // written back. Errors: any, and none matters to the caller. Context: may wait; no locks held.
  virtual Result<void> failure(Attachment& device, ByteRange bytes) = 0;

  // The memory of these bytes shows something else for a while (F10.5: unmap, program, fault again): takes away every
  // mapping of it, so that the next access faults and asks direct_access again. Nothing is shut down, no data is lost, and
  // what is dirty stays so. Context: may wait for faults under way; no locks held.
  virtual void revoke(Attachment& device, ByteRange bytes) = 0;

 protected:
  ~Holder() = default;
};

DAXSIM_END
