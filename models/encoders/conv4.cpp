// conv4: the four-block network of few-shot learning (Vinyals et al.: "Matching networks for one shot learning",
// NeurIPS 2016; Snell, Swersky, Zemel: "Prototypical networks for few-shot learning", NeurIPS 2017).
//
// Four times: convolution 3x3 with 64 channels, batch norm, ReLU, max-pool 2. The features are the last map, flattened:
// 256 of images of 32 pixels, 1600 of 84. Convolutions have no bias, which the following batch norm would cancel.
#include <array>
#include <optional>

#include "models/network_graph.h"

namespace vergence {
namespace {

constexpr std::int64_t conv4_width = 64;
constexpr ConvOptions conv4_conv{.stride = 1, .padding = 1};
constexpr PoolOptions conv4_pool{.kernel = 2, .stride = 2};

/// Height and width of the last map: each block halves them, rounding down.
std::int64_t conv4_map_size(std::int64_t image_size) { return image_size / 16; }

class Conv4 final : public EncoderNetwork {
 public:
  Conv4(const EncoderSettings& settings, const Init& init) : map_size_(conv4_map_size(settings.image_size)) {
    std::int64_t in = settings.channels;
    for (std::size_t i = 0; i < blocks_.size(); ++i, in = conv4_width) blocks_[i] = make_block(init, i, in);
  }

  std::unique_ptr<EncoderNetwork> clone() const override { return std::make_unique<Conv4>(*this); }

  void each(const Visit& visit, const std::string& prefix) override {
    for (ConvBn& block : blocks_) block.each(visit, prefix);
  }

  std::vector<const ConvBn*> layers() const override { return {&blocks_[0], &blocks_[1], &blocks_[2], &blocks_[3]}; }

  /// Needs images of at least 16 pixels.
  Tensor feature_map(const Tensor& images, const ForwardMode& mode) const override {
    return stage_map(images, mode, stages());
  }

  /// A stage is a block.
  std::int64_t stages() const override { return static_cast<std::int64_t>(blocks_.size()); }

  Tensor stage_map(const Tensor& images, const ForwardMode& mode, std::int64_t stage) const override {
    require(stage >= 1 && stage <= stages(), "conv4: stage ", stage, " of ", stages());
    TensorPass pass(mode, "conv4");
    return map_of(pass, images, stage);
  }

  /// In the order of the map: pixel by pixel, 64 values each.
  Tensor features_of(const Tensor& map) const override {
    require(map.shape[1] == map_size_ && map.shape[2] == map_size_, "conv4: expected images whose map is ", map_size_,
            "x", map_size_, ", got ", map.shape);
    const Tensor flat = reshape(map, {map.shape[0], map_size_ * map_size_ * conv4_width});
    const DType type = blocks_[0].gamma.dtype;
    return flat.dtype == type ? flat : cast(flat, type);
  }

  std::string describe(NetworkGraph& graph) const override {
    return graph.flatten(map_of(graph, graph.images(), stages()));
  }

  /// The pooling after the convolution belongs to the block and stays.
  void renew_stem(EncoderSettings& settings, const Init& init) override {
    blocks_[0].w = make_block(init, 0, settings.channels).w;
  }

 private:
  template <class Pass>
  typename Pass::Value map_of(Pass& pass, const typename Pass::Value& images, std::int64_t stage) const {
    auto x = pass.block(blocks_[0], images, [](const ConvBn& block, auto& inner, const auto& in) {
      return inner.max_pool(inner.conv_bn_of_images(in, block, {.relu = true}), conv4_pool);
    });
    for (std::size_t i = 1; i < static_cast<std::size_t>(stage); ++i)
      x = pass.block(blocks_[i], x, [](const ConvBn& block, auto& inner, const auto& in) {
        return inner.max_pool(inner.conv_bn(in, block, {.relu = true}), conv4_pool);
      });
    return x;
  }

  static ConvBn make_block(const Init& init, std::size_t index, std::int64_t in) {
    const std::string name = join("layer", index + 1);
    return make_conv_bn(init, name + ".conv", name + ".bn", in, conv4_width, 3, conv4_conv);
  }

  std::array<ConvBn, 4> blocks_;
  std::int64_t map_size_;
};

EncoderShape conv4_shape(const EncoderSettings& settings) {
  require_usage(settings.image_size >= 16, "conv4: expected images of at least 16 pixels, got ", settings.image_size);
  const std::int64_t size = conv4_map_size(settings.image_size);
  return {size * size * conv4_width, size, conv4_width};
}

std::unique_ptr<EncoderNetwork> make_conv4(const EncoderSettings& settings, const Init& init) {
  return std::make_unique<Conv4>(settings, init);
}

void count_conv4(const EncoderSettings& settings, CostCounter& cost) {
  std::int64_t size = settings.image_size, in = settings.channels;
  for (int i = 0; i < 4; ++i, in = conv4_width) {
    size = cost.conv_bn(size, in, conv4_width, 3, conv4_conv, {.rectified = i > 0});
    size = cost.max_pool(size, conv4_width, conv4_pool);
    cost.block(size, conv4_width);
  }
}

std::optional<EncoderSettings> recognize_conv4(const ShapeOf& shape_of, const EncoderSettings& like) {
  const std::vector<std::int64_t>* first = shape_of("layer1.conv.weight");
  if (!first || first->size() != 4 || !shape_of("layer4.bn.weight")) return {};
  EncoderSettings settings = like;
  settings.encoder = "conv4";
  settings.channels = (*first)[1];
  return settings;
}

}  // namespace

namespace encoders {

EncoderFamily conv4() {
  return {.names = {"conv4"},
          .options = {},
          .shape = conv4_shape,
          .make = make_conv4,
          .count = count_conv4,
          .recognize = recognize_conv4};
}

}  // namespace encoders
}  // namespace vergence
