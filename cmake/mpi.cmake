# MPI, for training with several processes (kernels/communicators/mpi.h).
set(MPI_CXX_SKIP_MPICXX ON)  # its C functions suffice
if(VERGENCE_MPI STREQUAL "AUTO")
  find_package(MPI COMPONENTS CXX QUIET)
elseif(VERGENCE_MPI)
  find_package(MPI COMPONENTS CXX REQUIRED)
endif()
if(NOT VERGENCE_MPI OR NOT MPI_CXX_FOUND)
  set(VERGENCE_MPI_FOUND OFF)
  message(STATUS "Vergence: without MPI")
  return()
endif()
set(VERGENCE_MPI_FOUND ON)
# One file alone uses its headers.
set_source_files_properties(kernels/communicators/mpi.cpp PROPERTIES
                            COMPILE_DEFINITIONS "VERGENCE_MPI;${MPI_CXX_COMPILE_DEFINITIONS}"
                            COMPILE_OPTIONS "${MPI_CXX_COMPILE_OPTIONS}" INCLUDE_DIRECTORIES "${MPI_CXX_INCLUDE_DIRS}")
target_link_libraries(vergence_kernels PRIVATE $<LINK_ONLY:MPI::MPI_CXX>)
message(STATUS "Vergence: with MPI ${MPI_CXX_VERSION}")
