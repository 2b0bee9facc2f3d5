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

/// What the model's tensors become: leaves that `grad` can differentiate by, or constants (a moving average).
enum class Role { trainable, constant };

/// The places of tensors in one flat buffer: in order, each at a multiple of 16 elements.
struct FlatLayout {
  std::vector<Segment> segments;  // `adapt` is false for tensors of rank 0 and 1
  std::int64_t size = 0;          // of the whole buffer, in elements

  static FlatLayout of(const Tensors& tensors);
};

/// Owns the flat buffer of a model's parameters and one for their gradient. Copying a set copies handles.
///
/// The given tensors become parts of the buffer, so an optimizer's step over the buffer changes the model. A graph
/// recorded before such a step refers to the weights by handle: run its `grad` first.
class ParameterSet {
 public:
  ParameterSet() = default;
  /// Moves the values into a new buffer, in the given order, and points each `*tensor` at its part of it. All tensors
  /// must share one device and one type (f32 or f64). Each parameter starts at a multiple of 16 elements; the gaps stay
  /// zero. For bf16 `activations`, on a device that prefers such weights, the set keeps a bf16 copy of f32 values,
  /// which optimizers, `ema_update`, `assign` and `from_host` update too. Throws Error for an empty list, a "none", a
  /// repeated name or mixed types.
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
  /// The number of parameters, gaps not counted.
  std::int64_t size() const;

  /// Copies one gradient per parameter ("none": zero) into the gradient buffer, converted to its type, and returns it.
  /// The buffer is reused: the next call overwrites it. Throws Error if a count or a shape differs.
  /// Gradients that are already in place (GradOptions::places) are not copied.
  const Tensor& gather_gradients(const Tensors& gradients) const;
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

/// target = keep target + (1 - keep) source for every parameter of `target`, in one pass; `keep` is one f64 on the
/// device. The parameters of `target` must be a consecutive run of those of `source`, with the same names in the same
/// order; throws Error otherwise.
void ema_update(const ParameterSet& target, const ParameterSet& source, const Tensor& keep);

/// The bytes of a tensor in host memory, row-major, in the machine's (little-endian) byte order.
std::vector<std::byte> to_host(const Tensor& tensor);
/// A copy on the CPU. Its memory is reused: for large copies, pages already mapped save most of the time.
Tensor host_copy(const Tensor& tensor);
/// Overwrites the storage of `target`; throws Error if `bytes` does not have exactly its size.
void from_host(const Tensor& target, const std::vector<std::byte>& bytes);

}  // namespace vergence
