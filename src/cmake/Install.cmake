# SPDX-License-Identifier: BSD-3-Clause
#
# What `cmake --install` installs: headers, the static libraries, the program, and what lets others find them
# (find_package(daxsim [COMPONENTS test_support]), pkg-config daxsim).

include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

set(daxsim_cmake_dir "${CMAKE_INSTALL_LIBDIR}/cmake/daxsim")

install(TARGETS daxsim EXPORT daxsimTargets
  ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR}
  FILE_SET HEADERS DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
install(EXPORT daxsimTargets NAMESPACE daxsim:: DESTINATION ${daxsim_cmake_dir})

if(TARGET daxsim_test_support)
  install(TARGETS daxsim_test_support EXPORT daxsimTestSupportTargets
    ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR}
    FILE_SET HEADERS DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
  install(EXPORT daxsimTestSupportTargets NAMESPACE daxsim:: DESTINATION ${daxsim_cmake_dir})
endif()
if(TARGET daxsim_cli)
  install(TARGETS daxsim_cli DESTINATION ${CMAKE_INSTALL_BINDIR})
  # What `daxsim matrix` compares with; the program has it built in, this is for people.
  install(FILES "${PROJECT_SOURCE_DIR}/docs/expected-matrix.json" DESTINATION ${CMAKE_INSTALL_DOCDIR})
endif()
install(FILES "${PROJECT_SOURCE_DIR}/LICENSE" DESTINATION ${CMAKE_INSTALL_DOCDIR})

configure_package_config_file("${CMAKE_CURRENT_LIST_DIR}/daxsimConfig.cmake.in"
  "${CMAKE_CURRENT_BINARY_DIR}/daxsimConfig.cmake"
  INSTALL_DESTINATION ${daxsim_cmake_dir} NO_SET_AND_CHECK_MACRO)
# Before 1.0 a minor version may break its users.
write_basic_package_version_file("${CMAKE_CURRENT_BINARY_DIR}/daxsimConfigVersion.cmake"
  COMPATIBILITY SameMinorVersion)
install(FILES
  "${CMAKE_CURRENT_BINARY_DIR}/daxsimConfig.cmake" "${CMAKE_CURRENT_BINARY_DIR}/daxsimConfigVersion.cmake"
  DESTINATION ${daxsim_cmake_dir})

# The flags that a user of the library must share with it (daxsim_usage in Targets.cmake).
set(DAXSIM_PC_FLAGS ${DAXSIM_SANITIZE_FLAGS})
list(JOIN DAXSIM_PC_FLAGS " " DAXSIM_PC_LIBS)
if(DAXSIM_DEBUG)
  list(APPEND DAXSIM_PC_FLAGS -DDAXSIM_DEBUG=1)
endif()
list(JOIN DAXSIM_PC_FLAGS " " DAXSIM_PC_CFLAGS)
# From the folder of the .pc file up to the prefix, so that the installed tree may be moved.
file(RELATIVE_PATH DAXSIM_PC_UP "/${CMAKE_INSTALL_LIBDIR}/pkgconfig" "/")
string(REGEX REPLACE "/$" "" DAXSIM_PC_UP "${DAXSIM_PC_UP}")
configure_file("${CMAKE_CURRENT_LIST_DIR}/daxsim.pc.in" "${CMAKE_CURRENT_BINARY_DIR}/daxsim.pc" @ONLY)
install(FILES "${CMAKE_CURRENT_BINARY_DIR}/daxsim.pc" DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
