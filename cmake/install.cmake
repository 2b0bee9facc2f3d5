# What `cmake --install` copies, in two components: `tools`, the programs with their recipes, and `library`, the rooms with
# their headers, for find_package(vergence). One component alone: cmake --install build --component library. The installed
# folder can be moved, because its CMake files name no path of this machine.
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

# ---- tools
install(TARGETS ${tools} RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR} COMPONENT tools)
install(FILES tools/torch_encoder.py DESTINATION ${CMAKE_INSTALL_DATADIR}/vergence COMPONENT tools)
install(DIRECTORY ssl/recipes/ DESTINATION ${CMAKE_INSTALL_DATADIR}/vergence/recipes COMPONENT tools
        FILES_MATCHING PATTERN *.toml)

# ---- library: vergence::vergence is all of it; vergence::engine and so on are one room each, with those before it
set(rooms kernels engine models datasets ssl)
set(headers ${CMAKE_INSTALL_INCLUDEDIR}/vergence)
set(package ${CMAKE_INSTALL_LIBDIR}/cmake/vergence)
add_library(vergence INTERFACE)
target_link_libraries(vergence INTERFACE vergence_ssl)
set(targets vergence vergence_flags)
set_target_properties(vergence_flags PROPERTIES EXPORT_NAME flags)
foreach(room ${rooms})
  list(APPEND targets vergence_${room})
  set_target_properties(vergence_${room} PROPERTIES EXPORT_NAME ${room})
endforeach()
# A program that uses the library gets C++20 and OpenMP from us, but no other flags, not even -march=native: it would change
# the layout of other libraries' types in the program (Eigen's alignment), and "native" may be another processor there.
# The price: if both the program and the library compile an inline function of our headers, the linker keeps one copy. The
# program's copy may be slower and round differently in the last bit. Compile the program with -march=native too for exactly
# the tools' bits, and wherever it includes kernels/cpu/simd.h, whose vectors are as wide as the processor's.
target_include_directories(vergence_flags INTERFACE $<INSTALL_INTERFACE:${headers}>)
target_compile_features(vergence_flags INTERFACE $<INSTALL_INTERFACE:cxx_std_20>)

install(TARGETS ${targets} EXPORT vergence ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT library)
install(DIRECTORY ${rooms} DESTINATION ${headers} COMPONENT library FILES_MATCHING PATTERN *.h)
install(EXPORT vergence NAMESPACE vergence:: FILE vergence-targets.cmake DESTINATION ${package} COMPONENT library)

# Packages that the program must find again.
set(VERGENCE_PACKAGES Threads nlohmann_json)
if(VERGENCE_HAS_JPEG_TURBO)
  list(APPEND VERGENCE_PACKAGES JPEG)
endif()
if(VERGENCE_CUDA_FOUND)
  list(APPEND VERGENCE_PACKAGES CUDAToolkit)
endif()
set(written ${CMAKE_BINARY_DIR}/generated)
configure_package_config_file(cmake/vergence-config.cmake.in ${written}/vergence-config.cmake INSTALL_DESTINATION ${package}
                              NO_SET_AND_CHECK_MACRO)
write_basic_package_version_file(${written}/vergence-config-version.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${written}/vergence-config.cmake ${written}/vergence-config-version.cmake cmake/libraries.cmake
        DESTINATION ${package} COMPONENT library)
