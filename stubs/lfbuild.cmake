# Puts lfbuild's file layer, CPU check and default arguments into llama.cpp, without a patch.
#
# Read by upstream's own CMake, through -DCMAKE_PROJECT_INCLUDE=<this file>, after each project(); it acts once, when the
# top-level directory is done and every target exists. Variables:
#   LFBUILD_STUBS           this folder (default: where this file lies)
#   LFBUILD_CPU             the level that a CPU must have at the least, such as x86-64-v3 or armv8.2-a+dotprod
#   LFBUILD_VARIANTS        the levels that ggml-cpu is compiled for, see variants.cmake; without, upstream's options decide
#   LFBUILD_ENGINE_VERSION  kept in the program's bytes
#   LFBUILD_VERB_ALIASES    other spellings of the program's verbs, such as server=serve,client=cli
#
# Two checks make an engine version that goes past the layer fail loudly: of the source, here and before anything is
# compiled; and of the objects, before the program is made (check_objects.cmake).

if(NOT CMAKE_CURRENT_SOURCE_DIR STREQUAL CMAKE_SOURCE_DIR)
  return()
endif()
if(CMAKE_VERSION VERSION_LESS 3.19)
  message(FATAL_ERROR "lfbuild: CMake ${CMAKE_VERSION} is too old to put the file layer into the engine; use 3.19 or later")
endif()
if(NOT LFBUILD_STUBS)
  set(LFBUILD_STUBS "${CMAKE_CURRENT_LIST_DIR}")
endif()

function(lfbuild_fail what)
  message(FATAL_ERROR "lfbuild: ${what}; this engine version needs a newer lfbuild, or an older engine version")
endfunction()

include("${LFBUILD_STUBS}/variants.cmake")

# --- what of upstream opens weights ----------------------------------------------------------------------------------
# TARGET SOURCE REDIRECT NAMES…: the target that compiles the source, the header forced into it, and names that it must
# call. A header of upstream's in front of REDIRECT (with ">") is forced in before it.
if(WIN32)
  set(lfbuild_seek "_fseeki64 _ftelli64")
  set(lfbuild_map "SetFilePointerEx ReadFile CreateFileMappingA MapViewOfFile UnmapViewOfFile CloseHandle")
  set(lfbuild_platform platform_windows.c weights_windows.c)
else()
  set(lfbuild_seek "fseeko ftello")
  set(lfbuild_map "fseeko ftello fread mmap munmap")
  set(lfbuild_platform platform_posix.c weights_descriptor.c weights_map.c)
endif()
set(lfbuild_redirected
  "ggml-base|ggml/src/gguf.cpp|redirect_stdio.h|ggml_fopen ${lfbuild_seek} fread fclose"
  "llama|src/llama-mmap.cpp|src/llama-mmap.h>redirect_mmap.h|ggml_fopen fclose ${lfbuild_map}"
  "llama|src/llama-adapter.cpp|redirect_stdio.h|ggml_fopen fclose"
  "mtmd|tools/mtmd/clip.cpp|tools/mtmd/clip-impl.h>redirect_ifstream.h|open_ifstream_binary")

# Other sources may use these names for what they do now, which is no weights; a new one may not.
set(lfbuild_known_openers ggml/src/ggml.c ggml/src/gguf.cpp src/llama-mmap.cpp src/llama-adapter.cpp)

function(lfbuild_check_sources)
  foreach(row IN LISTS lfbuild_redirected)
    string(REPLACE "|" ";" row "${row}")
    list(GET row 1 source)
    list(GET row 3 names)
    if(NOT EXISTS "${CMAKE_SOURCE_DIR}/${source}")
      lfbuild_fail("the engine has no ${source}, one of the files that open weights")
    endif()
    file(READ "${CMAKE_SOURCE_DIR}/${source}" text)
    separate_arguments(names)
    foreach(name IN LISTS names)
      if(NOT text MATCHES "[^A-Za-z0-9_]${name}[^A-Za-z0-9_]")
        lfbuild_fail("${source} no longer calls ${name}, so weights may be opened past the file layer")
      endif()
    endforeach()
  endforeach()
  file(GLOB_RECURSE sources RELATIVE "${CMAKE_SOURCE_DIR}" FOLLOW_SYMLINKS
    "${CMAKE_SOURCE_DIR}/src/*.cpp" "${CMAKE_SOURCE_DIR}/common/*.cpp" "${CMAKE_SOURCE_DIR}/tools/mtmd/*.cpp")
  file(GLOB ggml_sources RELATIVE "${CMAKE_SOURCE_DIR}" "${CMAKE_SOURCE_DIR}/ggml/src/*.c*")
  foreach(source IN LISTS sources ggml_sources)
    if(source IN_LIST lfbuild_known_openers)
      continue()
    endif()
    file(STRINGS "${CMAKE_SOURCE_DIR}/${source}" calls REGEX "[^A-Za-z0-9_](ggml_fopen|mmap|CreateFileMapping[AW]?) *[(][^)]" LIMIT_COUNT 1)
    if(calls)
      lfbuild_fail("${source} opens or maps files by itself, past the file layer (${calls})")
    endif()
  endforeach()
