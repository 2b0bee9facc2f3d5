// A data set as an encoder sees it: one feature vector per image, and one label if there are labels, in host memory.
#pragma once

#include <cstdint>
#include <vector>

namespace vergence {

struct Features {
  std::int64_t dim = 0;              // length of a feature vector
  std::int64_t classes = 0;          // labels are in [0, classes)
  std::vector<float> values;         // [rows(), dim], row-major, in data set order
  std::vector<std::int32_t> labels;  // [rows()], or empty without labels

  std::int64_t rows() const { return dim > 0 ? static_cast<std::int64_t>(values.size()) / dim : 0; }
  const float* row(std::int64_t index) const { return values.data() + index * dim; }
};

/// Throws UsageError, starting with `where`, unless there is at least one row, the sizes agree, every label is in [0,
/// classes) and every value is finite.
void check_features(const Features& features, const char* where);

/// The same, and also throws if there are no labels.
void check_labeled(const Features& features, const char* where);

/// Returns the rows at these indices, with their labels.
Features rows_at(const Features& features, const std::vector<std::int64_t>& indices);

/// Returns the rows scaled to unit length, x / max(|x|, 1e-12), in f64: [rows, dim].
std::vector<double> unit_rows(const Features& features);

}  // namespace vergence
