# SPDX-License-Identifier: BSD-3-Clause
#
# cmake -DCOMPILER=<c++> -DPC_FOLDER=<folder> -DSOURCE=<file> -DOUTPUT=<program> -P pkg_config.cmake
# Compiles, links and runs one source with nothing but what pkg-config says.
cmake_minimum_required(VERSION 3.25)

set(ENV{PKG_CONFIG_PATH} "${PC_FOLDER}")
execute_process(COMMAND pkg-config --cflags --libs daxsim OUTPUT_VARIABLE flags COMMAND_ERROR_IS_FATAL ANY)
separate_arguments(flags UNIX_COMMAND "${flags}")
execute_process(COMMAND ${COMPILER} -std=c++23 ${SOURCE} -o ${OUTPUT} ${flags} COMMAND_ERROR_IS_FATAL ANY)
execute_process(COMMAND ${OUTPUT} COMMAND_ERROR_IS_FATAL ANY)
