#include "ssl/objectives/dsa/loss.h"

#include "engine/ops/ops.h"

namespace vergence {
namespace {

/// min(x, high); the gradient is 0 above `high`.
Tensor clamp_max(const Tensor& x, double high) { return neg(clamp_min(neg(x), -high)); }

}  // namespace

Tensor adjusting_loss(const Blocks& distances, const Blocks& matrices, const Tensor& scores, double temperature) {
  constexpr double largest_exponent = 30;
  const auto n = static_cast<double>(distances[0].rows());
  Tensor total;
  for (std::size_t block = 0; block < distances.size(); ++block) {
    const Tensor& matrix = matrices[block];
    const Tensor signs = affine(matrix, 2 / temperature, -1 / temperature);
    Tensor exponent = cast(distances[block], matrix.dtype) * signs;
    if (scores) exponent = exponent * scores;
    const Tensor terms = sum(exp(clamp_max(exponent, largest_exponent)));
    const Tensor counted = block < 2 ? terms - n : terms;  // the zero diagonal contributes N exponentials of 0
    total = total ? total + counted : counted;
  }
  return log(affine(total, 1 / (4 * n * n), 1));
}

Tensor prior_loss(const Blocks& matrices, const Blocks& prior, bool mean) {
  Tensor total;
  for (std::size_t block = 0; block < matrices.size(); ++block) {
    const Tensor difference = matrices[block] - prior[block];
    const Tensor norm = sqrt(clamp_min(dot(difference, difference), 1e-30));
    total = total ? total + norm : norm;
  }
  return mean ? 0.25 * total : total;
}

}  // namespace vergence
