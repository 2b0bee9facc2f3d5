#include "models/encoders/resnet.h"

#include <array>
#include <numeric>
#include <optional>
#include <span>

#include "engine/text/words.h"
#include "models/network_graph.h"

namespace vergence {

namespace {

struct Architecture {
  const char* name;
  bool bottleneck;
  std::array<int, 4> depths;  // blocks per stage
};

constexpr Architecture architectures[]{
    {"resnet18", false, {2, 2, 2, 2}}, {"resnet34", false, {3, 4, 6, 3}}, {"resnet50", true, {3, 4, 6, 3}}};

std::vector<std::string> resnet_names() {
  std::vector<std::string> names;
  for (const Architecture& architecture : architectures) names.emplace_back(architecture.name);
  return names;
}

Architecture architecture_of(const std::string& encoder) {
  for (const Architecture& architecture : architectures)
    if (encoder == architecture.name) return architecture;
  throw UsageError(join("encoder: expected ", alternatives(resnet_names()), ", got '", encoder, "'"));
}

struct StemLayers {
  std::int64_t kernel, stride, padding;
  bool pool;
};

StemLayers layers_of(Stem stem) {
  switch (stem) {
    case Stem::cifar:
      return {3, 1, 1, false};
    case Stem::stl:
      return {3, 1, 1, true};
    case Stem::stl_stride2:
      return {3, 2, 1, false};
    case Stem::imagenet:
      return {7, 2, 3, true};
    case Stem::cifar_padding2:
      return {3, 1, 2, false};
  }
  throw Error("resnet: there is no such stem");
}

constexpr PoolOptions stem_pool{3, 2, 1};

/// One convolution of the network, without weights.
struct ConvPlan {
  std::string conv_name, norm_name;
  std::int64_t in, out, kernel, stride, padding;

