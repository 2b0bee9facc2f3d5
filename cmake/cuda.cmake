# The CUDA backend: compiles the .cu files of kernels/cuda into vergence_kernels if there is a CUDA compiler. Needs only the
# toolkit (with cuBLAS's headers), and cuDNN's headers to use cuDNN. Both libraries are loaded at run time
# (kernels/cuda/loaded_library.h); the build remembers the folders where it finds them.
if(VERGENCE_CUDA STREQUAL "AUTO")
  include(CheckLanguage)
  check_language(CUDA)
  if(CMAKE_CUDA_COMPILER)
    set(VERGENCE_CUDA_FOUND ON)
  endif()
elseif(VERGENCE_CUDA)
  set(VERGENCE_CUDA_FOUND ON)
endif()
if(NOT VERGENCE_CUDA_FOUND)
  message(STATUS "Vergence: without CUDA")
  return()
endif()

set(CMAKE_CUDA_ARCHITECTURES OFF)  # set below, because CMake 3.25 does not know 90a
enable_language(CUDA)
find_package(CUDAToolkit REQUIRED)
# CMake 3.25 does not know C++20 for CUDA.
set(CMAKE_CUDA20_STANDARD_COMPILE_OPTION -std=c++20)
set(CMAKE_CUDA20_EXTENSION_COMPILE_OPTION -std=c++20)

# For host code, which only launches kernels; -O1 halves its compile time. Device code is always fully optimized.
set(CMAKE_CUDA_FLAGS_RELEASE "-O1 -DNDEBUG")
set(cuda_options --expt-relaxed-constexpr -lineinfo)
if(VERGENCE_WERROR)
  list(APPEND cuda_options -Werror all-warnings)
endif()
list(APPEND cuda_options -Xcompiler=-Wall,-Wextra,-Wno-unused-parameter -Xptxas=-warn-spills)
foreach(architecture ${VERGENCE_CUDA_ARCHITECTURES})
  string(REGEX MATCH "^([0-9]+a?)-(real|virtual)$" matched "${architecture}")
  if(NOT matched)
    message(FATAL_ERROR "VERGENCE_CUDA_ARCHITECTURES: '${architecture}', expected for example 90a-real or 90-virtual")
  endif()
  if(CMAKE_MATCH_2 STREQUAL "real")
    set(code sm_${CMAKE_MATCH_1})
  else()
    set(code compute_${CMAKE_MATCH_1})
  endif()
  list(APPEND cuda_options "SHELL:-gencode arch=compute_${CMAKE_MATCH_1},code=${code}")
endforeach()

set(VERGENCE_CUDA_OBJECTS "" CACHE PATH
    "Takes the compiled .cu files from here: CMakeFiles/vergence_kernels.dir of a build with the same compiler and architectures")
