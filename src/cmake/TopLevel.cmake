# SPDX-License-Identifier: BSD-3-Clause
#
# Options and defaults that exist only when daxsim is the project being built.

option(DAXSIM_BUILD_TESTS "Build the tests" ON)
option(DAXSIM_BUILD_BENCH "Build the benchmarks" ON)
option(DAXSIM_INSTALL "Make install rules" ON)
option(DAXSIM_FUZZ "Build the fuzz targets (clang only) and instrument the library for them" OFF)
option(DAXSIM_WERROR "Treat warnings as errors" OFF)
set(DAXSIM_SANITIZE "" CACHE STRING "Sanitizers, a list: address;undefined or thread")

if(NOT CMAKE_BUILD_TYPE AND NOT CMAKE_CONFIGURATION_TYPES)
  set(CMAKE_BUILD_TYPE RelWithDebInfo CACHE STRING "Build type" FORCE)
endif()

# Lock ranks and other run-time checks. They change the layout of the lock classes, so users of the library inherit it.
set(daxsim_debug_default OFF)
if(CMAKE_BUILD_TYPE STREQUAL "Debug")
  set(daxsim_debug_default ON)
endif()
option(DAXSIM_DEBUG "Check lock ranks and invariants at run time" ${daxsim_debug_default})

set(CMAKE_EXPORT_COMPILE_COMMANDS ON)

if(NOT CMAKE_CXX_COMPILER_LAUNCHER)
  find_program(DAXSIM_CCACHE ccache)
  if(DAXSIM_CCACHE)
    # Without the working directory in the hash the presets share what they compile alike.
    set(CMAKE_CXX_COMPILER_LAUNCHER ${CMAKE_COMMAND} -E env CCACHE_NOHASHDIR=1 ${DAXSIM_CCACHE})
  endif()
endif()
