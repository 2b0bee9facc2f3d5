# vergence_library(NAME [REQUIRED]): finds the library NAME and makes it the target vergence::NAME, which does not exist if
# it is not found. For libraries without CMake files, or with ones that ask for too much: Debian's dnnl-config.cmake wants
# OpenCL's development files. Installed too, so that a program that uses Vergence finds the libraries of its own machine.
function(vergence_library name)
  string(TOUPPER ${name}_LIBRARY variable)
  find_library(${variable} ${name} ${ARGN})
  if(${variable} AND NOT TARGET vergence::${name})
    add_library(vergence::${name} UNKNOWN IMPORTED)
    set_target_properties(vergence::${name} PROPERTIES IMPORTED_LOCATION "${${variable}}")
  endif()
endfunction()