endfunction()

# A name that the check does not know would refuse every CPU.
function(lfbuild_check_cpu)
  file(READ "${LFBUILD_STUBS}/cpu_features.h" table)
  string(REGEX MATCHALL "(LEVEL|FEATURE)[(]\"[^\"]*" rows "${table}")
  list(TRANSFORM rows REPLACE "^[^\"]*\"" "")
  string(REPLACE "+" ";" names "${LFBUILD_CPU}")
  foreach(name IN LISTS names)
    if(NOT name IN_LIST rows)
      message(FATAL_ERROR "lfbuild: LFBUILD_CPU=${LFBUILD_CPU} names '${name}', which cpu_features.h does not know")
    endif()
  endforeach()
endfunction()

# --- putting the layer in --------------------------------------------------------------------------------------------
function(lfbuild_redirect target source headers)
  if(NOT TARGET ${target})
    lfbuild_fail("the engine has no CMake target ${target}, which compiled ${source}")
  endif()
  set(options "")
  string(REPLACE ">" ";" headers "${headers}")
  foreach(header IN LISTS headers)
    if(header MATCHES "/")
      set(header "${CMAKE_SOURCE_DIR}/${header}")
    else()
      set(header "${LFBUILD_STUBS}/${header}")
    endif()
    list(APPEND options -include "${header}")
  endforeach()
  set_property(SOURCE "${CMAKE_SOURCE_DIR}/${source}" TARGET_DIRECTORY ${target} APPEND PROPERTY COMPILE_OPTIONS ${options})
  # Forced headers must come first, and other sources must not be compiled with them.
  set_property(SOURCE "${CMAKE_SOURCE_DIR}/${source}" TARGET_DIRECTORY ${target} PROPERTY SKIP_PRECOMPILE_HEADERS ON)
  set_property(SOURCE "${CMAKE_SOURCE_DIR}/${source}" TARGET_DIRECTORY ${target} PROPERTY SKIP_UNITY_BUILD_INCLUSION ON)
endfunction()

# macOS starts a program's constructors in the order of its link, whatever priority they ask for. There the check has to
# be among the program's own objects, which come before every library's.
function(lfbuild_attach_check)
  set(source "${LFBUILD_STUBS}/cpu_check.c")
  set(target ggml-base)
  if(APPLE AND NOT BUILD_SHARED_LIBS)
    set(target llama-app)
  endif()
  target_sources(${target} PRIVATE "${source}")
  set_property(SOURCE "${source}" TARGET_DIRECTORY ${target} APPEND PROPERTY COMPILE_OPTIONS -Wall -Wextra)
  set_property(SOURCE "${source}" TARGET_DIRECTORY ${target} APPEND PROPERTY COMPILE_DEFINITIONS LFBUILD_BUILDING)
  set_property(SOURCE "${source}" TARGET_DIRECTORY ${target} PROPERTY SKIP_PRECOMPILE_HEADERS ON)
  set_property(SOURCE "${source}" TARGET_DIRECTORY ${target} PROPERTY SKIP_UNITY_BUILD_INCLUSION ON)
  if(LFBUILD_CPU)
    set_property(SOURCE "${source}" TARGET_DIRECTORY ${target}
      APPEND PROPERTY COMPILE_DEFINITIONS "LFBUILD_CPU=\"${LFBUILD_CPU}\"")
  endif()
endfunction()

