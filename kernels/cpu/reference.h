// Matrix products and convolutions as plain loops: the f64 reference for every other implementation, and the only one
// in a build without libraries. Blocked for registers and split over threads, but simple: each output element is one
// sum, whose order depends only on the shape.
#pragma once

#include "kernels/backend.h"

namespace vergence::plain {

/// out(m,n) = op(a) op(b) [+ bias(n)], the contract of Backend::gemm. `out` may also have the master type of `a`.
void gemm(bool transpose_a, bool transpose_b, std::int64_t m, std::int64_t n, std::int64_t k, ConstArray a,
          ConstArray b, ConstArray bias, Array out);

/// The contracts of Backend::conv2d, conv2d_data and conv2d_weight.
void conv2d(const ConvShape& shape, ConstArray x, ConstArray w, Array y);
void conv2d_data(const ConvShape& shape, ConstArray g, ConstArray w, Array dx);
void conv2d_weight(const ConvShape& shape, ConstArray x, ConstArray g, Array dw);

}  // namespace vergence::plain
