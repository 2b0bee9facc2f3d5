// NVIDIA's libraries are loaded at first use and never linked: without them a binary must still start, and train on the
// CPU or with our own kernels. Plain C++: part of every build.
#pragma once

#include <string>
#include <type_traits>
#include <vector>

#include "kernels/error.h"

namespace vergence {

/// A shared library of this process. It is never unloaded.
class LoadedLibrary {
 public:
  /// Loads the file `name` ("libcudnn.so.9") from VERGENCE_CUDA_LIBRARIES (folders separated by colons), the system's
  /// search path, `built_with` (a folder or empty) or pip's folders. Throws Error with the name and these places.
  LoadedLibrary(const std::string& name, const std::string& built_with);

  /// Throws Error if there is no such function.
  template <class Function>
  void find(Function& function, const char* name) const {
    function = reinterpret_cast<std::remove_reference_t<Function>>(address(name));
  }

 private:
  void* address(const char* name) const;

  std::string name_;
  void* handle_ = nullptr;
};

/// The folders where pip keeps the library `name` of an NVIDIA package (…/lib/python3*/site-packages/nvidia/*/lib): of
/// the virtual environment, beside each folder of PATH, and of the user. Only folders that contain the file.
std::vector<std::string> pip_folders_of(const std::string& name);

}  // namespace vergence
