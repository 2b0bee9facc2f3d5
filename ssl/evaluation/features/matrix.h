// A data set as an encoder sees it: one feature vector and, where it has labels, one label per image, in the memory of
// the host.
#pragma once

#include <cstdint>
#include <vector>

namespace vergence {

struct Features {
  std::int64_t dim = 0;              // length of a feature vector
  std::int64_t classes = 0;          // labels lie in [0, classes)
  std::vector<float> values;         // [rows(), dim], row-major, in the order of the data set
  std::vector<std::int32_t> labels;  // [rows()], or empty: there are none

  std::int64_t rows() const { return dim > 0 ? static_cast<std::int64_t>(values.size()) / dim : 0; }
  const float* row(std::int64_t index) const { return values.data() + index * dim; }
};

/// Throws UsageError, beginning with `where`, unless there is a row, the sizes agree, every label there is lies in
/// [0, classes) and every value is finite.
void check_features(const Features& features, const char* where);

/// The same, and unless there are labels.
void check_labeled(const Features& features, const char* where);

/// The rows at unit length, x / max(|x|, 1e-12), in f64: [rows, dim].
std::vector<double> unit_rows(const Features& features);

}  // namespace vergence
