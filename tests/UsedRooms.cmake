# SPDX-License-Identifier: BSD-3-Clause
#
# A unit test links its room and the rooms whose headers it includes, not the whole library: it proves that the room
# can be used with so little, and a change elsewhere does not relink it.

# Rooms that a file includes; what it takes from test_support counts through the helper's header and source.
function(daxsim_scan_rooms result file)
  set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS "${file}")
  set(rooms "")
  file(STRINGS "${file}" lines REGEX "^[ \t]*#[ \t]*include[ \t]*\"")
  foreach(line IN LISTS lines)
    if(NOT line MATCHES "\"(daxsim/)?([a-z_0-9/]+)/([a-z_0-9]+)\\.hpp\"")
      continue()
    endif()
    set(room "${CMAKE_MATCH_2}")
    set(header "${CMAKE_MATCH_3}")
    if("${room}/${header}" IN_LIST DAXSIM_ROOMS)
      set(room "${room}/${header}")  # a room that is one public header
    endif()
    if(NOT room STREQUAL "test_support")
      list(APPEND rooms "${room}")
      continue()
    endif()
    list(APPEND rooms test_support)
    foreach(helper IN ITEMS include/daxsim/test_support/${header}.hpp src/test_support/${header}.cpp)
      if(EXISTS "${PROJECT_SOURCE_DIR}/${helper}" AND NOT "${PROJECT_SOURCE_DIR}/${helper}" IN_LIST scanning)
        set(scanning ${scanning} "${PROJECT_SOURCE_DIR}/${helper}")
        daxsim_scan_rooms(used "${PROJECT_SOURCE_DIR}/${helper}")
        list(APPEND rooms ${used})
      endif()
    endforeach()
  endforeach()
  list(REMOVE_DUPLICATES rooms)
  set(${result} "${rooms}" PARENT_SCOPE)
endfunction()

# daxsim_used_rooms(<variable> <room> <file>...): the libraries to link a unit test of <room> with.
function(daxsim_used_rooms result room)
  set(rooms "${room}")
  foreach(file IN LISTS ARGN)
    daxsim_scan_rooms(used "${file}")
    list(APPEND rooms ${used})
  endforeach()
  list(REMOVE_DUPLICATES rooms)

  set(libraries "")
  foreach(used IN LISTS rooms)
    string(REPLACE "/" "_" id "${used}")
    if(used STREQUAL "test_support")
      # First, since the rooms resolve what it needs.
      if(TARGET daxsim_test_support_room)
        list(PREPEND libraries daxsim_test_support_room)
      endif()
    elseif(used IN_LIST DAXSIM_ROOMS AND TARGET daxsim_${id})
      list(APPEND libraries daxsim_${id})
    endif()
  endforeach()
  set(${result} "${libraries}" PARENT_SCOPE)
endfunction()
