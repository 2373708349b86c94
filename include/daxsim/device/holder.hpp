// SPDX-License-Identifier: BSD-3-Clause
// Holder: who must be told when a device goes away (F7.2: the holder operations of a dax device). Declared here,
// implemented by file systems; one holder per attachment.
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

 protected:
  ~Holder() = default;
};

DAXSIM_END
