// Reductions over rows, columns or everything, and broadcasting, their transpose.
#include "engine/graph.h"
#include "engine/ops/broadcast.h"
#include "engine/ops/ops.h"

namespace vergence {

namespace {

Tensor reduced(Reduce op, Along along, std::int64_t rows, std::int64_t cols, const Tensor& a, const Tensor& b,
               const Shape& shape, const Tensor& place = {}) {
  Tensor y = empty_in(place, a.backend(), shape, a.dtype);
  a.backend().reduce(op, along, rows, cols, a.array(), b.array(), y.array());
  return y;
}

void require_alike(const char* op, const Tensor& a, const Tensor& b) {
  require(a.shape == b.shape && a.dtype == b.dtype, op, ": ", name_of(a.dtype), a.shape, " and ", name_of(b.dtype),
          b.shape, " differ");
}

Shape row_shape(const Tensor& x) { return x.shape.rank() ? x.shape.with(-1, 1) : x.shape; }

/// The derivative shared by the three dots: g repeated, times the other factor.
Tensors dot_vjp(const VjpContext& c) {
  return {c.need(0) ? mul(c[1], c.g()) : Tensor{}, c.need(1) ? mul(c[0], c.g()) : Tensor{}};
}

/// The transpose of scaled_sum: factor g everywhere.
Tensor scaled_broadcast(const Tensor& g, double factor, const Shape& shape) {
  Tensor y = empty(g.backend(), shape, g.dtype);
  g.backend().map(Map::affine, shape.rows(), shape.cols(), {g.array(), Repeat::everywhere}, {}, factor, 0, y.array());
  record("scaled_broadcast", {g}, {}, {&y},
         [factor](const VjpContext& c) { return Tensors{scaled_sum(c.g(), factor)}; });
  return y;
}

}  // namespace

Tensor sum(const Tensor& x) {
  Tensor y = reduced(Reduce::sum, Along::cols, 1, x.size(), x, {}, {});
  record("sum", {x}, {}, {&y}, [shape = x.shape](const VjpContext& c) { return Tensors{broadcast(c.g(), shape)}; });
  return y;
}

Tensor scaled_sum(const Tensor& x, double factor) {
  Tensor y = reduced(Reduce::sum, Along::cols, 1, x.size(), x, {}, {});
  y.backend().map(Map::affine, 1, 1, {y.array()}, {}, factor, 0, y.array());
  record("scaled_sum", {x}, {}, {&y},
         [factor, shape = x.shape](const VjpContext& c) { return Tensors{scaled_broadcast(c.g(), factor, shape)}; });
  return y;
}

Tensor mean(const Tensor& x) { return scaled_sum(x, 1.0 / static_cast<double>(x.size())); }

Tensor dot(const Tensor& a, const Tensor& b) {
  require_alike("dot", a, b);
  Tensor y = reduced(Reduce::dot, Along::cols, 1, a.size(), a, b, {});
  record("dot", {a, b}, {a, b}, {&y}, dot_vjp);
  return y;
}

Tensor sum_over_rows(const Tensor& x, const Tensor& place) {
  Tensor y = reduced(Reduce::sum, Along::rows, x.rows(), x.cols(), x, {}, {x.cols()}, place);
  record("sum_over_rows", {x}, {}, {&y},
         [shape = x.shape](const VjpContext& c) { return Tensors{broadcast(c.g(), shape)}; });
  return y;
}

Tensor sum_cols(const Tensor& x) {
  Tensor y = reduced(Reduce::sum, Along::cols, x.rows(), x.cols(), x, {}, row_shape(x));
  record("sum_cols", {x}, {}, {&y},
         [shape = x.shape](const VjpContext& c) { return Tensors{broadcast(c.g(), shape)}; });
  return y;
}

Tensor dot_rows(const Tensor& a, const Tensor& b) {
  require_alike("dot_rows", a, b);
  Tensor y = reduced(Reduce::dot, Along::rows, a.rows(), a.cols(), a, b, {a.cols()});
  record("dot_rows", {a, b}, {a, b}, {&y}, dot_vjp);
  return y;
}

Tensor dot_cols(const Tensor& a, const Tensor& b) {
  require_alike("dot_cols", a, b);
  Tensor y = reduced(Reduce::dot, Along::cols, a.rows(), a.cols(), a, b, row_shape(a));
  record("dot_cols", {a, b}, {a, b}, {&y}, dot_vjp);
  return y;
}

Tensor broadcast(const Tensor& x, const Shape& shape) {
  if (x.shape == shape) return x;
  Tensor y = empty(x.backend(), shape, x.dtype);
  x.backend().map(Map::copy, shape.rows(), shape.cols(), operand("broadcast", x, shape), {}, 1, 0, y.array());
  record("broadcast", {x}, {}, {&y}, [from = x.shape](const VjpContext& c) { return Tensors{sum_to(c.g(), from)}; });
  return y;
}

Tensor sum_to(const Tensor& x, const Shape& shape) {
  switch (repeat_of("sum_to", shape, x.shape)) {
    case Repeat::none:
      return x;
    case Repeat::over_rows:
      return reshape(sum_over_rows(x), shape);
    case Repeat::over_cols:
      return sum_cols(x);
    case Repeat::everywhere:
      return reshape(sum(x), shape);
  }
  return {};
}

Tensor max_cols(const Tensor& x) { return reduced(Reduce::max, Along::cols, x.rows(), x.cols(), x, {}, row_shape(x)); }

}  // namespace vergence