file(GLOB cuda_sources CONFIGURE_DEPENDS kernels/cuda/*.cu kernels/cuda/conv/*.cu kernels/cuda/norm/*.cu
     kernels/cuda/runtime/*.cu)
if(VERGENCE_CUDA_OBJECTS)
  list(TRANSFORM cuda_sources APPEND .o)
  foreach(source ${cuda_sources})
    file(RELATIVE_PATH object ${CMAKE_SOURCE_DIR} ${source})
    if(NOT EXISTS ${VERGENCE_CUDA_OBJECTS}/${object})
      message(FATAL_ERROR "VERGENCE_CUDA_OBJECTS: there is no ${VERGENCE_CUDA_OBJECTS}/${object}")
    endif()
    list(APPEND cuda_objects ${VERGENCE_CUDA_OBJECTS}/${object})
  endforeach()
  set_source_files_properties(${cuda_objects} PROPERTIES EXTERNAL_OBJECT ON)
  set(cuda_sources ${cuda_objects})
endif()
target_sources(vergence_kernels PRIVATE ${cuda_sources})
target_compile_options(vergence_kernels PRIVATE "$<$<COMPILE_LANGUAGE:CUDA>:${cuda_options}>")
target_compile_definitions(vergence_kernels PRIVATE VERGENCE_CUDA)
set_target_properties(vergence_kernels PROPERTIES CUDA_ARCHITECTURES OFF)
# Never links libcuda itself: a program must start without a driver.
target_link_libraries(vergence_kernels PRIVATE CUDA::cudart_static)

# ---- NVIDIA's libraries
set(libraries ${CMAKE_SOURCE_DIR}/kernels/cuda/libraries)
target_sources(vergence_kernels PRIVATE ${libraries}/cublas_gemm.cpp ${libraries}/cublas_library.cpp)
set_property(SOURCE ${libraries}/cublas_library.cpp APPEND PROPERTY COMPILE_DEFINITIONS
             VERGENCE_CUBLAS_FOLDER="${CUDAToolkit_LIBRARY_DIR}")

set(cudnn_version "not wanted")
if(VERGENCE_CUDNN OR VERGENCE_CUDNN STREQUAL "AUTO")
  find_program(VERGENCE_PYTHON NAMES python3)
  if(VERGENCE_PYTHON)  # pip's nvidia-cudnn has headers too
    execute_process(COMMAND ${VERGENCE_PYTHON} -c "import nvidia.cudnn; print(list(nvidia.cudnn.__path__)[0])"
                    OUTPUT_VARIABLE pip_cudnn OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
  endif()
  find_path(CUDNN_INCLUDE cudnn_graph.h HINTS ${CUDAToolkit_INCLUDE_DIRS} ${pip_cudnn}/include
            DOC "Folder of cuDNN's headers")
  set(cudnn_version "no headers found")
  if(CUDNN_INCLUDE)
    file(STRINGS ${CUDNN_INCLUDE}/cudnn_version.h cudnn_version REGEX "define CUDNN_(MAJOR|MINOR) ")
    string(REGEX REPLACE ".*CUDNN_MAJOR +([0-9]+).*CUDNN_MINOR +([0-9]+).*" "\\1.\\2" cudnn_version "${cudnn_version}")
    # Its file name includes a version, and no other file need exist.
    string(REGEX MATCH "^[0-9]+" cudnn_major "${cudnn_version}")
    find_file(CUDNN_LIBRARY libcudnn.so.${cudnn_major} HINTS ${CUDNN_INCLUDE}/../lib ${CUDAToolkit_LIBRARY_DIR}
              PATHS /usr/lib/${CMAKE_LIBRARY_ARCHITECTURE} /usr/lib64 /usr/local/lib DOC "cuDNN on this machine, if it is")
  endif()
endif()
if(cudnn_version VERSION_GREATER_EQUAL 9.8)
  set(VERGENCE_CUDNN_FOUND ON)
  set(cudnn_folder "")
  if(CUDNN_LIBRARY)
    get_filename_component(cudnn_folder ${CUDNN_LIBRARY} DIRECTORY)
  endif()
  add_library(vergence_cudnn INTERFACE)
  target_include_directories(vergence_cudnn SYSTEM INTERFACE ${CUDNN_INCLUDE})
  target_link_libraries(vergence_cudnn INTERFACE CUDA::cudart_static)
  target_sources(vergence_kernels PRIVATE ${libraries}/cudnn_conv.cpp ${libraries}/cudnn_graph.cpp ${libraries}/cudnn_library.cpp)
  set_property(SOURCE ${libraries}/cudnn_library.cpp APPEND PROPERTY COMPILE_DEFINITIONS
               VERGENCE_CUDNN_FOLDER="${cudnn_folder}")
  target_include_directories(vergence_kernels SYSTEM PRIVATE ${CUDNN_INCLUDE})
else()
  if(VERGENCE_CUDNN AND NOT VERGENCE_CUDNN STREQUAL "AUTO")
    message(FATAL_ERROR "VERGENCE_CUDNN=${VERGENCE_CUDNN}: cuDNN 9.8 or later: ${cudnn_version}; looked in CUDA's "
                        "folders and in Python's nvidia.cudnn; -DCUDNN_INCLUDE=FOLDER names another")
  endif()
  target_sources(vergence_kernels PRIVATE ${libraries}/no_cudnn.cpp)
endif()
message(STATUS "Vergence: with CUDA ${CUDAToolkit_VERSION} for ${VERGENCE_CUDA_ARCHITECTURES}; cuDNN: ${cudnn_version}")
