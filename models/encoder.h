// An encoder turns images into features by a network of some family. Each file models/encoders/NAME.cpp is a family: it
// defines vergence::encoders::NAME(), and the build makes the list (docs/extending.md).
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "engine/component_option.h"
#include "models/cost.h"
#include "models/layers.h"

namespace vergence {

class NetworkGraph;  // models/network_graph.h

/// An option of a family.
using EncoderOption = ComponentOption;

/// An encoder's output for images of its settings' size.
struct EncoderShape {
  std::int64_t dim = 0;       // length of a feature vector
  std::int64_t map_size = 0;  // height and width of the feature map
  std::int64_t map_channels = 0;
};

/// An encoder's settings. With its weights, they are all that is needed to use it.
struct EncoderSettings {
  std::string encoder = "resnet18";  // one of encoder_names()
  std::int64_t image_size = 32;      // of a square image, in pixels
  std::int64_t channels = 3;         // of an image
  ComponentSettings components;      // the family's options

  /// These throw UsageError like `check`.
  EncoderShape shape() const;
  std::int64_t dim() const { return shape().dim; }
  std::int64_t map_size() const { return shape().map_size; }

  /// The network's entries in encoder.safetensors' metadata: encoder, image_size, channels and the family's options.
  std::map<std::string, std::string> metadata() const;
  /// The reverse. Throws UsageError, beginning with `where`, for a missing or impossible entry; channels default to 3.
  static EncoderSettings from_metadata(const std::map<std::string, std::string>& metadata, const std::string& where);
  /// The family's word and number options, in order: {"width", 64}, {"stem", "cifar"}.
  using Described = std::pair<std::string, std::variant<std::string, std::int64_t, double>>;
  std::vector<Described> described() const;
  /// Copies the options that affect only initial weights from `other`.
  void take_initial(const ComponentSettings& other);
};

/// Throws UsageError for an unknown encoder or a setting it does not support.
void check(const EncoderSettings& settings);

/// A family's network. As with all models, a copy has its own handles to the same tensors.
class EncoderNetwork {
 public:
  virtual ~EncoderNetwork() = default;
  virtual std::unique_ptr<EncoderNetwork> clone() const = 0;

  /// Visits the parameters in the order of the file.
  virtual void each(const Visit& visit, const std::string& prefix) = 0;
  /// All convolutions with their batch norms, in the order of `each`. Files hold the running statistics of these norms
  /// only, so a family has no batch norm without a convolution.
  virtual std::vector<const ConvBn*> layers() const = 0;
  /// Images [N,H,W,channels], possibly padded with ignored channels to a multiple of 8 -> the last feature map
  /// [N, H', W', map_channels], in the type of the activations.
  virtual Tensor feature_map(const Tensor& images, const ForwardMode& pass) const = 0;
  /// How many stages its layers form. Each ends with a map, the last one with the feature map.
  virtual std::int64_t stages() const { return 1; }
  /// The map at the end of a stage, counted from 1: images -> [N, h, w, its channels], as feature_map's. Throws Error
  /// for a stage that does not exist.
  virtual Tensor stage_map(const Tensor& images, const ForwardMode& pass, std::int64_t stage) const;
  /// Feature map -> features [N, dim], in the type of the weights.
  virtual Tensor features_of(const Tensor& map) const = 0;
  /// Adds all operations from the images to the features to `graph`, and returns the features' name there. Throws
  /// UsageError if the family cannot.
  virtual std::string describe(NetworkGraph& graph) const;
  /// Replaces the first convolution with a new random 3x3 one without pooling, and updates `settings`. Throws
  /// UsageError if the family cannot.
  virtual void renew_stem(EncoderSettings& settings, const Init& init);
  /// Images -> features.
  Tensor operator()(const Tensor& images, const ForwardMode& pass) const {
    return features_of(feature_map(images, pass));
  }
};

/// A network of any family as a value.
class Encoder {
 public:
  Encoder() = default;  // no network until assigned
  Encoder(EncoderSettings settings, std::unique_ptr<EncoderNetwork> network)
      : settings_(std::move(settings)), network_(std::move(network)) {}
  Encoder(const Encoder& other)
      : settings_(other.settings_), network_(other.network_ ? other.network_->clone() : nullptr) {}
  Encoder(Encoder&&) = default;
  Encoder& operator=(Encoder other) noexcept;
  ~Encoder() = default;

