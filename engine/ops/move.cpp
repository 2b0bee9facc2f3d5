// Ops that only move values: reshape, concatenation and slicing, transposition, gather and scatter. The derivative of
// each is its transpose, which is defined here too.
#include "engine/graph.h"
#include "engine/ops/ops.h"

namespace vergence {

namespace {

/// An axis of a shape: `outer` blocks of `extent` runs of `inner` elements.
struct Split {
  std::int64_t outer = 1, extent = 1, inner = 1;
};

Split split_at(const Shape& shape, int axis) {
  const int at = axis < 0 ? axis + shape.rank() : axis;
  Split split;
  split.extent = shape[at];
  for (int i = 0; i < at; ++i) split.outer *= shape[i];
  for (int i = at + 1; i < shape.rank(); ++i) split.inner *= shape[i];
  return split;
}

/// Copies `count` entries of an axis from `x` (at `from`) to `y` (at `to`); all other extents agree.
void copy_entries(const Tensor& x, std::int64_t from, const Tensor& y, std::int64_t to, std::int64_t count, int axis) {
  const Split a = split_at(x.shape, axis), b = split_at(y.shape, axis);
  x.backend().copy_block(a.outer, count * a.inner, x.array(), a.extent * a.inner, from * a.inner, y.array(),
                         b.extent * b.inner, to * b.inner);
}

Tensor transposed(const Tensor& x, std::int64_t batch, std::int64_t rows, std::int64_t cols, const Shape& shape) {
  Tensor y = empty(x.backend(), shape, x.dtype);
  x.backend().transpose(batch, rows, cols, x.array(), y.array());
  return y;
}

void require_index(const char* op, const Tensor& index, std::int64_t count) {
  require(index.dtype == DType::i32 && index.size() == count, op, ": expected ", count, " i32 indices, got ",
          name_of(index.dtype), index.shape);
}

}  // namespace

Tensor reshape(const Tensor& x, const Shape& shape) {
  require(shape.size() == x.size(), "reshape: ", x.shape, " has ", x.size(), " elements, ", shape, " has ",
          shape.size());
  if (shape == x.shape) return x;
  Tensor y = x.detached();
  y.shape = shape;
  record("reshape", {x}, {}, {&y}, [from = x.shape](const VjpContext& c) { return Tensors{reshape(c.g(), from)}; });
  return y;
}

Tensor concat(const Tensors& parts, int axis) {
  require(!parts.empty(), "concat: nothing to join");
  const Tensor& first = parts.front();
  std::int64_t total = 0;
  for (const Tensor& part : parts) {
    require(part.dtype == first.dtype && part.shape.rank() == first.shape.rank() &&
                part.shape.with(axis, 1) == first.shape.with(axis, 1),
            "concat along axis ", axis, ": ", name_of(first.dtype), first.shape, " and ", name_of(part.dtype),
            part.shape, " do not fit");
    total += part.shape[axis];
  }
  Tensor y = empty(first.backend(), first.shape.with(axis, total), first.dtype);
  std::vector<std::int64_t> extents;
  std::int64_t at = 0;
  for (const Tensor& part : parts) {
    copy_entries(part, 0, y, at, part.shape[axis], axis);
    extents.push_back(part.shape[axis]);
    at += part.shape[axis];
  }
  record("concat", parts, {}, {&y}, [extents, axis](const VjpContext& c) {
    Tensors gradients;
    std::int64_t start = 0;
    for (std::size_t i = 0; i < extents.size(); start += extents[i++])
      gradients.push_back(c.need(static_cast<int>(i)) ? slice(c.g(), axis, start, extents[i]) : Tensor{});
    return gradients;
  });
  return y;
}

Tensor slice(const Tensor& x, int axis, std::int64_t start, std::int64_t count) {
  const std::int64_t extent = x.shape[axis];
  require(start >= 0 && count >= 0 && start + count <= extent, "slice: entries ", start, " to ", start + count,
          " of axis ", axis, " are not in ", x.shape);
  Tensor y = empty(x.backend(), x.shape.with(axis, count), x.dtype);
  copy_entries(x, start, y, 0, count, axis);
  record("slice", {x}, {}, {&y},
         [axis, start, extent](const VjpContext& c) { return Tensors{pad(c.g(), axis, start, extent)}; });
  return y;
}

Tensor pad(const Tensor& x, int axis, std::int64_t start, std::int64_t total) {
  const std::int64_t count = x.shape[axis];
  require(start >= 0 && start + count <= total, "pad: ", x.shape, " at ", start, " of axis ", axis,
          " is not inside extent ", total);
  Tensor y = zeros(x.backend(), x.shape.with(axis, total), x.dtype);
  copy_entries(x, 0, y, start, count, axis);
  record("pad", {x}, {}, {&y},
         [axis, start, count](const VjpContext& c) { return Tensors{slice(c.g(), axis, start, count)}; });
  return y;
}

Tensor transpose(const Tensor& x) {
  require(x.shape.rank() >= 2, "transpose: needs two axes, got ", x.shape);
  const std::int64_t rows = x.shape[-2], cols = x.shape[-1];
  const std::int64_t batch = rows > 0 && cols > 0 ? x.size() / (rows * cols) : 0;
  Tensor y = transposed(x, batch, rows, cols, x.shape.with(-2, cols).with(-1, rows));
  record("transpose", {x}, {}, {&y}, [](const VjpContext& c) { return Tensors{transpose(c.g())}; });
  return y;
}

Tensor gather_rows(const Tensor& x, const Tensor& index) {
  require(x.shape.rank() >= 1, "gather_rows: needs an axis, got ", x.shape);
  require_index("gather_rows", index, index.size());
  const std::int64_t rows = x.shape[0];
  Tensor y = empty(x.backend(), x.shape.with(0, index.size()), x.dtype);
  x.backend().gather_rows(rows ? x.size() / rows : 0, x.array(), index.array(), y.array());
  record("gather_rows", {x}, {index}, {&y},
         [rows](const VjpContext& c) { return Tensors{scatter_rows(c.g(), c[0], rows)}; });
  return y;
}

Tensor scatter_rows(const Tensor& x, const Tensor& index, std::int64_t rows) {
  require(x.shape.rank() >= 1, "scatter_rows: needs an axis, got ", x.shape);
  require_index("scatter_rows", index, x.shape[0]);
  Tensor y = empty(x.backend(), x.shape.with(0, rows), x.dtype);
  x.backend().scatter_rows(rows ? y.size() / rows : 0, x.array(), index.array(), y.array());
  record("scatter_rows", {x}, {index}, {&y}, [](const VjpContext& c) { return Tensors{gather_rows(c.g(), c[0])}; });
  return y;
}

Tensor take_along_row(const Tensor& x, const Tensor& index) {
  require(x.shape.rank() == 2, "take_along_row: expected a matrix, got ", x.shape);
  require_index("take_along_row", index, x.rows());
  Tensor y = empty(x.backend(), {x.rows()}, x.dtype);
  x.backend().take_along_row(x.cols(), x.array(), index.array(), y.array());
  record("take_along_row", {x}, {index}, {&y},
         [cols = x.cols()](const VjpContext& c) { return Tensors{scatter_along_row(c.g(), c[0], cols)}; });
  return y;
}

Tensor scatter_along_row(const Tensor& x, const Tensor& index, std::int64_t cols) {
  require(x.shape.rank() == 1, "scatter_along_row: expected a vector, got ", x.shape);
  require_index("scatter_along_row", index, x.size());
  Tensor y = empty(x.backend(), {x.size(), cols}, x.dtype);
  x.backend().scatter_along_row(cols, x.array(), index.array(), y.array());
  record("scatter_along_row", {x}, {index}, {&y},
         [](const VjpContext& c) { return Tensors{take_along_row(c.g(), c[0])}; });
  return y;
}

}  // namespace vergence
