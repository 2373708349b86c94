# SPDX-License-Identifier: BSD-3-Clause
#
# cmake -DNM=<nm> -DPROGRAM=<file> -DNAME=<part of a symbol> -P check_symbols.cmake: fails when a symbol of the program
# has NAME in it, and names the first.

execute_process(COMMAND "${NM}" -C "${PROGRAM}" OUTPUT_VARIABLE symbols RESULT_VARIABLE failed)
if(failed)
  message(FATAL_ERROR "${NM} cannot read ${PROGRAM}")
endif()
if(NOT symbols MATCHES " main\n")
  message(FATAL_ERROR "${PROGRAM} has no symbols")
endif()
if(symbols MATCHES "[^\n]*${NAME}[^\n]*")
  message(FATAL_ERROR "${PROGRAM} has a symbol of ${NAME}: ${CMAKE_MATCH_0}")
endif()