function(lfbuild_attach_layer)
  # In ggml-base, on which all the others rest: so it is there once, in a static and in a shared build, and in a shared
  # one the CPU check runs before the constructors of ggml-cpu.
  set(layer complaint.c member_file.c open_weights.c weights_stream.c zip_directory.c ${lfbuild_platform})
  list(TRANSFORM layer PREPEND "${LFBUILD_STUBS}/")
  target_sources(ggml-base PRIVATE ${layer})
  set_property(SOURCE ${layer} TARGET_DIRECTORY ggml-base APPEND PROPERTY COMPILE_OPTIONS -Wall -Wextra)
  set_property(SOURCE ${layer} TARGET_DIRECTORY ggml-base APPEND PROPERTY COMPILE_DEFINITIONS LFBUILD_BUILDING)
  set_property(SOURCE ${layer} TARGET_DIRECTORY ggml-base PROPERTY SKIP_PRECOMPILE_HEADERS ON)
  set_property(SOURCE ${layer} TARGET_DIRECTORY ggml-base PROPERTY SKIP_UNITY_BUILD_INCLUSION ON)
  lfbuild_attach_check()
  if(BUILD_SHARED_LIBS)
    foreach(target IN ITEMS ggml-base llama mtmd llama-app)
      target_compile_definitions(${target} PRIVATE LFBUILD_SHARED)
    endforeach()
  endif()
endfunction()

function(lfbuild_attach_main)
  foreach(source IN ITEMS app/llama.cpp)
    if(NOT TARGET llama-app OR NOT EXISTS "${CMAKE_SOURCE_DIR}/${source}")
      lfbuild_fail("the engine has no target llama-app made from ${source}")
    endif()
    file(READ "${CMAKE_SOURCE_DIR}/${source}" text)
    if(NOT text MATCHES "int main *[(]int argc, char *[*][*] *argv[)]")
      lfbuild_fail("${source} has another main than int main(int argc, char ** argv)")
    endif()
    set_property(SOURCE "${CMAKE_SOURCE_DIR}/${source}" TARGET_DIRECTORY llama-app
      APPEND PROPERTY COMPILE_DEFINITIONS main=lfbuild_engine_main)
  endforeach()
  target_sources(llama-app PRIVATE
    "${LFBUILD_STUBS}/main.cpp" "${LFBUILD_STUBS}/args_grammar.c" "${LFBUILD_STUBS}/default_args.c")
  if(WIN32)
    target_sources(llama-app PRIVATE "${LFBUILD_STUBS}/windows.rc")
  endif()
  if(LFBUILD_ENGINE_VERSION)
    set_property(SOURCE "${LFBUILD_STUBS}/main.cpp" TARGET_DIRECTORY llama-app
      APPEND PROPERTY COMPILE_DEFINITIONS "LFBUILD_ENGINE_VERSION=\"${LFBUILD_ENGINE_VERSION}\"")
  endif()
  set_property(SOURCE "${LFBUILD_STUBS}/default_args.c" TARGET_DIRECTORY llama-app
    APPEND PROPERTY COMPILE_DEFINITIONS "LFBUILD_VERB_ALIASES=\"${LFBUILD_VERB_ALIASES}\"")
endfunction()

# On Windows upstream puts the process's own command line in the place of what main was given; ours has more in it.
function(lfbuild_keep_arguments)
  file(GLOB_RECURSE sources RELATIVE "${CMAKE_SOURCE_DIR}" FOLLOW_SYMLINKS
    "${CMAKE_SOURCE_DIR}/app/*.cpp" "${CMAKE_SOURCE_DIR}/src/*.cpp" "${CMAKE_SOURCE_DIR}/common/*.cpp"
    "${CMAKE_SOURCE_DIR}/tools/*.cpp")
  foreach(source IN LISTS sources)
    file(STRINGS "${CMAKE_SOURCE_DIR}/${source}" calls REGEX "GetCommandLine[AW]|__w?argv" LIMIT_COUNT 1)
    if(calls AND NOT source STREQUAL "common/arg.cpp")
      lfbuild_fail("${source} reads the command line by itself, past the default arguments (${calls})")
    elseif(calls)
      lfbuild_redirect(llama-common "${source}" redirect_argv.h)
    endif()
  endforeach()
endfunction()

