# SPDX-License-Identifier: BSD-3-Clause
#
# The rooms of daxsim, and what each may include. This is the only such table: CMake links by it (Targets.cmake), the
# layer test reads the includes against it (tests/arch/check_layers.cmake), and one link test per room proves it for
# calls that no include shows (tests/arch/CMakeLists.txt). Works in script mode as well.
#
# A room is the folder src/<room> plus include/daxsim/<room> (or the one header include/daxsim/<room>.hpp); the devices are
# the user's to copy from, so their sources live in the top-level folder sim_devices/. A room may include itself, what its row names, and nothing else.
# Rows are ordered: a row names only rooms above it. EVERYTHING means all rows above that are in the library.
# OUTSIDE_LIBRARY rooms are not linked into daxsim::daxsim, so no row can name them.

set(DAXSIM_ROOMS "")
set(DAXSIM_LIBRARY_ROOMS "")

# daxsim_room(<name> [SOURCES <folder>] [OUTSIDE_LIBRARY] [MAY_INCLUDE <room>...|EVERYTHING] [NEEDS <target>...]
#             [BUILT_WITH <target>...])
# Sets DAXSIM_ROOM_{MAY_INCLUDE,SOURCES,OUTSIDE_LIBRARY,NEEDS,BUILT_WITH}_<name>, the name with '/' turned into '_'.
# NEEDS: libraries of others, besides those that every room has. BUILT_WITH: those that are headers only, so that who
# links daxsim does not need them.
function(daxsim_room name)
  cmake_parse_arguments(PARSE_ARGV 1 ROOM "OUTSIDE_LIBRARY;EVERYTHING" "SOURCES" "MAY_INCLUDE;NEEDS;BUILT_WITH")
  if(ROOM_UNPARSED_ARGUMENTS)
    message(FATAL_ERROR "Rooms.cmake: room ${name}: unexpected ${ROOM_UNPARSED_ARGUMENTS}")
  endif()
  if(ROOM_EVERYTHING)
    set(ROOM_MAY_INCLUDE ${DAXSIM_LIBRARY_ROOMS})
  endif()
  foreach(lower IN LISTS ROOM_MAY_INCLUDE)
    if(NOT lower IN_LIST DAXSIM_LIBRARY_ROOMS)
      message(FATAL_ERROR "Rooms.cmake: room ${name} may include ${lower}, which is no room of the library above it")
    endif()
  endforeach()
  if(NOT ROOM_SOURCES)
    set(ROOM_SOURCES "src/${name}")
  endif()
  string(REPLACE "/" "_" id "${name}")
  set(DAXSIM_ROOM_MAY_INCLUDE_${id} "${ROOM_MAY_INCLUDE}" PARENT_SCOPE)
  set(DAXSIM_ROOM_NEEDS_${id} "${ROOM_NEEDS}" PARENT_SCOPE)
  set(DAXSIM_ROOM_BUILT_WITH_${id} "${ROOM_BUILT_WITH}" PARENT_SCOPE)
  set(DAXSIM_ROOM_SOURCES_${id} "${ROOM_SOURCES}" PARENT_SCOPE)
  set(DAXSIM_ROOM_OUTSIDE_LIBRARY_${id} "${ROOM_OUTSIDE_LIBRARY}" PARENT_SCOPE)
  set(DAXSIM_ROOMS ${DAXSIM_ROOMS} ${name} PARENT_SCOPE)
  if(NOT ROOM_OUTSIDE_LIBRARY)
    set(DAXSIM_LIBRARY_ROOMS ${DAXSIM_LIBRARY_ROOMS} ${name} PARENT_SCOPE)
  endif()
endfunction()

daxsim_room(base)
daxsim_room(index           MAY_INCLUDE base)
daxsim_room(device          MAY_INCLUDE base)
daxsim_room(vfs             MAY_INCLUDE base index device)
daxsim_room(dax             MAY_INCLUDE base index device vfs)
daxsim_room(pagecache       MAY_INCLUDE base device vfs)
daxsim_room(mm              MAY_INCLUDE base device vfs)
daxsim_room(adapters/extent_fs MAY_INCLUDE base device vfs dax pagecache)
daxsim_room(adapters/linear MAY_INCLUDE base device vfs dax adapters/extent_fs)
daxsim_room(adapters/realtime MAY_INCLUDE base device vfs dax adapters/extent_fs)
daxsim_room(adapters/chunk MAY_INCLUDE base device vfs dax adapters/extent_fs)
daxsim_room(adapters/tiered MAY_INCLUDE base device vfs dax adapters/extent_fs)
daxsim_room(adapters/xip    MAY_INCLUDE base device vfs dax pagecache NEEDS zstd::libzstd_shared)
daxsim_room(detect          MAY_INCLUDE base index device vfs)
daxsim_room(sim_devices     MAY_INCLUDE base device SOURCES sim_devices)
daxsim_room(machine         MAY_INCLUDE base index device vfs dax mm detect)
daxsim_room(lab             EVERYTHING BUILT_WITH taocpp::pegtl nlohmann_json::nlohmann_json)
daxsim_room(test_support    EVERYTHING OUTSIDE_LIBRARY)
daxsim_room(cli             EVERYTHING OUTSIDE_LIBRARY)
