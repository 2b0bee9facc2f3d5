#include "kernels/nvidia/cublas_library.h"

#include <dlfcn.h>
#include <string>

#include "kernels/error.h"

namespace vergence::cuda {
namespace {

/// From where the system looks for libraries, else from the toolkit that this was built with.
void* open() {
  const std::string name = join("libcublasLt.so.", CUBLAS_VER_MAJOR);
  void* library = dlopen(name.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (!library) library = dlopen(join(VERGENCE_CUDA_LIBRARIES "/", name).c_str(), RTLD_NOW | RTLD_LOCAL);
  if (!library) throw Error(join("cuda: the CUDA toolkit's ", name, " cannot be loaded: ", dlerror()));
  return library;
}

CublasLibrary load() {
  void* library = open();
  const auto find = [&](auto& function, const char* name) {
    function = reinterpret_cast<std::remove_reference_t<decltype(function)>>(dlsym(library, name));
    require(function != nullptr, "cuda: libcublasLt has no function ", name);
  };
  CublasLibrary found;
  find(found.create, "cublasLtCreate");
  find(found.status_text, "cublasLtGetStatusString");
  find(found.matmul, "cublasLtMatmul");
  find(found.heuristic, "cublasLtMatmulAlgoGetHeuristic");
  find(found.create_product, "cublasLtMatmulDescCreate");
  find(found.set_product, "cublasLtMatmulDescSetAttribute");
  find(found.create_layout, "cublasLtMatrixLayoutCreate");
  find(found.create_preference, "cublasLtMatmulPreferenceCreate");
  find(found.set_preference, "cublasLtMatmulPreferenceSetAttribute");
  find(found.destroy_preference, "cublasLtMatmulPreferenceDestroy");
  return found;
}

}  // namespace

const CublasLibrary& cublas_library() {
  static const CublasLibrary library = load();
  return library;
}

}  // namespace vergence::cuda
