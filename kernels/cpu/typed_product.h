// gemm of arrays whose type is known when compiling.
#pragma once

#include "kernels/backend.h"
#include "kernels/types.h"

namespace vergence::cpu {

/// out [m, n] = a [m, k] b [k, n], row-major, where a transposed operand is stored as [k, m] or [n, k].
template <class T>
void product(Backend& backend, bool transpose_a, bool transpose_b, std::int64_t m, std::int64_t n, std::int64_t k,
             const T* a, const T* b, T* out) {
  const DType type = dtype_of<T>();
  backend.gemm(transpose_a, transpose_b, m, n, k, {a, m * k, type}, {b, k * n, type}, {}, {out, m * n, type});
}

}  // namespace vergence::cpu
