# SPDX-License-Identifier: BSD-3-Clause
#
# Makes the targets of the rooms from the table in Rooms.cmake:
#
#   daxsim_<room>_objects  the compiled sources of one room, once
#   daxsim_<room>          the room as a static library (or header-only) that links only the rooms its row names
#   daxsim                 daxsim::daxsim, what users link: one static library of all rooms of the product
#   daxsim_test_support    daxsim::test_support, helpers for GoogleTest
#   daxsim_cli             the program `daxsim`

set(CMAKE_CXX_EXTENSIONS OFF)

find_package(Threads REQUIRED)
find_package(Boost 1.74 REQUIRED)
find_package(fmt REQUIRED)
find_package(zstd REQUIRED)
find_package(pegtl 3.2 REQUIRED)
find_package(nlohmann_json REQUIRED)
# Only those who have GoogleTest get the helpers for it.
find_package(GTest QUIET)

if(DAXSIM_SANITIZE)
  list(JOIN DAXSIM_SANITIZE "," daxsim_sanitizers)
  # No vptr: that check opens a pipe, and fails in the tests that have no descriptor left.
  set(DAXSIM_SANITIZE_FLAGS
    -fsanitize=${daxsim_sanitizers} -fno-sanitize=vptr -fno-sanitize-recover=all -fno-omit-frame-pointer)
endif()
if(DAXSIM_FUZZ)
  if(NOT CMAKE_CXX_COMPILER_ID MATCHES "Clang")
    message(FATAL_ERROR "DAXSIM_FUZZ needs clang: libFuzzer is part of it")
  endif()
  list(APPEND DAXSIM_SANITIZE_FLAGS -fsanitize=fuzzer-no-link)
endif()

# What the library and everyone who links it must agree on.
function(daxsim_usage target scope)
  target_compile_features(${target} ${scope} cxx_std_23)
  target_include_directories(${target} ${scope}
    $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/include> $<INSTALL_INTERFACE:include>)
  target_link_libraries(${target} ${scope} Threads::Threads)
  if(DAXSIM_DEBUG)
    target_compile_definitions(${target} ${scope} DAXSIM_DEBUG=1)
  endif()
  if(DAXSIM_SANITIZE_FLAGS)
    target_compile_options(${target} ${scope} ${DAXSIM_SANITIZE_FLAGS})
    target_link_options(${target} ${scope} ${DAXSIM_SANITIZE_FLAGS})
  endif()
endfunction()

# How our own sources are compiled.
function(daxsim_compile target)
  target_compile_options(${target} PRIVATE ${DAXSIM_WARNINGS})
endfunction()

set(daxsim_library_objects "")
set(daxsim_library_needs "")
file(GLOB daxsim_library_headers CONFIGURE_DEPENDS "${PROJECT_SOURCE_DIR}/include/daxsim/*.hpp")

