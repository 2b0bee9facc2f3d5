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

  void compute() const {
    x.backend().batch_norm(shape, x.array(), gamma.array(), beta.array(), add.array(), mean.array(), rstd.array(),
                           y.array(), positive.array(), running);
  }
};

/// Training mode: see batch_norm.
PendingNorm record_batch_norm(const Tensor& x, const Tensor& gamma, const Tensor& beta, const Tensor& add,
                              const BatchNormOptions& options);

}  // namespace vergence
