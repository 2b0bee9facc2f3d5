// The two modules of DSA (Song, Qiang, Zheng, Sun, Xiong: "On the discriminability of self-supervised representation
// learning", arXiv 2407.13541). The arranging module predicts which pairs of a batch should be alike; the scoring
// module rates how reliable an image's neighborhood in another feature space is.
#pragma once

#include <string>

#include "models/layers.h"
#include "ssl/objectives/dsa/loss.h"
#include "ssl/objectives/dsa/pairs.h"

namespace vergence {

enum class ArrangingMode { concat, diff_l1 };
enum class ArrangingOutput { sigmoid, relu };

/// M_ij = f(p_i, q_j): a perceptron of one hidden layer over pairs of embeddings.
///   concat   f([p_i; q_j]). The first layer splits into A p_i + B q_j + c: two products of N rows.
///   diff_l1  f((p_i - q_j) / n), n_c = sum_ij |p_ic - q_jc| (at least 1e-12); then each row of M is divided by its sum
///            (at least 1e-12). The form of the authors' code.
struct Arranging {
  ArrangingMode mode = ArrangingMode::concat;
  ArrangingOutput output = ArrangingOutput::sigmoid;
  Linear first, second;  // [e, 2e] or [e, e]; [1, e]

  void each(const Visit& visit, const std::string& prefix = "");
  /// p, q [N, e] -> [N, N].
  Tensor operator()(const Tensor& p, const Tensor& q) const;
  /// FLOPs of one call for N rows: two per multiply-add.
  double flops(std::int64_t rows) const;
};

/// Makes a module for embeddings of `width` values; parameter names start with "arranging.0" and "arranging.2".
Arranging make_arranging(ArrangingMode mode, ArrangingOutput output, std::int64_t width, const Init& init);

/// Returns the neighbor graph [N, N], f64, a constant: 1 where j is among the `count` rows with the largest cosine to
/// row i of u [N, d], without i itself, else 0. Cosines are rounded to multiples of 2^-30; of equal ones the lower j
/// comes first. Throws UsageError unless 1 <= count < N.
Tensor neighbors(const Tensor& u, std::int64_t count);

/// Returns the reliability of each image, in [0, 1]: the share of its neighbors j such that more than `common`
/// neighbors of j also have the image as a neighbor. graph: the result of `neighbors`. [N, 1], f64, a constant.
Tensor anchor_scores(const Tensor& graph, std::int64_t count, std::int64_t common);

/// Returns the share of pairs of different images to attract: of the off-diagonal entries of square matrices, those
/// above 1/2. Rank 0, a constant.
Tensor attracted_share(const Blocks& matrices);

/// Returns the `q` quantile of the off-diagonal entries of square matrices, [1]: the smallest entry x such that at
/// least a share `q` of these entries are <= x. Accurate to 2^-24 of `high`, an upper bound. Bisects on the device, so
/// the host never waits.
Tensor off_diagonal_quantile(const Tensors& matrices, double q, double high);

}  // namespace vergence
