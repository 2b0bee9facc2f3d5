// How many dimensions the features use: measures of collapse that need no labels.
//
// RankMe: Garrido, Balestriero, Najman, LeCun, "RankMe: assessing the downstream performance of pretrained
// self-supervised representations by their rank", ICML 2023. The deviation per dimension: Chen, He, "Exploring simple
// Siamese representation learning", CVPR 2021.
#pragma once

#include <cstdint>
#include <vector>

#include "ssl/evaluation/features/matrix.h"

namespace vergence {

/// Returns the eigenvalues of a symmetric matrix A [size, size] in ascending order, by Eigen; reads one triangle. Their
/// errors are of the order of size epsilon |A|. Throws Error if A is not square or the iteration fails.
std::vector<double> symmetric_eigenvalues(const std::vector<double>& matrix, std::int64_t size);

/// Returns the min(rows, dim) singular values of the uncentered features, in descending order. They are roots of the
/// eigenvalues of the smaller Gram matrix, in f64, so values below 1e-8 of the largest are noise.
std::vector<double> singular_values(const Features& features);

/// exp(- sum_k p_k log p_k) with p_k = s_k / sum_j s_j + 1e-7: from about 1 to the number of singular values.
double rank_me(const std::vector<double>& singular_values);

struct Collapse {
  double rank_me = 0;  // of the uncentered features
  double std = 0;  // mean over dimensions of the standard deviation of unit-length features, times sqrt(dim); 0 to 1
};

/// Throws UsageError if features are empty or not finite.
Collapse collapse_of(const Features& features);

}  // namespace vergence
