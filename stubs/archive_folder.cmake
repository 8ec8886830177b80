# Makes a static library of all objects in a folder: -DAR=… -DARCHIVE=… -DFOLDER=…
file(GLOB objects "${FOLDER}/*")
list(SORT objects)
file(REMOVE "${ARCHIVE}")
execute_process(COMMAND "${AR}" qcsD "${ARCHIVE}" ${objects} COMMAND_ERROR_IS_FATAL ANY)
