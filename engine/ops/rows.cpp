// Ops on rows: unit length, softmax and the loss of classes.
#include "engine/graph.h"
#include "engine/ops/ops.h"

namespace vergence {

namespace {

/// gx = Q g / norm with Q z = z - u <u, z>; rows no longer than epsilon are only divided by it.
Tensor l2_normalize_backward(const Tensor& g, const Tensor& x, const Tensor& u, const Tensor& norm, double epsilon) {
  Tensor gx = empty_like(x);
  x.backend().l2_normalize_backward(x.rows(), x.cols(), epsilon, g.array(), u.array(), norm.array(), gx.array());
  record("l2_normalize_backward", {g, x}, {g, x}, {&gx}, [epsilon](const VjpContext& c) {
    const Tensor &a = c.g(), &g = c[0], &x = c[1];
    const Tensor u = l2_normalize(x, epsilon);
    const Tensor length = clamp_min(dot_cols(x, u), epsilon);
    const Tensor active = relu_mask(full(x.backend(), length.shape, 1, x.dtype), length.detached() - epsilon);
    const Tensor ug = dot_cols(u, g) * active, ua = dot_cols(u, a) * active;
    const Tensor qa = a - u * ua, qg = g - u * ug;
    const Tensor inverse = reciprocal(length);
    Tensor dx;
    if (c.need(1)) {
      const Tensor sum = qa * ug + qg * ua + u * (dot_cols(qa, g) * active);
      dx = neg(sum * square(inverse));
    }
    return Tensors{c.need(0) ? qa * inverse : Tensor{}, dx};
  });
  return gx;
}

/// gx = g - exp(y) sum(g).
Tensor log_softmax_backward(const Tensor& g, const Tensor& y) {
  Tensor gx = empty_like(y);
  y.backend().log_softmax_backward(y.rows(), y.cols(), g.array(), y.array(), gx.array());
  record("log_softmax_backward", {g, y}, {g, y}, {&gx}, [](const VjpContext& c) {
    const Tensor &a = c.g(), &g = c[0];
    const Tensor p = exp(c[1]);
    return Tensors{c.need(0) ? a - dot_cols(p, a) : Tensor{}, c.need(1) ? neg(p * a * sum_cols(g)) : Tensor{}};
  });
  return gx;
}

}  // namespace

Tensor l2_normalize(const Tensor& x, double epsilon) {
  require(x.shape.rank() >= 1 && x.cols() > 0, "l2_normalize: needs rows, got ", x.shape);
  Tensor u = empty_like(x);
  const Tensor norm = empty(x.backend(), {x.rows()}, master_of(x.dtype));
  x.backend().l2_normalize(x.rows(), x.cols(), epsilon, x.array(), u.array(), norm.array());
  record("l2_normalize", {x}, {x, u, norm}, {&u}, [epsilon](const VjpContext& c) {
    return Tensors{l2_normalize_backward(c.g(), c[0], c[1].detached(), c[2], epsilon)};
  });
  return u;
}

Tensor log_softmax(const Tensor& x) {
  require(x.shape.rank() >= 1 && x.cols() > 0, "log_softmax: needs rows, got ", x.shape);
  Tensor y = empty_like(x);
  x.backend().log_softmax(x.rows(), x.cols(), x.array(), y.array());
  record("log_softmax", {x}, {y}, {&y}, [](const VjpContext& c) { return Tensors{log_softmax_backward(c.g(), c[0])}; });
  return y;
}

Tensor softmax(const Tensor& x) { return exp(log_softmax(x)); }

Tensor cross_entropy(const Tensor& logits, const Tensor& targets) {
  return neg(mean(take_along_row(log_softmax(logits), targets)));
}

}  // namespace vergence
