# SPDX-License-Identifier: BSD-3-Clause
#
# cmake -DCOMPILER=<c++> -DSOURCE=<file> -DINCLUDE=<folder> -P check.cmake
cmake_minimum_required(VERSION 3.25)

file(STRINGS "${SOURCE}" expected REGEX "^// must fail: " LIMIT_COUNT 1)
string(REGEX REPLACE "^// must fail: " "" expected "${expected}")
if(NOT expected)
  message(FATAL_ERROR "${SOURCE}: no line `// must fail: <regular expression>`")
endif()

set(compile ${COMPILER} -std=c++23 -Wall -Werror -fsyntax-only -I ${INCLUDE} ${SOURCE})
execute_process(COMMAND ${compile} RESULT_VARIABLE result ERROR_VARIABLE output)
if(result)
  message(FATAL_ERROR "must compile as it is, but:\n${output}")
endif()
execute_process(COMMAND ${compile} -DDAXSIM_MUST_FAIL RESULT_VARIABLE result ERROR_VARIABLE output)
if(NOT result)
  message(FATAL_ERROR "compiles with DAXSIM_MUST_FAIL")
endif()
if(NOT output MATCHES "${expected}")
  message(FATAL_ERROR "fails, but not with \"${expected}\":\n${output}")
endif()
