// Losses as fused ops. InfoNCE has kernels for the forward, backward and double backward passes; from order three on it
// is composed of elementary ops. The cross-correlation loss has kernels for the forward and backward passes; from order
// two on it consists of matrix products anyway.
#include "engine/ops/loss.h"

#include "engine/graph.h"
#include "engine/ops/ops.h"

namespace vergence {

namespace {

void require_master(const char* op, const Tensor& x) {
  require(x.dtype == DType::f64 || x.dtype == DType::f32, op, ": expected f32 or f64, got ", name_of(x.dtype), x.shape);
}

Tensor row_numbers(Backend& backend, std::int64_t rows, std::int64_t shift) {
  std::vector<std::int32_t> values(static_cast<std::size_t>(rows));
  for (std::int64_t i = 0; i < rows; ++i)
    values[static_cast<std::size_t>(i)] = static_cast<std::int32_t>((i + shift) % rows);
  return from_indices(backend, values);
}

/// One set's backward op, composed: gu = (E + E^T) u / temperature, E[i,j] = g[i] ([j is the positive] - p[i,j]).
Tensor composed_set(const Tensor& g, const Tensor& u, double temperature) {
  const std::int64_t rows = u.shape[0];
  // exp(-1e9) is 0 in every type: a row is not its own candidate.
  const Tensor excluded =
      scatter_along_row(full(u.backend(), {rows}, -1e9, u.dtype), row_numbers(u.backend(), rows, 0), rows);
  const Tensor v = u / temperature;
  const Tensor p = softmax(matmul(v, u, false, true) + excluded);
  const Tensor e = scatter_along_row(g, row_numbers(u.backend(), rows, rows / 2), rows) - p * reshape(g, {rows, 1});
  return matmul(e, v) + matmul(e, v, true, false);
}

Tensor info_nce_composed_backward(const Tensor& g, const Tensor& u, const InfoNceShape& shape) {
  const Tensor all_g = reshape(g, {shape.sets * shape.rows}),
               all_u = reshape(u, {shape.sets * shape.rows, shape.width});
  Tensors sets;
  for (std::int64_t set = 0; set < shape.sets; ++set)
    sets.push_back(composed_set(slice(all_g, 0, set * shape.rows, shape.rows),
                                slice(all_u, 0, set * shape.rows, shape.rows), shape.temperature));
  return reshape(concat(sets, 0), u.shape);
}

/// Third and higher orders: differentiates the composed double backward. `inputs` are a, g and u.
Tensors info_nce_double_backward_vjp(const InfoNceShape& shape, const VjpContext& c) {
  Tensors fresh;
  for (int i = 0; i < 3; ++i) fresh.push_back(c[i].node ? identity(c[i]) : leaf(c[i]));
  const Tensor gu = info_nce_composed_backward(fresh[1], fresh[2], shape);
  const Tensors second = grad({gu}, {fresh[1], fresh[2]}, {.create = true, .keep = true, .seeds = {fresh[0]}});
  return grad(second, fresh, {.create = true, .keep = true, .seeds = {c.g(0), c.g(1)}});
}

struct InfoNceSecond {
  Tensor dg, du;
};

InfoNceSecond info_nce_double_backward(const Tensor& a, const Tensor& g, const Tensor& u, const Tensor& lse,
                                       const InfoNceShape& shape, bool need_u) {
  InfoNceSecond out{empty_like(g), need_u ? empty_like(u) : Tensor{}};
  u.backend().info_nce_double_backward(shape, a.array(), g.array(), u.array(), lse.array(), out.dg.array(),
                                       out.du.array());
  record("info_nce_double_backward", {a, g, u}, {a, g, u}, {&out.dg, &out.du},
         [shape](const VjpContext& c) { return info_nce_double_backward_vjp(shape, c); });
  return out;
}

Tensor info_nce_backward(const Tensor& g, const Tensor& u, const Tensor& lse, const InfoNceShape& shape) {
  Tensor gu = empty_like(u);
  u.backend().info_nce_backward(shape, g.array(), u.array(), lse.array(), gu.array());
  record("info_nce_backward", {g, u}, {g, u, lse}, {&gu}, [shape](const VjpContext& c) {
    const InfoNceSecond d = info_nce_double_backward(c.g(), c[0], c[1], c[2], shape, c.need(1));
    return Tensors{d.dg, d.du};
  });
  return gu;
}

}  // namespace

Tensor info_nce(const Tensor& u, double temperature) {
  const int rank = u.shape.rank();
  require((rank == 2 || rank == 3) && u.cols() > 0 && u.shape[-2] > 0 && u.shape[-2] % 2 == 0,
          "info_nce: expected rows and their positives as [2N, d] or [T, 2N, d], got ", u.shape);
  require_master("info_nce", u);
  InfoNceShape shape;
  shape.sets = rank == 3 ? u.shape[0] : 1, shape.rows = u.shape[-2], shape.width = u.cols();
  shape.temperature = temperature;
  Tensor log_p = empty(u.backend(), rank == 3 ? Shape{shape.sets, shape.rows} : Shape{shape.rows}, u.dtype);
  const Tensor lse = empty_like(log_p);
  u.backend().info_nce(shape, u.array(), log_p.array(), lse.array());
  record("info_nce", {u}, {u, lse}, {&log_p},
         [shape](const VjpContext& c) { return Tensors{info_nce_backward(c.g(), c[0], c[1], shape)}; });
  return log_p;
}

namespace {

/// x y^T w, through x y^T or y^T w, whichever the shape favors.
Tensor through(const Tensor& x, const Tensor& y, const Tensor& w, bool gram) {
  return gram ? matmul(matmul(x, y, false, true), w) : matmul(x, matmul(y, w, true, false));
}

/// A view's embeddings z and the cotangent a of their gradient.
struct ViewCotangent {
  const Tensor &z, &a;
};

/// The part of the double backward for `own` that sums over all elements of the correlation matrix:
/// other other^T a_own + (other a_other^T + a_other other^T) own.
Tensor everywhere(const ViewCotangent& own, const ViewCotangent& other, bool gram) {
  if (!gram)
    return through(other.z, other.z, own.a, false) + through(other.z, other.a, own.z, false) +
           through(other.a, other.z, own.z, false);
  const Tensor mixed = matmul(other.z, other.a, false, true);
  return through(other.z, other.z, own.a, true) + matmul(mixed + transpose(mixed), own.z);
}

/// The double backward, per view and with every result times N^2 / 2. Cotangents a1, a2 of gz1, gz2.
Tensors cross_correlation_double_backward(const CrossCorrelationShape& shape, const VjpContext& c) {
  const std::int64_t n = shape.rows;
  const Tensor &alpha = c[0], &beta = c[1], &z = c[2], &a = c.g();
  const Tensor z1 = slice(z, 0, 0, n), z2 = slice(z, 0, n, n), a1 = slice(a, 0, 0, n), a2 = slice(a, 0, n, n);
  const double inverse = 1 / static_cast<double>(n), twice = 2 * inverse * inverse;
  // With c = z1^T z2 / N and t = (a1^T z2 + z1^T a2) / N, <a, gz> = sum_ij E_ij t_ij, E = 2 alpha (c - 1) on and 2 beta
  // c off the diagonal. Sums off the diagonal are sums over everything minus those on it.
  const Tensor c_ii = inverse * dot_rows(z1, z2);
  const Tensor t_ii = inverse * (dot_rows(a1, z2) + dot_rows(z1, a2));
  Tensor d_alpha, d_beta, dz;
  if (c.need(0)) d_alpha = 2 * dot(c_ii - 1.0, t_ii);
  if (c.need(1)) {
    const Tensor all = dot(a1, through(z2, z2, z1, shape.gram)) + dot(a2, through(z1, z1, z2, shape.gram));
    d_beta = twice * all - 2 * dot(c_ii, t_ii);
  }
  if (c.need(2)) {
    const Tensor by_z = (alpha - beta) * t_ii, by_a = alpha * (c_ii - 1.0) - beta * c_ii;
    const auto of_view = [&](const ViewCotangent& own, const ViewCotangent& other) {
      return twice * (everywhere(own, other, shape.gram) * beta) + 2 * inverse * (other.z * by_z + other.a * by_a);
    };
    const ViewCotangent first{z1, a1}, second{z2, a2};
    dz = concat({of_view(first, second), of_view(second, first)}, 0);
  }
  return {d_alpha, d_beta, dz};
}

Tensor cross_correlation_loss_backward(const Tensor& alpha, const Tensor& beta, const Tensor& z, const Tensor& c_ii,
                                       const Tensor& factor, const CrossCorrelationShape& shape) {
  Tensor gz = empty_like(z);
  z.backend().cross_correlation_loss_backward(shape, alpha.array(), beta.array(), z.array(), c_ii.array(),
                                              factor.array(), gz.array());
  record("cross_correlation_loss_backward", {alpha, beta, z}, {alpha, beta, z}, {&gz},
         [shape](const VjpContext& c) { return cross_correlation_double_backward(shape, c); });
  return gz;
}

}  // namespace

CrossCorrelationLoss cross_correlation_loss(const Tensor& z) {
  require(z.shape.rank() == 2 && z.shape[0] > 0 && z.shape[0] % 2 == 0 && z.cols() > 0,
          "cross_correlation_loss: expected both views as [2N, D], got ", z.shape);
  require_master("cross_correlation_loss", z);
  const CrossCorrelationShape shape = CrossCorrelationShape::of(z.shape[0] / 2, z.cols());
  CrossCorrelationLoss loss{empty(z.backend(), {}, z.dtype), empty(z.backend(), {}, z.dtype)};
  const Tensor c_ii = empty(z.backend(), {shape.cols}, z.dtype);
  const bool keep = z.node && !shape.gram;
  const Tensor factor = keep ? empty(z.backend(), {shape.cols, shape.cols}, z.dtype) : Tensor{};
  z.backend().cross_correlation_loss(shape, z.array(), loss.diagonal.array(), loss.off_diagonal.array(), c_ii.array(),
                                     factor.array());
  record("cross_correlation_loss", {z}, {z, c_ii, factor}, {&loss.diagonal, &loss.off_diagonal},
         [shape](const VjpContext& c) {
           const auto or_zero = [&](const Tensor& g) { return g ? g : zeros(c[0].backend(), {}, c[0].dtype); };
           return Tensors{cross_correlation_loss_backward(or_zero(c.g(0)), or_zero(c.g(1)), c[0], c[1], c[2], shape)};
         });
  return loss;
}

}  // namespace vergence
