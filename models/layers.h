// What models are made of. A model is a value: a struct of tensors whose `each` visits them by name. Copying a model
// copies handles; replacing its tensors gives another model, so a forward pass can run with any weights.
// The running statistics of batch norm live apart, in `Statistics`.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "engine/ops/ops.h"
#include "engine/parameters.h"

namespace vergence {

/// Called with the full name and the tensor of each parameter, in a fixed order.
using Visit = std::function<void(const std::string& name, Tensor& tensor)>;

/// What one batch-norm layer remembers for evaluation. [C] each, master type; as in PyTorch the variance is unbiased.
struct RunningStatistics {
  Tensor mean, variance;
  std::int64_t batches = 0;  // updates so far, one per statistic group
};

/// Running statistics by the name of their layer ("layer1.0.bn1", "projector.1"), in alphabetical order. An update
/// writes into the tensors, so copies share them.
struct Statistics {
  std::map<std::string, RunningStatistics> layers;

  /// The entry of `name`; mean 0 and variance 1, as before any update, if it is new. Throws Error if it has
  /// another number of channels.
  RunningStatistics& at(const std::string& name, std::int64_t channels, Backend& backend, DType dtype);
};

/// How a forward pass runs.
struct Pass {
  bool training = true;            // batch norm uses the statistics of the batch, else the running ones
  std::int64_t groups = 1;         // statistic groups: equal consecutive parts of the batch, one per view
  Statistics* running = nullptr;   // training: updated, group after group; null: left alone. Evaluation: read
  DType activations = DType::f32;  // of an encoder: f32 or bf16; a model of f64 weights runs in f64 whatever this says
  double statistics_momentum = 0.1;  // the share of the new statistics in an update
  bool recompute = false;  // training: batch norms' results are not kept for the backward pass but computed again
};

/// A convolution without bias and the batch norm behind it.
struct ConvBn {
  Tensor w;            // [out, kernel height, kernel width, in]
  Tensor gamma, beta;  // [out]
  Conv conv;
  std::string conv_name, norm_name;  // full names; norm_name is the key of the running statistics

  void each(const Visit& visit, const std::string& prefix = "");
};

struct ConvBnOptions {
  Tensor add = {};  // added before the ReLU; of the output's shape
  bool relu = false;
};

/// [relu](batch_norm(conv2d(x, w)) [+ add]): the one block that models are built of. x [N,H,W,in], in the type of the
/// activations, which is also the output's.
Tensor conv_bn(const Tensor& x, const ConvBn& layer, const Pass& pass, const ConvBnOptions& options = {});

/// y = x w^T + bias.
struct Linear {
  Tensor w;     // [out, in]
  Tensor bias;  // [out] or none
  std::string name;

  void each(const Visit& visit, const std::string& prefix = "");
  Tensor operator()(const Tensor& x) const { return linear(x, w, bias); }
};

/// A batch norm over the rows of [N, C].
struct Norm {
  Tensor gamma, beta;  // [C], or none: without scale and shift
  std::string name;

  void each(const Visit& visit, const std::string& prefix = "");
};

/// [relu](batch norm of x [..., C]), by the pass's mode and groups.
Tensor batch_norm(const Tensor& x, const Norm& layer, const Pass& pass, bool relu = false);

// ---- initial weights: PyTorch's defaults. A tensor's values depend on the seed and its full name alone.

/// Where and how a model's first weights are made.
struct Init {
  Backend& backend;
  std::uint64_t seed = 0;
  DType dtype = DType::f32;  // f32 or f64 (gradient checks)
};

/// Uniform in +-1/sqrt(fan_in), keyed by (seed, Purpose::weights, name).
Tensor uniform_weights(const Init& init, const std::string& name, const Shape& shape, std::int64_t fan_in);
/// Weight [out, kernel, kernel, in]; scale 1, shift 0.
ConvBn make_conv_bn(const Init& init, const std::string& conv_name, const std::string& norm_name, std::int64_t in,
                    std::int64_t out, std::int64_t kernel, const Conv& conv);
Linear make_linear(const Init& init, const std::string& name, std::int64_t in, std::int64_t out, bool bias = true);
/// `affine` false: no scale and shift.
Norm make_norm(const Init& init, const std::string& name, std::int64_t channels, bool affine = true);

// ---- models as lists of tensors

/// The parameters of a model, by full name, in the order of `each`. The model must outlive the list.
template <class Model>
std::vector<NamedTensor> parameters_of(Model& model, const std::string& prefix = "") {
  std::vector<NamedTensor> list;
  model.each([&](const std::string& name, Tensor& tensor) { list.push_back({name, &tensor}); }, prefix);
  return list;
}

template <class T>
concept Model = requires(T& model, const Visit& visit) {
  model.each(visit, "");
};

/// The parameters of several models, one after the other. Their names must differ.
template <Model First, Model... Rest>
requires(sizeof...(Rest) > 0) std::vector<NamedTensor> parameters_of(First& first, Rest&... rest) {
  std::vector<NamedTensor> list = parameters_of(first);
  for (const std::vector<NamedTensor>& more : {parameters_of(rest)...})
    list.insert(list.end(), more.begin(), more.end());
  return list;
}

}  // namespace vergence
