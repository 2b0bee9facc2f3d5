#include "ssl/objectives/dsa/pairs.h"

#include <algorithm>

#include "engine/graph.h"
#include "engine/ops/ops.h"

namespace vergence {
namespace {

void require_pair(const char* op, const Tensor& left, const Tensor& right) {
  require(left.shape.rank() == 2 && right.shape.rank() == 2 && left.cols() == right.cols() &&
              left.dtype == right.dtype && left.size() > 0 && right.size() > 0,
          op, ": ", name_of(left.dtype), left.shape, " and ", name_of(right.dtype), right.shape, " do not pair");
}

/// Calls f(first row, rows) for consecutive parts of the rows of `left`.
template <class F>
void each_part(const Tensor& left, const Tensor& right, std::int64_t values, const F& f) {
  // A CPU wants parts that fit its cache; a wide device wants large ones, to fill its units with few launches.
  if (values == 0) values = left.backend().traits().wide ? 1 << 23 : 1 << 18;
  const std::int64_t most = std::max<std::int64_t>(1, values / right.size());
  for (std::int64_t first = 0; first < left.rows(); first += most) f(first, std::min(most, left.rows() - first));
}

/// left_ic + right_jc for all (i, c, j): [rows e, M].
Tensor pair_sums(const Tensor& left, const Tensor& right) {
  const std::int64_t rows = left.rows(), width = left.cols(), others = right.rows();
  const Tensor repeated = broadcast(reshape(left, {rows * width, 1}), {rows * width, others});
  const Tensor flat = reshape(transpose(right), {width * others});
  return reshape(reshape(repeated, {rows, width * others}) + flat, {rows * width, others});
}

/// For x_icj of x [rows e, M]: the sums over j, [rows, e], and the sums over i, [e, M].
Tensor sums_over_right(const Tensor& x, std::int64_t rows) { return reshape(sum_cols(x), {rows, x.rows() / rows}); }
Tensor sums_over_left(const Tensor& x, std::int64_t rows) {
  const Tensor ones =
      full(x.backend(), {1, rows}, 1, x.dtype);  // few, very long rows: a matrix product sums them faster
  return reshape(matmul(ones, reshape(x, {rows, x.size() / rows})), {x.rows() / rows, x.cols()});
}

void add_to(Tensor& sum, const Tensor& x) { sum = sum ? sum + x : x; }

/// -1, 0 or 1: a constant.
Tensor sign(const Tensor& x) {
  const Tensor one = full(x.backend(), x.shape, 1, x.dtype);
  return relu_mask(one, x) - relu_mask(one, neg(x));
}

/// Sums over one side of a tensor that is made part by part.
struct SideSums {
  Tensor left;   // over j: [N, e]
  Tensor right;  // over i: [M, e]
};

/// `make(first row, rows, pair sums)` returns one part, [rows e, M].
template <class Make>
SideSums side_sums(const Tensor& left, const Tensor& right, std::int64_t values, const Make& make) {
  Tensors parts;
  Tensor from_left;
  each_part(left, right, values, [&](std::int64_t first, std::int64_t rows) {
    const Tensor part = make(first, rows, pair_sums(slice(left, 0, first, rows), right));
    parts.push_back(sums_over_right(part, rows));
    add_to(from_left, sums_over_left(part, rows));
  });
  return {concat(parts, 0), transpose(from_left)};
}

/// The cotangents of left, right, weight and bias from those of the scores. With o_icj = g_ij where the hidden unit is
/// active, the cotangent of weight_c is sum_ij o_icj (left_ic + right_jc), so the sums for the other two suffice.
Tensors pair_scores_vjp(const VjpContext& c, std::int64_t values) {
  const Tensor &g = c.g(), &left = c[0], &right = c[1], &weight = c[2];
  const std::int64_t width = left.cols(), others = right.rows();
  const SideSums open =
      side_sums(left, right, values, [&](std::int64_t first, std::int64_t rows, const Tensor& pair_sum) {
        const Tensor seeds = broadcast(reshape(slice(g, 0, first, rows), {rows * others, 1}), {rows * others, width});
        return relu_mask(reshape(transpose(reshape(seeds, {rows, others, width})), pair_sum.shape), pair_sum);
      });
  const Tensor scale = reshape(weight, {width});
  return {c.need(0) ? open.left * scale : Tensor{}, c.need(1) ? open.right * scale : Tensor{},
          c.need(2) ? reshape(dot_rows(open.left, left) + dot_rows(open.right, right), weight.shape) : Tensor{},
          c.need(3) ? reshape(sum(g), {1}) : Tensor{}};
}

Tensors pair_l1_vjp(const VjpContext& c, std::int64_t values) {
  const SideSums signs = side_sums(
      c[0], neg(c[1]), values, [](std::int64_t, std::int64_t, const Tensor& difference) { return sign(difference); });
  return {c.need(0) ? signs.left * c.g() : Tensor{}, c.need(1) ? neg(signs.right * c.g()) : Tensor{}};
}

}  // namespace

Tensor unit_distances(const Tensor& p, const Tensor& q) {
  require_pair("unit_distances", p, q);
  constexpr double least = 1e-14;  // of a squared distance; its rounding error is a hundredth of that
  const Tensor u = l2_normalize(cast(p, DType::f64)), v = l2_normalize(cast(q, DType::f64));
  const Tensor squares = -2 * matmul(u, v, false, true) + dot_cols(u, u) + reshape(dot_cols(v, v), {v.rows()});
  return relu_mask(sqrt(clamp_min(squares, least)), squares - least);
}

Tensor pair_scores(const Tensor& left, const Tensor& right, const Tensor& weight, const Tensor& bias,
                   std::int64_t values) {
  require_pair("pair_scores", left, right);
  require(weight.shape == Shape{1, left.cols()} && bias.shape == Shape{1}, "pair_scores: ", left.shape,
          " does not fit a weight ", weight.shape, " and a bias ", bias.shape);
  const std::int64_t width = left.cols(), others = right.rows();
  Tensors parts;
  each_part(left, right, values, [&](std::int64_t first, std::int64_t rows) {
    const Tensor hidden = relu(pair_sums(slice(left.detached(), 0, first, rows), right.detached()));
    const Tensor pairs = reshape(transpose(reshape(hidden, {rows, width, others})), {rows * others, width});
    parts.push_back(reshape(linear(pairs, weight.detached(), bias.detached()), {rows, others}));
  });
  Tensor scores = concat(parts, 0);
  record("pair_scores", {left, right, weight, bias}, {left, right, weight}, {&scores},
         [values](const VjpContext& c) { return pair_scores_vjp(c, values); });
  return scores;
}

Tensor pair_l1(const Tensor& left, const Tensor& right, std::int64_t values) {
  require_pair("pair_l1", left, right);
  Tensor total;
  each_part(left, right, values, [&](std::int64_t first, std::int64_t rows) {
    const Tensor apart = abs(pair_sums(slice(left.detached(), 0, first, rows), neg(right.detached())));
    add_to(total, sum_over_rows(sums_over_right(apart, rows)));
  });
  record("pair_l1", {left, right}, {left, right}, {&total},
         [values](const VjpContext& c) { return pair_l1_vjp(c, values); });
  return total;
}

}  // namespace vergence
