// kNN by cosine for many k and temperatures at once, from one search for the most neighbors that any k needs.
#pragma once

#include <cstdint>
#include <vector>

#include "kernels/backend.h"
#include "ssl/evaluation/features/matrix.h"
#include "ssl/evaluation/neighbors/knn.h"

namespace vergence {

/// Returns the forms of the sweep: k in {1, 5, 10, 20, 50, 100, 200}, ascending, each with temperatures 0.02, 0.05,
/// 0.07, 0.1, 0.2, 0.5 and last 0, the majority.
std::vector<KnnForm> knn_sweep_forms();

struct KnnSweep {
  std::vector<KnnForm> forms;
  /// Top-1 in percent of the bank's held-out tenth, whose neighbors come from the other nine tenths.
  std::vector<double> held_out;
  std::int64_t held_out_images = 0;
  std::vector<KnnResult> judged;  // of the judged images, with the whole bank
  std::size_t best = 0;           // the highest of `held_out`; of equal ones the first
};

/// Chooses a form on the bank's held-out tenth (ssl/evaluation/sampling/subset.h) and computes all on the judged
/// images.
KnnSweep knn_sweep(const Features& bank, const Features& query, Backend& backend);

}  // namespace vergence
