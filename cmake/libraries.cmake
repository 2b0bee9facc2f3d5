# vergence_library(NAME [REQUIRED]): the library NAME as the target vergence::NAME, which is missing where it is not found. For
# libraries without CMake files, or with ones that ask for too much: Debian's dnnl-config.cmake wants OpenCL's development files.
# Installed too: a program that uses Vergence finds its libraries where they are on its own machine.
function(vergence_library name)
  string(TOUPPER ${name}_LIBRARY variable)
  find_library(${variable} ${name} ${ARGN})
  if(${variable} AND NOT TARGET vergence::${name})
    add_library(vergence::${name} UNKNOWN IMPORTED)
    set_target_properties(vergence::${name} PROPERTIES IMPORTED_LOCATION "${${variable}}")
  endif()
endfunction()
