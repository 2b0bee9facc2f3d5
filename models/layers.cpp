#include "models/layers.h"

#include <cmath>

#include "kernels/communicator.h"
#include "kernels/random.h"

namespace vergence {

namespace {

BatchNormOptions norm_settings(const ForwardMode& pass, bool relu) {
  BatchNormOptions settings{.groups = pass.groups, .relu = relu, .epsilon = norm_epsilon};
  settings.ranks = pass.ranks;
  settings.recompute = pass.recompute.norms;
  return settings;
}

/// Training: updates the running statistics of layer `name`, if the pass has any.
BatchNormOptions training_settings(const ForwardMode& pass, bool relu, const std::string& name, const Tensor& input,
                                   std::int64_t channels) {
  BatchNormOptions settings = norm_settings(pass, relu);
  if (!pass.running) return settings;
  RunningStatistics& running = pass.running->at(name, channels, input.backend(), master_of(input.dtype));
  settings.running_mean = running.mean, settings.running_variance = running.variance;
  settings.running_share = pass.statistics_momentum;
  running.batches += pass.groups;
  return settings;
}

/// Batch norm with the running statistics of layer `name`.
Tensor evaluated(const Tensor& x, const Tensor& gamma, const Tensor& beta, const std::string& name,
                 const ForwardMode& pass, const ConvBnOptions& options) {
  require(pass.running != nullptr, "batch norm '", name, "': evaluation needs running statistics");
  const RunningStatistics& running = pass.running->at(name, x.cols(), x.backend(), master_of(x.dtype));
  return batch_norm_eval(x, gamma, beta, options.add, running.mean, running.variance,
                         norm_settings(pass, options.relu));
}

/// The output of a training batch norm.
Tensor checked(const BatchNormResult& result, const std::string& name, const ForwardMode& pass) {
  const Tensor& y = result.y;
  require_usage(y.rows() / pass.groups * (pass.ranks ? pass.ranks->ranks() : 1) > 1, "batch norm '", name,
                "': training needs more than one value per channel and statistic group, got input ", y.shape, " in ",
                pass.groups, " groups");
  return y;
}

}  // namespace

RunningStatistics& Statistics::at(const std::string& name, std::int64_t channels, Backend& backend, DType dtype) {
  auto [found, fresh] = layers.try_emplace(name);
  RunningStatistics& entry = found->second;
  if (fresh) entry = {zeros(backend, {channels}, dtype), full(backend, {channels}, 1, dtype), 0};
  require(entry.mean.size() == channels, "batch norm '", name, "': running statistics of ", entry.mean.size(),
          " channels, expected ", channels);
  return entry;
}

void ConvBn::each(const Visit& visit, const std::string& prefix) {
  visit(prefix + conv_name + ".weight", w);
  visit(prefix + norm_name + ".weight", gamma);
  visit(prefix + norm_name + ".bias", beta);
}

void Linear::each(const Visit& visit, const std::string& prefix) {
  visit(prefix + name + ".weight", w);
  if (bias) visit(prefix + name + ".bias", bias);
}

void BatchNorm::each(const Visit& visit, const std::string& prefix) {
  if (gamma) visit(prefix + name + ".weight", gamma);
  if (beta) visit(prefix + name + ".bias", beta);
}

Tensor conv_bn(const Tensor& x, const ConvBn& layer, const ForwardMode& pass, const ConvBnOptions& options) {
  if (!pass.training)
    return evaluated(conv2d(x, layer.w, layer.conv), layer.gamma, layer.beta, layer.norm_name, pass, options);
  const BatchNormOptions settings = training_settings(pass, options.relu, layer.norm_name, x, layer.w.shape[0]);
  return checked(conv2d_batch_norm(x, layer.w, layer.conv, layer.gamma, layer.beta, options.add, settings),
                 layer.norm_name, pass);
}

Tensor batch_norm(const Tensor& x, const BatchNorm& layer, const ForwardMode& pass, bool relu) {
  if (!pass.training) return evaluated(x, layer.gamma, layer.beta, layer.name, pass, {.add = {}, .relu = relu});
  const BatchNormOptions settings = training_settings(pass, relu, layer.name, x, x.cols());
  return checked(batch_norm(x, layer.gamma, layer.beta, {}, settings), layer.name, pass);
}

Tensor uniform_weights(const Init& init, const std::string& name, const Shape& shape, std::int64_t fan_in) {
  const float bound = static_cast<float>(1 / std::sqrt(static_cast<double>(fan_in)));
  Random random(init.seed, Purpose::weights, 0, hash_name(name));
  std::vector<float> values(static_cast<std::size_t>(shape.size()));
  for (float& value : values) value = random.uniform(-bound, bound);
  if (init.dtype == DType::f32) return from_floats(init.backend, shape, values);
  return from_values(init.backend, shape, {values.begin(), values.end()}, init.dtype);
}

ConvBn make_conv_bn(const Init& init, const std::string& conv_name, const std::string& norm_name, std::int64_t in,
                    std::int64_t out, std::int64_t kernel, const ConvOptions& conv) {
  const std::int64_t fan_in = in / conv.groups * kernel * kernel;
  const Shape shape{out, kernel, kernel, in / conv.groups};
  return {uniform_weights(init, conv_name + ".weight", shape, fan_in),
          full(init.backend, {out}, 1, init.dtype),
          zeros(init.backend, {out}, init.dtype),
          conv,
          conv_name,
          norm_name};
}

Linear make_linear(const Init& init, const std::string& name, std::int64_t in, std::int64_t out, bool bias) {
  Linear layer{uniform_weights(init, name + ".weight", {out, in}, in), {}, name};
  if (bias) layer.bias = uniform_weights(init, name + ".bias", {out}, in);
  return layer;
}

BatchNorm make_batch_norm(const Init& init, const std::string& name, std::int64_t channels, bool affine) {
  if (!affine) return {{}, {}, name};
  return {full(init.backend, {channels}, 1, init.dtype), zeros(init.backend, {channels}, init.dtype), name};
}

}  // namespace vergence
