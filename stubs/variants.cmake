# Several CPU levels in one program: ggml-cpu once for each, and a choice when the program starts (cpu_variants.c).
#
# Upstream builds such variants as libraries that are loaded at run time, which neither a static program nor Cosmopolitan
# can do. Here each is a static library of upstream's own making, whose symbols rename_symbols.py then gives a suffix.
# Included by lfbuild.cmake. Variables:
#   LFBUILD_PYTHON         the Python that runs rename_symbols.py
#   LFBUILD_VARIANTS       tags, best level first: x86_64_v4;x86_64_v3
#   LFBUILD_LEVEL_<TAG>    the level: x86-64-v4
#   LFBUILD_SCORED_<TAG>   what upstream's score function asks for, by its definitions: GGML_AVX512;…

# ggml's own directory ends before ours does, and upstream's functions work in its scope: so this acts when that directory
# reads a variable of its own, and defers to the directory's end.
function(lfbuild_watch_ggml variable access value list_file stack)
  if(access STREQUAL "READ_ACCESS" AND list_file MATCHES "/ggml/src/CMakeLists[.]txt$")
    get_property(seen GLOBAL PROPERTY LFBUILD_GGML_SEEN)
    if(NOT seen)
      set_property(GLOBAL PROPERTY LFBUILD_GGML_SEEN TRUE)
      cmake_language(DEFER CALL lfbuild_add_variants)
    endif()
  endif()
endfunction()

function(lfbuild_add_variants)
  if(BUILD_SHARED_LIBS OR GGML_BACKEND_DL)
    message(FATAL_ERROR "lfbuild: CPU levels are linked into one static program; leave BUILD_SHARED_LIBS and GGML_BACKEND_DL off")
  endif()
  if(NOT TARGET ggml-cpu OR NOT COMMAND ggml_add_cpu_backend_variant_impl)
    lfbuild_fail("the engine does not make ggml-cpu by ggml_add_cpu_backend_variant_impl")
  endif()
  foreach(tag IN LISTS LFBUILD_VARIANTS)
    lfbuild_add_variant(${tag})
  endforeach()
  # What upstream linked to ggml: its one ggml-cpu, and the variants before they were renamed.
  foreach(property IN ITEMS LINK_LIBRARIES INTERFACE_LINK_LIBRARIES)
    get_property(libraries TARGET ggml PROPERTY ${property})
    list(FILTER libraries EXCLUDE REGEX "^ggml-cpu")
    set_property(TARGET ggml PROPERTY ${property} ${libraries})
  endforeach()
  lfbuild_attach_choice()
  foreach(tag IN LISTS LFBUILD_VARIANTS)
    target_link_libraries(ggml PUBLIC lfbuild-cpu-${tag})
    add_dependencies(ggml lfbuild-cpu-${tag}-renamed)
  endforeach()
endfunction()

function(lfbuild_add_variant tag)
  set(level "${LFBUILD_LEVEL_${tag}}")
  set(scored "${LFBUILD_SCORED_${tag}}")
  if(level MATCHES "^armv")
    set(folder arm)
    set(GGML_CPU_ARM_ARCH "${level}")
  else()
    set(folder x86)
    foreach(feature IN ITEMS SSE42 AVX AVX2 BMI2 AVX_VNNI FMA F16C AVX512 AVX512_VBMI AVX512_VNNI AVX512_BF16 AMX_TILE AMX_INT8 AMX_BF16)
      set(GGML_${feature} OFF)
    endforeach()
    foreach(option IN LISTS LFBUILD_OPTIONS_${tag})
      set(${option} ON)
    endforeach()
  endif()
  ggml_add_cpu_backend_variant_impl(${tag})
  # The score is asked for on every CPU, so it is compiled for none in particular.
  add_library(ggml-cpu-${tag}-score OBJECT ggml-cpu/arch/${folder}/cpu-feats.cpp)
  target_include_directories(ggml-cpu-${tag}-score PRIVATE . ../include)
  target_compile_definitions(ggml-cpu-${tag}-score PRIVATE GGML_BACKEND_DL ${scored})
  lfbuild_rename_variant(${tag})
endfunction()

function(lfbuild_rename_variant tag)
  set(folder "${CMAKE_BINARY_DIR}/lfbuild/${tag}")
  set(archive "${CMAKE_BINARY_DIR}/lfbuild/libggml-cpu-${tag}.a")
  add_custom_command(OUTPUT "${archive}" VERBATIM COMMAND_EXPAND_LISTS
    COMMAND "${LFBUILD_PYTHON}" -B "${LFBUILD_STUBS}/rename_symbols.py" "_${tag}" "${folder}"
      "$<TARGET_OBJECTS:ggml-cpu-${tag}>" "$<TARGET_OBJECTS:ggml-cpu-${tag}-score>"
    COMMAND "${CMAKE_COMMAND}" "-DAR=${CMAKE_AR}" "-DARCHIVE=${archive}" "-DFOLDER=${folder}"
      -P "${LFBUILD_STUBS}/archive_folder.cmake"
    DEPENDS ggml-cpu-${tag} ggml-cpu-${tag}-score "$<TARGET_OBJECTS:ggml-cpu-${tag}-score>"
      "${LFBUILD_STUBS}/rename_symbols.py" "${LFBUILD_STUBS}/archive_folder.cmake"
    COMMENT "Renaming the symbols of ggml-cpu for ${LFBUILD_LEVEL_${tag}}")
  add_custom_target(lfbuild-cpu-${tag}-renamed DEPENDS "${archive}")
  add_library(lfbuild-cpu-${tag} STATIC IMPORTED GLOBAL)
  set_target_properties(lfbuild-cpu-${tag} PROPERTIES IMPORTED_LOCATION "${archive}")
  get_property(needs TARGET ggml-cpu PROPERTY LINK_LIBRARIES)
  set_property(TARGET lfbuild-cpu-${tag} PROPERTY INTERFACE_LINK_LIBRARIES ${needs})
endfunction()

# cpu_variants.c is upstream's ggml_backend_cpu_reg, which returns that of the chosen level.
function(lfbuild_attach_choice)
  set(rows "")
  foreach(tag IN LISTS LFBUILD_VARIANTS)
    string(APPEND rows "VARIANT(${tag}, \"${LFBUILD_LEVEL_${tag}}\")\n")
  endforeach()
  file(CONFIGURE OUTPUT "${CMAKE_BINARY_DIR}/lfbuild/cpu_variants.inc" CONTENT "${rows}" @ONLY)
  target_sources(ggml PRIVATE "${LFBUILD_STUBS}/cpu_variants.c")
  set_property(SOURCE "${LFBUILD_STUBS}/cpu_variants.c" TARGET_DIRECTORY ggml
    APPEND PROPERTY INCLUDE_DIRECTORIES "${CMAKE_BINARY_DIR}/lfbuild")
  set_property(SOURCE "${LFBUILD_STUBS}/cpu_variants.c" TARGET_DIRECTORY ggml
    APPEND PROPERTY COMPILE_OPTIONS -Wall -Wextra)
endfunction()

if(LFBUILD_VARIANTS)
  variable_watch(GGML_CPU_ALL_VARIANTS lfbuild_watch_ggml)
endif()
