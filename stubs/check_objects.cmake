# Do the objects that open weights refer to the file layer? Run before llama-app is made, by lfbuild.cmake, with
#   -DLFBUILD_SYSTEM=windows or posix
#   -DLFBUILD_OBJECTS=path|path|…
#
# The names stand in an object's symbol table as plain text in every format there is, so no nm or objdump is needed.

if(LFBUILD_SYSTEM STREQUAL "windows")
  set(map "lfbuild_set_file_pointer lfbuild_read_file lfbuild_create_file_mapping lfbuild_map_view lfbuild_unmap_view")
else()
  set(map "lfbuild_fread lfbuild_fseeko lfbuild_ftello")
endif()

# SOURCE|SYMBOLS that its object must refer to
set(expected
  "gguf.cpp|lfbuild_fopen lfbuild_fread lfbuild_fseeko lfbuild_ftello lfbuild_fclose"
  "llama-mmap.cpp|lfbuild_fopen lfbuild_fclose ${map}"
  "llama-adapter.cpp|lfbuild_fopen lfbuild_fclose"
  "clip.cpp|lfbuild_fopen lfbuild_fread lfbuild_fseeko")

string(REPLACE "|" ";" objects "${LFBUILD_OBJECTS}")
foreach(row IN LISTS expected)
  string(REPLACE "|" ";" row "${row}")
  list(GET row 0 source)
  list(GET row 1 symbols)
  separate_arguments(symbols)
  string(REPLACE "." "[.]" pattern "${source}")
  set(seen FALSE)
  foreach(object IN LISTS objects)
    if(NOT object MATCHES "/${pattern}[.]o(bj)?$")
      continue()
    endif()
    set(seen TRUE)
    foreach(symbol IN LISTS symbols)
      file(STRINGS "${object}" found REGEX "${symbol}" LIMIT_COUNT 1)
      if(NOT found)
        message(FATAL_ERROR "lfbuild: ${object} does not refer to ${symbol}: this engine version opens weights past the "
          "file layer, so a model inside the file would not be found; it needs a newer lfbuild")
      endif()
    endforeach()
  endforeach()
  if(NOT seen)
    message(FATAL_ERROR "lfbuild: there is no object of ${source} in the build, so the file layer cannot be checked; this "
      "engine version needs a newer lfbuild")
  endif()
endforeach()
