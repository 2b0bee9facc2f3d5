// What convolutions and batch norms know of each other.
//
// A batch norm's backward pass begins with its ReLU's mask and two sums per channel. A device may have a data gradient
// that applies the mask and gathers the sums of its result: batch norm leaves them to it as an epilogue (graph.h).
#pragma once

#include "engine/graph.h"

namespace vergence {

/// Of a batch norm with a fused ReLU, for who makes the cotangent of its output: its input x, the bits of its mask, and
/// its means (groups, channels).
std::shared_ptr<const Epilogue> relu_norm_epilogue(const NormShape& shape, const Tensor& x, const Tensor& positive,
                                                   const Tensor& mean);

/// In the vjp of a convolution of these weights: the cotangent of its images, input 0, with such an epilogue applied,
/// added to c.partial(0) in place if that is there. "None" where there is no such epilogue or the device cannot.
/// Batch norm's vjp finds the sums of Backend::conv2d_data_relu in `gathered`.
Tensor conv2d_data_relu(const VjpContext& c, const ConvShape& shape, const Tensor& w);

}  // namespace vergence