  const EncoderSettings& settings() const { return settings_; }
  /// These call the network. With a micro-batch, features and feature maps are computed part by part, but not
  /// stage_map.
  void each(const Visit& visit, const std::string& prefix = "") { network_->each(visit, prefix); }
  std::vector<const ConvBn*> layers() const { return network_->layers(); }
  Tensor operator()(const Tensor& images, const ForwardMode& pass) const;
  Tensor feature_map(const Tensor& images, const ForwardMode& pass) const;
  std::int64_t stages() const { return network_->stages(); }
  Tensor stage_map(const Tensor& images, const ForwardMode& pass, std::int64_t stage) const {
    return network_->stage_map(images, pass, stage);
  }
  Tensor features_of(const Tensor& map) const { return network_->features_of(map); }
  std::string describe(NetworkGraph& graph) const { return network_->describe(graph); }
  void renew_stem(const Init& init) { network_->renew_stem(settings_, init); }
  /// The same weights as constants: no graph is recorded, activations are dropped.
  Encoder constant() const;
  /// The backend that has its weights.
  Backend& backend() const;
  /// The network, which must have this type.
  template <class Network>
  const Network& as() const {
    return dynamic_cast<const Network&>(*network_);
  }

 private:
  EncoderSettings settings_;
  std::unique_ptr<EncoderNetwork> network_;
};

/// conv_bn of an encoder's input images: casts them to the activations' type and ignores padding channels. `name`
/// begins the Error for images of another shape.
Tensor conv_bn_of_images(const Tensor& images, const ConvBn& layer, const ForwardMode& pass,
                         const ConvBnOptions& options, const std::string& name);

/// The shape of a file's tensor, named as the encoder names it; null: there is none.
using ShapeOf = std::function<const std::vector<std::int64_t>*(const std::string& name)>;

struct EncoderFamily {
  std::vector<std::string> names;  // for --encoder
  std::vector<EncoderOption> options;
  /// Throws UsageError for unsupported settings.
  EncoderShape (*shape)(const EncoderSettings& settings);
  std::unique_ptr<EncoderNetwork> (*make)(const EncoderSettings& settings, const Init& init);
  /// Adds the encoder's layers to `cost`.
  void (*count)(const EncoderSettings& settings, CostCounter& cost);
  /// The settings of the family's network that a file with tensors of these shapes holds, in PyTorch's layout; what
  /// shapes do not tell is as in `like`. None: no network of this family. Throws UsageError for a variant of the family
  /// that it does not have. Null: only files of `save_encoder` have networks of this family.
  std::optional<EncoderSettings> (*recognize)(const ShapeOf& shape_of, const EncoderSettings& like) = nullptr;
  /// The name of timm's model that is this network and names its parameters alike. Throws UsageError saying what timm's
  /// model lacks. Null: timm has none.
  std::string (*timm)(const EncoderSettings& settings) = nullptr;
};

/// Sorted by their files' names.
const std::vector<EncoderFamily>& encoder_families();
/// The family of an encoder; for an unknown one throws UsageError listing all.
const EncoderFamily& family_of(const std::string& encoder);
/// The names of all encoders.
std::vector<std::string> encoder_names();

/// An encoder with PyTorch's default initial weights, keyed by seed and name. Throws UsageError like `check`.
Encoder make_encoder(const EncoderSettings& settings, const Init& init);

/// The cost of a forward pass over `batch` images, without making the network.
Cost cost_of(const EncoderSettings& settings, std::int64_t batch, DType activations = DType::f32,
             const Recompute& recompute = {});

}  // namespace vergence
