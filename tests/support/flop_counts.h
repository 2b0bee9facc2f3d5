// Counts the FLOPs of a device's convolutions and matrix products.
#pragma once

#include "tests/support/checked_backend.h"

namespace vergence::test {

class FlopCounts final : public CheckedBackend {
 public:
  using CheckedBackend::CheckedBackend;
  double flops = 0;  // multiply-adds times two

  void gemm(bool transpose_a, bool transpose_b, std::int64_t m, std::int64_t n, std::int64_t k, ConstArray a,
            ConstArray b, ConstArray bias, Array out) override {
    flops += 2.0 * static_cast<double>(m) * static_cast<double>(n) * static_cast<double>(k);
    CheckedBackend::gemm(transpose_a, transpose_b, m, n, k, a, b, bias, out);
  }
  void conv2d(const ConvShape& shape, ConstArray x, ConstArray w, Array y, bool add) override {
    flops += shape.flops();
    CheckedBackend::conv2d(shape, x, w, y, add);
  }
  void conv2d_data(const ConvShape& shape, ConstArray g, ConstArray w, Array dx, bool add) override {
    flops += shape.flops();
    CheckedBackend::conv2d_data(shape, g, w, dx, add);
  }
  void conv2d_weight(const ConvShape& shape, ConstArray x, ConstArray g, Array dw) override {
    flops += shape.flops();
    CheckedBackend::conv2d_weight(shape, x, g, dw);
  }
  bool conv2d_batch_norm(const ConvShape& conv, ConstArray x, ConstArray w, Array raw, const NormShape& shape,
                         const BatchNormArrays& norm) override {
    const bool done = CheckedBackend::conv2d_batch_norm(conv, x, w, raw, shape, norm);
    if (done) flops += conv.flops();
    return done;
  }
  bool conv2d_data_relu(const ConvShape& conv, const NormShape& norm, const ConvDataReluArrays& arrays,
                        bool add) override {
    const bool done = CheckedBackend::conv2d_data_relu(conv, norm, arrays, add);
    if (done) flops += conv.flops();
    return done;
  }
};

}  // namespace vergence::test