foreach(room IN LISTS DAXSIM_ROOMS)
  string(REPLACE "/" "_" id "${room}")
  set(folder "${PROJECT_SOURCE_DIR}/${DAXSIM_ROOM_SOURCES_${id}}")
  file(GLOB sources CONFIGURE_DEPENDS "${folder}/*.cpp")
  file(GLOB headers CONFIGURE_DEPENDS
    "${PROJECT_SOURCE_DIR}/include/daxsim/${room}/*.hpp" "${PROJECT_SOURCE_DIR}/include/daxsim/${room}/*.h"
    "${PROJECT_SOURCE_DIR}/include/daxsim/${room}.hpp")

  set(DAXSIM_ROOM_HEADERS_${id} ${headers})
  set(DAXSIM_ROOM_HAS_SOURCES_${id} FALSE)
  if(sources)
    set(DAXSIM_ROOM_HAS_SOURCES_${id} TRUE)
  endif()

  if(room STREQUAL "cli")
    if(sources AND PROJECT_IS_TOP_LEVEL)
      find_package(CLI11 REQUIRED)
      set(expected "${PROJECT_SOURCE_DIR}/docs/expected-matrix.json")
      set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS "${expected}")
      file(READ "${expected}" DAXSIM_EXPECTED_MATRIX)
      configure_file("${folder}/expected_matrix.cpp.in" "${CMAKE_CURRENT_BINARY_DIR}/expected_matrix.cpp" @ONLY)
      file(GLOB conformance CONFIGURE_DEPENDS "${PROJECT_SOURCE_DIR}/tests/conformance/*.scn"
        "${PROJECT_SOURCE_DIR}/tests/conformance/*.tsv" "${PROJECT_SOURCE_DIR}/tests/conformance/recordings/*.tsv"
        "${PROJECT_SOURCE_DIR}/tests/conformance/recordings/recorded-here/*.tsv")
      set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${conformance})
      set(DAXSIM_CONFORMANCE_FILES "")
      foreach(file IN LISTS conformance)
        cmake_path(GET file FILENAME name)
        file(READ "${file}" text)
        string(APPEND DAXSIM_CONFORMANCE_FILES "      {\"${name}\", R\"conformance(${text})conformance\"sv},\n")
      endforeach()
      configure_file("${folder}/conformance_files.cpp.in" "${CMAKE_CURRENT_BINARY_DIR}/conformance_files.cpp" @ONLY)
      # The recordings are longer than the strings that every compiler must take; g++ and clang take any.
      set_source_files_properties("${CMAKE_CURRENT_BINARY_DIR}/conformance_files.cpp"
        PROPERTIES COMPILE_OPTIONS -Wno-overlength-strings)
      add_executable(daxsim_cli ${sources}
        "${CMAKE_CURRENT_BINARY_DIR}/expected_matrix.cpp" "${CMAKE_CURRENT_BINARY_DIR}/conformance_files.cpp")
      daxsim_compile(daxsim_cli)
      target_compile_options(daxsim_cli PRIVATE ${DAXSIM_PRODUCT_WARNINGS})
      target_include_directories(daxsim_cli PRIVATE "${PROJECT_SOURCE_DIR}/src")
      target_link_libraries(daxsim_cli PRIVATE
        daxsim fmt::fmt Boost::headers CLI11::CLI11 nlohmann_json::nlohmann_json)
      set_target_properties(daxsim_cli PROPERTIES OUTPUT_NAME daxsim)
    endif()
    continue()
  endif()
  if(NOT sources AND NOT headers)
    continue()
  endif()

  if(room STREQUAL "test_support" AND NOT GTest_FOUND)
    continue()
  endif()

  if(sources)
    add_library(daxsim_${id}_objects OBJECT ${sources})
    daxsim_compile(daxsim_${id}_objects)
    daxsim_usage(daxsim_${id}_objects PUBLIC)
    # The fault handler must not allocate, and only the initial-exec model keeps the first use of a thread-local
    # variable from doing so.
    target_compile_options(daxsim_${id}_objects PRIVATE ${DAXSIM_PRODUCT_WARNINGS} -ftls-model=initial-exec)
    target_include_directories(daxsim_${id}_objects PRIVATE "${PROJECT_SOURCE_DIR}/src")
    target_link_libraries(daxsim_${id}_objects PRIVATE
      fmt::fmt Boost::headers ${DAXSIM_ROOM_NEEDS_${id}} ${DAXSIM_ROOM_BUILT_WITH_${id}})
    set_target_properties(daxsim_${id}_objects PROPERTIES
      POSITION_INDEPENDENT_CODE ON CXX_VISIBILITY_PRESET hidden VISIBILITY_INLINES_HIDDEN ON)
    set(scope PUBLIC)
  else()
    set(scope INTERFACE)
  endif()

  if(room STREQUAL "test_support")
    continue()
  endif()

  if(sources)
    add_library(daxsim_${id} STATIC EXCLUDE_FROM_ALL $<TARGET_OBJECTS:daxsim_${id}_objects>)
    target_link_libraries(daxsim_${id} PRIVATE fmt::fmt ${DAXSIM_ROOM_NEEDS_${id}})
    set_target_properties(daxsim_${id} PROPERTIES LINKER_LANGUAGE CXX)
    list(APPEND daxsim_library_objects $<TARGET_OBJECTS:daxsim_${id}_objects>)
    list(APPEND daxsim_library_needs ${DAXSIM_ROOM_NEEDS_${id}})
  else()
    add_library(daxsim_${id} INTERFACE)
  endif()
  daxsim_usage(daxsim_${id} ${scope})
  foreach(lower IN LISTS DAXSIM_ROOM_MAY_INCLUDE_${id})
    string(REPLACE "/" "_" lower_id "${lower}")
    if(TARGET daxsim_${lower_id})
      target_link_libraries(daxsim_${id} ${scope} daxsim_${lower_id})
    endif()
  endforeach()
  list(APPEND daxsim_library_headers ${headers})
endforeach()

if(NOT daxsim_library_objects)
  message(FATAL_ERROR "no room has sources")
endif()
add_library(daxsim STATIC ${daxsim_library_objects})
add_library(daxsim::daxsim ALIAS daxsim)
daxsim_usage(daxsim PUBLIC)
target_link_libraries(daxsim PRIVATE fmt::fmt ${daxsim_library_needs})
target_sources(daxsim PUBLIC
  FILE_SET HEADERS BASE_DIRS "${PROJECT_SOURCE_DIR}/include" FILES ${daxsim_library_headers})
set_target_properties(daxsim PROPERTIES LINKER_LANGUAGE CXX)

if(GTest_FOUND AND DAXSIM_ROOM_HEADERS_test_support)
  if(DAXSIM_ROOM_HAS_SOURCES_test_support)
    target_link_libraries(daxsim_test_support_objects PRIVATE GTest::gtest)
    add_library(daxsim_test_support STATIC $<TARGET_OBJECTS:daxsim_test_support_objects>)
    target_link_libraries(daxsim_test_support PRIVATE fmt::fmt)
    set_target_properties(daxsim_test_support PROPERTIES LINKER_LANGUAGE CXX)
    # The same without the library below it, for unit tests that link single rooms.
    add_library(daxsim_test_support_room STATIC EXCLUDE_FROM_ALL $<TARGET_OBJECTS:daxsim_test_support_objects>)
    set_target_properties(daxsim_test_support_room PROPERTIES LINKER_LANGUAGE CXX)
    set(scope PUBLIC)
  else()
    add_library(daxsim_test_support INTERFACE)
    set(scope INTERFACE)
  endif()
  add_library(daxsim::test_support ALIAS daxsim_test_support)
  set_target_properties(daxsim_test_support PROPERTIES EXPORT_NAME test_support)
  target_link_libraries(daxsim_test_support ${scope} daxsim GTest::gtest)
  target_sources(daxsim_test_support ${scope}
    FILE_SET HEADERS BASE_DIRS "${PROJECT_SOURCE_DIR}/include" FILES ${DAXSIM_ROOM_HEADERS_test_support})
endif()

# Every public header compiles alone, as part of the ordinary build where the preset asks for it.
if(CMAKE_VERIFY_INTERFACE_HEADER_SETS)
  add_custom_target(daxsim_headers_alone ALL)
  add_dependencies(daxsim_headers_alone all_verify_interface_header_sets)
endif()
