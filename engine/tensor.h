// A tensor is a value: dense, contiguous, row-major (NHWC for images). Copying one copies a handle. There are no
// strides, no views and no in-place operations; only optimizers and running statistics write into existing storage.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <initializer_list>
#include <memory>
#include <string>
#include <vector>

#include "kernels/backend.h"

namespace vergence {

/// Up to four extents. Rank 0 is a scalar of one element.
class Shape {
 public:
  Shape() = default;
  Shape(std::initializer_list<std::int64_t> extents);
  explicit Shape(const std::vector<std::int64_t>& extents);

  int rank() const { return rank_; }
  std::int64_t size() const;
  /// Negative axes count from the end.
  std::int64_t operator[](int axis) const;
  /// The last extent; 1 for a scalar.
  std::int64_t cols() const { return rank_ ? extents_[static_cast<std::size_t>(rank_ - 1)] : 1; }
  /// Everything but the last extent, multiplied.
  std::int64_t rows() const { return cols() ? size() / cols() : 0; }
  /// This shape with one extent replaced.
  Shape with(int axis, std::int64_t extent) const;
  bool operator==(const Shape&) const = default;
  std::string text() const;  // such as "[128, 32, 32, 64]"

 private:
  std::array<std::int64_t, 4> extents_{};
  int rank_ = 0;
};

std::ostream& operator<<(std::ostream& out, const Shape& shape);

/// A block of a backend's memory: owned, or a part of another storage that it keeps alive.
class Storage {
 public:
  Storage(Backend& backend, std::int64_t bytes);
  Storage(std::shared_ptr<Storage> whole, std::int64_t offset, std::int64_t bytes);
  ~Storage();
  Storage(const Storage&) = delete;
  Storage& operator=(const Storage&) = delete;

  Backend& backend() const { return *backend_; }
  void* data() const { return data_; }
  std::int64_t bytes() const { return bytes_; }
  /// The storage it is a part of; null if it owns its block.
  const Storage* whole() const { return whole_.get(); }

 private:
  Backend* backend_;
  void* data_;
  std::int64_t bytes_;
  std::shared_ptr<Storage> whole_;
};

/// A value that can be recomputed, so that its memory need not be kept until the backward pass.
class Recomputation {
 public:
  using Compute = std::function<std::shared_ptr<Storage>()>;

  /// `first`: the current value.
  Recomputation(const std::shared_ptr<Storage>& first, Compute compute) : first_(first), compute_(std::move(compute)) {}
  /// The first value if it still exists, otherwise a recomputed one. Holds the value from then on.
  const std::shared_ptr<Storage>& value();

 private:
  std::weak_ptr<Storage> first_;
  std::shared_ptr<Storage> value_;
  Compute compute_;
};

struct Node;

struct Tensor {
  std::shared_ptr<Storage> data;
  Shape shape;
  DType dtype = DType::f32;
  std::shared_ptr<Node> node;  // the operation that produced it; null for a constant
  int slot = 0;                // which of the node's outputs
  // A parameter's bf16 copy, if its set keeps one (parameters.h). Code that writes to `data` must update this too.
  std::shared_ptr<Storage> rounded;
  // How to recompute the value, if that is possible. A `released` tensor has this instead of `data`.
  std::shared_ptr<Recomputation> again;

  /// False for "none" (default-constructed) and for a tensor without its memory (`released`).
  explicit operator bool() const { return data != nullptr; }
  std::int64_t size() const { return shape.size(); }
  std::int64_t rows() const { return shape.rows(); }
  std::int64_t cols() const { return shape.cols(); }
  Backend& backend() const;
  Array array() const;          // for kernels and optimizers; empty for "none"
  Array rounded_array() const;  // the bf16 copy; empty if there is none
  /// For an operation on activations of type `activations`: the bf16 copy if it fits, otherwise the values.
  ConstArray weights_for(DType activations) const;
  /// This value without its history.
  Tensor detached() const;
  /// This tensor without its memory, if it can be recomputed; otherwise unchanged. Code that keeps a tensor for later
  /// keeps this, and reads it through `restored`.
  Tensor released() const;
  /// This tensor with its memory: recomputed if it was released.
  Tensor restored() const;
  /// The value of a one-element tensor, as double.
  double item() const;
  /// All values, converted to double / float, in row-major order.
  std::vector<double> values() const;
  std::vector<float> floats() const;
};

using Tensors = std::vector<Tensor>;

/// Uninitialized.
Tensor empty(Backend& backend, const Shape& shape, DType dtype = DType::f32);
Tensor full(Backend& backend, const Shape& shape, double value, DType dtype = DType::f32);
Tensor zeros(Backend& backend, const Shape& shape, DType dtype = DType::f32);
/// With the shape, type and device of `like`.
Tensor empty_like(const Tensor& like);
Tensor zeros_like(const Tensor& like);
/// Memory for a result: `place`, if it has this shape and type, otherwise new memory. Uninitialized.
Tensor empty_in(const Tensor& place, Backend& backend, const Shape& shape, DType dtype);
/// From host values (as many as the shape has), converted to `dtype`.
Tensor from_values(Backend& backend, const Shape& shape, const std::vector<double>& values, DType dtype = DType::f64);
Tensor from_floats(Backend& backend, const Shape& shape, const std::vector<float>& values);
Tensor from_indices(Backend& backend, const std::vector<std::int32_t>& values);
Tensor from_bytes(Backend& backend, const Shape& shape, const std::uint8_t* values);
/// A part of `whole`'s storage as a tensor with its own shape; `offset` in elements. Used for flat parameter buffers.
Tensor part_of(const Tensor& whole, std::int64_t offset, const Shape& shape);
/// A copy in its own memory, without history.
Tensor clone(const Tensor& tensor);
/// Overwrites the storage of `target`, and its bf16 copy, with the values of `source` (same shape and type). Not
/// recorded.
void assign(const Tensor& target, const Tensor& source);
/// Updates the bf16 copy of `tensor`, if it has one.
void round_copy(const Tensor& tensor);

}  // namespace vergence
