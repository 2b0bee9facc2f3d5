// The part of cuDNN's graph interface that the backend needs: operations on channels-last tensors form a graph, cuDNN
// offers engines for it, an offer becomes a plan, a plan runs. Plans can also be made for a GPU given only by its
// description, so that a machine without one can tell which graphs cuDNN supports.
#pragma once

#include <array>
#include <memory>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "kernels/backend.h"
#include "kernels/cuda/launch.h"
#include "kernels/cuda/libraries/cudnn_library.h"

namespace vergence::cuda::cudnn {

/// Throws Error with cuDNN's own explanation unless `status` is success.
void check(cudnnStatus_t status, const std::string& what);

template <class T>
constexpr cudnnBackendAttributeType_t attribute_type() {
  if constexpr (std::is_same_v<T, bool>) return CUDNN_TYPE_BOOLEAN;
  if constexpr (std::is_same_v<T, std::int64_t>) return CUDNN_TYPE_INT64;
  if constexpr (std::is_same_v<T, float>) return CUDNN_TYPE_FLOAT;
  if constexpr (std::is_same_v<T, char>) return CUDNN_TYPE_CHAR;
  if constexpr (std::is_same_v<T, void*>) return CUDNN_TYPE_VOID_PTR;
  if constexpr (std::is_same_v<T, cudnnHandle_t>) return CUDNN_TYPE_HANDLE;
  if constexpr (std::is_same_v<T, cudnnDataType_t>) return CUDNN_TYPE_DATA_TYPE;
  if constexpr (std::is_same_v<T, cudnnConvolutionMode_t>) return CUDNN_TYPE_CONVOLUTION_MODE;
  if constexpr (std::is_same_v<T, cudnnPointwiseMode_t>) return CUDNN_TYPE_POINTWISE_MODE;
  if constexpr (std::is_same_v<T, cudnnReduceTensorOp_t>) return CUDNN_TYPE_REDUCTION_OPERATOR_TYPE;
  if constexpr (std::is_same_v<T, cudnnBackendHeurMode_t>) return CUDNN_TYPE_HEUR_MODE;
  if constexpr (std::is_same_v<T, cudnnBackendNumericalNote_t>) return CUDNN_TYPE_NUMERICAL_NOTE;
  if constexpr (std::is_same_v<T, cudnnBackendBehaviorNote_t>) return CUDNN_TYPE_BEHAVIOR_NOTE;
  if constexpr (std::is_same_v<T, cudnnBackendKnobType_t>) return CUDNN_TYPE_KNOB_TYPE;
  if constexpr (std::is_same_v<T, cudnnBackendNormMode_t>) return CUDNN_TYPE_NORM_MODE;
  if constexpr (std::is_same_v<T, cudnnBackendNormFwdPhase_t>) return CUDNN_TYPE_NORM_FWD_PHASE;
}

/// One of cuDNN's objects, which keeps alive those it refers to. Copies are the same object.
class Descriptor {
 public:
  Descriptor() = default;
  explicit Descriptor(cudnnBackendDescriptorType_t type);

  cudnnBackendDescriptor_t get() const { return object_ ? object_->descriptor : nullptr; }
  explicit operator bool() const { return object_ != nullptr; }

  template <class T>
  void set(cudnnBackendAttributeName_t name, const T& value) {
    if constexpr (std::is_same_v<T, Descriptor>)
      refer(name, {value});
    else
      set_raw(name, attribute_type<T>(), 1, &value);
  }
  template <class T>
  void set(cudnnBackendAttributeName_t name, const std::vector<T>& values) {
    if constexpr (std::is_same_v<T, Descriptor>)
      refer(name, values);
    else
      set_raw(name, attribute_type<T>(), static_cast<std::int64_t>(values.size()), values.data());
  }
  /// At most `most` values.
  template <class T>
  std::vector<T> values(cudnnBackendAttributeName_t name, std::int64_t most) const {
    std::vector<T> found(static_cast<std::size_t>(most));
    found.resize(static_cast<std::size_t>(get_raw(name, attribute_type<T>(), most, found.data())));
    return found;
  }
  /// Fills descriptors created for this purpose; returns their number.
  std::int64_t fill(cudnnBackendAttributeName_t name, const std::vector<Descriptor>& parts) const;

  cudnnStatus_t finalize() { return library().finalize(get()); }

