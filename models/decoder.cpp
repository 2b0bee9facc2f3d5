#include "models/decoder.h"

namespace vergence {

namespace {

struct Layer {
  std::int64_t channels, stride;
};

/// A decoder's structure, without weights.
struct DecoderPlan {
  std::int64_t grid = 1, channels = 1;  // of the transposed convolutions' input
  std::vector<Layer> layers;
};

DecoderPlan plan_for_images(const DecoderSettings& s) {
  const std::int64_t size = s.image_size, w = s.width, step = size <= 48 ? 8 : size <= 128 ? 16 : 32;
  require_usage(size >= step && size % step == 0, "decoder: images of ", size,
                " pixels; expected a multiple of 8 up to 48, of 16 up to 128, or of 32");
  if (step == 8) return {size / 8, w, {{4 * w, 2}, {2 * w, 2}, {w, 2}, {s.image_channels, 1}}};
  if (step == 16) return {size / 16, 2 * w, {{2 * w, 2}, {2 * w, 2}, {2 * w, 2}, {2 * w, 2}, {s.image_channels, 1}}};
  return {size / 32, w, {{2 * w, 2}, {2 * w, 2}, {2 * w, 2}, {w, 2}, {s.image_channels, 2}}};
}

DecoderPlan decoder_plan(const DecoderSettings& settings) {
  auto inside = [](const char* name, std::int64_t value, std::int64_t low, std::int64_t high) {
    require_usage(value >= low && value <= high, "decoder: ", name, " is ", value, "; expected ", low, " to ", high);
  };
  inside("the number of features", settings.features, 1, 1 << 20);
  inside("the image size", settings.image_size, 1, 4096);
  inside("the map size", settings.map_size, 0, 4096);
  inside("the width", settings.width, 1, 4096);
  inside("the number of image channels", settings.image_channels, 1, 1024);
  DecoderPlan plan = plan_for_images(settings);
  if (settings.map_size == 0) return plan;
  const std::int64_t coarsest = plan.grid;
  for (Layer& layer : plan.layers) {
    if (plan.grid >= settings.map_size) break;
    plan.grid *= layer.stride;
    layer.stride = 1;
  }
  require_usage(plan.grid == settings.map_size, "decoder: a feature map of ", settings.map_size, "x", settings.map_size,
                " for images of ", settings.image_size, " pixels; expected ", coarsest, "x", coarsest,
                " or that times a power of two");
  return plan;
}

/// PyTorch's default initial values: a transposed convolution's fan-in is 9 x its output channels, because PyTorch
/// reads it from dimension 1 of the weight.
TransposedConv make_transposed(const Init& init, const std::string& name, std::int64_t in, std::int64_t out,
                               std::int64_t stride, bool bias) {
  TransposedConv layer{uniform_weights(init, name + ".weight", {in, 3, 3, out}, 9 * out), {}, stride, name};
  if (bias) layer.bias = uniform_weights(init, name + ".bias", {out}, 9 * out);
  return layer;
}

}  // namespace

void TransposedConv::each(const Visit& visit, const std::string& prefix) {
  visit(prefix + name + ".weight", w);
  if (bias) visit(prefix + name + ".bias", bias);
}

Tensor TransposedConv::operator()(const Tensor& x) const {
  const Shape& s = x.shape;
  const Tensor y =
      conv2d_data(x, w, {s[0], stride * s[1], stride * s[2], w.shape[3]}, {.stride = stride, .padding = 1});
  return bias ? cast(y, bias.dtype) + bias : y;
}

void Decoder::each(const Visit& visit, const std::string& prefix) {
  if (settings.map_size) {
    map_start.each(visit, prefix);
  } else {
    start.each(visit, prefix);
    start_norm.each(visit, prefix);
  }
  for (std::size_t i = 0; i < layers.size(); ++i) {
    layers[i].each(visit, prefix);
    if (i < norms.size()) norms[i].each(visit, prefix);
  }
}

Tensor Decoder::operator()(const Tensor& features, const ForwardMode& pass) const {
  const DecoderSettings& s = settings;
  const std::int64_t rows = features.shape[0];
  const Shape expected = s.map_size ? Shape{rows, s.map_size, s.map_size, s.features} : Shape{rows, s.features};
  require(features.shape == expected, "decoder: expected features ", expected, ", got ", features.shape);
  const DType master = layers.front().w.dtype, type = master == DType::f64 ? master : pass.activations;
  Tensor x;
  if (s.map_size) {
    x = conv_bn(cast(features, type), map_start, pass, {.relu = true});
  } else {
    x = batch_norm(start(features), start_norm, pass, true);
    x = reshape(cast(x, type), {rows, grid, grid, x.cols() / (grid * grid)});
  }
  for (std::size_t i = 0; i < layers.size(); ++i) {
    x = layers[i](x);
    if (i < norms.size()) x = batch_norm(x, norms[i], pass, true);
  }
  return x;
}

std::int64_t Decoder::parameters() const { return parameter_count(*this); }

double Decoder::flops(std::int64_t rows) const {
  double sum =
      settings.map_size ? static_cast<double>(map_start.w.size() * grid * grid) : static_cast<double>(start.w.size());
  std::int64_t side = grid;  // each input pixel uses the whole kernel
  for (const TransposedConv& layer : layers) {
    sum += static_cast<double>(layer.w.size() * side * side);
    side *= layer.stride;
  }
  return 2 * static_cast<double>(rows) * sum;
}

std::int64_t Decoder::kept_values(std::int64_t rows) const {
  std::int64_t side = grid, sum = 2 * side * side * layers.front().w.shape[0];
  for (const TransposedConv& layer : layers) {  // the batch norm's input and output
    side *= layer.stride;
    sum += 2 * side * side * layer.w.shape[3];
  }
  return rows * sum;
}

Decoder make_decoder(const DecoderSettings& settings, const Init& init) {
  const DecoderPlan plan = decoder_plan(settings);
  Decoder decoder;
  decoder.settings = settings;
  decoder.grid = plan.grid;
  int number = 0;  // the index in a PyTorch Sequential
  auto next_name = [&] { return settings.name + "." + std::to_string(number++); };
  const std::string first = next_name(), first_norm = next_name();
  if (settings.map_size) {
    decoder.map_start = make_conv_bn(init, first, first_norm, settings.features, plan.channels, 1, {});
  } else {
    const std::int64_t units = plan.grid * plan.grid * plan.channels;
    decoder.start = make_linear(init, first, settings.features, units, false);
    decoder.start_norm = make_batch_norm(init, first_norm, units);
  }
  number += settings.map_size ? 1 : 2;  // the ReLU, and the reshape
  std::int64_t in = plan.channels;
  for (std::size_t i = 0; i < plan.layers.size(); ++i) {
    const std::int64_t out = plan.layers[i].channels;
    const bool last = i + 1 == plan.layers.size();
    decoder.layers.push_back(make_transposed(init, next_name(), in, out, plan.layers[i].stride, last));
    if (!last) decoder.norms.push_back(make_batch_norm(init, next_name(), out));
    ++number;  // the ReLU
    in = out;
  }
  return decoder;
}

}  // namespace vergence
