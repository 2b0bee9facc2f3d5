#include "kernels/cuda/libraries/cublas_library.h"

#include "kernels/cuda/loaded_library.h"

namespace vergence::cuda {
namespace {

CublasLibrary load() {
  const LoadedLibrary library(join("libcublasLt.so.", CUBLAS_VER_MAJOR), VERGENCE_CUBLAS_FOLDER);
  CublasLibrary found;
  library.find(found.create, "cublasLtCreate");
  library.find(found.status_text, "cublasLtGetStatusString");
  library.find(found.matmul, "cublasLtMatmul");
  library.find(found.heuristic, "cublasLtMatmulAlgoGetHeuristic");
  library.find(found.create_product, "cublasLtMatmulDescCreate");
  library.find(found.set_product, "cublasLtMatmulDescSetAttribute");
  library.find(found.create_layout, "cublasLtMatrixLayoutCreate");
  library.find(found.create_preference, "cublasLtMatmulPreferenceCreate");
  library.find(found.set_preference, "cublasLtMatmulPreferenceSetAttribute");
  library.find(found.destroy_preference, "cublasLtMatmulPreferenceDestroy");
  return found;
}

}  // namespace

const CublasLibrary& cublas_library() {
  static const CublasLibrary library = load();
  return library;
}

}  // namespace vergence::cuda