 private:
  struct Object {
    cudnnBackendDescriptor_t descriptor = nullptr;
    std::vector<Descriptor> parts;
    ~Object() {
      if (descriptor) library().destroy_descriptor(descriptor);
    }
  };

  void set_raw(cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type, std::int64_t count,
               const void* values);
  std::int64_t get_raw(cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type, std::int64_t most,
                       void* values) const;
  void refer(cudnnBackendAttributeName_t name, const std::vector<Descriptor>& parts);

  std::shared_ptr<Object> object_;
};

/// The target of plans: the current GPU, or a description of one.
class Target {
 public:
  /// Plans made for it run on `stream`. Throws Error if cuDNN cannot be loaded or does not work with the GPU.
  static Target gpu(Stream stream);
  /// `json` as cuDNN 9.11 and later write it.
  static Target described(const std::string& json);

  cudnnHandle_t handle() const { return handle_.get(); }
  /// Sets this target in a descriptor, by whichever of the two attributes applies; `no_attribute` if it has none.
  void apply(Descriptor& to, int handle_name, int description_name) const;
  static constexpr int no_attribute = -1;

 private:
  std::shared_ptr<cudnnContext> handle_;
  Descriptor description_;
};

/// A tensor of a graph, channels last. Dimensions are (n, c, h, w); weights (o, i, kh, kw); channel statistics (1, c,
/// 1, 1).
struct Tensor {
  std::int64_t id = 0;
  std::array<std::int64_t, 4> dimensions{};
  Descriptor descriptor;
};

/// Where a tensor is stored: in device memory; only inside the graph; as one value in host memory.
enum class Storage { device, inside, host };

class Graph {
 public:
  Tensor tensor(DType type, const std::array<std::int64_t, 4>& dimensions, Storage storage = Storage::device);
  /// The three tensors of a convolution.
  Tensor images(const ConvShape& shape, DType type, Storage storage = Storage::device);
  Tensor weights(const ConvShape& shape, DType type, Storage storage = Storage::device);
  Tensor results(const ConvShape& shape, DType type, Storage storage = Storage::device);
  /// One value per channel of `like`.
  Tensor per_channel(const Tensor& like, DType type, Storage storage = Storage::device);

  /// `x`, `w`, `y` as in the forward pass: the pass says which one is computed, plus `beta` times its old value. Sums
  /// in f32.
  void convolution(ConvPass pass, const ConvShape& shape, const Tensor& x, const Tensor& w, const Tensor& y,
                   double beta = 0);
  /// y = mode(x), computed in f32.
  void map(cudnnPointwiseMode_t mode, const Tensor& x, const Tensor& y);
  /// y = mode(a, b); for a CUDNN_POINTWISE_..._BWD, a is the cotangent and b the function's input.
  void map(cudnnPointwiseMode_t mode, const Tensor& a, const Tensor& b, const Tensor& y);
  /// Sums of x, in f32, over the dimensions in which y has length 1.
  void sum(const Tensor& x, const Tensor& y);
  /// Any other operation, given by its attributes.
  void add(Descriptor operation);

  const std::vector<Descriptor>& operations() const { return operations_; }

 private:
  std::int64_t last_id_ = 0;
  std::vector<Descriptor> operations_;
};

/// An engine that cuDNN offers for a graph, with its settings.
struct Offer {
  Descriptor settings;
  bool tensor_cores = false;
  bool compiled_at_run_time = false;
  std::int64_t parts = 1;  // the number of parts into which it cuts the sums
  std::string name;        // "engine 38 2=1 5=16": its number and its settings' numbers and values
};

/// Engines whose sums are in f32, best first by cuDNN's ranking, but those with tensor cores before those without; with
/// `repeatable`, only those with the same results in every run. Empty: cuDNN does not support the graph.
std::vector<Offer> offers(const Target& target, const Graph& graph, bool repeatable);

/// An offer, ready to run.
class ExecutionPlan {
 public:
  /// It can run if `failure` is empty.
  ExecutionPlan(const Target& target, const Offer& offer);

  const std::string& failure() const { return failure_; }
  std::int64_t workspace() const { return workspace_; }
  /// Tensor ids and their data.
  void run(const Target& target, const std::vector<std::pair<std::int64_t, const void*>>& tensors,
           void* workspace) const;

 private:
  Descriptor plan_;
  std::int64_t workspace_ = 0;
  std::string failure_;
};

}  // namespace vergence::cuda::cudnn
