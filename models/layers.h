// The parts of models. A model is a value: a struct of tensors whose `each` visits them by name. A copy shares the
// tensors; replacing its tensors leaves the original alone, so a forward pass can run with any weights. Batch norm's
// running statistics are separate, in `Statistics`.
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

/// A batch-norm layer's statistics for evaluation. [C] each, master type; as in PyTorch the variance is unbiased.
struct RunningStatistics {
  Tensor mean, variance;
  std::int64_t batches = 0;  // updates so far, one per statistic group
};

/// Running statistics by layer name ("layer1.0.bn1", "projector.1"), in alphabetical order. An update
/// writes into the tensors, so copies share them.
struct Statistics {
  std::map<std::string, RunningStatistics> layers;

  /// The entry of `name`; a new one has mean 0 and variance 1. Throws Error if it has another number of channels.
  RunningStatistics& at(const std::string& name, std::int64_t channels, Backend& backend, DType dtype);
};

/// What a training pass does not keep until its backward pass, which computes it again: the same bits in less memory.
struct Recompute {
  bool norms = false;   // batch norms' results, where something reads them
  bool blocks = false;  // everything inside an encoder's blocks
};

/// How a forward pass runs.
struct ForwardMode {
  bool training = true;              // batch norm uses the batch's statistics, else the running ones
  std::int64_t groups = 1;           // statistic groups: equal consecutive parts of the batch, one per view
  Statistics* running = nullptr;     // training: updated group by group, unless null; evaluation: read
  DType activations = DType::f32;    // of an encoder: f32 or bf16; with f64 weights always f64
  double statistics_momentum = 0.1;  // the share of the new statistics in an update
  Communicator* ranks = nullptr;     // training: the ranks among which each group extends; null: this rank alone
  Recompute recompute = {};
  std::int64_t micro_batch = 0;  // images of each group in a pass of encoder or decoder (models/parts.h); 0: all
};

/// Added to a batch norm's variance.
inline constexpr double norm_epsilon = 1e-5;

/// A convolution without bias and the batch norm after it.
struct ConvBn {
  Tensor w;            // [out, kernel height, kernel width, in]
  Tensor gamma, beta;  // [out]
  ConvOptions conv;
  std::string conv_name, norm_name;  // full names; norm_name is the key of the running statistics

  void each(const Visit& visit, const std::string& prefix = "");
};

struct ConvBnOptions {
  Tensor add = {};  // added before the ReLU; has the output's shape
  bool relu = false;
};

/// [relu](batch_norm(conv2d(x, w)) [+ add]): the block that all models use. x [N,H,W,in] and the output have the type
/// of the activations.
Tensor conv_bn(const Tensor& x, const ConvBn& layer, const ForwardMode& pass, const ConvBnOptions& options = {});

/// y = x w^T + bias.
struct Linear {
  Tensor w;     // [out, in]
  Tensor bias;  // [out] or none
  std::string name;

  void each(const Visit& visit, const std::string& prefix = "");
  Tensor operator()(const Tensor& x) const { return linear(x, w, bias); }
};

/// A batch norm over the rows of [N, C].
struct BatchNorm {
  Tensor gamma, beta;  // [C], or none: without scale and shift
  std::string name;

  void each(const Visit& visit, const std::string& prefix = "");
};

/// [relu](batch norm of x [..., C]) with the pass's mode and groups.
Tensor batch_norm(const Tensor& x, const BatchNorm& layer, const ForwardMode& pass, bool relu = false);

// ---- initial weights: PyTorch's defaults. A tensor's values depend only on the seed and its full name.

/// Backend, seed and type of a model's initial weights.
struct Init {
  Backend& backend;
  std::uint64_t seed = 0;
  DType dtype = DType::f32;  // f32 or f64 (gradient checks)
};

/// Uniform in +-1/sqrt(fan_in), keyed by (seed, Purpose::weights, name).
Tensor uniform_weights(const Init& init, const std::string& name, const Shape& shape, std::int64_t fan_in);
/// Weight [out, kernel, kernel, in]; scale 1, shift 0.
ConvBn make_conv_bn(const Init& init, const std::string& conv_name, const std::string& norm_name, std::int64_t in,
                    std::int64_t out, std::int64_t kernel, const ConvOptions& conv);
Linear make_linear(const Init& init, const std::string& name, std::int64_t in, std::int64_t out, bool bias = true);
/// `affine` false: no scale and shift.
BatchNorm make_batch_norm(const Init& init, const std::string& name, std::int64_t channels, bool affine = true);

// ---- models as lists of tensors

/// A model's parameters with full names, in the order of `each`. The model must outlive the list.
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

/// The number of values in all parameters of a model.
template <Model M>
std::int64_t parameter_count(const M& model) {
  std::int64_t sum = 0;
  M copy = model;  // tensors are shared
  copy.each([&](const std::string&, Tensor& tensor) { sum += tensor.size(); }, "");
  return sum;
}

/// The parameters of several models in sequence. Their names must differ.
template <Model First, Model... Rest>
requires(sizeof...(Rest) > 0) std::vector<NamedTensor> parameters_of(First& first, Rest&... rest) {
  std::vector<NamedTensor> list = parameters_of(first);
  for (const std::vector<NamedTensor>& more : {parameters_of(rest)...})
    list.insert(list.end(), more.begin(), more.end());
  return list;
}

}  // namespace vergence
