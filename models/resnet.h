// ResNet-18, -34 and -50 (He, Zhang, Ren, Sun: "Deep residual learning for image recognition", CVPR 2016) without the
// classifier, with torchvision's parameter names, the stems used for small images, and any width.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "models/layers.h"

namespace vergence {

/// What an encoder is. Together with its weights this is all that is needed to use it.
///
/// Stems (first convolution, always without bias, then batch norm and ReLU):
///   cifar        3x3, stride 1, padding 1; no pooling
///   stl          3x3, stride 1, padding 1; max-pool 3x3, stride 2, padding 1
///   stl_stride2  3x3, stride 2, padding 1; no pooling
///   imagenet     7x7, stride 2, padding 3; max-pool 3x3, stride 2, padding 1
struct ResNetSettings {
  std::string encoder = "resnet18";  // resnet18, resnet34, resnet50
  std::int64_t width = 64;           // channels of the first stage; doubled from stage to stage
  std::string stem = "cifar";
  bool stem_relu = true;         // MetaMask's code leaves the stem's ReLU out
  std::int64_t image_size = 32;  // of a square image, in pixels; for costs and metadata, any size can be encoded
  std::int64_t channels = 3;     // of an image
  bool zero_init_gamma = false;  // the last batch norm of each block starts with scale 0

  /// The length of a feature vector: 8 width, times 4 for resnet50.
  std::int64_t dim() const;
  /// Height and width of the last stage's feature map of an image of image_size.
  std::int64_t map_size() const;
  /// The entries of encoder.safetensors' metadata that describe the network: encoder, width, stem, stem_relu ("on" or
  /// "off"), image_size, channels.
  std::map<std::string, std::string> metadata() const;
  /// The reverse. Throws UsageError, beginning with `where`, for a missing or impossible entry; stem_relu and channels
  /// may be missing ("on", 3).
  static ResNetSettings from_metadata(const std::map<std::string, std::string>& metadata, const std::string& where);
};

/// Throws UsageError for an encoder or stem there is not, or a size out of range.
void check(const ResNetSettings& settings);

/// A residual block: `convs` in sequence (2, or 3 for resnet50), added to the shortcut before the last ReLU.
struct ResNetBlock {
  std::vector<ConvBn> convs;
  std::vector<ConvBn> downsample;  // the shortcut's 1x1 convolution, or empty: the identity

  void each(const Visit& visit, const std::string& prefix = "");
};

struct ResNet {
  ResNetSettings settings;
  ConvBn stem;
  std::vector<ResNetBlock> blocks;

  /// Visits in the order of torchvision's state_dict.
  void each(const Visit& visit, const std::string& prefix = "");
  /// All convolutions with their batch norms, in the order of `each`.
  std::vector<const ConvBn*> layers() const;
  /// Images [N,H,W,channels], or with channels up to the next multiple of 8 that are ignored -> features [N, dim]. The
  /// input is cast to pass.activations, the result to the type of the weights.
  Tensor operator()(const Tensor& images, const Pass& pass) const;
  /// Images -> the last stage's feature map [N, H', W', dim], in the type of the activations.
  Tensor feature_map(const Tensor& images, const Pass& pass) const;
};

/// A ResNet with PyTorch's default initial weights, keyed by seed and name. Throws UsageError as `check`.
ResNet make_resnet(const ResNetSettings& settings, const Init& init);

struct Cost {
  std::int64_t parameters = 0;
  double forward_flops = 0;           // of one forward pass over the batch: convolutions, multiply-adds times two
  std::int64_t activation_bytes = 0;  // what a recorded forward pass keeps until its backward pass
};

/// What a forward pass over `batch` images of settings.image_size costs, without making the network. recompute: as
/// Pass's.
Cost cost_of(const ResNetSettings& settings, std::int64_t batch, DType activations = DType::f32,
             bool recompute = false);

}  // namespace vergence
