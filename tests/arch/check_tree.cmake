# SPDX-License-Identifier: BSD-3-Clause
#
# cmake -DROOT=<tree> -P check_tree.cmake
#
# The top of the tree is the user's: exactly these folders. Every source says its licence in its first two lines.
cmake_minimum_required(VERSION 3.25)

set(expected include src sim_devices tests bench docs .ci)
set(errors "")

file(GLOB entries RELATIVE "${ROOT}" "${ROOT}/*" "${ROOT}/.*")
set(present "")
foreach(entry IN LISTS entries)
  # .git is git's and build/ is ignored by it: neither is part of the tree.
  if(IS_DIRECTORY "${ROOT}/${entry}" AND NOT entry MATCHES "^(\\.\\.?|\\.git|build)$")
    list(APPEND present "${entry}")
    if(NOT entry IN_LIST expected)
      string(APPEND errors "  ${entry}/: not one of the folders at the top (${expected})\n")
    endif()
  endif()
endforeach()
foreach(entry IN LISTS expected)
  if(NOT entry IN_LIST present)
    string(APPEND errors "  ${entry}/: missing\n")
  endif()
endforeach()

set(files run .ci/run CMakeLists.txt .clang-format .clang-tidy .gitignore)
foreach(folder IN LISTS expected)
  foreach(pattern IN ITEMS *.cpp *.hpp *.c *.h *.cmake *.cmake.in *.pc.in *.sh *.py CMakeLists.txt)
    file(GLOB_RECURSE found RELATIVE "${ROOT}" "${ROOT}/${folder}/${pattern}")
    list(APPEND files ${found})
  endforeach()
endforeach()
list(REMOVE_DUPLICATES files)
# The fixtures of this script lack what it looks for.
list(FILTER files EXCLUDE REGEX "^tests/arch/fixtures/")
foreach(file IN LISTS files)
  if(NOT EXISTS "${ROOT}/${file}")
    string(APPEND errors "  ${file}: missing\n")
    continue()
  endif()
  file(STRINGS "${ROOT}/${file}" head LIMIT_COUNT 2)
  if(NOT head MATCHES "^(#![^;]*;)?(//|#|/\\*) SPDX-License-Identifier: [^ ;]+")
    string(APPEND errors "  ${file}: no SPDX line at its start\n")
  endif()
endforeach()

if(errors)
  message(FATAL_ERROR "tree:\n${errors}")
endif()
list(LENGTH files count)
message(STATUS "tree: ${count} files")