# The objects are looked at when the libraries are made, and nothing of the program itself is built before. (That
# app/llama.cpp has its main renamed needs no check: the linker would find two, or none.)
function(lfbuild_attach_object_check)
  set(stamp "${CMAKE_BINARY_DIR}/lfbuild-objects-checked")
  add_custom_command(OUTPUT "${stamp}" VERBATIM
    COMMAND "${CMAKE_COMMAND}"
      "-DLFBUILD_SYSTEM=$<IF:$<BOOL:${WIN32}>,windows,posix>"
      "-DLFBUILD_OBJECTS=$<JOIN:$<TARGET_OBJECTS:ggml-base>;$<TARGET_OBJECTS:llama>;$<TARGET_OBJECTS:mtmd>,|>"
      -P "${LFBUILD_STUBS}/check_objects.cmake"
    COMMAND "${CMAKE_COMMAND}" -E touch "${stamp}"
    DEPENDS ggml-base llama mtmd "${LFBUILD_STUBS}/check_objects.cmake"
    COMMENT "Checking that weights are opened through lfbuild's file layer")
  add_custom_target(lfbuild-object-check DEPENDS "${stamp}")
  add_dependencies(llama-app lfbuild-object-check)
endfunction()

# Speed alone hangs on this: an engine without the source, or a compiler that does without, needs nothing.
function(lfbuild_keep_lanes)
  set(source "${CMAKE_SOURCE_DIR}/ggml/src/ggml-cpu/llamafile/sgemm.cpp")
  if(NOT CMAKE_CXX_COMPILER_ID MATCHES "Clang" OR NOT EXISTS "${source}" OR NOT LFBUILD_CPU MATCHES "^x86-64")
    return()
  endif()
  # An asm statement makes a loop too long to unroll by clang's own limit of 300, and unrolled it must be.
  set_property(SOURCE "${source}" TARGET_DIRECTORY ggml APPEND PROPERTY COMPILE_OPTIONS
    -include "${LFBUILD_STUBS}/kernels/keep_lanes.h" -mllvm -unroll-threshold=600)
endfunction()

# Speed alone hangs on this too: an engine whose function is another one keeps it.
function(lfbuild_replace_dot_q4_1)
  set(source "${CMAKE_SOURCE_DIR}/ggml/src/ggml-cpu/arch/x86/quants.c")
  set(ours "${LFBUILD_STUBS}/kernels/dot_q4_1.c")
  set(name ggml_vec_dot_q4_1_q8_1)
  set(parameters "int n, float.* s, size_t bs, const void.* vx, size_t bx, const void.* vy, size_t by, int nrc")
  set(targets ggml-cpu)
  if(LFBUILD_VARIANTS)
    list(TRANSFORM LFBUILD_VARIANTS PREPEND ggml-cpu- OUTPUT_VARIABLE targets)
  endif()
  if(NOT LFBUILD_CPU MATCHES "^x86-64" OR NOT TARGET ggml-cpu OR NOT EXISTS "${source}")
    return()
  endif()
  file(STRINGS "${source}" found REGEX "^void ${name}[(]${parameters}[)]" LIMIT_COUNT 1)
  if(NOT found)
    message(STATUS "lfbuild: this engine's ${name} is another one, and stays")
    return()
  endif()
  set_property(SOURCE "${source}" TARGET_DIRECTORY ggml-cpu APPEND PROPERTY COMPILE_DEFINITIONS
    ${name}=lfbuild_upstream_vec_dot_q4_1_q8_1)
  set_property(SOURCE "${ours}" TARGET_DIRECTORY ggml-cpu APPEND PROPERTY COMPILE_OPTIONS -Wall -Wextra)
  set_property(SOURCE "${ours}" TARGET_DIRECTORY ggml-cpu APPEND PROPERTY INCLUDE_DIRECTORIES
    "${CMAKE_SOURCE_DIR}/ggml/src/ggml-cpu")
  foreach(target IN LISTS targets)
    target_sources(${target} PRIVATE "${ours}")
  endforeach()
endfunction()

function(lfbuild_attach)
  lfbuild_check_sources()
  if(LFBUILD_CPU)
    lfbuild_check_cpu()
  endif()
  foreach(row IN LISTS lfbuild_redirected)
    string(REPLACE "|" ";" row "${row}")
    list(GET row 0 target)
    list(GET row 1 source)
    list(GET row 2 headers)
    lfbuild_redirect(${target} "${source}" "${headers}")
  endforeach()
  lfbuild_attach_layer()
  lfbuild_attach_main()
  if(WIN32)
    lfbuild_keep_arguments()
  endif()
  lfbuild_keep_lanes()
  lfbuild_replace_dot_q4_1()
  lfbuild_attach_object_check()
  message(STATUS "lfbuild: file layer attached (${LFBUILD_ENGINE_VERSION}, CPU level ${LFBUILD_CPU})")
endfunction()

cmake_language(DEFER DIRECTORY "${CMAKE_SOURCE_DIR}" CALL lfbuild_attach)
