// Alignment and uniformity: Wang, Isola, "Understanding contrastive representation learning through alignment and
// uniformity on the hypersphere", ICML 2020. Both on features of unit length, both the smaller the better.
#pragma once

#include "kernels/backend.h"
#include "ssl/evaluation/features/matrix.h"

namespace vergence {

/// The mean over images of |x - y|^alpha, x and y the features of two views of the image in the same row: 0 to
/// 2^alpha. Throws UsageError unless both have the same size and are finite.
double alignment_of(const Features& first, const Features& second, double alpha = 2);

/// The logarithm of the mean over pairs of different images of exp(-t |x - x'|^2): -4 t to 0. Products of f32 on
/// `backend`, sums in f64. Throws UsageError if there are fewer than two images.
double uniformity_of(const Features& features, Backend& backend, double t = 2);

}  // namespace vergence
