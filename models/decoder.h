// A decoder turns features back into images, which shows how much of an image a representation keeps. Its shapes are
// those of the reconstruction heads of Wang, Guo, Deng, Lu: "Rethinking minimal sufficient representation in
// contrastive learning" (CVPR 2022) for images of 32, 64 and 224 pixels; other sizes, such as 96, are our choice.
//
// On frozen features it is a probe, the same for every encoder:
//
//   Decoder decoder = make_decoder({.features = dim, .image_size = 32}, {backend, seed});
//   Statistics running;
//   ParameterSet parameters(parameters_of(decoder));
//   Optimizer optimizer(parameters, settings);
//   for each batch:                                    // features [N, dim], images [N, 32, 32, 3] normalized
//     const Tensor difference = images - decoder(features, {.running = &running});
//     parameters.backward(mean(square(difference)));
//     optimizer.step(lr);
//   decoder(features, {.training = false, .running = &running});  // R^2 = 1 - mean squared error / variance of images
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "models/layers.h"

namespace vergence {

/// A decoder's input, output and width. Image sizes up to 48 are multiples of 8, up to 128 of 16, larger ones of 32.
struct DecoderSettings {
  std::string name = "decoder";  // prefix of its parameters' names
  std::int64_t features = 512;   // length of a feature vector, or channels of a feature map
  std::int64_t image_size = 32;  // height and width of the images
  std::int64_t map_size = 0;     // 0: pooled features; else height and width of the input feature map
  std::int64_t width = 64;       // 64: the published channels; other numbers scale all of them
  std::int64_t image_channels = 3;
};

/// A transposed 3x3 convolution (padding 1, output padding stride - 1) that enlarges images `stride` times.
struct TransposedConv {
  Tensor w;     // [in, 3, 3, out]
  Tensor bias;  // [out] or none
  std::int64_t stride = 2;
  std::string name;

  void each(const Visit& visit, const std::string& prefix = "");
  /// [N, H, W, in] -> [N, stride H, stride W, out], in the type of x; with a bias in the type of the weights.
  Tensor operator()(const Tensor& x) const;
};

/// Pooled features: linear, batch norm and ReLU make the grid. A feature map: a 1x1 convolution, batch norm and ReLU.
/// Transposed convolutions follow, each with batch norm and ReLU except the last, which has a bias.
///
///   image  grid     channels of the grid and after each transposed convolution (>: doubles the size, =: keeps it)
///   <= 48  size/8   64 > 256 > 128 > 64 = 3
///   <= 128 size/16  128 > 128 > 128 > 128 > 128 = 3
///   larger size/32  64 > 128 > 128 > 128 > 64 > 3
///
/// For a feature map finer than the grid by a power of two, the first transposed convolutions keep the size instead.
struct Decoder {
  DecoderSettings settings;
  std::int64_t grid = 1;  // height and width of the transposed convolutions' input
  Linear start;           // pooled features: [grid x grid x channels, features], no bias
  BatchNorm start_norm;
  ConvBn map_start;  // feature map: 1x1
  std::vector<TransposedConv> layers;
  std::vector<BatchNorm> norms;  // after each layer but the last

  void each(const Visit& visit, const std::string& prefix = "");
  /// Features [N, features] in the weights' type, or a feature map [N, map_size, map_size, features] of any type ->
  /// normalized images [N, image_size, image_size, image_channels] in the weights' type. The linear layer runs in the
  /// weights' type, the convolutions in pass.activations.
  Tensor operator()(const Tensor& features, const ForwardMode& pass) const;
  std::int64_t parameters() const;
  /// FLOPs of one forward pass over `rows` images: multiply-adds times two.
  double flops(std::int64_t rows) const;
  /// Values that a recorded forward pass over `rows` images keeps until its backward pass.
  std::int64_t kept_values(std::int64_t rows) const;
};

/// A decoder with PyTorch's default initial weights, keyed by seed and name. Throws UsageError for an image size, a map
/// size or another number out of range.
Decoder make_decoder(const DecoderSettings& settings, const Init& init);

}  // namespace vergence
