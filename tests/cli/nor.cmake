# SPDX-License-Identifier: BSD-3-Clause
#
# cmake -DPROGRAM=<daxsim> -P nor.cmake
#
# Runs `daxsim demo nor` as a user does, as a table and as JSON: each way of Busy in each case, and what loads got.
cmake_minimum_required(VERSION 3.25)

execute_process(COMMAND "${PROGRAM}" demo nor OUTPUT_VARIABLE table RESULT_VARIABLE ended)
if(NOT ended EQUAL 0 OR NOT table MATCHES "raw +erase +0x00 .*status read as data")
  message(SEND_ERROR "daxsim demo nor ended with ${ended}:\n${table}")
endif()
execute_process(COMMAND "${PROGRAM}" demo nor --json OUTPUT_VARIABLE json RESULT_VARIABLE ended)
string(JSON fetches LENGTH "${json}" fetches)
string(JSON ok GET "${json}" ok)
if(NOT ended EQUAL 0 OR NOT fetches EQUAL 12 OR NOT ok)
  message(SEND_ERROR "daxsim demo nor --json ended with ${ended}:\n${json}")
endif()
# suspend: the load pays the latency of 20 us and not the erase; refault: the erase.
math(EXPR last "${fetches} - 1")
foreach(i RANGE ${last})
  string(JSON policy GET "${json}" fetches ${i} policy)
  string(JSON meanwhile GET "${json}" fetches ${i} meanwhile)
  string(JSON latency GET "${json}" fetches ${i} latency_ns)
  if(meanwhile STREQUAL "erase" AND ((policy STREQUAL "suspend" AND (latency LESS 20000 OR latency GREATER 100000)) OR
                                     (policy STREQUAL "refault" AND latency LESS 100000000)))
    message(SEND_ERROR "${policy} during an ${meanwhile}: ${latency} ns")
  endif()
endforeach()
