#include "ssl/objectives/icl_msr/regularizer.h"

#include <array>
#include <numeric>

#include "engine/ranks.h"
#include "kernels/draws.h"

namespace vergence {
namespace {

constexpr std::array<std::int64_t, 4> trunk_channels{32, 64, 128, 256};
constexpr std::uint32_t rows_stream = 1;  // the `view` of generators with Purpose::order; 0 is the data set's order

/// Normally distributed, keyed by seed and name.
Tensor normal_weights(const Init& init, const std::string& name, const Shape& shape, double deviation) {
  Random random(init.seed, Purpose::weights, 0, hash_name(name));
  std::vector<double> values(static_cast<std::size_t>(shape.size()));
  for (double& value : values) value = normal(random, deviation);
  return from_values(init.backend, shape, values, init.dtype);
}

}  // namespace

SemanticRegularizer::SemanticRegularizer(const RegularizerSettings& settings, const Init& init) : settings_(settings) {
  require_usage(settings.strata >= 1, "semantic regularizer: expected at least one stratum, got ", settings.strata);
  if (settings.build == RegularizerBuild::table) {
    table_ = normal_weights(init, "regularizer.table", {settings.strata, settings.dim}, settings.deviation);
    return;
  }
  std::int64_t in = settings.dim;
  if (settings.build == RegularizerBuild::images) {
    in = settings.channels;
    for (const std::int64_t out : trunk_channels) {
      const std::string name = join("regularizer.trunk.", 3 * trunk_.size());
      const std::string norm = join("regularizer.trunk.", 3 * trunk_.size() + 1);
      trunk_.push_back(make_conv_bn(init, name, norm, in, out, 3, {.stride = 2, .padding = 1}));
      in = out;
    }
  }
  mlp_ = make_mlp({.name = "regularizer", .sizes = {in, settings.hidden, settings.dim}, .hidden_norm = true}, init);
  Linear& last = mlp_.linears.back();
  last.w = normal_weights(init, last.name + ".weight", last.w.shape, settings.deviation);
  last.bias = zeros_like(last.bias);
  std::vector<std::int32_t> first(static_cast<std::size_t>(settings.strata));
  std::iota(first.begin(), first.end(), 0);
  rows_ = from_indices(init.backend, first);
}

std::vector<NamedTensor> SemanticRegularizer::parameters() {
  if (table_) return {{"regularizer.table", &table_}};
  std::vector<NamedTensor> all;
  for (ConvBn& layer : trunk_)
    for (const NamedTensor& parameter : parameters_of(layer)) all.push_back(parameter);
  for (const NamedTensor& parameter : parameters_of(mlp_)) all.push_back(parameter);
  return all;
}

void SemanticRegularizer::prepare(std::uint64_t seed, std::int64_t step, std::int64_t images) {
  if (!needs_images()) return;
  require_usage(settings_.strata <= images, "semantic regularizer: ", settings_.strata,
                " strata come from as many images of a batch; expected a batch of at least that, got ", images);
  Random random(seed, Purpose::order, 0, static_cast<std::uint64_t>(step), rows_stream);
  std::vector<std::int32_t> order(static_cast<std::size_t>(images));
  std::iota(order.begin(), order.end(), 0);
  draw_to_front(order, settings_.strata, random);
  rows_.backend().upload(rows_.data->data(), order.data(), rows_.size() * size_of(DType::i32));
}

Tensor SemanticRegularizer::operator()(const Tensor& plain, const std::function<Tensor(const Tensor&)>& encode,
                                       const ForwardMode& pass) const {
  if (table_) return sigmoid(table_);
  require(static_cast<bool>(plain), "semantic regularizer: expected the un-augmented images");
  const Tensor features = trunk_.empty() ? encode(plain).detached() : trunk_features(plain, pass);
  return sigmoid(gather_rows(Ranks{pass.ranks}.gather(mlp_(features, pass)), rows_));
}

Tensor SemanticRegularizer::trunk_features(const Tensor& plain, const ForwardMode& pass) const {
  const DType type = mlp_.linears[0].w.dtype == DType::f64 ? DType::f64 : pass.activations;
  Tensor x = plain.dtype == type ? plain : cast(plain, type);
  for (std::size_t i = 0; i < trunk_.size(); ++i) {
    ConvBn layer = trunk_[i];
    // Gives the padding channels weights of zero.
    if (i == 0 && x.cols() > layer.w.cols()) layer.w = pad(layer.w, 3, 0, x.cols());
    x = conv_bn(x, layer, pass, {.relu = true});
  }
  const Tensor features = global_average_pool(x);
  return features.dtype == mlp_.linears[0].w.dtype ? features : cast(features, mlp_.linears[0].w.dtype);
}

double SemanticRegularizer::flops(std::int64_t images) const {
  if (table_) return 0;
  double sum = mlp_.flops(images);
  std::int64_t size = settings_.image_size;
  for (const ConvBn& layer : trunk_) {
    size = (size + 1) / 2;
    sum += 2.0 * static_cast<double>(images * size * size * layer.w.size());
  }
  return sum;
}

}  // namespace vergence
