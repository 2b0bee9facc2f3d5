// ResNet-18, -34 and -50 (He, Zhang, Ren, Sun: "Deep residual learning for image recognition", CVPR 2016) without the
// classifier, with torchvision's parameter names, the stems used for small images, and any width.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "models/encoder.h"

namespace vergence {

/// A ResNet's first convolution, without bias, followed by batch norm and ReLU.
enum class Stem {
  cifar,           // 3x3, stride 1, padding 1; no pooling
  stl,             // 3x3, stride 1, padding 1; max-pool 3x3, stride 2, padding 1
  stl_stride2,     // 3x3, stride 2, padding 1; no pooling
  imagenet,        // 7x7, stride 2, padding 3; max-pool 3x3, stride 2, padding 1
  cifar_padding2,  // 3x3, stride 1, padding 2; no pooling: solo-learn's for CIFAR
};

inline constexpr Word<Stem> stem_words[]{{"cifar", Stem::cifar},
                                         {"stl", Stem::stl},
                                         {"stl_stride2", Stem::stl_stride2},
                                         {"imagenet", Stem::imagenet},
                                         {"cifar_padding2", Stem::cifar_padding2}};

/// A ResNet's settings.
struct ResNetSettings {
  std::string encoder = "resnet18";  // resnet18, resnet34, resnet50
  std::int64_t width = 64;           // channels of the first stage; each stage doubles them
  Stem stem = Stem::cifar;
  bool stem_relu = true;         // MetaMask's code omits the stem's ReLU
  std::int64_t image_size = 32;  // of a square image, for costs and metadata; it encodes any size
  std::int64_t channels = 3;     // of an image
  bool zero_init_gamma = false;  // the last batch norm of each block starts with scale 0

  /// The length of a feature vector: 8 width, times 4 for resnet50.
  std::int64_t dim() const;
  /// Height and width of the last feature map for an image of image_size.
  std::int64_t map_size() const;
  /// The same as EncoderSettings.
  operator EncoderSettings() const;
};

/// Throws UsageError for an unknown encoder or a size out of range.
void check(const ResNetSettings& settings);

/// A residual block: `convs` in sequence (2, or 3 for resnet50), added to the shortcut before the last ReLU.
struct ResNetBlock {
  std::vector<ConvBn> convs;
  std::vector<ConvBn> downsample;  // the shortcut's 1x1 convolution; empty: the identity

  void each(const Visit& visit, const std::string& prefix = "");
};

struct ResNet final : EncoderNetwork {
  ResNetSettings settings;
  ConvBn stem;
  std::vector<ResNetBlock> blocks;

  operator Encoder() const;

  std::unique_ptr<EncoderNetwork> clone() const override { return std::make_unique<ResNet>(*this); }
  /// Visits in the order of torchvision's state_dict.
  void each(const Visit& visit, const std::string& prefix = "") override;
  std::vector<const ConvBn*> layers() const override;
  Tensor feature_map(const Tensor& images, const ForwardMode& pass) const override;
  /// Four: layer1 to layer4.
  std::int64_t stages() const override;
  Tensor stage_map(const Tensor& images, const ForwardMode& pass, std::int64_t stage) const override;
  /// The mean over the map's pixels.
  Tensor features_of(const Tensor& map) const override;
  std::string describe(NetworkGraph& graph) const override;
  /// The new stem is `cifar`.
  void renew_stem(EncoderSettings& any, const Init& init) override;
};

/// A ResNet with the default initial weights of PyTorch's layers, keyed by seed and name: convolutions are uniform with
/// variance 1 / (3 fan in). Those of torchvision's ResNet (and so solo-learn's) are normal with variance 2 / fan out,
/// mostly larger. Batch norm hides the scale from the outputs, but smaller weights change direction more in a step:
/// the effective learning rate starts higher. Throws UsageError like `check`.
ResNet make_resnet(const ResNetSettings& settings, const Init& init);

}  // namespace vergence
