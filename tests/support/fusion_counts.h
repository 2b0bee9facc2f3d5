// Counts what a device has computed together.
#pragma once

#include "tests/support/checked_backend.h"

namespace vergence::test {

class FusionCounts final : public CheckedBackend {
 public:
  using CheckedBackend::CheckedBackend;
  int norms = 0;  // convolutions with their batch norm
  int sums = 0;   // data gradients with the ReLU's mask and the batch norm's sums

  bool conv2d_batch_norm(const ConvShape& conv, ConstArray x, ConstArray w, Array raw, const NormShape& shape,
                         const BatchNormArrays& norm) override {
    const bool done = CheckedBackend::conv2d_batch_norm(conv, x, w, raw, shape, norm);
    norms += done ? 1 : 0;
    return done;
  }
  bool conv2d_data_relu(const ConvShape& conv, const NormShape& norm, const ConvDataReluArrays& arrays,
                        bool add) override {
    const bool done = CheckedBackend::conv2d_data_relu(conv, norm, arrays, add);
    sums += done ? 1 : 0;
    return done;
  }
};

}  // namespace vergence::test
