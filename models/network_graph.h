// A network as a graph of operations, for other programs' file formats (models/export). A family writes its forward
// pass once, as a template over the pass: a TensorPass computes it, a NetworkGraph records it.
#pragma once

#include <string>

#include "models/encoder.h"
#include "models/parts.h"

namespace vergence {

/// Computes a network's operations.
class TensorPass {
 public:
  using Value = Tensor;

  /// `name` begins the Error for images of another shape. `mode` must outlive the pass.
  TensorPass(const ForwardMode& mode, std::string name) : mode_(mode), name_(std::move(name)) {}

  Tensor conv_bn_of_images(const Tensor& images, const ConvBn& layer, const ConvBnOptions& options = {}) const {
    return vergence::conv_bn_of_images(images, layer, mode_, options, name_);
  }
  Tensor conv_bn(const Tensor& x, const ConvBn& layer, const ConvBnOptions& options = {}) const {
    return vergence::conv_bn(x, layer, mode_, options);
  }
  Tensor max_pool(const Tensor& x, const PoolOptions& pool) const { return vergence::max_pool(x, pool); }
  /// f(model, pass, x): a block of the network, with the layers in `model` (Recompute::blocks). `f` refers to
  /// nothing outside itself, since the backward pass may call it again.
  template <Model M, class F>
  Tensor block(const M& model, const Tensor& x, const F& f) const {
    if (!mode_.training || !mode_.recompute.blocks) return f(model, *this, x);
    return recomputed_model(model, x, mode_,
                            [f, name = name_](const M& with, const Tensor& in, const ForwardMode& mode) {
                              const TensorPass pass(mode, name);
                              return f(with, pass, in);
                            });
  }

 private:
  const ForwardMode& mode_;
  std::string name_;
};

struct GraphConvBnOptions {
  std::string add = {};  // the value that is added before the ReLU; empty: none
  bool relu = false;
};

/// Records a network's operations in the order in which they run in evaluation. A value is the name of a result.
class NetworkGraph {
 public:
  using Value = std::string;

  virtual ~NetworkGraph() = default;

  /// The network's input.
  virtual Value images() = 0;
  /// [relu](batch_norm(conv2d(x, w)) [+ add]) with the layer's running statistics.
  virtual Value conv_bn(const Value& x, const ConvBn& layer, const GraphConvBnOptions& options = {}) = 0;
  Value conv_bn_of_images(const Value& images, const ConvBn& layer, const GraphConvBnOptions& options = {}) {
    return conv_bn(images, layer, options);
  }
  virtual Value max_pool(const Value& x, const PoolOptions& pool) = 0;
  template <Model M, class F>
  Value block(const M& model, const Value& x, const F& f) {
    return f(model, *this, x);
  }
  /// A map -> [N, channels]: the mean over its pixels.
  virtual Value global_average_pool(const Value& x) = 0;
  /// A map -> [N, pixels * channels]: pixel by pixel, with all channels of each.
  virtual Value flatten(const Value& x) = 0;
};

}  // namespace vergence
