// k-nearest-neighbor classification on frozen features: the fastest evaluation of a representation; nothing is trained.
//
// Weighted cosine votes with k = 200 and exp(similarity / 0.1) follow Wu, Xiong, Yu, Lin, "Unsupervised feature
// learning via non-parametric instance discrimination", CVPR 2018; the plain majority of the 5 Euclidean neighbors
// follows Ermolov, Siarohin, Sangineto, Sebe, "Whitening for self-supervised representation learning", ICML 2021.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "kernels/backend.h"
#include "ssl/evaluation/features/matrix.h"
#include "ssl/evaluation/neighbors/nearest.h"

namespace vergence {

/// One form of kNN: its distance, number of neighbors and vote weights.
struct KnnForm {
  Distance distance = Distance::cosine;
  std::int64_t k = 200;
  double temperature = 0.1;  // a vote weighs exp(similarity / temperature), cosine only; 0: every vote weighs 1
};

/// Cosine neighbors, k = 200, votes exp(similarity / 0.1).
KnnForm knn_cosine_200();
/// Euclidean neighbors, k = 5, plain majority.
KnnForm knn_euclidean_5();

struct KnnResult {
  std::int64_t k = 0;                   // as used: at most the number of bank rows
  std::vector<std::int32_t> predicted;  // [query rows]
  double top1 = 0;                      // percent of queries whose prediction equals their label
};

/// Classifies every row of `query` by its exact neighbors in `bank`, in each of the `forms`. The earlier of equally
/// near rows comes first; the smaller of classes with equal votes wins. Forms of one distance share one search. A k
/// above the bank's size is cut to it (KnnResult::k). Throws UsageError if features are empty, not finite or do not
/// match.
std::vector<KnnResult> knn_classify(const Features& bank, const Features& query, const std::vector<KnnForm>& forms,
                                    Backend& backend, const KnnBlocks& blocks = {});

/// The two forms of the evaluation protocol, in percent.
struct KnnAccuracy {
  KnnResult cosine_200, euclidean_5;
};
KnnAccuracy knn_accuracy(const Features& bank, const Features& query, Backend& backend);

}  // namespace vergence
