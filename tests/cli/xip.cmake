# SPDX-License-Identifier: BSD-3-Clause
#
# cmake -DPROGRAM=<daxsim> -DFOLDER=<for files> -P xip.cmake
#
# Runs `daxsim mkxip` and `daxsim xip-report` as a user does: an image without a profile and one with, what they cost, and
# what a user sees of mistakes.
cmake_minimum_required(VERSION 3.25)
file(REMOVE_RECURSE "${FOLDER}")
file(MAKE_DIRECTORY "${FOLDER}/root/bin" "${FOLDER}/root/empty")
string(REPEAT "execute in place " 1000 text)  # 17000 bytes: 5 pages
file(WRITE "${FOLDER}/root/bin/app" "${text}")
file(WRITE "${FOLDER}/root/motd" "hello")

# daxsim <arguments> ends with `status` and says `text`.
function(says status text)
  execute_process(COMMAND "${PROGRAM}" ${ARGN} WORKING_DIRECTORY "${FOLDER}"
    OUTPUT_VARIABLE out ERROR_VARIABLE out RESULT_VARIABLE ended)
  if(NOT ended EQUAL status OR NOT out MATCHES "${text}")
    message(SEND_ERROR "daxsim ${ARGN}: ended with ${ended}, not ${status} and \"${text}\":\n${out}")
  endif()
  set(out "${out}" PARENT_SCOPE)
endfunction()
# The member of the last output that the path leads to is `value`.
function(member value)
  string(JSON got GET "${out}" ${ARGN})
  if(NOT got STREQUAL "${value}")
    message(SEND_ERROR "${ARGN} is ${got}, not ${value}:\n${out}")
  endif()
endfunction()

says(0 "2 files. 0 pages direct, 5 compressed" mkxip root plain.xip)
file(WRITE "${FOLDER}/profile" "0 7 bin/app\n4 1 bin/app\n")
says(0 "daxsim-mkxip-1" mkxip root profiled.xip --profile profile --json)
member(2 files)
member(2 pages direct)
member(3 pages compressed)
member(1 pages copied)

says(0 "Against all compressed: 8192 bytes of RAM saved, 8192 bytes of flash more" xip-report profiled.xip)
says(0 "daxsim-xip-report-1" xip-report profiled.xip --json)
member(8192 ram_saved_bytes)
member(8192 flash_more_bytes)
member("all compressed" stored 0 how)
member(24576 stored 0 ram_bytes)
member(16384 stored 1 ram_bytes)
member(0 stored 2 ram_bytes)
says(0 "No page is direct" xip-report plain.xip)

# Who waits, while 128 KiB are erased and programmed.
says(0 "daxsim-xip-report-1" xip-report profiled.xip --update 131072 --json)
member(exclude stalls 0 policy)
member(EAGAIN stalls 0 refused)
member(suspend stalls 1 policy)
member(0 stalls 1 without_data)
member(refault stalls 2 policy)
member(0 stalls 2 without_data)
member(raw stalls 3 policy)
foreach(number 1 2 3)
  foreach(what fetches longest_fetch_ns update_ns)
    string(JSON ${what}_${number} GET "${out}" stalls ${number} ${what})
  endforeach()
endforeach()
string(JSON without_data GET "${out}" stalls 3 without_data)
# A suspend takes 20 us; the erase that a refault waits for, more than a second. The update is later by what is waited for.
if(NOT longest_fetch_ns_1 GREATER 20000 OR NOT longest_fetch_ns_1 LESS 100000 OR
   NOT longest_fetch_ns_2 GREATER 1000000000 OR NOT without_data EQUAL fetches_3 OR NOT update_ns_1 GREATER update_ns_2)
  message(SEND_ERROR "unlikely stalls:\n${out}")
endif()

# The same files and profile make the same image.
says(0 "" mkxip root again.xip --profile profile)
file(SHA256 "${FOLDER}/profiled.xip" first)
file(SHA256 "${FOLDER}/again.xip" second)
if(NOT first STREQUAL second)
  message(SEND_ERROR "two images of the same files differ")
endif()

# Mistakes.
says(2 "no_such_folder: No such file or directory" mkxip no_such_folder new.xip)
says(2 "motd: Not a directory" mkxip root/motd new.xip)
says(2 "plain.xip: exists already" mkxip root plain.xip)
says(2 "nowhere/new.xip: No such file or directory" mkxip root nowhere/new.xip)
says(2 "no_profile: No such file or directory" mkxip root new.xip --profile no_profile)
says(2 "motd: is no profile" mkxip root new.xip --profile root/motd)
file(WRITE "${FOLDER}/profile" "0 1 bin/other\n")
says(2 "there is no file bin/other" mkxip root new.xip --profile profile)
file(WRITE "${FOLDER}/profile" "5 1 bin/app\n")
says(2 "bin/app has no page 5" mkxip root new.xip --profile profile)
says(2 "IMAGE is required" mkxip root)
file(CREATE_LINK motd "${FOLDER}/root/link" SYMBOLIC)
says(2 "root/link: is neither a file nor a folder" mkxip root new.xip)
if(EXISTS "${FOLDER}/new.xip")
  message(SEND_ERROR "an image was left behind by a mistake")
endif()
says(2 "motd: is no image of XipFs" xip-report root/motd)
says(2 "missing.xip: No such file or directory" xip-report missing.xip)
