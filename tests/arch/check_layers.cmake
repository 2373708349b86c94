# SPDX-License-Identifier: BSD-3-Clause
#
# cmake -DROOT=<tree> -DROOMS=<Rooms.cmake> -P check_layers.cmake
#
# Reads every #include of every room and refuses what the table of rooms does not allow:
#   - a header, public or private, of a room that the row does not name;
#   - a file that belongs to no room (CMake would not compile it, and nobody would notice);
#   - a public header that needs anything but the standard library, the system, and other public headers;
#   - a blocking primitive of the standard library outside base, where no lock rank would be checked;
#   - a test library in the product.
cmake_minimum_required(VERSION 3.25)
include("${ROOMS}")

set(errors "")
macro(refuse text)
  string(APPEND errors "  ${file}: ${text}\n")
endmacro()

# Sets <result> to the room whose folder is exactly <folder>, or to nothing.
function(room_of_folder result folder)
  if(NOT folder IN_LIST DAXSIM_ROOMS)
    set(folder "")
  endif()
  set(${result} "${folder}" PARENT_SCOPE)
endfunction()

# Sets <result> to the room of a header "<folder>/<stem>": the room of its folder, or, where a room is one public header
# (adapters/linear.hpp), the room of that name.
function(room_of_header result header)
  cmake_path(GET header PARENT_PATH folder)
  room_of_folder(room "${folder}")
  if(NOT room)
    cmake_path(REMOVE_EXTENSION header)
    room_of_folder(room "${header}")
  endif()
  set(${result} "${room}" PARENT_SCOPE)
endfunction()

file(GLOB_RECURSE files RELATIVE "${ROOT}"
  "${ROOT}/include/*.hpp" "${ROOT}/include/*.h" "${ROOT}/src/*.hpp" "${ROOT}/src/*.cpp" "${ROOT}/sim_devices/*.hpp" "${ROOT}/sim_devices/*.cpp")
if(NOT files)
  message(FATAL_ERROR "no sources under ${ROOT}")
endif()

foreach(file IN LISTS files)
  cmake_path(GET file PARENT_PATH folder)
  set(is_public FALSE)
  if(folder STREQUAL "include/daxsim")
    # A header for users that gathers others: it may name all of the library, and no row can name it.
    set(room "")
    set(allowed ${DAXSIM_LIBRARY_ROOMS})
    set(is_public TRUE)
  else()
    if(folder MATCHES "^include/")
      set(is_public TRUE)
    endif()
    string(REGEX REPLACE "^(src|include/daxsim)/" "" path "${file}")
    room_of_header(room "${path}")
    if(NOT room)
      refuse("is in no room of src/cmake/Rooms.cmake")
      continue()
    endif()
    string(REPLACE "/" "_" id "${room}")
    set(allowed ${room} ${DAXSIM_ROOM_MAY_INCLUDE_${id}})
  endif()

  file(STRINGS "${ROOT}/${file}" lines REGEX "^[ \t]*#[ \t]*include")
  foreach(line IN LISTS lines)
    if(NOT line MATCHES "#[ \t]*include[ \t]*([<\"])([^>\"]+)[>\"]")
      refuse("computes an include: ${line}")
      continue()
    endif()
    set(quoted FALSE)
    if(CMAKE_MATCH_1 STREQUAL "\"")
      set(quoted TRUE)
    endif()
    set(header "${CMAKE_MATCH_2}")
    set(target_room "")

    if(header MATCHES "^daxsim/(.+/[^/]+)$")
      room_of_header(target_room "${CMAKE_MATCH_1}")
      if(NOT target_room)
        refuse("includes ${header}, which is in no room")
      elseif(NOT target_room IN_LIST allowed)
        refuse("room ${room} must not include room ${target_room} (${header})")
      endif()
    elseif(header MATCHES "^daxsim/")
      refuse("includes ${header}, which is for users only")
    elseif(quoted)
      if(is_public)
        refuse("is public but includes the private ${header}")
      elseif(header MATCHES "^\\.\\.?/|/\\.\\.?/")
        refuse("includes ${header} by a relative path")
      elseif(header MATCHES "^(.+)/[^/]+$")
        room_of_folder(target_room "${CMAKE_MATCH_1}")
        if(NOT target_room)
          refuse("includes ${header}, which is in no room")
        elseif(NOT target_room IN_LIST allowed)
          refuse("room ${room} must not include room ${target_room} (${header})")
        endif()
      endif()
    elseif(header MATCHES "^(gtest|gmock|rapidcheck|benchmark)(/|\\.h)" AND NOT room STREQUAL "test_support")
      refuse("room ${room} must not include a test library (${header})")
    elseif(is_public AND header MATCHES "^(boost|fmt|CLI|nlohmann|tao|rapidcheck)(/|\\.h)")
      refuse("is public but includes <${header}>")
    elseif(header MATCHES "^(mutex|shared_mutex|condition_variable|semaphore|latch|barrier)$"
        AND room IN_LIST DAXSIM_LIBRARY_ROOMS AND NOT room STREQUAL "base")
      refuse("blocks with <${header}> and not with daxsim/base/sync.hpp")
    endif()
  endforeach()
endforeach()

list(LENGTH files count)
if(errors)
  message(FATAL_ERROR "layers:\n${errors}")
endif()
message(STATUS "layers: ${count} files obey the table")
