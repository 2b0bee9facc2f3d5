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

/// tensor.cu's kernels: bf16, and f32 rounded to tf32. They return false for unsupported cases: groups, channels that
/// are not whole 16-byte vectors on the sides that a pass reads, arrays not aligned to 16 bytes, other types. add: adds
/// to what dx holds, in f32; with `relu`, before the ReLU cuts off.
bool tensor_conv2d(Device& device, const ConvShape& shape, ConstArray x, ConstArray w, Array y,
                   const ConvStatistics& statistics = {});
bool tensor_conv2d_data(Device& device, const ConvShape& shape, ConstArray g, ConstArray w, Array dx,
                        const ConvReluSums& relu = {}, bool add = false);
bool tensor_conv2d_weight(Device& device, const ConvShape& shape, ConstArray x, ConstArray g, Array dw);

/// tensor_narrow.cu's and tensor_narrow_weight.cu's kernels: tensor_conv2d and tensor_conv2d_weight run them for 8
/// channels and 3 x 3 taps. y: or its cotangents. weights: [out channels][3][3][8].
bool narrow_fits(const ConvShape& shape, ConstArray y);
void narrow_conv2d(Device& device, const ConvShape& shape, const bf16* x, const bf16* weights, bf16* y,
                   const ConvStatistics& statistics);
void narrow_conv2d_weight(Device& device, const ConvShape& shape, const bf16* x, const bf16* g, Array dw);

/// The number of parts into which a weight gradient's pixels are split: enough to fill whole waves of two blocks per
/// multiprocessor, with as few waves as keep a sum in f32 short and leave little of the last wave empty. rows x cols: a
/// block's part of (output channels of a group) x (taps, input channels).
int conv_weight_splits(const ConvShape& shape, int multiprocessors, std::int64_t rows, std::int64_t cols);

/// dw = the sum of partial[split][:] in the order of the splits, converted to dw's type. Real: float or double.
template <class Real>
void add_splits(Device& device, int splits, const Real* partial, Array dw);

/// The values of `w`, f32, rounded to bf16.
void weights_to_bf16(Device& device, ConstArray w, bf16* out);

}  // namespace vergence::VERGENCE_GPU
