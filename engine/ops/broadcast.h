// How two operands of an elementwise op share one (rows, cols) grid.
#pragma once

#include "engine/tensor.h"

namespace vergence {

/// How a tensor of `shape` repeats over one of shape `out`. If it does not fit, throws naming `op` and both shapes.
Repeat repeat_of(const char* op, const Shape& shape, const Shape& out);

/// The larger of two operands' shapes; the other operand is repeated to it.
Shape broadcast_shape(const Shape& a, const Shape& b);

/// `tensor` as an operand of a kernel whose grid has shape `out`.
Operand operand(const char* op, const Tensor& tensor, const Shape& out);

}  // namespace vergence
