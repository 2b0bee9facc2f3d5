// The options of ICL-MSR.
#pragma once

#include <cstdint>
#include <string>

#include "engine/bilevel.h"
#include "engine/optimizer.h"
#include "models/encoder.h"
#include "ssl/objectives/icl_msr/regularizer.h"
#include "ssl/options/builder.h"
#include "ssl/options/options.h"

namespace vergence {

/// The quantity that is averaged over strata.
enum class StrataAverage { likelihood, log_likelihood };
/// How the regularizer is trained: by its effect after a virtual step, by the step's own loss, or not at all.
enum class RegularizerTraining { meta, ordinary, fixed };
/// The views of the outer loss, after the virtual step.
enum class OuterViews { same, fresh };

struct IclMsrOptions {
  std::string base = "simclr";
  // ---- the loss under interventions
  double lambda = 1;
  bool normalize = true;
  std::int64_t strata = 8;
  StrataAverage average = StrataAverage::likelihood;
  bool streaming = true;
  // ---- the regularizer
  RegularizerBuild build = RegularizerBuild::features;
  RegularizerTraining train = RegularizerTraining::meta;
  std::int64_t hidden = 256;
  double initial_deviation = 0, gamma = 0.001;
  // ---- how it is trained
  std::int64_t every = 1;
  double virtual_lr = 0, radius = 0.01;
  OuterViews outer_views = OuterViews::fresh;
  SecondOrder second_order = SecondOrder::exact;
  bool compare = false;
  OptimizerKind meta_optimizer = OptimizerKind::adam;
  double meta_lr = 1e-3, meta_momentum = 0.9, meta_weight_decay = 0;

  /// Whether there is a uniformity term; it compares strata, so it needs two.
  bool has_uniformity() const { return gamma > 0 && strata > 1; }
  /// The factor on base loss + lambda (loss under the strata).
  double scale() const { return normalize ? 1 / (1 + lambda) : 1; }
  /// Whether the result depends on the contrastive part of the meta-gradient.
  bool is_bilevel() const {
    return train == RegularizerTraining::meta && lambda > 0 && second_order != SecondOrder::none;
  }
};

/// Returns the settings for this encoder's features and images.
RegularizerSettings regularizer_settings(const IclMsrOptions& options, const EncoderSettings& encoder);
OptimizerSettings meta_optimizer_settings(const IclMsrOptions& options);
BilevelOptions bilevel_options(const IclMsrOptions& options);
/// Returns virtual_lr. Its default 0 means: with SGD lr / (1 - momentum) at the batch's full rate, as far as a constant
/// gradient moves the weights in total; with other optimizers, whose steps do not grow with the gradient, 0.5.
double virtual_rate(const IclMsrOptions& options, const Options& run);

void declare_icl_msr(OptionBuilder& builder);

}  // namespace vergence
