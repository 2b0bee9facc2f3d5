// The losses of the joint-embedding objectives, built from differentiable ops, so that gradients of any order work.
// They upload nothing to the device, so that a step can be recorded.
//
// All take the embeddings of both views in one tensor [2N, D]: rows 0 … N-1 are the first view of the N images, rows
// N … 2N-1 the second view of the same images in the same order. All return a rank-0 tensor.
#pragma once

#include "engine/tensor.h"

namespace vergence {

/// One view's half of the rows [2N, ...]: the first (0) or the second (1).
Tensor view(const Tensor& both, int which);

/// NT-Xent (Chen, Kornblith, Norouzi, Hinton, "A simple framework for contrastive learning of visual representations",
/// ICML 2020): the cross-entropy of finding each row's other view among the 2N-1 other rows by cosine similarity /
/// temperature, averaged over the 2N anchors. Throws UsageError unless N >= 2 and temperature > 0.
Tensor nt_xent(const Tensor& z, double temperature);

/// NT-Xent with the likelihood averaged over T equally likely interventions (strata), z [T, 2N, D]: the mean over
/// anchors i of -log((p_1i + ... + p_Ti) / T), where p_ti is the likelihood of row i in stratum t as in nt_xent. Our
/// formula for ICL-MSR (docs/objectives/icl_msr.md). Throws UsageError unless N >= 2 and temperature > 0.
Tensor stratified_nt_xent(const Tensor& z, double temperature);

/// The same from the log likelihoods log p_ti [T, R]: -mean_i log((p_1i + ... + p_Ti) / T).
Tensor averaged_likelihood_loss(const Tensor& log_p);

struct BarlowTwinsLoss {
  double lambda = 5e-3;  // weight of the terms off the diagonal
  double scale = 1;      // factor on the whole loss
  /// false: (z - mean) / sqrt(biased variance + epsilon), a batch norm without affine part (epsilon 1e-5: solo-learn).
  /// true: (z - mean) / (unbiased deviation + epsilon), the form of the public MetaMask code (there epsilon is 0).
  bool unbiased = false;
  double epsilon = 1e-5;
};

/// Standardizes each view per column as `options` say: [2N, D] -> [2N, D].
Tensor standardize_views(const Tensor& z, const BarlowTwinsLoss& options);

/// Barlow Twins (Zbontar, Jing, Misra, LeCun, Deny, "Barlow Twins: self-supervised learning via redundancy reduction",
/// ICML 2021): C = z1^T z2 / N of the standardized views; scale (sum_i (C_ii - 1)^2 + lambda sum_{i != j} C_ij^2).
/// Forms the D x D matrix only if N is at least 3/5 D. Throws UsageError unless N >= 2.
Tensor barlow_twins(const Tensor& z, const BarlowTwinsLoss& options = {});

/// The two summands of Barlow Twins' loss, scaled and weighted.
struct BarlowTwinsParts {
  Tensor invariance, redundancy;  // of the diagonal, off the diagonal
};
BarlowTwinsParts barlow_twins_parts(const Tensor& z, const BarlowTwinsLoss& options = {});

/// BYOL (Grill et al., "Bootstrap your own latent", NeurIPS 2020): the mean over images of 2 - 2 cos(prediction of one
/// view, target of the other), summed over both directions: 0 to 8. Takes `target` as a constant.
Tensor byol(const Tensor& prediction, const Tensor& target);

}  // namespace vergence
