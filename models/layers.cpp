#include "models/layers.h"

#include <cmath>

#include "kernels/random.h"

namespace vergence {

namespace {

constexpr double kEpsilon = 1e-5;

BatchNorm norm_settings(const Pass& pass, bool relu) { return {pass.groups, relu, kEpsilon}; }

/// Batch norm with the running statistics of the layer called `name`.
Tensor evaluated(const Tensor& x, const Tensor& gamma, const Tensor& beta, const std::string& name, const Pass& pass,
                 const ConvBnOptions& options) {
  require(pass.running != nullptr, "batch norm '", name, "': evaluation needs running statistics");
  const RunningStatistics& running = pass.running->at(name, x.cols(), x.backend(), master_of(x.dtype));
  return batch_norm_eval(x, gamma, beta, options.add, running.mean, running.variance,
                         norm_settings(pass, options.relu));
}

/// A training batch norm's y; the running statistics of the layer called `name` follow it.
Tensor followed(const BatchNormResult& result, const std::string& name, const Pass& pass) {
  const Tensor& y = result.y;
  const std::int64_t rows = y.rows() / pass.groups;
  require_usage(rows > 1, "batch norm '", name,
                "': training needs more than one value per channel and statistic group, got input ", y.shape, " in ",
                pass.groups, " groups");
  if (pass.running) {
    RunningStatistics& running = pass.running->at(name, y.cols(), y.backend(), master_of(y.dtype));
    const NormShape shape{.groups = pass.groups, .rows = rows, .channels = y.cols(), .epsilon = kEpsilon};
    y.backend().update_running(shape, pass.statistics_momentum, result.mean.array(), result.rstd.array(),
                               running.mean.array(), running.variance.array());
    running.batches += pass.groups;
  }
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

Statistics Statistics::cloned() const {
  Statistics copy;
  for (const auto& [name, entry] : layers)
    copy.layers[name] = {clone(entry.mean), clone(entry.variance), entry.batches};
  return copy;
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

void Norm::each(const Visit& visit, const std::string& prefix) {
  if (gamma) visit(prefix + name + ".weight", gamma);
  if (beta) visit(prefix + name + ".bias", beta);
}

Tensor conv_bn(const Tensor& x, const ConvBn& layer, const Pass& pass, const ConvBnOptions& options) {
  if (!pass.training)
    return evaluated(conv2d(x, layer.w, layer.conv), layer.gamma, layer.beta, layer.norm_name, pass, options);
  return followed(conv2d_batch_norm(x, layer.w, layer.conv, layer.gamma, layer.beta, options.add,
                                    norm_settings(pass, options.relu)),
                  layer.norm_name, pass);
}

Tensor batch_norm(const Tensor& x, const Norm& layer, const Pass& pass, bool relu) {
  if (!pass.training) return evaluated(x, layer.gamma, layer.beta, layer.name, pass, {.add = {}, .relu = relu});
  return followed(batch_norm(x, layer.gamma, layer.beta, {}, norm_settings(pass, relu)), layer.name, pass);
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
                    std::int64_t out, std::int64_t kernel, const Conv& conv) {
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

Norm make_norm(const Init& init, const std::string& name, std::int64_t channels, bool affine) {
  if (!affine) return {{}, {}, name};
  return {full(init.backend, {channels}, 1, init.dtype), zeros(init.backend, {channels}, init.dtype), name};
}

}  // namespace vergence
