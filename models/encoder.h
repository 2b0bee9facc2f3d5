// An encoder: images to features, by a network of some family. Each file models/encoders/NAME.cpp is a family: it
// defines vergence::encoders::NAME(), and the build makes the list. docs/extending.md walks through one.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "engine/own_option.h"
#include "models/cost.h"
#include "models/layers.h"

namespace vergence {

/// An option of a family.
using EncoderOption = OwnOption;

/// What an encoder makes of images of its settings' size.
struct EncoderShape {
  std::int64_t dim = 0;       // length of a feature vector
  std::int64_t map_size = 0;  // height and width of the feature map
  std::int64_t map_channels = 0;
};

/// What an encoder is. Together with its weights this is all that is needed to use it.
struct EncoderSettings {
  std::string encoder = "resnet18";  // one of encoder_names()
  std::int64_t image_size = 32;      // of a square image, in pixels
  std::int64_t channels = 3;         // of an image
  OwnSettings own;                   // the family's options

  /// Each throws UsageError as `check`.
  EncoderShape shape() const;
  std::int64_t dim() const { return shape().dim; }
  std::int64_t map_size() const { return shape().map_size; }

  /// The entries of encoder.safetensors' metadata that describe the network: encoder, image_size, channels and the
  /// family's options.
  std::map<std::string, std::string> metadata() const;
  /// The reverse. Throws UsageError, beginning with `where`, for a missing or impossible entry; channels may be missing
  /// (3).
  static EncoderSettings from_metadata(const std::map<std::string, std::string>& metadata, const std::string& where);
  /// The family's options that are words and numbers, in order: {"width", 64}, {"stem", "cifar"}.
  std::vector<std::pair<std::string, std::variant<std::string, std::int64_t>>> described() const;
  /// Takes the options that concern first weights alone from `other`.
  void take_initial(const OwnSettings& other);
};

/// Throws UsageError for an encoder there is not, or a setting it does not take.
void check(const EncoderSettings& settings);

/// The network of a family. A copy has handles of its own to the same tensors, as with all models.
class EncoderNetwork {
 public:
  virtual ~EncoderNetwork() = default;
  virtual std::unique_ptr<EncoderNetwork> clone() const = 0;

  /// Visits the parameters in the order of the file.
  virtual void each(const Visit& visit, const std::string& prefix) = 0;
  /// All convolutions with their batch norms, in the order of `each`.
  virtual std::vector<const ConvBn*> layers() const = 0;
  /// Images [N,H,W,channels], or with channels up to the next multiple of 8 that are ignored -> the last feature map
  /// [N, H', W', map_channels], in the type of the activations.
  virtual Tensor feature_map(const Tensor& images, const Pass& pass) const = 0;
  /// That map -> features [N, dim], in the type of the weights.
  virtual Tensor features_of(const Tensor& map) const = 0;
  /// Puts a new random 3x3 convolution in the place of the first one, with no pooling of its own, and says so in
  /// `settings`. Throws UsageError where a family has none that can be replaced.
  virtual void renew_stem(EncoderSettings& settings, const Init& init);
  /// Images -> features.
  Tensor operator()(const Tensor& images, const Pass& pass) const { return features_of(feature_map(images, pass)); }
};

/// A network of any family as a value.
class Encoder {
 public:
  Encoder() = default;  // no network: to be assigned to
  Encoder(EncoderSettings settings, std::unique_ptr<EncoderNetwork> network)
      : settings_(std::move(settings)), network_(std::move(network)) {}
  Encoder(const Encoder& other)
      : settings_(other.settings_), network_(other.network_ ? other.network_->clone() : nullptr) {}
  Encoder(Encoder&&) = default;
  Encoder& operator=(Encoder other) noexcept;
  ~Encoder() = default;

  const EncoderSettings& settings() const { return settings_; }
  /// As the network's.
  void each(const Visit& visit, const std::string& prefix = "") { network_->each(visit, prefix); }
  std::vector<const ConvBn*> layers() const { return network_->layers(); }
  Tensor operator()(const Tensor& images, const Pass& pass) const { return (*network_)(images, pass); }
  Tensor feature_map(const Tensor& images, const Pass& pass) const { return network_->feature_map(images, pass); }
  Tensor features_of(const Tensor& map) const { return network_->features_of(map); }
  void renew_stem(const Init& init) { network_->renew_stem(settings_, init); }
  /// The same weights as constants: no graph is recorded, activations are dropped.
  Encoder constant() const;
  /// Where its weights are.
  Backend& backend() const;
  /// The network, which must be one of that family.
  template <class Network>
  const Network& as() const {
    return dynamic_cast<const Network&>(*network_);
  }

 private:
  EncoderSettings settings_;
  std::unique_ptr<EncoderNetwork> network_;
};

/// conv_bn of images as an encoder may be given them: cast to the activations' type, with channels that pad ignored.
/// `name` begins the Error for images of another shape.
Tensor conv_bn_of_images(const Tensor& images, const ConvBn& layer, const Pass& pass, const ConvBnOptions& options,
                         const std::string& name);

struct EncoderFamily {
  std::vector<std::string> names;  // as --encoder takes them
  std::vector<EncoderOption> options;
  /// Throws UsageError for settings that it does not take.
  EncoderShape (*shape)(const EncoderSettings& settings);
  std::unique_ptr<EncoderNetwork> (*make)(const EncoderSettings& settings, const Init& init);
  /// Adds its layers to those of the images.
  void (*count)(const EncoderSettings& settings, CostCounter& cost);
};

/// In the order of their files' names.
const std::vector<EncoderFamily>& encoder_families();
/// The family of an encoder; throws UsageError naming the encoders there are.
const EncoderFamily& family_of(const std::string& encoder);
/// The names of all encoders.
std::vector<std::string> encoder_names();

/// An encoder with PyTorch's default initial weights, keyed by seed and name. Throws UsageError as `check`.
Encoder make_encoder(const EncoderSettings& settings, const Init& init);

/// What a forward pass over `batch` images of settings.image_size costs, without making the network. recompute: as
/// Pass's.
Cost cost_of(const EncoderSettings& settings, std::int64_t batch, DType activations = DType::f32,
             bool recompute = false);

}  // namespace vergence
