// The interface between convolutions and batch norms.
//
// A batch norm's backward pass starts with its ReLU's mask and two sums per channel. Some devices have a data gradient
// that applies the mask and gathers the sums of its result: batch norm passes them to it as an epilogue (graph.h).
#pragma once

#include "engine/graph.h"

namespace vergence {

/// The epilogue of a batch norm with a fused ReLU, for the op that computes the cotangent of its output: its input x,
/// the bits of its mask, and its means (groups, channels).
std::shared_ptr<const Epilogue> relu_norm_epilogue(const NormShape& shape, const Tensor& x, const Tensor& positive,
                                                   const Tensor& mean);

/// For a convolution's vjp: the cotangent of its images (input 0) with such an epilogue applied, added to c.partial(0)
/// in place; passes the sums of Backend::conv2d_data_relu to batch norm's vjp. "None" if it or the device has none.
Tensor conv2d_data_relu(const VjpContext& c, const ConvShape& shape, const Tensor& w);

}  // namespace vergence
