// The convolution kernels of the GPU; conv.cu decides which of them runs.
#pragma once

#include "kernels/cuda/fused.h"

namespace vergence::VERGENCE_GPU {

/// plain.cu's kernels support every case.
void plain_conv2d(Device& device, const ConvShape& shape, ConstArray x, ConstArray w, Array y, bool add = false);
void plain_conv2d_data(Device& device, const ConvShape& shape, ConstArray g, ConstArray w, Array dx, bool add = false);
void plain_conv2d_weight(Device& device, const ConvShape& shape, ConstArray x, ConstArray g, Array dw);

/// Tiles per group of such a data gradient; 0 if a tile would span two groups.
std::int64_t conv_data_tiles(const ConvShape& shape, std::int64_t groups);

/// tensor.cu's kernels: bf16, and f32 rounded to tf32. Return false for other types, for groups, and unless channels
/// that a pass reads are whole aligned 16-byte vectors. add: adds to what dx holds, in f32, before `relu` masks it.
bool tensor_conv2d(Device& device, const ConvShape& shape, ConstArray x, ConstArray w, Array y,
                   const ConvStatistics& statistics = {});
bool tensor_conv2d_data(Device& device, const ConvShape& shape, ConstArray g, ConstArray w, Array dx,
                        const ConvReluSums& relu = {}, bool add = false);
bool tensor_conv2d_weight(Device& device, const ConvShape& shape, ConstArray x, ConstArray g, Array dw);

/// The kernels of tensor_narrow.cu and tensor_narrow_weight.cu, which tensor_conv2d and tensor_conv2d_weight run for 8
/// channels and 3 x 3 taps. y: the output or its cotangent. weights: [out channels][3][3][8].
bool narrow_fits(const ConvShape& shape, ConstArray y);
void narrow_conv2d(Device& device, const ConvShape& shape, const bf16* x, const bf16* weights, bf16* y,
                   const ConvStatistics& statistics);
void narrow_conv2d_weight(Device& device, const ConvShape& shape, const bf16* x, const bf16* g, Array dw);

/// The parts into which a weight gradient's pixels are split: short enough for sums in f32, enough to fill whole waves
/// of blocks. rows x cols: a block's part of (output channels of a group) x (taps, input channels).
int conv_weight_splits(const ConvShape& shape, int multiprocessors, std::int64_t rows, std::int64_t cols);

/// dw = the sum of partial[split][:] in the order of the splits, converted to dw's type. Real: float or double.
template <class Real>
void add_splits(Device& device, int splits, const Real* partial, Array dw);

/// The values of `w`, f32, rounded to bf16.
void weights_to_bf16(Device& device, ConstArray w, bf16* out);

}  // namespace vergence::VERGENCE_GPU
