# Writes OUTPUT, the source file that says which Vergence this is (engine/version.h), where it is not up to date.
# Run at every build, since the commit changes without the sources: cmake -D SOURCE=DIR -D VERSION=V -D OUTPUT=FILE -P version.cmake
set(COMMIT unknown)
find_package(Git QUIET)
if(GIT_FOUND)
  execute_process(COMMAND ${GIT_EXECUTABLE} rev-parse --show-toplevel WORKING_DIRECTORY ${SOURCE}
                  OUTPUT_VARIABLE clone OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
  # A folder of sources may lie inside a clone of something else.
  file(REAL_PATH ${SOURCE} source)
  if(clone STREQUAL source)
    execute_process(COMMAND ${GIT_EXECUTABLE} rev-parse HEAD WORKING_DIRECTORY ${SOURCE} RESULT_VARIABLE failed
                    OUTPUT_VARIABLE head OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
    if(NOT failed)
      set(COMMIT ${head})
      execute_process(COMMAND ${GIT_EXECUTABLE} diff --quiet HEAD WORKING_DIRECTORY ${SOURCE} RESULT_VARIABLE changed
                      ERROR_QUIET)
      if(changed)
        string(APPEND COMMIT "+changes")
      endif()
    endif()
  endif()
endif()
configure_file(${SOURCE}/engine/version.cpp.in ${OUTPUT} @ONLY)
