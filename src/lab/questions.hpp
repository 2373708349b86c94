// SPDX-License-Identifier: BSD-3-Clause
// The rows of questions, by file. matrix.cpp joins them.
#pragma once

#include <span>

#include "daxsim/lab/matrix.hpp"

DAXSIM_BEGIN
namespace lab {

// What a file system on one pmem is enough to ask.
std::span<const Question> one_device_questions() noexcept;
// A file on the realtime device of a file system on two pmems.
std::span<const Question> realtime_questions() noexcept;

}  // namespace lab
DAXSIM_END
