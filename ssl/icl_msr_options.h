// The switches of ICL-MSR.
#pragma once

#include <cstdint>
#include <string>

#include "engine/bilevel.h"
#include "engine/optimizer.h"
#include "models/resnet.h"
#include "ssl/icl_msr_regularizer.h"
#include "ssl/option_builder.h"

namespace vergence {

struct IclMsrOptions {
  std::string base = "simclr";
  // ---- the loss under interventions
  double lambda = 1;
  std::int64_t strata = 8;
  std::string average = "likelihood";
  bool streaming = true;
  // ---- the regulariser
  std::string build = "features", train = "meta";
  std::int64_t hidden = 256;
  double initial_deviation = 0, gamma = 0.1;
  // ---- how it is trained
  std::int64_t every = 1;
  double virtual_lr = 1e-2, radius = 0.01;
  std::string outer_views = "same";
  std::string second_order = "exact";
  bool compare = false;
  std::string meta_optimizer = "adam";
  double meta_lr = 1e-3, meta_momentum = 0.9, meta_weight_decay = 0;

  /// Whether the uniformity term is there: it compares strata.
  bool is_uniform() const { return gamma > 0 && strata > 1; }
  /// Whether anything depends on the meta gradient's contrastive part.
  bool is_bilevel() const { return train == "meta" && lambda > 0 && second_order != "none"; }
};

/// For this encoder's features and images.
RegularizerSettings regularizer_settings(const IclMsrOptions& options, const ResNetSettings& encoder);
OptimizerSettings meta_optimizer_settings(const IclMsrOptions& options);
BilevelOptions bilevel_options(const IclMsrOptions& options);

void declare_icl_msr(OptionBuilder& builder);

}  // namespace vergence
