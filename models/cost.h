// Computes the cost of an encoder's forward pass, layer by layer, without making the network.
#pragma once

#include <cstdint>
#include <vector>

#include "models/layers.h"

namespace vergence {

/// A convolution without bias and the batch norm after it.
struct LayerCost {
  ConvShape conv = {};
  bool relu = true, add = false;  // after the batch norm
  bool rectified = true;          // its input comes from a ReLU
};

struct Cost {
  std::int64_t parameters = 0;
  double forward_flops = 0;           // of one forward pass over the batch: convolutions, multiply-adds times two
  std::int64_t activation_bytes = 0;  // kept by a recorded forward pass until its backward pass
  std::vector<LayerCost> layers;      // its convolutions
};

/// Adds up a network's layers, starting at the images.
class CostCounter {
 public:
  /// For square images.
  CostCounter(std::int64_t batch, std::int64_t image_size, std::int64_t channels, DType activations,
              const Recompute& recompute);

  /// Adds a square convolution of maps of height and width `size`, and its batch norm. Ignores the shape in `layer`.
  /// Returns the output's size.
  std::int64_t conv_bn(std::int64_t size, std::int64_t in, std::int64_t out, std::int64_t kernel,
                       const ConvOptions& conv, LayerCost layer = {});
  /// Adds max-pooling. Returns the output's size.
  std::int64_t max_pool(std::int64_t size, std::int64_t channels, const PoolOptions& pool);

  /// Ends a block of layers, whose result is a square map: all that is kept of it with Recompute::blocks.
  void block(std::int64_t size, std::int64_t channels);

  Cost total() const;

 private:
  std::int64_t batch_, elements_, index_bytes_ = 0;
  std::int64_t results_ = 0, most_ = 0;  // bytes with Recompute::blocks: of all blocks' results, of the largest block
  DType activations_;
  Recompute recompute_;
  Cost cost_;
};

}  // namespace vergence
