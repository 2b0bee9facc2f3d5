// Object or background? Classifiers are trained on the features of confounded_shapes in one form and tested on another:
// full images, the shape alone, the texture alone, the shape on another image's texture. After the foreground test of
// Qiang, Li, Zheng, Su, Xiong: "Interventional contrastive learning with meta semantic regularizer", ICML 2022, whose
// procedure is not known to us in detail.
#pragma once

#include <array>
#include <cstdint>
#include <string>

#include "datasets/confounded_shapes.h"
#include "ssl/evaluation/features.h"
#include "ssl/evaluation/probe.h"

namespace vergence {

/// Top-1 in per cent; row: the form trained on, column: the form tested on.
struct ForegroundMatrix {
  static constexpr std::array<ShapeVersion, 2> train{ShapeVersion::full, ShapeVersion::foreground_only};
  static constexpr std::array<ShapeVersion, 4> test{ShapeVersion::full, ShapeVersion::foreground_only,
                                                    ShapeVersion::background_only, ShapeVersion::repaired};
  using Rows = std::array<std::array<double, test.size()>, train.size()>;
  Rows linear_probe{}, knn_cosine_200{}, knn_euclidean_5{};
};

/// Tests on the split `judged` and trains on its probe_split (also kNN's bank); `limit` > 0: the first images of each.
ForegroundMatrix foreground_matrix(const Encode& encode, const ShapesSettings& shapes, const std::string& judged,
                                   std::int64_t limit, const ExtractSettings& extract, const ProbeSettings& probe,
                                   Backend& backend);

}  // namespace vergence
