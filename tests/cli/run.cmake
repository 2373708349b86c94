# SPDX-License-Identifier: BSD-3-Clause
#
# cmake -DPROGRAM=<daxsim> -DFOLDER=<where files may be made> -P run.cmake: `daxsim run` and `daxsim list` as a user meets
# them: exit status, what is printed, traces, and files that are no scenarios.

file(REMOVE_RECURSE "${FOLDER}")
file(MAKE_DIRECTORY "${FOLDER}")
file(WRITE "${FOLDER}/passes.scn" "for adapters ext4 xfs\nparam byte = 7\nopen -f a\npwrite -S \${byte} 0 4k\npread 0 4k => \${byte}\n")
file(WRITE "${FOLDER}/fails.scn" "open -f a\nfsync => EIO\n")
file(WRITE "${FOLDER}/skipped.scn" "open -f a\ntruncate 4k\nmmap 0 4k\npin 0\n")
file(WRITE "${FOLDER}/bad.scn" "open -f a\nfsnc\n")

# Runs `daxsim <arguments>`, which must end with this status and say these (regular expressions), on either stream.
function(says status)
  cmake_parse_arguments(PARSE_ARGV 1 WANTED "" "" "ARGUMENTS;TEXTS")
  execute_process(COMMAND "${PROGRAM}" ${WANTED_ARGUMENTS}
    OUTPUT_VARIABLE out ERROR_VARIABLE out RESULT_VARIABLE got WORKING_DIRECTORY "${FOLDER}")
  if(NOT got EQUAL status)
    message(SEND_ERROR "daxsim ${WANTED_ARGUMENTS}: ended with ${got}, not ${status}:\n${out}")
  endif()
  foreach(text IN LISTS WANTED_TEXTS)
    if(NOT out MATCHES "${text}")
      message(SEND_ERROR "daxsim ${WANTED_ARGUMENTS}: does not say ${text}:\n${out}")
    endif()
  endforeach()
endfunction()

says(0 ARGUMENTS run passes.scn TEXTS "passed  passes.scn  6.12 pfn ext4 soft" "6.12 pfn xfs soft" "2 passed, 0 failed")
says(0 ARGUMENTS run passes.scn --era 6.1 --adapter chunk --mmu live -p byte=9 -v
  TEXTS "6.1 pfn chunk live" "pwrite -S 9 0 4k +pwrite .0x0 len 4096 = 4096")
says(1 ARGUMENTS run fails.scn passes.scn
  TEXTS "failed  fails.scn" "fails.scn:2: fsync => EIO" "expected  EIO" "came      0" "the last events" "2 passed, 1 failed")
says(77 ARGUMENTS run skipped.scn --mmu segv TEXTS "skipped" "live mappings have no pin")
says(2 ARGUMENTS run bad.scn TEXTS "bad.scn:2:1: no verb fsnc. did you mean fsync")
says(2 ARGUMENTS run gone.scn TEXTS "gone.scn: No such file or directory")
says(2 ARGUMENTS run passes.scn --era 6.13 TEXTS "no era 6.13. did you mean 6.1")
says(2 ARGUMENTS run passes.scn --design pfm TEXTS "no design pfm. did you mean pfn")
says(2 ARGUMENTS run passes.scn --adapter ext5 TEXTS "no adapter ext5. did you mean ext4")
says(2 ARGUMENTS run passes.scn -p byte TEXTS "NAME=VALUE")
says(2 ARGUMENTS run TEXTS "FILE is required")
says(2 ARGUMENTS run passes.scn --trace /nowhere/t.json TEXTS "/nowhere/t.json: No such file or directory")
says(2 ARGUMENTS list everything)
foreach(what IN ITEMS eras designs adapters devices mmus verbs findings events)
  says(0 ARGUMENTS list ${what})
  says(0 ARGUMENTS list ${what} --json TEXTS "daxsim-list-1")
endforeach()
says(0 ARGUMENTS list verbs TEXTS "mread OFFSET LENGTH +load")

says(0 ARGUMENTS run passes.scn --trace t.json)
file(READ "${FOLDER}/t.json" trace)
string(JSON unit GET "${trace}" displayTimeUnit)
if(NOT unit STREQUAL "ns")
  message(SEND_ERROR "the trace is not one of Perfetto's")
endif()
says(0 ARGUMENTS run passes.scn --trace t.txt)
file(READ "${FOLDER}/t.txt" trace)
if(NOT trace MATCHES "dax_copy_from_iter")
  message(SEND_ERROR "the trace has no events")
endif()

execute_process(COMMAND "${PROGRAM}" run passes.scn fails.scn --json -v
  OUTPUT_VARIABLE json RESULT_VARIABLE got WORKING_DIRECTORY "${FOLDER}")
string(JSON runs LENGTH "${json}" runs)
string(JSON verdict GET "${json}" runs 2 verdict)
string(JSON result GET "${json}" runs 0 steps 1 result)
if(NOT got EQUAL 1 OR NOT runs EQUAL 3 OR NOT verdict STREQUAL "failed" OR NOT result MATCHES "pwrite")
  message(SEND_ERROR "daxsim run --json: ended with ${got}: ${json}")
endif()
