// What a forward pass of an encoder costs, layer by layer, without making the network.
#pragma once

#include <cstdint>
#include <vector>

#include "engine/ops/ops.h"

namespace vergence {

/// A convolution without bias and the batch norm behind it.
struct LayerCost {
  ConvShape conv = {};
  bool relu = true, add = false;  // behind the batch norm
  bool rectified = true;          // what it reads went through a ReLU
};

struct Cost {
  std::int64_t parameters = 0;
  double forward_flops = 0;           // of one forward pass over the batch: convolutions, multiply-adds times two
  std::int64_t activation_bytes = 0;  // what a recorded forward pass keeps until its backward pass
  std::vector<LayerCost> layers;      // its convolutions
};

/// Adds up the layers of a network, from the images on.
class CostCounter {
 public:
  /// Of square images; recompute: as Pass's.
  CostCounter(std::int64_t batch, std::int64_t image_size, std::int64_t channels, DType activations, bool recompute);

  /// A convolution with square kernel of maps of height and width `size`, and its batch norm. Of `layer` all but the
  /// shape counts. Returns the size of its output.
  std::int64_t conv_bn(std::int64_t size, std::int64_t in, std::int64_t out, std::int64_t kernel, const Conv& conv,
                       LayerCost layer = {});
  /// Returns the size of its output.
  std::int64_t max_pool(std::int64_t size, std::int64_t channels, const Pool& pool);

  Cost total() const;

 private:
  std::int64_t batch_, elements_, index_bytes_ = 0;
  DType activations_;
  bool recompute_;
  Cost cost_;
};

}  // namespace vergence
