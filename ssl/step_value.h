// A number that changes from step to step, in the device's memory, so that a recorded step sees the new value.
#pragma once

#include "engine/tensor.h"

namespace vergence {

class StepValue {
 public:
  explicit StepValue(Backend& backend, DType dtype = DType::f32) : tensor_(zeros(backend, {1}, dtype)) {}

  /// The one element, a constant for ops.
  const Tensor& tensor() const { return tensor_; }
  /// Call from the host's part of a step (`Objective::prepare`), never during a recording.
  void set(double value) {
    const float single = static_cast<float>(value);
    const bool wide = tensor_.dtype == DType::f64;
    const void* bytes = wide ? static_cast<const void*>(&value) : static_cast<const void*>(&single);
    tensor_.backend().upload(tensor_.data->data(), bytes, size_of(tensor_.dtype));
  }

 private:
  Tensor tensor_;
};

}  // namespace vergence
