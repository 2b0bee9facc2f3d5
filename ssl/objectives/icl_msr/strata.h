// The loss of ICL-MSR under interventions (Qiang, Li, Zheng, Su, Xiong: "Interventional contrastive learning with meta
// semantic regularizer", ICML 2022). A stratum holds the semantics of an image's surroundings fixed: it multiplies all
// features by one vector of channel weights. The formulas are our reconstruction: docs/objectives/icl_msr.md.
#pragma once

#include <functional>

#include "engine/tensor.h"

namespace vergence {

/// The loss of one stratum: a pure function of the tensors that all strata share (features, the heads' weights) and of
/// the stratum's channel weights [C]. Returns either log likelihoods, one per anchor [R], or a loss, rank 0.
using Stratum = std::function<Tensor(const Tensors& shared, const Tensor& weights)>;

/// Computes the loss over the rows of `weights` [T, C], one stratum after the other, rank 0: averaged_likelihood_loss
/// of log likelihoods (minus the mean log of the likelihood averaged over strata), or the mean of losses. Keeps only
/// the result of each stratum; backward and double backward pass run `stratum` again, so memory holds the intermediate
/// results of a single stratum. Differentiable twice.
///
///   With y_ti the log likelihood of anchor i and r_ti = exp(y_ti) / sum_s exp(y_si), stratum t's posterior:
///   backward           the gradient of stratum t has the cotangent -r_ti / R
///   double backward    with y' the derivative along the cotangents of those gradients, stratum t contributes the
///                      gradients of  -1/R sum_i r_ti y'_ti  and of y_ti with the cotangent -r'_ti / R, where
///                      r'_ti = r_ti (y'_ti - sum_s r_si y'_si): two more passes, since r' needs all strata
Tensor streamed_loss(const Stratum& stratum, const Tensors& shared, const Tensor& weights);

/// How alike the strata are: the log of the mean over pairs of exp(-2 |a_t - a_s|^2), rows of `weights` [T, C] at unit
/// length (Wang, Isola: "Understanding contrastive representation learning through alignment and uniformity on the
/// hypersphere", ICML 2020). 0 if all are alike, negative if they differ; T >= 2. Rank 0.
Tensor uniformity(const Tensor& weights);

/// The standard deviation of each channel's weight over the strata, averaged over channels. Rank 0, for the log.
Tensor spread(const Tensor& weights);

}  // namespace vergence
