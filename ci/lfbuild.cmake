# lfbuild_add_llamafile(TARGET RECIPE chat.toml [OUTPUT chat.llamafile] [FLAGS --target host …])
#
# Adds TARGET, which builds OUTPUT from RECIPE, and again when the recipe, its lock or a file that it names has changed.
# LFBUILD is the program; it is looked for on PATH.

cmake_minimum_required(VERSION 3.20)

function(lfbuild_add_llamafile target)
  cmake_parse_arguments(PARSE_ARGV 1 it "" "RECIPE;OUTPUT" "FLAGS")
  if(NOT it_RECIPE OR it_UNPARSED_ARGUMENTS)
    message(FATAL_ERROR "lfbuild_add_llamafile(${target}): say RECIPE FILE, and nothing but OUTPUT FILE and FLAGS …")
  endif()
  find_program(LFBUILD lfbuild REQUIRED)
  get_filename_component(recipe "${it_RECIPE}" ABSOLUTE)
  if(NOT it_OUTPUT)
    get_filename_component(it_OUTPUT "${it_RECIPE}" NAME_WLE)
    set(it_OUTPUT "${it_OUTPUT}.llamafile")
  endif()
  get_filename_component(output "${it_OUTPUT}" ABSOLUTE BASE_DIR "${CMAKE_CURRENT_BINARY_DIR}")
  add_custom_command(
    OUTPUT "${output}"
    COMMAND "${LFBUILD}" build "${recipe}" -o "${output}" --depfile "${output}.d" ${it_FLAGS}
    DEPENDS "${recipe}"
    DEPFILE "${output}.d"
    COMMENT "Building ${it_OUTPUT}"
    USES_TERMINAL
    VERBATIM)
  add_custom_target(${target} ALL DEPENDS "${output}")
endfunction()
