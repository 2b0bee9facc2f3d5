#include "models/cost.h"

#include <algorithm>

namespace vergence {

CostCounter::CostCounter(std::int64_t batch, std::int64_t image_size, std::int64_t channels, DType activations,
                         const Recompute& recompute)
    : batch_(batch),
      elements_(batch * image_size * image_size * channels),
      activations_(activations),
      recompute_(recompute) {}

std::int64_t CostCounter::conv_bn(std::int64_t size, std::int64_t in, std::int64_t out, std::int64_t kernel,
                                  const ConvOptions& conv, LayerCost layer) {
  layer.conv = {batch_, size, size, in, out, kernel, kernel, conv.stride, conv.padding, conv.dilation, conv.groups};
  cost_.parameters += layer.conv.weight_size() + 2 * out;
  cost_.forward_flops += layer.conv.flops();
  // A convolution keeps its input, the output of the layer before. Its batch norm keeps its own input and, for the
  // ReLU's mask, its output, unless the backward pass recomputes that. So each layer keeps two activations, or one.
  elements_ += (recompute_.norms ? 1 : 2) * layer.conv.out_size();
  cost_.layers.push_back(layer);
  return layer.conv.out_height();
}

std::int64_t CostCounter::max_pool(std::int64_t size, std::int64_t channels, const PoolOptions& pool) {
  const PoolShape shape{batch_, size, size, channels, pool.kernel, pool.kernel, pool.stride, pool.padding};
  const std::int64_t out = shape.out_height(), values = batch_ * out * out * channels;
  elements_ += values;
  index_bytes_ += values * size_of(DType::i32);
  return out;
}

void CostCounter::block(std::int64_t size, std::int64_t channels) {
  if (!recompute_.blocks) return;
  most_ = std::max(most_, elements_ * size_of(activations_) + index_bytes_);
  results_ += batch_ * size * size * channels * size_of(activations_);
  elements_ = index_bytes_ = 0;
}

Cost CostCounter::total() const {
  Cost cost = cost_;
  cost.activation_bytes = elements_ * size_of(activations_) + index_bytes_ + results_ + most_;
  return cost;
}

}  // namespace vergence
