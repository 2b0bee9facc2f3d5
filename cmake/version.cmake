# Updates OUTPUT, the source file with Vergence's version and commit (engine/version.h). Runs at every build, because the
# commit changes without the sources: cmake -D SOURCE=DIR -D VERSION=V -D OUTPUT=FILE -P version.cmake
set(COMMIT unknown)
find_package(Git QUIET)
if(GIT_FOUND)
  execute_process(COMMAND ${GIT_EXECUTABLE} rev-parse --show-toplevel WORKING_DIRECTORY ${SOURCE}
                  OUTPUT_VARIABLE clone OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
  # The sources may lie inside a clone of something else.
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