  ConvOptions conv() const { return {.stride = stride, .padding = padding}; }
};

struct BlockPlan {
  std::vector<ConvPlan> convs, downsample;
};

struct ResNetPlan {
  ConvPlan stem;
  bool pool;
  std::vector<BlockPlan> blocks;
};

BlockPlan plan_block(const std::string& name, bool bottleneck, std::int64_t in, std::int64_t channels,
                     std::int64_t stride) {
  BlockPlan plan;
  auto conv = [&](int number, std::int64_t from, std::int64_t to, std::int64_t kernel, std::int64_t step) {
    const std::string suffix = std::to_string(number);
    plan.convs.push_back({name + ".conv" + suffix, name + ".bn" + suffix, from, to, kernel, step, kernel / 2});
  };
  const std::int64_t out = bottleneck ? 4 * channels : channels;
  if (bottleneck) {
    conv(1, in, channels, 1, 1);
    conv(2, channels, channels, 3, stride);
    conv(3, channels, out, 1, 1);
  } else {
    conv(1, in, channels, 3, stride);
    conv(2, channels, channels, 3, 1);
  }
  if (stride != 1 || in != out)
    plan.downsample.push_back({name + ".downsample.0", name + ".downsample.1", in, out, 1, stride, 0});
  return plan;
}

/// Every convolution of the network with torchvision's names, for both weights and costs.
ResNetPlan resnet_plan(const ResNetSettings& settings) {
  const Architecture architecture = architecture_of(settings.encoder);
  const StemLayers stem = layers_of(settings.stem);
  ResNetPlan plan{
      {"conv1", "bn1", settings.channels, settings.width, stem.kernel, stem.stride, stem.padding}, stem.pool, {}};
  std::int64_t in = settings.width, channels = settings.width;
  for (std::size_t stage = 0; stage < architecture.depths.size(); ++stage, channels *= 2) {
    for (int i = 0; i < architecture.depths[stage]; ++i) {
      const std::string name = join("layer", stage + 1, ".", i);
      plan.blocks.push_back(plan_block(name, architecture.bottleneck, in, channels, stage > 0 && i == 0 ? 2 : 1));
      in = plan.blocks.back().convs.back().out;
    }
  }
  return plan;
}

}  // namespace

std::int64_t ResNetSettings::dim() const { return 8 * width * (architecture_of(encoder).bottleneck ? 4 : 1); }

std::int64_t ResNetSettings::map_size() const {
  const StemLayers layers = layers_of(stem);
  const std::int64_t halvings = 8 * layers.stride * (layers.pool ? stem_pool.stride : 1);
  const std::int64_t size = image_size + 2 * (layers.padding - layers.kernel / 2);
  return (size + halvings - 1) / halvings;  // each one rounds up
}

ResNetSettings::operator EncoderSettings() const {
  EncoderSettings any;
  any.encoder = encoder;
  any.image_size = image_size;
  any.channels = channels;
  any.components.get<ResNetSettings>() = *this;
  return any;
}

void check(const ResNetSettings& settings) {
  architecture_of(settings.encoder);
  auto inside = [](const char* name, std::int64_t value, std::int64_t most) {
    require_usage(value >= 1 && value <= most, name, ": expected 1 to ", most, ", got ", value);
  };
  inside("width", settings.width, 4096);
  inside("image size", settings.image_size, 4096);
  inside("image channels", settings.channels, 1024);
}

void ResNetBlock::each(const Visit& visit, const std::string& prefix) {
  for (ConvBn& layer : convs) layer.each(visit, prefix);
  for (ConvBn& layer : downsample) layer.each(visit, prefix);
}

void ResNet::each(const Visit& visit, const std::string& prefix) {
  stem.each(visit, prefix);
  for (ResNetBlock& block : blocks) block.each(visit, prefix);
}

std::vector<const ConvBn*> ResNet::layers() const {
  std::vector<const ConvBn*> list{&stem};
  for (const ResNetBlock& block : blocks) {
    for (const ConvBn& layer : block.convs) list.push_back(&layer);
    for (const ConvBn& layer : block.downsample) list.push_back(&layer);
  }
  return list;
}

ResNet::operator Encoder() const { return {settings, clone()}; }

namespace {

/// Images -> the map after the first `count` blocks.
template <class Pass>
typename Pass::Value resnet_map(const ResNet& net, Pass& pass, const typename Pass::Value& images, std::size_t count) {
  const bool relu = net.settings.stem_relu, pool = layers_of(net.settings.stem).pool;
  auto x = pass.block(net.stem, images, [relu, pool](const ConvBn& stem, auto& inner, const auto& in) {
    const auto y = inner.conv_bn_of_images(in, stem, {.relu = relu});
    return pool ? inner.max_pool(y, stem_pool) : y;
  });
  for (const ResNetBlock& block : std::span(net.blocks).first(count))
    x = pass.block(block, x, [](const ResNetBlock& with, auto& inner, const auto& in) {
      auto y = in;
      for (std::size_t i = 0; i + 1 < with.convs.size(); ++i) y = inner.conv_bn(y, with.convs[i], {.relu = true});
      const auto shortcut = with.downsample.empty() ? in : inner.conv_bn(in, with.downsample[0]);
      return inner.conv_bn(y, with.convs.back(), {.add = shortcut, .relu = true});
    });
  return x;
}

}  // namespace

Tensor ResNet::feature_map(const Tensor& images, const ForwardMode& mode) const {
  return stage_map(images, mode, stages());
}

std::int64_t ResNet::stages() const {
  return static_cast<std::int64_t>(architecture_of(settings.encoder).depths.size());
}

Tensor ResNet::stage_map(const Tensor& images, const ForwardMode& mode, std::int64_t stage) const {
  require(stage >= 1 && stage <= stages(), settings.encoder, ": stage ", stage, " of ", stages());
  const auto& depths = architecture_of(settings.encoder).depths;
  TensorPass pass(mode, settings.encoder);
  return resnet_map(*this, pass, images, std::accumulate(depths.begin(), depths.begin() + stage, std::size_t{0}));
}

Tensor ResNet::features_of(const Tensor& map) const { return global_average_pool(map, stem.gamma.dtype); }

std::string ResNet::describe(NetworkGraph& graph) const {
  return graph.global_average_pool(resnet_map(*this, graph, graph.images(), blocks.size()));
}

void ResNet::renew_stem(EncoderSettings& any, const Init& init) {
  settings.stem = any.components.get<ResNetSettings>().stem = Stem::cifar;
  const ResNet fresh = make_resnet(settings, init);
  stem.w = fresh.stem.w;
  stem.conv = fresh.stem.conv;
}

ResNet make_resnet(const ResNetSettings& settings, const Init& init) {
  check(settings);
  const ResNetPlan plan = resnet_plan(settings);
  auto make = [&](const ConvPlan& p) {
    return make_conv_bn(init, p.conv_name, p.norm_name, p.in, p.out, p.kernel, p.conv());
  };
  ResNet model;
  model.settings = settings;
  model.stem = make(plan.stem);
  for (const BlockPlan& block : plan.blocks) {
    ResNetBlock made;
    for (const ConvPlan& conv : block.convs) made.convs.push_back(make(conv));
    for (const ConvPlan& conv : block.downsample) made.downsample.push_back(make(conv));
    if (settings.zero_init_gamma) made.convs.back().gamma = zeros_like(made.convs.back().gamma);
    model.blocks.push_back(std::move(made));
  }
  return model;
}

namespace {

ResNetSettings resnet_settings(const EncoderSettings& any) {
  ResNetSettings settings = any.components.get<ResNetSettings>();
  settings.encoder = any.encoder;
  settings.image_size = any.image_size;
  settings.channels = any.channels;
  return settings;
}

EncoderShape resnet_shape(const EncoderSettings& any) {
  const ResNetSettings settings = resnet_settings(any);
  check(settings);
  return {settings.dim(), settings.map_size(), settings.dim()};
}

std::unique_ptr<EncoderNetwork> make_network(const EncoderSettings& settings, const Init& init) {
  return std::make_unique<ResNet>(make_resnet(resnet_settings(settings), init));
}

void count_resnet(const EncoderSettings& any, CostCounter& cost) {
  const ResNetSettings settings = resnet_settings(any);
  const ResNetPlan plan = resnet_plan(settings);
  const auto count = [&](const ConvPlan& p, std::int64_t size, const LayerCost& layer) {
    return cost.conv_bn(size, p.in, p.out, p.kernel, p.conv(), layer);
  };
  std::int64_t size = count(plan.stem, settings.image_size, {.relu = settings.stem_relu, .rectified = false});
  if (plan.pool) size = cost.max_pool(size, settings.width, stem_pool);
  cost.block(size, settings.width);
  bool rectified = settings.stem_relu;
  for (const BlockPlan& block : plan.blocks) {
    for (const ConvPlan& conv : block.downsample) count(conv, size, {.relu = false, .rectified = rectified});
    for (const ConvPlan& conv : block.convs) {
      size = count(conv, size, {.add = &conv == &block.convs.back(), .rectified = rectified});
      rectified = true;
    }
    cost.block(size, block.convs.back().out);
  }
}

/// The stem of a first convolution of this size; how a 3x3 one pads, and whether it pools, `like` tells.
Stem stem_of(std::int64_t kernel, Stem like) {
  if (layers_of(like).kernel == kernel) return like;
  if (kernel == 7) return Stem::imagenet;
  require_usage(kernel == 3, "a ResNet with a first convolution of ", kernel, "x", kernel, ", expected 3x3 or 7x7");
  return Stem::cifar;
}

std::array<int, 4> depths_of(const ShapeOf& shape_of) {
  std::array<int, 4> depths{};
  for (std::size_t stage = 0; stage < depths.size(); ++stage)
    while (shape_of(join("layer", stage + 1, ".", depths[stage], ".conv1.weight"))) ++depths[stage];
  return depths;
}

std::optional<EncoderSettings> recognize_resnet(const ShapeOf& shape_of, const EncoderSettings& like) {
  const std::vector<std::int64_t>* first = shape_of("conv1.weight");
  if (!first || first->size() != 4 || !shape_of("layer1.0.conv1.weight") || !shape_of("layer2.0.downsample.0.weight"))
    return {};
  const std::array<int, 4> depths = depths_of(shape_of);
  const bool bottleneck = shape_of("layer1.0.conv3.weight") != nullptr;
  ResNetSettings settings = resnet_settings(like);
  settings.encoder.clear();
  for (const Architecture& architecture : architectures)
    if (architecture.bottleneck == bottleneck && architecture.depths == depths) settings.encoder = architecture.name;
  require_usage(!settings.encoder.empty(), "a ResNet with ", depths[0], ", ", depths[1], ", ", depths[2], " and ",
                depths[3], bottleneck ? " bottleneck" : " basic", " blocks, expected ", alternatives(resnet_names()));
  settings.width = (*first)[0];
  settings.channels = (*first)[1];
  settings.stem = stem_of((*first)[2], settings.stem);
  return settings;
}

/// timm's ResNets have torchvision's stem of 64 channels, which no option of theirs changes.
std::string timm_resnet(const EncoderSettings& any) {
  const ResNetSettings settings = resnet_settings(any);
  const auto need = [](bool good, const auto&... lacking) {
    require_usage(good, "timm's ResNets have the stem of ImageNet with 64 channels and a ReLU, this encoder's ",
                  lacking...);
  };
  need(settings.stem == Stem::imagenet, "stem is ", text_of(stem_words, settings.stem));
  need(settings.width == 64, "width is ", settings.width);
  need(settings.stem_relu, "stem has no ReLU");
  return settings.encoder;
}

}  // namespace

namespace encoders {

EncoderFamily resnet() {
  constexpr auto field = [](auto member) { return EncoderOption::field_of(member); };
  return {.names = resnet_names(),
          .options = {{.name = "width",
                       .field = field(&ResNetSettings::width),
                       .help = "ResNet: channels of the first stage"},
                      {.name = "stem",
                       .field = EncoderOption::field_of(&ResNetSettings::stem, stem_words),
                       .help = "ResNet: first layers; cifar: a 3x3 convolution without pooling"},
                      {.name = "stem-relu",
                       .field = field(&ResNetSettings::stem_relu),
                       .help = "ResNet: ReLU after the stem's batch norm",
                       .optional = true},
                      {.name = "zero-init-gamma",
                       .field = field(&ResNetSettings::zero_init_gamma),
                       .help = "ResNet: start every residual block as the identity (scale 0 in its last batch norm)",
                       .initial = true}},
          .shape = resnet_shape,
          .make = make_network,
          .count = count_resnet,
          .recognize = recognize_resnet,
          .timm = timm_resnet};
}

}  // namespace encoders
}  // namespace vergence
