// Object or background? Trains classifiers on the features of layered images in one form and tests them on another:
// full images, only the shape, only the background, the shape on another image's background. Also measures per image
// whether the prediction changes with the background. After the foreground test of Qiang, Li, Zheng, Su, Xiong:
// "Interventional contrastive learning with meta semantic regularizer", ICML 2022, whose procedure we do not know in
// detail.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "datasets/shapes/layered_images.h"
#include "ssl/evaluation/features/features.h"
#include "ssl/evaluation/probes/probe.h"

namespace vergence {

/// How predictions change when the shapes move to the backgrounds of other images. All in percent.
struct BackgroundSwap {
  double full = 0, repaired = 0;  // top-1 before and after
  double changed = 0;             // share of images whose prediction differs afterwards
  double followed = 0;            // share of those now predicted as the new background's family; NaN if there are none

  double drop() const { return full - repaired; }
};

/// Takes the classes, the families of the new backgrounds and the predictions of the same images, at least one. A
/// prediction of -1 is never a hit.
BackgroundSwap swap_of(const std::vector<std::int32_t>& labels, const std::vector<std::int32_t>& new_families,
                       const std::vector<std::int32_t>& before, const std::vector<std::int32_t>& after);

/// Top-1 in percent; row: the training form, column: the test form.
struct ForegroundMatrix {
  static constexpr std::array<ImageVersion, 2> train{ImageVersion::full, ImageVersion::foreground_only};
  static constexpr std::array<ImageVersion, 4> test{ImageVersion::full, ImageVersion::foreground_only,
                                                    ImageVersion::background_only, ImageVersion::repaired};
  using Rows = std::array<std::array<double, test.size()>, train.size()>;
  Rows linear_probe{}, knn_cosine_200{}, knn_euclidean_5{};
  std::int64_t k = 0;   // of knn_cosine_200: 200, or fewer with fewer training images
  BackgroundSwap swap;  // of the linear probe trained on full images
};

/// Trains on `train` (also kNN's bank) and tests on `test`; `limit` > 0: only on the first `limit` images of each.
ForegroundMatrix foreground_matrix(const Encode& encode, const LayeredSplit& train, const LayeredSplit& test,
                                   std::int64_t limit, const ExtractSettings& extract, const ProbeSettings& probe,
                                   Backend& backend);

}  // namespace vergence
