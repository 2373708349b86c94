# SPDX-License-Identifier: BSD-3-Clause
#
# cmake -DPROGRAM=<daxsim> -DFOLDER=<for files> -P report.cmake
#
# Runs `daxsim report` as a user does and looks at the page: it needs nothing from elsewhere, every link leads somewhere,
# every bad cell has its story, text stays text. Then what a user sees of bad files.
cmake_minimum_required(VERSION 3.25)
file(REMOVE_RECURSE "${FOLDER}")
file(MAKE_DIRECTORY "${FOLDER}")

# daxsim report <arguments> ends with `status` and says `text`.
function(says status text)
  execute_process(COMMAND "${PROGRAM}" report ${ARGN} WORKING_DIRECTORY "${FOLDER}"
    OUTPUT_VARIABLE out ERROR_VARIABLE out RESULT_VARIABLE ended)
  if(NOT ended EQUAL status OR NOT out MATCHES "${text}")
    message(SEND_ERROR "daxsim report ${ARGN}: ended with ${ended}, not ${status} and \"${text}\":\n${out}")
  endif()
endfunction()
function(has page text)
  string(FIND "${page}" "${text}" at)
  if(at EQUAL -1)
    message(SEND_ERROR "the page has no ${text}")
  endif()
endfunction()
function(has_not page text)
  string(FIND "${page}" "${text}" at)
  if(NOT at EQUAL -1)
    message(SEND_ERROR "the page has ${text}")
  endif()
endfunction()
function(links_lead_somewhere page)
  string(REGEX MATCHALL "href=\"[^\"]*\"" links "${page}")
  list(REMOVE_DUPLICATES links)
  foreach(link IN LISTS links)
    if(NOT link MATCHES "^href=\"#(.*)\"$")
      message(SEND_ERROR "a link out of the page: ${link}")
    endif()
    has("${page}" "id=\"${CMAKE_MATCH_1}\"")
  endforeach()
endfunction()

# --- asked now ---

says(0 "asked.html" -o asked.html)
file(READ "${FOLDER}/asked.html" page)
string(REPLACE ";" "," page "${page}")
links_lead_somewhere("${page}")
has_not("${page}" "http")
has_not("${page}" "<script")
has_not("${page}" "url(")
has_not("${page}" "<svg")
has("${page}" "<h3>pfn / replaced: wrong-device flush</h3>")
has("${page}" "<h3>sector@sb / rt-fsync: wrong-device flush, lost store</h3>")
has("${page}" "<td class=\"event\">dax_flush <small> size=4096 (dev 259:2)</small></td>")
has("${page}" "pull the device out")
has("${page}" "prefers-color-scheme: dark")

# --- from files ---

set(matrix [=[{"schema": "daxsim-matrix-1", "ok": false, "era": "<era>", "questions": {"<q>": "a & b?"}, "cells": {
  "<d>": {"<q>": {"verdict": "harm", "text": "<lost>", "expected": "<held>", "as_expected": false,
                  "story": ["<step>", "    flush: <b> (dev 1:2)", "    no device", "seen: <lost>"]}},
  "pfn": {"<q>": {"verdict": "holds", "text": "holds", "expected": "holds", "as_expected": true,
                  "costs": {"pages": 4, "lookups": 2, "locks": 8, "index_bytes": 32}}}}}]=])
file(WRITE "${FOLDER}/matrix.json" "${matrix}")
function(run_of result name type ns ratio)
  set(run "{\"run_name\": \"${name}\", \"run_type\": \"iteration\"${type}")
  foreach(cost IN ITEMS insert refault fsync teardown)
    string(APPEND run ", \"${cost}_ns\": ${ns}, \"${cost}_ratio\": ${ratio}")
  endforeach()
  set(${result} "${run}}" PARENT_SCOPE)
endfunction()
run_of(pfn_a "design:pfn/adapter:l/pages:1024/extent:0/manual_time" "" 100 1)
run_of(pfn_b "design:pfn/adapter:l/pages:1024/extent:0/manual_time" "" 300 1)
run_of(pfn_c "design:pfn/adapter:l/pages:1024/extent:0/manual_time" "" 120 1)
run_of(other "design:<d>/adapter:l/pages:1024/extent:0/manual_time" ", \"locks\": NaN" 77777 2)
file(WRITE "${FOLDER}/bench.json"
  "{\"benchmarks\": [{\"run_name\": \"warm\", \"run_type\": \"iteration\"}, ${pfn_a}, ${pfn_b}, ${pfn_c}, ${other}]}")

