// Alignment and uniformity: Wang, Isola, "Understanding contrastive representation learning through alignment and
// uniformity on the hypersphere", ICML 2020. Both use unit-length features; for both, smaller is better.
#pragma once

#include "kernels/backend.h"
#include "ssl/evaluation/features/matrix.h"

namespace vergence {

/// Returns the mean over images of |x - y|^alpha, where x and y (the same row) are the features of two views of an
/// image: 0 to 2^alpha. Throws UsageError unless both have the same size and are finite.
double alignment_of(const Features& first, const Features& second, double alpha = 2);

/// Returns the log of the mean over pairs of different images of exp(-t |x - x'|^2): -4 t to 0. Computes products in
/// f32 on `backend` and sums in f64. Throws UsageError for fewer than two images.
double uniformity_of(const Features& features, Backend& backend, double t = 2);

}  // namespace vergence
