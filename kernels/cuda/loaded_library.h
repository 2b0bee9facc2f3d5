// NVIDIA's libraries are loaded at first use and never linked: without them a binary must still start, and train on the
// CPU or with our own kernels. Plain C++: part of every build.
#pragma once

#include <functional>
#include <string>
#include <type_traits>
#include <vector>

#include "kernels/error.h"

namespace vergence {

/// A shared library of this process. It is never unloaded.
class LoadedLibrary {
 public:
  /// Says why a library that could be loaded cannot be used, such as its version; empty: it can.
  using Fault = std::function<std::string(const LoadedLibrary&)>;

  /// Loads the file `name` ("libcudnn.so.9") from VERGENCE_CUDA_LIBRARIES (folders separated by colons), the system's
  /// search path, `built_with` (a folder or empty) or pip's folders: the first without a fault. Throws Error with the
  /// name, these places and the faults.
  LoadedLibrary(const std::string& name, const std::string& built_with, const Fault& fault_of = {});

  /// Throws Error if there is no such function.
  template <class Function>
  void find(Function& function, const char* name) const {
    function = reinterpret_cast<std::remove_reference_t<Function>>(address(name));
  }

 private:
  void* address(const char* name) const;
  /// Takes the library that dlopen gave, unless it has a fault: returns that, and the library is closed.
  std::string take(void* handle, const Fault& fault_of);

  std::string name_;
  void* handle_ = nullptr;
};

/// The folders where pip keeps the library `name` of an NVIDIA package (…/lib/python3*/site-packages/nvidia/*/lib): of
/// the virtual environment, beside each folder of PATH, and of the user. Only folders that contain the file.
std::vector<std::string> pip_folders_of(const std::string& name);

}  // namespace vergence
