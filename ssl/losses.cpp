// Losses as compositions of ops; the formulas stand in losses.h.
#include "ssl/losses.h"

#include <cmath>
#include <numeric>
#include <vector>

#include "engine/ops.h"

namespace vergence {
namespace {

/// The number of images N behind both views [2N, D].
std::int64_t images_of(const char* loss, const Tensor& z, std::int64_t least) {
  require_usage(z.shape.rank() == 2 && z.rows() % 2 == 0, loss, ": expected both views as [2N, D], got ", z.shape);
  require_usage(z.rows() >= 2 * least, loss, ": expected at least ", least, " images, got ", z.rows() / 2);
  return z.rows() / 2;
}

Tensor indices(Backend& backend, std::int64_t count, std::int64_t shift) {
  std::vector<std::int32_t> values(static_cast<std::size_t>(count));
  for (std::int64_t i = 0; i < count; ++i)
    values[static_cast<std::size_t>(i)] = static_cast<std::int32_t>((i + shift) % count);
  return from_indices(backend, values);
}

Tensor view(const Tensor& z, int which) { return slice(z, 0, which * (z.rows() / 2), z.rows() / 2); }

/// (z - mean) / (unbiased deviation + epsilon) per column.
Tensor standardize_unbiased(const Tensor& z, double epsilon) {
  const auto n = static_cast<double>(z.rows());
  const Tensor centred = z - affine(sum_rows(z), 1 / n);
  // A constant column has deviation 0, where the square root has no derivative: the clamp makes it 0 there.
  const Tensor variance = clamp_min(affine(dot_rows(centred, centred), 1 / (n - 1)), 1e-30);
  return centred / affine(sqrt(variance), 1, epsilon);
}

/// |z1^T z2|^2 (Frobenius) = <z1 z1^T, z2 z2^T>: the smaller of D x D and N x N is formed. The terms of the second form
/// are at most N D^2 in sum over the diagonal; with N <= D that is the size of |z1^T z2|^2 itself for matching views.
Tensor squared_cross_correlation(const Tensor& z1, const Tensor& z2) {
  if (z1.rows() > z1.cols()) {
    const Tensor c = matmul(z1, z2, true, false);
    return dot(c, c);
  }
  return dot(matmul(z1, z1, false, true), matmul(z2, z2, false, true));
}

}  // namespace

Tensor nt_xent(const Tensor& z, double temperature) {
  const std::int64_t n = images_of("nt_xent", z, 2);
  require_usage(temperature > 0, "nt_xent: expected a temperature above 0, got ", temperature);
  const Tensor u = l2_normalize(z);
  // exp(-1e9) is 0 in every type: a row is no candidate of its own.
  const Tensor self = unpick(full(z.backend(), {2 * n}, -1e9, z.dtype), indices(z.backend(), 2 * n, 0), 2 * n);
  const Tensor logits = matmul(affine(u, 1 / temperature), u, false, true) + self;
  return cross_entropy(logits, indices(z.backend(), 2 * n, n));
}

Tensor standardize_views(const Tensor& z, const BarlowTwinsLoss& options) {
  images_of("barlow_twins", z, 2);
  if (options.unbiased)
    return concat(
        {standardize_unbiased(view(z, 0), options.epsilon), standardize_unbiased(view(z, 1), options.epsilon)}, 0);
  return batch_norm(z, {}, {}, {}, {.groups = 2, .epsilon = options.epsilon}).y;
}

Tensor barlow_twins(const Tensor& z, const BarlowTwinsLoss& options) {
  const BarlowTwinsParts parts = barlow_twins_parts(z, options);
  return parts.invariance + parts.redundancy;
}

BarlowTwinsParts barlow_twins_parts(const Tensor& z, const BarlowTwinsLoss& options) {
  const auto n = static_cast<double>(images_of("barlow_twins", z, 2));
  Tensor z1, z2;
  if (options.unbiased) {
    z1 = standardize_unbiased(view(z, 0), options.epsilon), z2 = standardize_unbiased(view(z, 1), options.epsilon);
  } else {
    const Tensor both = standardize_views(z, options);
    z1 = view(both, 0), z2 = view(both, 1);
  }
  const Tensor diagonal = affine(dot_rows(z1, z2), 1 / n);
  const Tensor off_diagonal = affine(squared_cross_correlation(z1, z2), 1 / (n * n)) - dot(diagonal, diagonal);
  return {affine(sum(square(diagonal - 1.0)), options.scale), affine(off_diagonal, options.scale * options.lambda)};
}

Tensor byol(const Tensor& prediction, const Tensor& target) {
  const std::int64_t n = images_of("byol", prediction, 1);
  require_usage(prediction.shape == target.shape, "byol: prediction ", prediction.shape, " and target ", target.shape,
                " differ");
  const Tensor z = l2_normalize(target.detached());
  const Tensor other = concat({view(z, 1), view(z, 0)}, 0);
  return affine(dot(l2_normalize(prediction), other), -2.0 / static_cast<double>(n), 4);
}

}  // namespace vergence
