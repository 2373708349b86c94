// SPDX-License-Identifier: BSD-3-Clause
// Files of the host for the media of tests and trials.
#pragma once

#include <filesystem>

#include "daxsim/base/config.hpp"
#include "daxsim/base/result.hpp"

DAXSIM_BEGIN

// A new empty file: in $TMPDIR, or else in memory (/dev/shm), since thousands are made, or else where the host keeps such
// files. The caller removes it. Errors: what the host says.
Result<std::filesystem::path> make_temporary_file();

DAXSIM_END
