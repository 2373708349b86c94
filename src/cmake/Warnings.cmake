# SPDX-License-Identifier: BSD-3-Clause
#
# The warnings every target of this project is compiled with. They are private to our targets: a consumer never gets
# them. Errors only where DAXSIM_WERROR says so (the presets do), so that a newer compiler cannot break a user's build.

set(DAXSIM_WARNINGS
  -Wall
  -Wextra
  -Wpedantic
  -Wshadow
  -Wcast-align
  -Wcast-qual
  -Wformat=2
  -Wunused
  -Wundef
  -Wvla
  # Of C++ only; the tests have a client in C.
  $<$<COMPILE_LANGUAGE:CXX>:-Woverloaded-virtual>
  $<$<COMPILE_LANGUAGE:CXX>:-Wextra-semi>)

# Narrowing is refused in the product; tests may write plain literals.
set(DAXSIM_PRODUCT_WARNINGS -Wconversion)

if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  list(APPEND DAXSIM_WARNINGS -Wduplicated-cond -Wlogical-op)
  if(CMAKE_CXX_COMPILER_VERSION VERSION_LESS 13)
    # GCC 12 reports std::string concatenation as overlapping copies at -O2 (GCC bug 105651).
    list(APPEND DAXSIM_WARNINGS -Wno-restrict)
  endif()
elseif(CMAKE_CXX_COMPILER_ID MATCHES "Clang")
  # -Wnon-virtual-dtor here only: GCC's also refuses a protected destructor as soon as the class has a friend.
  list(APPEND DAXSIM_WARNINGS -Wthread-safety -Wimplicit-fallthrough $<$<COMPILE_LANGUAGE:CXX>:-Wnon-virtual-dtor>)
  # Two rules of GCC's -Wconversion, which has them in -Wsign-conversion only for C++.
  list(APPEND DAXSIM_PRODUCT_WARNINGS -Wno-sign-conversion -Wno-implicit-int-float-conversion)
endif()

if(DAXSIM_WERROR)
  list(APPEND DAXSIM_WARNINGS -Werror)
endif()
