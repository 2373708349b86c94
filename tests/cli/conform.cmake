# SPDX-License-Identifier: BSD-3-Clause
#
# `daxsim conform` as a user runs it: with -DPROGRAM=..., -DRECORDINGS=the folder of the project's and -DFOLDER=one to work in.

function(run status)
  execute_process(COMMAND "${PROGRAM}" conform ${ARGN} OUTPUT_VARIABLE output ERROR_VARIABLE output RESULT_VARIABLE result)
  if(NOT result EQUAL status)
    message(FATAL_ERROR "daxsim conform ${ARGN}: exit status ${result} instead of ${status}:\n${output}")
  endif()
  set(output "${output}" PARENT_SCOPE)
endfunction()

function(expect text)
  string(FIND "${output}" "${text}" at)
  if(at EQUAL -1)
    message(FATAL_ERROR "\"${text}\" is missing in:\n${output}")
  endif()
endfunction()

# One workload on one kernel and file system, as text and as JSON.
run(0 --workload a --kernel 6.12 --fs ext4)
expect("a         6.12    ext4")
expect("100.00 % of the counted steps match.")
run(0 --workload a --kernel 6.12 --fs ext4 --json)
string(JSON schema GET "${output}" schema)
string(JSON unexplained GET "${output}" parts 0 unexplained)
if(NOT schema STREQUAL "daxsim-conform-1" OR NOT unexplained EQUAL 0)
  message(FATAL_ERROR "schema ${schema}, unexplained ${unexplained}")
endif()

# A recording that says something else is seen: another value, another order.
file(REMOVE_RECURSE "${FOLDER}")
file(MAKE_DIRECTORY "${FOLDER}")
file(READ "${RECORDINGS}/linux-6.12.tsv" recording)
string(REPLACE "load +0x0 ok val=0x77" "load +0x0 ok val=0x78" altered "${recording}")
file(WRITE "${FOLDER}/linux-6.12.tsv" "${altered}")
run(1 --recordings "${FOLDER}" --workload a --fs ext4)
expect("a9-load-after-pwrite")
expect("recorded load +0x0 ok val=0x78")
string(REPLACE "dax_insert_entry > vmf_insert_mixed > pte_done" "vmf_insert_mixed > dax_insert_entry > pte_done"
  altered "${recording}")
file(WRITE "${FOLDER}/linux-6.12.tsv" "${altered}")
run(1 --recordings "${FOLDER}" --workload c --fs ext4)
expect("c1-read-written")

# What is no recording, and names that none has.
file(WRITE "${FOLDER}/linux-6.12.tsv" "fs\tworkload\n")
run(2 --recordings "${FOLDER}")
expect("linux-6.12.tsv:1:")
run(2 --recordings "${FOLDER}/none")
run(2 --workload z)
expect("no recording of workload \"z\"")
