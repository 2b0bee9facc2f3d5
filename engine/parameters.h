// All parameters of a model in one flat buffer, for optimizers, moving averages and checkpoints.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "engine/tensor.h"

namespace vergence {

/// A parameter of a model. The model must not move: the set rewrites `*tensor`.
struct NamedTensor {
  std::string name;
  Tensor* tensor = nullptr;
};

/// What the model's tensors become: leaves, for which `grad` can compute derivatives, or constants (averages).
enum class Role { trainable, constant };

/// The places of tensors in one flat buffer: in order, each at a multiple of 16 elements.
struct FlatLayout {
  std::vector<Segment> segments;  // `adapt` is false for tensors of rank 0 and 1
  std::int64_t size = 0;          // of the whole buffer, in elements

  static FlatLayout of(const Tensors& tensors);
};

/// A model's parameters in one flat buffer, their gradient in another. Copying a set copies handles. An optimizer's
/// step writes into the buffer and so changes the model, also for graphs recorded earlier: run their `grad` first.
class ParameterSet {
 public:
  ParameterSet() = default;
  /// Moves the values into a new buffer (FlatLayout, gaps are zero) and points each `*tensor` at its part. All must be
  /// on one device, and f32 or f64: throws Error for mixed types, an empty list, a "none" or a repeated name. For bf16
  /// `activations`, on a device with `bf16_weights`, keeps a bf16 copy of f32 values, which everything that writes them
  /// updates (optimizers, `ema_update`, `assign`, `from_host`).
  explicit ParameterSet(const std::vector<NamedTensor>& parameters, Role role = Role::trainable,
                        DType activations = DType::f32);

  std::size_t count() const { return names_.size(); }
  const std::vector<std::string>& names() const { return names_; }
  /// The parameters, in order: parts of `flat`, with the same leaf nodes as the model's tensors.
  const Tensors& tensors() const { return tensors_; }
  /// The place of each parameter in `flat`. `adapt` is false for parameters of rank 0 and 1 (biases, batch norm).
  const std::vector<Segment>& segments() const { return segments_; }
  /// The index of `name` in `names`; throws Error if there is none.
  std::size_t index_of(std::string_view name) const;
  /// All values as one constant [n], gaps included.
  const Tensor& flat() const { return flat_; }
  /// The gradient buffer: shape and layout of `flat`. Zero until `gather_gradients`. "None" for Role::constant.
  const Tensor& gradient() const { return gradient_; }
  /// The number of values in all parameters, gaps not counted. `count` is the number of tensors.
  std::int64_t size() const;

  /// Copies one gradient per parameter ("none": zero), unless it is already in place (GradOptions::places), into the
  /// gradient buffer, which the next call overwrites, and returns that. Throws Error if a count or a shape differs.
  const Tensor& gather_gradients(const Tensors& gradients) const;
  /// The same for the parameters from number `first` on, as many as there are gradients. The rest stays as it is.
  void gather_gradients(const Tensors& gradients, std::size_t first) const;
  /// The same for the derivatives of `loss`, a scalar, with respect to the parameters. Consumes the loss's graph.
  const Tensor& backward(const Tensor& loss) const;
  /// The parts of the gradient buffer, for GradOptions::places.
  const Tensors& gradient_places() const { return gradient_places_; }

  /// The parts of `whole`, a tensor of flat's shape (such as a momentum buffer), one per parameter. They share its
  /// storage.
  Tensors parts_of(const Tensor& whole) const;

 private:
  std::vector<std::string> names_;
  std::vector<Segment> segments_;
  Tensors tensors_, gradient_places_;
  Tensor flat_, gradient_;
};

/// target = keep target + (1 - keep) source, in one pass; `keep` is one f64 on the device. Throws Error unless the
/// parameters of `target` are a consecutive run of those of `source`, with the same names in the same order.
void ema_update(const ParameterSet& target, const ParameterSet& source, const Tensor& keep);

/// The bytes of a tensor in host memory, row-major, in the machine's (little-endian) byte order.
std::vector<std::byte> to_host(const Tensor& tensor);
/// A copy on the CPU. Its memory is reused, since mapping fresh pages would take most of the time of a large copy.
Tensor host_copy(const Tensor& tensor);
/// Overwrites the storage of `target`; throws Error if `bytes` does not have exactly its size.
void from_host(const Tensor& target, const std::vector<std::byte>& bytes);

}  // namespace vergence
