// Checks of feature matrices.
#include "ssl/evaluation/features/matrix.h"

#include <algorithm>
#include <atomic>
#include <cmath>

#include "kernels/error.h"
#include "kernels/parallel.h"

namespace vergence {

void check_features(const Features& features, const char* where) {
  const std::int64_t rows = features.rows();
  require_usage(rows > 0, where, ": there are no images");
  require(static_cast<std::int64_t>(features.values.size()) == rows * features.dim, where, ": ", features.values.size(),
          " values, expected rows of ", features.dim);
  const auto labels = static_cast<std::int64_t>(features.labels.size());
  require(labels == 0 || labels == rows, where, ": ", labels, " labels, expected ", rows, ", one per image");
  for (std::int64_t i = 0; i < labels; ++i) {
    const std::int32_t label = features.labels[static_cast<std::size_t>(i)];
    require_usage(label >= 0 && label < features.classes, where, ": image ", i, " has label ", label,
                  ", expected 0 to ", features.classes - 1);
  }
  std::atomic<bool> finite = true;
  parallel_for(rows, 256, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin * features.dim; i < end * features.dim; ++i)
      if (!std::isfinite(features.values[static_cast<std::size_t>(i)])) finite = false;
  });
  require_usage(finite, where, ": the encoder's features are not all finite numbers");
}

void check_labeled(const Features& features, const char* where) {
  check_features(features, where);
  require_usage(!features.labels.empty(), where, ": there are no labels, which this evaluation needs");
}

Features rows_at(const Features& features, const std::vector<std::int64_t>& indices) {
  Features chosen{features.dim, features.classes, {}, {}};
  for (const std::int64_t index : indices) {
    chosen.values.insert(chosen.values.end(), features.row(index), features.row(index + 1));
    if (!features.labels.empty()) chosen.labels.push_back(features.labels[static_cast<std::size_t>(index)]);
  }
  return chosen;
}

std::vector<double> unit_rows(const Features& features) {
  std::vector<double> unit(features.values.begin(), features.values.end());
  const std::int64_t dim = features.dim;
  parallel_for(features.rows(), 64, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      double* row = unit.data() + i * dim;
      double squared = 0;
      for (std::int64_t j = 0; j < dim; ++j) squared += row[j] * row[j];
      const double inverse = 1 / std::max(std::sqrt(squared), 1e-12);
      for (std::int64_t j = 0; j < dim; ++j) row[j] *= inverse;
    }
  });
  return unit;
}

}  // namespace vergence
