# SPDX-License-Identifier: BSD-3-Clause
#
# cmake -DPROGRAM=<trace_to_tsv> -P check_sample.cmake
#
# A trace of Linux 6.12 becomes the recording that was made of it by other means; and a trace that ends in the middle of a
# step says so.
cmake_minimum_required(VERSION 3.25)

set(sample "${CMAKE_CURRENT_LIST_DIR}/sample/6.12-ext4-c")
file(READ "${sample}.tsv" expected)

execute_process(COMMAND "${PROGRAM}" ext4 c "${sample}.trace" daxtest OUTPUT_VARIABLE recording RESULT_VARIABLE ended)
if(NOT ended EQUAL 0 OR NOT recording STREQUAL expected)
  message(SEND_ERROR "trace_to_tsv ended with ${ended}, and\n${recording}is not\n${expected}")
endif()

# Told of no program of this name, it says of each event who did it.
execute_process(COMMAND "${PROGRAM}" ext4 c "${sample}.trace" OUTPUT_VARIABLE recording)
if(NOT recording MATCHES "c1-read-written\t\\[daxtest\\]#PF\\(0x4\\) > ")
  message(SEND_ERROR "trace_to_tsv does not say who did what:\n${recording}")
endif()

execute_process(COMMAND "${PROGRAM}" ext4 c /nowhere RESULT_VARIABLE ended ERROR_VARIABLE message)
if(NOT ended EQUAL 2 OR NOT message MATCHES "cannot read /nowhere")
  message(SEND_ERROR "trace_to_tsv of nothing ended with ${ended}: ${message}")
endif()

file(READ "${sample}.trace" trace)
string(FIND "${trace}" "<< c2-store-same-page" end_of_c2)
string(SUBSTRING "${trace}" 0 ${end_of_c2} trace)
set(cut "${CMAKE_CURRENT_BINARY_DIR}/cut.trace")
file(WRITE "${cut}" "${trace}")
execute_process(COMMAND "${PROGRAM}" ext4 c "${cut}" daxtest OUTPUT_VARIABLE recording)
file(REMOVE "${cut}")
if(NOT recording MATCHES "\next4\tc\tc2-store-same-page\t#PF\\(0x7\\) > [^\n]*\t\\(no result: process died or hung here\\)\n$")
  message(SEND_ERROR "trace_to_tsv of a trace that ends in a step:\n${recording}")
endif()

# A step that goes on in the next line of its label.
file(READ "${sample}.trace" trace)
string(REPLACE "c2-store-same-page" "c3-store-again+" trace "${trace}")
file(WRITE "${cut}" "${trace}")
execute_process(COMMAND "${PROGRAM}" ext4 c "${cut}" daxtest OUTPUT_VARIABLE recording)
file(REMOVE "${cut}")
if(NOT recording MATCHES "\next4\tc\tc3-store-again\t#PF\\(0x7\\) > [^\n]*\tstore \\+0x4 ok " OR recording MATCHES "again\\+")
  message(SEND_ERROR "trace_to_tsv of a step of two lines:\n${recording}")
endif()
