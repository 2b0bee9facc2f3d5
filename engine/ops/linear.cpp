// Products: matrices, linear layers and masks. All are multilinear, so their derivatives are the same products again.
#include "engine/graph.h"
#include "engine/ops/ops.h"

namespace vergence {

Tensor matmul(const Tensor& a, const Tensor& b, bool ta, bool tb, const Tensor& place) {
  require(
      a.shape.rank() == 2 && b.shape.rank() == 2 && a.dtype == b.dtype && a.shape[ta ? 0 : 1] == b.shape[tb ? 1 : 0],
      "matmul: ", name_of(a.dtype), a.shape, ta ? "^T" : "", " and ", name_of(b.dtype), b.shape, tb ? "^T" : "",
      " do not fit");
  const std::int64_t m = a.shape[ta ? 1 : 0], k = a.shape[ta ? 0 : 1], n = b.shape[tb ? 0 : 1];
  Tensor y = empty_in(place, a.backend(), {m, n}, a.dtype);
  a.backend().gemm(ta, tb, m, n, k, a.array(), b.array(), {}, y.array());
  record("matmul", {a, b}, {a, b}, {&y}, [ta, tb](const VjpContext& c) {
    const Tensor &g = c.g(), &a = c[0], &b = c[1];
    Tensor ga, gb;
    if (c.need(0)) ga = ta ? matmul(b, g, tb, true) : matmul(g, b, false, !tb);
    if (c.need(1)) gb = tb ? matmul(g, a, true, ta) : matmul(a, g, !ta, false);
    return Tensors{ga, gb};
  });
  return y;
}

Tensor linear(const Tensor& x, const Tensor& w, const Tensor& bias) {
  require(x.shape.rank() == 2 && w.shape.rank() == 2 && x.dtype == w.dtype && x.shape[1] == w.shape[1],
          "linear: ", name_of(x.dtype), x.shape, " does not fit weights ", name_of(w.dtype), w.shape);
  require(!bias || (bias.shape == Shape{w.shape[0]} && bias.dtype == w.dtype), "linear: weights ", w.shape,
          " do not fit bias ", bias.shape);
  Tensor y = empty(x.backend(), {x.shape[0], w.shape[0]}, x.dtype);
  x.backend().gemm(false, true, x.shape[0], w.shape[0], x.shape[1], x.array(), w.array(), bias.array(), y.array());
  record("linear", {x, w, bias}, {x, w}, {&y}, [](const VjpContext& c) {
    return Tensors{c.need(0) ? matmul(c.g(), c[1]) : Tensor{},
                   c.need(1) ? matmul(c.g(), c[0], true, false, c.place(1)) : Tensor{},
                   c.need(2) ? sum_over_rows(c.g(), c.place(2)) : Tensor{}};
  });
  return y;
}

namespace {

/// gx = g m and gm = the sum over rows of g x, in one pass over g and x.
struct MaskGradients {
  Tensor gx, gm;
};

MaskGradients mask_backward(const Tensor& g, const Tensor& x, const Tensor& m) {
  MaskGradients out{empty_like(x), empty_like(m)};
  x.backend().mask_backward(x.rows(), x.cols(), g.array(), x.array(), m.array(), out.gx.array(), out.gm.array());
  record("mask_backward", {g, x, m}, {g, x, m}, {&out.gx, &out.gm}, [](const VjpContext& c) {
    const Tensor &a = c.g(0), &b = c.g(1), &g = c[0], &x = c[1], &m = c[2];
    Tensor dg, dx, dm;
    if (c.need(0) && a) dg = mask_scale(a, m);
    if (c.need(0) && b) dg = dg ? dg + mask_scale(x, b) : mask_scale(x, b);
    if (c.need(1) && b) dx = mask_scale(g, b);
    if (c.need(2) && a) dm = dot_rows(a, g);
    return Tensors{dg, dx, dm};
  });
  return out;
}

}  // namespace

Tensor mask_scale(const Tensor& x, const Tensor& m) {
  require(m.shape == Shape{x.cols()} && m.dtype == x.dtype, "mask_scale: ", name_of(x.dtype), x.shape,
          " does not fit a mask ", name_of(m.dtype), m.shape);
  Tensor y = empty_like(x);
  x.backend().map(Map::mul, x.rows(), x.cols(), {x.array()}, {m.array(), Repeat::over_rows}, 1, 1, y.array());
  record("mask_scale", {x, m}, {x, m}, {&y}, [](const VjpContext& c) {
    if (c.need(0) && c.need(1)) {
      const MaskGradients both = mask_backward(c.g(), c[0], c[1]);
      return Tensors{both.gx, both.gm};
    }
    return Tensors{c.need(0) ? mask_scale(c.g(), c[1]) : Tensor{}, c.need(1) ? dot_rows(c.g(), c[0]) : Tensor{}};
  });
  return y;
}

}  // namespace vergence