says(0 "files.html" --matrix matrix.json --bench bench.json -o files.html)
file(READ "${FOLDER}/files.html" page)
string(REPLACE ";" "," page "${page}")
links_lead_somewhere("${page}")
foreach(tag IN ITEMS "<era>" "<q>" "<d>" "<lost>" "<held>" "<step>" "<b> (dev")
  has_not("${page}" "${tag}")
endforeach()
has("${page}" "a &amp, b?")
has("${page}" "Nobody has explained this")
has("${page}" "<th>machine</th><th>device 1:2</th>")
has("${page}" "<td></td><td class=\"event\">flush <small> &lt,b&gt, (dev 1:2)</small></td>")
# The median of pfn, and twice that.
has("${page}" "<title>pfn: 120.0 ns</title>")
has("${page}" "<title>&lt,d&gt,: 240.0 ns</title>")
# Four costs, by pages and by fragmentation.
string(REGEX MATCHALL "<svg" plots "${page}")
list(LENGTH plots count)
if(NOT count EQUAL 8)
  message(SEND_ERROR "${count} plots, not 8")
endif()

# The plots alone.
says(0 "l.svg" --matrix matrix.json --bench bench.json -o files.html --plots .)
file(READ "${FOLDER}/l.svg" plots)
string(REPLACE ";" "," plots "${plots}")
has("${plots}" "xmlns=\"http://www.w3.org/2000/svg\"")
has("${plots}" "<title>pfn: 120.0 ns</title>")
has("${plots}" ">&lt,d&gt,</text>")
has_not("${plots}" "<d>")

# --- what is wrong with files ---

file(WRITE "${FOLDER}/garbage.json" "{\"schema\": ")
file(WRITE "${FOLDER}/list.json" "[]")
file(WRITE "${FOLDER}/schema.json" "{\"schema\": \"other-2\"}")
string(REPLACE "\"harm\"" "\"odd\"" odd "${matrix}")
file(WRITE "${FOLDER}/odd.json" "${odd}")
string(REPLACE "\"era\"" "\"eon\"" no_era "${matrix}")
file(WRITE "${FOLDER}/no_era.json" "${no_era}")
file(WRITE "${FOLDER}/number.json" "{\"schema\": \"daxsim-matrix-1\", \"ok\": true, \"era\": \"\", \"questions\": 5}")
file(WRITE "${FOLDER}/no_bench.json" "{\"benchmarks\": []}")
string(REPLACE "fsync_ns" "fsink" no_counter "${pfn_a}")
file(WRITE "${FOLDER}/no_counter.json" "{\"benchmarks\": [${no_counter}]}")
string(REPLACE "pages:1024" "pages:1k" no_number "${pfn_a}")
file(WRITE "${FOLDER}/no_number.json" "{\"benchmarks\": [${no_number}]}")

says(2 "garbage.json is no JSON: .*line 1" --matrix garbage.json)
says(2 "list.json is not what daxsim matrix --json -v prints" --matrix list.json)
says(2 "schema.json: its schema is \"other-2\"" --matrix schema.json)
says(2 "odd.json: there is no verdict \"odd\"" --matrix odd.json)
says(2 "no_era.json is not .*'era' not found" --matrix no_era.json)
says(2 "\"questions\" is no object" --matrix number.json)
says(2 "nothing_here.json: No such file" --matrix nothing_here.json)
says(2 "Is a directory" --matrix .)
says(2 "garbage.json is no JSON" --bench garbage.json)
says(2 "no benchmark of bench_designs" --bench no_bench.json)
says(2 "'fsync_ns' not found" --bench no_counter.json)
says(2 "\"1k\" in the name" --bench no_number.json)
says(2 "No space left" --matrix matrix.json -o /dev/full)
says(2 "No such file or directory" --matrix matrix.json -o no/such/folder.html)
says(2 "nowhere/l.svg: No such file" --matrix matrix.json --bench bench.json -o files.html --plots nowhere)
says(2 "--bogus" --bogus)
says(0 "nothing from the net" --help)
if(EXISTS "${FOLDER}/daxsim-report.html")
  message(SEND_ERROR "a page was written though something was wrong")
endif()
file(REMOVE_RECURSE "${FOLDER}")
