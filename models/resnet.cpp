#include "models/resnet.h"

#include <charconv>

namespace vergence {

namespace {

struct Architecture {
  bool bottleneck = false;
  std::vector<int> depths;  // blocks per stage
};

Architecture architecture_of(const std::string& encoder) {
  if (encoder == "resnet18") return {false, {2, 2, 2, 2}};
  if (encoder == "resnet34") return {false, {3, 4, 6, 3}};
  if (encoder == "resnet50") return {true, {3, 4, 6, 3}};
  throw UsageError(join("encoder: expected resnet18, resnet34 or resnet50, got '", encoder, "'"));
}

struct Stem {
  std::int64_t kernel, stride, padding;
  bool pool;
};

Stem stem_of(const std::string& name) {
  if (name == "cifar") return {3, 1, 1, false};
  if (name == "stl") return {3, 1, 1, true};
  if (name == "stl_stride2") return {3, 2, 1, false};
  if (name == "imagenet") return {7, 2, 3, true};
  throw UsageError(join("stem: expected cifar, stl, stl_stride2 or imagenet, got '", name, "'"));
}

constexpr Pool stem_pool{3, 2, 1};

/// One convolution of the network, before there are weights.
struct ConvPlan {
  std::string conv_name, norm_name;
  std::int64_t in, out, kernel, stride, padding;
};

struct BlockPlan {
  std::vector<ConvPlan> convs, downsample;
};

struct Plan {
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

/// Every convolution of the network, by torchvision's names: the one description that weights and costs are made from.
Plan resnet_plan(const ResNetSettings& settings) {
  const Architecture architecture = architecture_of(settings.encoder);
  const Stem stem = stem_of(settings.stem);
  Plan plan{{"conv1", "bn1", settings.channels, settings.width, stem.kernel, stem.stride, stem.padding}, stem.pool, {}};
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
  const Stem layers = stem_of(stem);
  const std::int64_t halvings = 8 * layers.stride * (layers.pool ? stem_pool.stride : 1);
  return (image_size + halvings - 1) / halvings;  // each one rounds up
}

std::map<std::string, std::string> ResNetSettings::metadata() const {
  return {{"encoder", encoder},
          {"width", std::to_string(width)},
          {"stem", stem},
          {"stem_relu", stem_relu ? "on" : "off"},
          {"image_size", std::to_string(image_size)},
          {"channels", std::to_string(channels)}};
}

ResNetSettings ResNetSettings::from_metadata(const std::map<std::string, std::string>& metadata,
                                             const std::string& where) {
  auto text = [&](const std::string& key, const char* otherwise = nullptr) -> std::string {
    const auto found = metadata.find(key);
    require_usage(found != metadata.end() || otherwise, where, ": metadata: there is no '", key, "'");
    return found != metadata.end() ? found->second : otherwise;
  };
  auto number = [&](const std::string& key, const char* otherwise = nullptr) {
    const std::string value = text(key, otherwise);
    std::int64_t result = 0;
    const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), result);
    require_usage(error == std::errc() && end == value.data() + value.size(), where, ": metadata: '", key,
                  "': expected a whole number, got '", value, "'");
    return result;
  };
  ResNetSettings settings;
  settings.encoder = text("encoder");
  settings.width = number("width");
  settings.stem = text("stem");
  settings.image_size = number("image_size");
  settings.channels = number("channels", "3");
  const std::string relu = text("stem_relu", "on");
  require_usage(relu == "on" || relu == "off", where, ": metadata: 'stem_relu': expected on or off, got '", relu, "'");
  settings.stem_relu = relu == "on";
  try {
    check(settings);
  } catch (const UsageError& error) {
    throw UsageError(join(where, ": metadata: ", error.what()));
  }
  return settings;
}

void check(const ResNetSettings& settings) {
  architecture_of(settings.encoder);
  stem_of(settings.stem);
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

Tensor ResNet::feature_map(const Tensor& images, const Pass& pass) const {
  const std::int64_t aligned = (settings.channels + 7) / 8 * 8;
  require(images.shape.rank() == 4 && (images.shape[3] == settings.channels || images.shape[3] == aligned),
          settings.encoder, ": expected images [N,H,W,", settings.channels, "], got ", images.shape);
  const DType type = stem.w.dtype == DType::f64 ? DType::f64 : pass.activations;
  Tensor x = images.dtype == type ? images : cast(images, type);
  ConvBn first = stem;  // channels that are there for alignment meet weights of zero
  if (images.shape[3] > settings.channels) first.w = pad(stem.w, 3, 0, images.shape[3]);
  x = conv_bn(x, first, pass, {.relu = settings.stem_relu});
  if (stem_of(settings.stem).pool) x = max_pool(x, stem_pool);
  for (const ResNetBlock& block : blocks) {
    Tensor y = x;
    for (std::size_t i = 0; i + 1 < block.convs.size(); ++i) y = conv_bn(y, block.convs[i], pass, {.relu = true});
    const Tensor shortcut = block.downsample.empty() ? x : conv_bn(x, block.downsample[0], pass);
    x = conv_bn(y, block.convs.back(), pass, {.add = shortcut, .relu = true});
  }
  return x;
}

Tensor ResNet::operator()(const Tensor& images, const Pass& pass) const {
  return global_average_pool(feature_map(images, pass), stem.gamma.dtype);
}

ResNet make_resnet(const ResNetSettings& settings, const Init& init) {
  check(settings);
  const Plan plan = resnet_plan(settings);
  auto make = [&](const ConvPlan& p) {
    return make_conv_bn(init, p.conv_name, p.norm_name, p.in, p.out, p.kernel,
                        {.stride = p.stride, .padding = p.padding});
  };
  ResNet model{settings, make(plan.stem), {}};
  for (const BlockPlan& block : plan.blocks) {
    ResNetBlock made;
    for (const ConvPlan& conv : block.convs) made.convs.push_back(make(conv));
    for (const ConvPlan& conv : block.downsample) made.downsample.push_back(make(conv));
    if (settings.zero_init_gamma) made.convs.back().gamma = zeros_like(made.convs.back().gamma);
    model.blocks.push_back(std::move(made));
  }
  return model;
}

Cost cost_of(const ResNetSettings& settings, std::int64_t batch, DType activations, bool recompute) {
  check(settings);
  const Plan plan = resnet_plan(settings);
  Cost cost;
  std::int64_t elements = 0;
  // A convolution keeps its input, which is the output of the layer before; its batch norm keeps the convolution's
  // output and, for the ReLU's mask, its own output. So two activations per layer, or one where batch norms'
  // outputs are computed again.
  auto pass = [&](const ConvPlan& p, std::int64_t size) {
    const ConvShape shape{batch, size, size, p.in, p.out, p.kernel, p.kernel, p.stride, p.padding, 1, 1};
    cost.parameters += shape.weight_size() + 2 * p.out;
    cost.forward_flops += shape.flops();
    elements += (recompute ? 1 : 2) * shape.out_size();
    return shape.out_height();
  };
  elements += batch * settings.image_size * settings.image_size * settings.channels;
  std::int64_t size = pass(plan.stem, settings.image_size);
  std::int64_t index_bytes = 0;
  if (plan.pool) {
    size =
        PoolShape{
            batch, size, size, settings.width, stem_pool.kernel, stem_pool.kernel, stem_pool.stride, stem_pool.padding}
            .out_height();
    elements += batch * size * size * settings.width;
    index_bytes = batch * size * size * settings.width * size_of(DType::i32);
  }
  for (const BlockPlan& block : plan.blocks) {
    const std::int64_t before = size;
    for (const ConvPlan& conv : block.convs) size = pass(conv, size);
    for (const ConvPlan& conv : block.downsample) pass(conv, before);
  }
  cost.activation_bytes = elements * size_of(activations) + index_bytes;
  return cost;
}

}  // namespace vergence
