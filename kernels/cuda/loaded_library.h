// NVIDIA's libraries are loaded at their first use and never linked: a binary must start, and train on the CPU or with
// our own kernels, where they are missing. Plain C++: part of every build.
#pragma once

#include <string>
#include <type_traits>
#include <vector>

#include "kernels/error.h"

namespace vergence {

/// A shared library of this process. It is never unloaded.
class LoadedLibrary {
 public:
  /// Looks for the file `name` ("libcudnn.so.9") in the folders that VERGENCE_CUDA_LIBRARIES names, with colons between
  /// them; where the system looks (LD_LIBRARY_PATH, ldconfig); in `built_with`, a folder or nothing; and in pip's
  /// folders. Takes the first that loads. Throws Error, in one line: the name and where it was looked for.
  LoadedLibrary(const std::string& name, const std::string& built_with);

  /// Throws Error where there is no such function.
  template <class Function>
  void find(Function& function, const char* name) const {
    function = reinterpret_cast<std::remove_reference_t<Function>>(address(name));
  }

 private:
  void* address(const char* name) const;

  std::string name_;
  void* handle_ = nullptr;
};

/// Where pip keeps the library `name` of an NVIDIA package (…/lib/python3*/site-packages/nvidia/*/lib): of the virtual
/// environment, beside each folder of PATH, and of the user. Only folders that have the file.
std::vector<std::string> pip_folders_of(const std::string& name);

}  // namespace vergence
