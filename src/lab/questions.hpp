// SPDX-License-Identifier: BSD-3-Clause
// The rows of questions, by file. matrix.cpp joins them.
#pragma once

#include <span>

#include "daxsim/lab/matrix.hpp"

DAXSIM_BEGIN
namespace lab {

// What a file system on one pmem is enough to ask.
std::span<const Question> one_device_questions() noexcept;

}  // namespace lab
DAXSIM_END
