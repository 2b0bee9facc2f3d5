// A batch norm that is recorded but not yet computed, for ops that compute it together with the op that makes its
// input.
#pragma once

#include "engine/ops/ops.h"

namespace vergence {

struct PendingNorm {
  NormShape shape;
  Tensor x, gamma, beta, add;
  RunningUpdate running;
  Tensor mean, rstd;   // still to be written when training
  Tensor y, positive;  // allocated and recorded, still to be written; positive: the ReLU's mask as bits, or none

  BatchNormArrays arrays() const {
    return {.x = x.array(),
            .gamma = gamma.array(),
            .beta = beta.array(),
            .add = add.array(),
            .mean = mean.array(),
            .rstd = rstd.array(),
            .y = y.array(),
            .positive = positive.array(),
            .running = running};
  }
  void compute() const { x.backend().batch_norm(shape, arrays()); }
};

/// Training mode: see batch_norm.
PendingNorm record_batch_norm(const Tensor& x, const Tensor& gamma, const Tensor& beta, const Tensor& add,
                              const BatchNormOptions& options);

}  // namespace vergence
