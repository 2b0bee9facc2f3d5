// Losses as compositions of ops; losses.h has the formulas.
#include "ssl/losses.h"

#include <cmath>

#include "engine/ops/loss.h"
#include "engine/ops/ops.h"

namespace vergence {
namespace {

/// The number of images N behind both views [2N, D].
std::int64_t images_of(const char* loss, const Tensor& z, std::int64_t least) {
  require_usage(z.shape.rank() == 2 && z.rows() % 2 == 0, loss, ": expected both views as [2N, D], got ", z.shape);
  require_usage(z.rows() >= 2 * least, loss, ": expected at least ", least, " images, got ", z.rows() / 2);
  return z.rows() / 2;
}

void require_temperature(const char* loss, double temperature) {
  require_usage(temperature > 0, loss, ": expected a temperature above 0, got ", temperature);
}

/// (z - mean) / (unbiased deviation + epsilon) per column.
Tensor standardize_unbiased(const Tensor& z, double epsilon) {
  const auto n = static_cast<double>(z.rows());
  const Tensor centered = z - sum_over_rows(z) / n;
  // A constant column has deviation 0, where the square root has no derivative: the clamp makes it 0 there.
  const Tensor variance = clamp_min(dot_rows(centered, centered) / (n - 1), 1e-30);
  return centered / (sqrt(variance) + epsilon);
}

}  // namespace

Tensor view(const Tensor& both, int which) {
  const std::int64_t rows = both.shape[0] / 2;
  return slice(both, 0, which * rows, rows);
}

Tensor nt_xent(const Tensor& z, double temperature) {
  images_of("nt_xent", z, 2);
  require_temperature("nt_xent", temperature);
  const Tensor log_p = info_nce(l2_normalize(z), temperature);
  return scaled_sum(log_p, -1.0 / static_cast<double>(log_p.size()));
}

Tensor stratified_nt_xent(const Tensor& z, double temperature) {
  require_usage(z.shape.rank() == 3 && z.shape[0] >= 1 && z.shape[1] >= 4 && z.shape[1] % 2 == 0,
                "stratified_nt_xent: expected both views of at least 2 images in each stratum as [T, 2N, D], got ",
                z.shape);
  require_temperature("stratified_nt_xent", temperature);
  return averaged_likelihood_loss(info_nce(l2_normalize(z), temperature));
}

Tensor averaged_likelihood_loss(const Tensor& log_p) {
  require(log_p.shape.rank() == 2 && log_p.size() > 0, "averaged_likelihood_loss: expected [T, R], got ", log_p.shape);
  const Tensor by_anchor = transpose(log_p), most = max_cols(by_anchor);
  const Tensor log_sum = log(sum_cols(exp(by_anchor - most))) + most;
  return std::log(static_cast<double>(log_p.shape[0])) - mean(log_sum);
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
  const CrossCorrelationLoss loss = cross_correlation_loss(standardize_views(z, options));
  return {options.scale * loss.diagonal, options.scale * options.lambda * loss.off_diagonal};
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
