// cuBLASLt, loaded when the first matrix product needs it. Linking it would cost every start of the program a third of
// a second and 92 MB of memory, with or without a GPU.
#pragma once

#include <cublasLt.h>

namespace vergence::cuda {

struct CublasLibrary {
  decltype(&cublasLtCreate) create;
  decltype(&cublasLtGetStatusString) status_text;
  decltype(&cublasLtMatmul) matmul;
  decltype(&cublasLtMatmulAlgoGetHeuristic) heuristic;
  decltype(&cublasLtMatmulDescCreate) create_product;
  decltype(&cublasLtMatmulDescSetAttribute) set_product;
  decltype(&cublasLtMatrixLayoutCreate) create_layout;
  decltype(&cublasLtMatmulPreferenceCreate) create_preference;
  decltype(&cublasLtMatmulPreferenceSetAttribute) set_preference;
  decltype(&cublasLtMatmulPreferenceDestroy) destroy_preference;
};

/// Throws Error if the library cannot be loaded.
const CublasLibrary& cublas_library();

}  // namespace vergence::cuda
