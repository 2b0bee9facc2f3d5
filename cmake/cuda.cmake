# The CUDA backend: compiles the .cu files of kernels/cuda into vergence_kernels if there is a CUDA compiler. Needs only the
# toolkit (with cuBLAS's headers), and the headers of cuDNN and NCCL to use these. The libraries are loaded at run time
# (kernels/cuda/loaded_library.h); the build remembers the folders where it finds them.
if(VERGENCE_CUDA STREQUAL "AUTO")
  include(CheckLanguage)
  if(NOT CMAKE_CUDA_COMPILER)  # it may have been installed since
    unset(CMAKE_CUDA_COMPILER CACHE)
  endif()
  check_language(CUDA)
  if(CMAKE_CUDA_COMPILER)
    set(VERGENCE_CUDA_FOUND ON)
  endif()
elseif(VERGENCE_CUDA)
  set(VERGENCE_CUDA_FOUND ON)
endif()
if(NOT VERGENCE_CUDA_FOUND)
  message(STATUS "Vergence: without CUDA")
  if(VERGENCE_CUDA STREQUAL "AUTO")
    execute_process(COMMAND nvidia-smi -L RESULT_VARIABLE no_gpu OUTPUT_QUIET ERROR_QUIET)
    find_program(nvcc_here nvcc NO_CACHE)
    if(no_gpu EQUAL 0 AND nvcc_here)
      message(WARNING "Vergence: this machine has a GPU, but ${nvcc_here} does not work: this build uses only the CPU. Configure with "
                      "-DVERGENCE_CUDA=ON to see why. The variable CUDAHOSTCXX names another C++ compiler for it")
    elseif(no_gpu EQUAL 0)
      message(WARNING "Vergence: this machine has a GPU, but there is no CUDA compiler in PATH: this build uses only the CPU. "
                      "Put nvcc's folder into PATH, often /usr/local/cuda/bin, and configure again")
    endif()
  endif()
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

# vergence_pip_folder(FOLDER NAME): sets FOLDER to the path of pip's package nvidia.NAME, or to "" if it is not installed.
function(vergence_pip_folder folder name)
  find_program(VERGENCE_PYTHON NAMES python3)
  set(found "")
  if(VERGENCE_PYTHON)
    execute_process(COMMAND ${VERGENCE_PYTHON} -c "import nvidia.${name} as found; print(list(found.__path__)[0])"
                    OUTPUT_VARIABLE found OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
  endif()
  set(${folder} "${found}" PARENT_SCOPE)
endfunction()

set(cudnn_version "not wanted")
if(VERGENCE_CUDNN OR VERGENCE_CUDNN STREQUAL "AUTO")
  vergence_pip_folder(pip_cudnn cudnn)
  find_path(CUDNN_INCLUDE cudnn_graph.h HINTS ${CUDAToolkit_INCLUDE_DIRS} ${pip_cudnn}/include
            DOC "Folder of cuDNN's headers")
  set(cudnn_version "no headers found")
  if(CUDNN_INCLUDE)
    file(STRINGS ${CUDNN_INCLUDE}/cudnn_version.h cudnn_version REGEX "define CUDNN_(MAJOR|MINOR) ")
    string(REGEX REPLACE ".*CUDNN_MAJOR +([0-9]+).*CUDNN_MINOR +([0-9]+).*" "\\1.\\2" cudnn_version "${cudnn_version}")
    # Its file name includes a version, and no other file need exist.
    string(REGEX MATCH "^[0-9]+" cudnn_major "${cudnn_version}")
    find_file(CUDNN_LIBRARY libcudnn.so.${cudnn_major} HINTS ${CUDNN_INCLUDE}/../lib ${CUDAToolkit_LIBRARY_DIR}
              PATHS /usr/lib/${CMAKE_LIBRARY_ARCHITECTURE} /usr/lib64 /usr/local/lib DOC "cuDNN's library, if installed")
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
    message(FATAL_ERROR "VERGENCE_CUDNN=${VERGENCE_CUDNN} needs cuDNN 9.8 or later: ${cudnn_version}; looked in CUDA's "
                        "folders and in Python's nvidia.cudnn; -DCUDNN_INCLUDE=FOLDER names another")
  endif()
  target_sources(vergence_kernels PRIVATE ${libraries}/no_cudnn.cpp)
endif()

set(nccl_version "not wanted")
if(VERGENCE_NCCL OR VERGENCE_NCCL STREQUAL "AUTO")
  vergence_pip_folder(pip_nccl nccl)
  find_path(NCCL_INCLUDE nccl.h HINTS ${CUDAToolkit_INCLUDE_DIRS} ${pip_nccl}/include DOC "Folder of NCCL's header")
  set(nccl_version "no header found")
  if(NCCL_INCLUDE)
    file(STRINGS ${NCCL_INCLUDE}/nccl.h nccl_version REGEX "define NCCL_(MAJOR|MINOR) ")
    string(REGEX REPLACE ".*NCCL_MAJOR +([0-9]+).*NCCL_MINOR +([0-9]+).*" "\\1.\\2" nccl_version "${nccl_version}")
    string(REGEX MATCH "^[0-9]+" nccl_major "${nccl_version}")
    find_file(NCCL_LIBRARY libnccl.so.${nccl_major} HINTS ${NCCL_INCLUDE}/../lib ${CUDAToolkit_LIBRARY_DIR}
              PATHS /usr/lib/${CMAKE_LIBRARY_ARCHITECTURE} /usr/lib64 /usr/local/lib DOC "NCCL's library, if installed")
  endif()
endif()
if(nccl_version VERSION_GREATER_EQUAL 2.13)
  set(VERGENCE_NCCL_FOUND ON)
  set(nccl_folder "")
  if(NCCL_LIBRARY)
    get_filename_component(nccl_folder ${NCCL_LIBRARY} DIRECTORY)
  endif()
  set(nccl_sources ${libraries}/nccl_communicator.cpp ${libraries}/nccl_library.cpp)
  target_sources(vergence_kernels PRIVATE ${nccl_sources})
  set_source_files_properties(${nccl_sources} PROPERTIES INCLUDE_DIRECTORIES ${NCCL_INCLUDE}
                              COMPILE_DEFINITIONS VERGENCE_NCCL_FOLDER="${nccl_folder}")
  set_source_files_properties(kernels/communicators/nccl.cpp PROPERTIES COMPILE_DEFINITIONS VERGENCE_NCCL)
elseif(VERGENCE_NCCL AND NOT VERGENCE_NCCL STREQUAL "AUTO")
  message(FATAL_ERROR "VERGENCE_NCCL=${VERGENCE_NCCL} needs NCCL 2.13 or later: ${nccl_version}; looked in CUDA's folders and "
                      "in Python's nvidia.nccl; -DNCCL_INCLUDE=FOLDER names another")
endif()
message(STATUS "Vergence: with CUDA ${CUDAToolkit_VERSION} for ${VERGENCE_CUDA_ARCHITECTURES}; cuDNN: ${cudnn_version}; "
               "NCCL: ${nccl_version}")
