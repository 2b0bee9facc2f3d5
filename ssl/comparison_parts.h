// How the two estimators of a meta gradient agree, for the log.
#pragma once

#include "engine/bilevel.h"
#include "ssl/step.h"

namespace vergence {

/// Appends BilevelOptions::compare's figures, if there are any.
inline void append_comparison(const MetaGradient& meta, Parts& parts) {
  if (!meta.comparison) return;
  parts.emplace_back("exact_product_norm", meta.comparison->exact_norm);
  parts.emplace_back("difference_product_norm", meta.comparison->finite_difference_norm);
  parts.emplace_back("product_cosine", meta.comparison->cosine);
}

}  // namespace vergence
