// Elementwise ops: forward and derivative side by side. Each is one call of Backend::map.
#include "engine/graph.h"
#include "engine/ops/broadcast.h"
#include "engine/ops/ops.h"

namespace vergence {

Repeat repeat_of(const char* op, const Shape& shape, const Shape& out) {
  if (shape == out) return Repeat::none;
  if (shape.size() == 1) return Repeat::everywhere;
  if (shape.cols() == out.cols() && shape.size() == out.cols()) return Repeat::over_rows;
  if (shape.rank() == out.rank() && shape == out.with(-1, 1)) return Repeat::over_cols;
  throw Error(join(op, ": shape ", shape, " does not repeat to ", out));
}

Shape broadcast_shape(const Shape& a, const Shape& b) {
  if (a.size() != b.size()) return a.size() > b.size() ? a : b;
  return a.rank() >= b.rank() ? a : b;
}

Operand operand(const char* op, const Tensor& tensor, const Shape& out) {
  return {tensor.array(), repeat_of(op, tensor.shape, out)};
}

namespace {

Tensor unary(Map map, const Tensor& x, double alpha = 1, double beta = 0) {
  Tensor y = empty_like(x);
  x.backend().map(map, x.rows(), x.cols(), {x.array()}, {}, alpha, beta, y.array());
  return y;
}

Tensor binary(const char* op, Map map, const Tensor& a, const Tensor& b, double alpha = 1, double beta = 1) {
  require(a.dtype == b.dtype, op, ": types differ: ", name_of(a.dtype), a.shape, " and ", name_of(b.dtype), b.shape);
  const Shape shape = broadcast_shape(a.shape, b.shape);
  Tensor y = empty(a.backend(), shape, a.dtype);
  y.backend().map(map, shape.rows(), shape.cols(), operand(op, a, shape), operand(op, b, shape), alpha, beta,
                  y.array());
  return y;
}

/// sum_to(g * x, shape) without storing the product.
Tensor product_to(const Tensor& g, const Tensor& x, const Shape& shape) {
  switch (repeat_of("mul", shape, g.shape)) {
    case Repeat::none:
      return mul(g, x);
    case Repeat::over_rows:
      return reshape(dot_rows(g, x), shape);
    case Repeat::over_cols:
      return dot_cols(g, x);
    case Repeat::everywhere:
      return reshape(dot(g, x), shape);
  }
  return {};
}

}  // namespace

Tensor add(const Tensor& a, const Tensor& b) {
  Tensor y = binary("add", Map::add, a, b);
  record("add", {a, b}, {}, {&y}, [sa = a.shape, sb = b.shape](const VjpContext& c) {
    return Tensors{c.need(0) ? sum_to(c.g(), sa) : Tensor{}, c.need(1) ? sum_to(c.g(), sb) : Tensor{}};
  });
  return y;
}

Tensor sub(const Tensor& a, const Tensor& b) {
  Tensor y = binary("sub", Map::add, a, b, 1, -1);
  record("sub", {a, b}, {}, {&y}, [sa = a.shape, sb = b.shape](const VjpContext& c) {
    return Tensors{c.need(0) ? sum_to(c.g(), sa) : Tensor{}, c.need(1) ? neg(sum_to(c.g(), sb)) : Tensor{}};
  });
  return y;
}

Tensor mul(const Tensor& a, const Tensor& b) {
  Tensor y = binary("mul", Map::mul, a, b);
  record("mul", {a, b}, {a, b}, {&y}, [](const VjpContext& c) {
    return Tensors{c.need(0) ? product_to(c.g(), c[1], c[0].shape) : Tensor{},
                   c.need(1) ? product_to(c.g(), c[0], c[1].shape) : Tensor{}};
  });
  return y;
}

Tensor div(const Tensor& a, const Tensor& b) {
  Tensor y = binary("div", Map::div, a, b);
  record("div", {a, b}, {a.detached(), b, y}, {&y}, [](const VjpContext& c) {
    const Tensor ga = div(c.g(), c[1]);
    return Tensors{c.need(0) ? sum_to(ga, c[0].shape) : Tensor{},
                   c.need(1) ? neg(product_to(ga, c[2], c[1].shape)) : Tensor{}};
  });
  return y;
}

Tensor affine(const Tensor& x, double alpha, double beta) {
  Tensor y = unary(Map::affine, x, alpha, beta);
  record("affine", {x}, {}, {&y}, [alpha](const VjpContext& c) { return Tensors{affine(c.g(), alpha)}; });
  return y;
}

Tensor neg(const Tensor& x) { return -x; }
Tensor square(const Tensor& x) { return mul(x, x); }

Tensor relu(const Tensor& x) {
  Tensor y = unary(Map::relu, x);
  record("relu", {x}, {y}, {&y}, [](const VjpContext& c) { return Tensors{relu_mask(c.g(), c[0])}; });
  return y;
}

Tensor relu_mask(const Tensor& x, const Tensor& reference) {
  require(x.shape == reference.shape, "relu_mask: shapes ", x.shape, " and ", reference.shape, " differ");
  Tensor y = binary("relu_mask", Map::relu_mask, x, reference);
  record("relu_mask", {x}, {reference.detached()}, {&y},
         [](const VjpContext& c) { return Tensors{relu_mask(c.g(), c[0])}; });
  return y;
}

Tensor sigmoid(const Tensor& x) {
  Tensor y = unary(Map::sigmoid, x);
  record("sigmoid", {x}, {y}, {&y}, [](const VjpContext& c) { return Tensors{mul(c.g(), mul(c[0], 1 - c[0]))}; });
  return y;
}

Tensor tanh(const Tensor& x) {
  Tensor y = unary(Map::tanh, x);
  record("tanh", {x}, {y}, {&y}, [](const VjpContext& c) { return Tensors{mul(c.g(), 1 - square(c[0]))}; });
  return y;
}

Tensor exp(const Tensor& x) {
  Tensor y = unary(Map::exp, x);
  record("exp", {x}, {y}, {&y}, [](const VjpContext& c) { return Tensors{mul(c.g(), c[0])}; });
  return y;
}

Tensor log(const Tensor& x) {
  Tensor y = unary(Map::log, x);
  record("log", {x}, {x}, {&y}, [](const VjpContext& c) { return Tensors{div(c.g(), c[0])}; });
  return y;
}

Tensor sqrt(const Tensor& x) {
  Tensor y = unary(Map::sqrt, x);
  record("sqrt", {x}, {y}, {&y}, [](const VjpContext& c) { return Tensors{0.5 * div(c.g(), c[0])}; });
  return y;
}

Tensor reciprocal(const Tensor& x) {
  Tensor y = unary(Map::reciprocal, x);
  record("reciprocal", {x}, {y}, {&y}, [](const VjpContext& c) { return Tensors{neg(mul(c.g(), square(c[0])))}; });
  return y;
}

Tensor abs(const Tensor& x) {
  Tensor y = unary(Map::abs, x);
  record("abs", {x}, {x.detached()}, {&y},
         [](const VjpContext& c) { return Tensors{mul(c.g(), unary(Map::sign, c[0]))}; });
  return y;
}

Tensor clamp_min(const Tensor& x, double low) {
  Tensor y = unary(Map::clamp_min, x, low);
  record("clamp_min", {x}, {x.detached()}, {&y},
         [low](const VjpContext& c) { return Tensors{mul(c.g(), unary(Map::greater, c[0], low))}; });
  return y;
}

Tensor cast(const Tensor& x, DType dtype) {
  if (x.dtype == dtype) return x;
  require(is_float(x.dtype) && is_float(dtype), "cast: only between floating-point types, got ", name_of(x.dtype),
          " to ", name_of(dtype));
  Tensor y = empty(x.backend(), x.shape, dtype);
  x.backend().map(Map::copy, x.rows(), x.cols(), {x.array()}, {}, 1, 0, y.array());
  record("cast", {x}, {}, {&y}, [from = x.dtype](const VjpContext& c) { return Tensors{cast(c.g(), from)}; });
  return y;
}

Tensor identity(const Tensor& x) {
  Tensor y = x.detached();
  record("identity", {x}, {}, {&y}, [](const VjpContext& c) { return Tensors{c.g()}; });
  return y;
}

}  // namespace vergence
