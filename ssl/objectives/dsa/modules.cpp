#include "ssl/objectives/dsa/modules.h"

#include <cmath>
#include <numeric>

#include "engine/ops/ops.h"

namespace vergence {
namespace {

constexpr double min_sum = 1e-12;

Tensor identity_matrix(Backend& backend, std::int64_t n, DType dtype) {
  std::vector<std::int32_t> places(static_cast<std::size_t>(n));
  std::iota(places.begin(), places.end(), 0);
  return scatter_along_row(full(backend, {n}, 1, dtype), from_indices(backend, places), n);
}

/// 1 where x > 0, else 0.
Tensor is_positive(const Tensor& x) { return relu_mask(full(x.backend(), x.shape, 1, x.dtype), x); }

}  // namespace

void Arranging::each(const Visit& visit, const std::string& prefix) {
  first.each(visit, prefix);
  second.each(visit, prefix);
}

Tensor Arranging::operator()(const Tensor& p, const Tensor& q) const {
  const std::int64_t width = p.cols();
  Tensor left, right;
  if (mode == ArrangingMode::concat) {
    left = linear(p, slice(first.w, 1, 0, width), first.bias);
    right = linear(q, slice(first.w, 1, width, width));
  } else {
    const Tensor sums = clamp_min(pair_l1(p, q), min_sum);
    left = linear(p / sums, first.w, first.bias);
    right = neg(linear(q / sums, first.w));
  }
  const Tensor scores = pair_scores(left, right, second.w, second.bias);
  const Tensor matrix = output == ArrangingOutput::sigmoid ? sigmoid(scores) : relu(scores);
  return mode == ArrangingMode::concat ? matrix : matrix / clamp_min(sum_cols(matrix), min_sum);
}

double Arranging::flops(std::int64_t rows) const {
  const auto n = static_cast<double>(rows), width = static_cast<double>(second.w.cols());
  return 4 * n * width * width + 4 * n * n * width;
}

Arranging make_arranging(ArrangingMode mode, ArrangingOutput output, std::int64_t width, const Init& init) {
  const std::int64_t in = mode == ArrangingMode::concat ? 2 * width : width;
  return {mode, output, make_linear(init, "arranging.0", in, width), make_linear(init, "arranging.2", width, 1)};
}

Tensor neighbors(const Tensor& u, std::int64_t count) {
  const std::int64_t n = u.rows();
  require_usage(count >= 1 && count < n, "neighbors: expected 1 to ", n - 1, " of ", n, " images, got ", count);
  const Tensor rows = l2_normalize(cast(u.detached(), DType::f64));
  // Adding 3 2^21 rounds cosines to multiples of 2^-30, the spacing of doubles there. Subtracting a small multiple of j
  // then makes every candidate's key distinct; all are above 0.
  constexpr double shift = 3 * 0x1p21, step = 0x1p-48;
  require(n < std::int64_t{1} << 18, "neighbors: too many images: ", n);
  std::vector<double> places(static_cast<std::size_t>(n));
  for (std::size_t j = 0; j < places.size(); ++j) places[j] = step * static_cast<double>(j);
  const Tensor self = identity_matrix(u.backend(), n, DType::f64);
  const Tensor rounded = matmul(rows, rows, false, true) + shift + (2 - shift);
  const Tensor keys = rounded - from_values(u.backend(), {n}, places);
  Tensor left = keys * (1 - self);  // 0: no longer a candidate
  for (std::int64_t round = 0; round < count; ++round) left = relu_mask(left, max_cols(left) - left);
  return 1 - (is_positive(left) + self);
}

Tensor anchor_scores(const Tensor& graph, std::int64_t count, std::int64_t common) {
  const Tensor both = transpose(matmul(graph, graph));  // ij: how many neighbors of j have i as their neighbor
  return sum_cols(relu_mask(graph, both - static_cast<double>(common))) / static_cast<double>(count);
}

Tensor attracted_share(const Blocks& matrices) {
  const std::int64_t n = matrices[0].rows();
  const Tensor others = 1 - identity_matrix(matrices[0].backend(), n, matrices[0].dtype);
  Tensor attracted;
  for (const Tensor& matrix : matrices) {
    const Tensor counted = sum(is_positive(matrix.detached() - 0.5) * others);
    attracted = attracted ? attracted + counted : counted;
  }
  return attracted / (4 * static_cast<double>(n * (n - 1)));
}

Tensor off_diagonal_quantile(const Tensors& matrices, double q, double high) {
  const std::int64_t n = matrices.at(0).rows();
  Backend& backend = matrices[0].backend();
  const DType dtype = matrices[0].dtype;
  const Tensor away = 2 * high * identity_matrix(backend, n, dtype);  // never counted
  Tensors parts;
  for (const Tensor& matrix : matrices) parts.push_back(matrix.detached() + away);
  const Tensor all = concat(parts, 0);
  const double entries = static_cast<double>(matrices.size()) * static_cast<double>(n * (n - 1));
  const double wanted = std::max(1.0, std::ceil(q * entries)), diagonal = static_cast<double>(all.rows());
  Tensor low = zeros(backend, {1}, dtype);
  double width = high;
  for (int halving = 0; halving < 24; ++halving) {
    width /= 2;
    const Tensor middle = low + width;
    const Tensor above = reshape(sum(is_positive(all - middle)), {1});  // includes the diagonals
    // Too few entries are at or below the middle, so the quantile is above it.
    low = low + width * is_positive(above - (diagonal + entries - wanted + 0.5));
  }
  return low + width;
}

}  // namespace vergence
