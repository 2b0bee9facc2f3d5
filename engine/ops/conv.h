// A convolution that is recorded but not yet computed, for ops that compute it together with what follows.
#pragma once

#include "engine/ops/ops.h"

namespace vergence {

struct PendingConv {
  ConvShape shape;
  Tensor x, w;
  Tensor y;  // allocated and recorded; its values are still to be written

  void compute() const { x.backend().conv2d(shape, x.array(), w.weights_for(x.dtype), y.array()); }
};

PendingConv record_conv2d(const Tensor& x, const Tensor& w, const ConvOptions& conv);

}  // namespace vergence
