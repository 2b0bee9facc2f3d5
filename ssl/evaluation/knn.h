// k-nearest-neighbour classification on frozen features: the quickest judgement of a representation, nothing trained.
//
// Weighted cosine votes with k = 200 and exp(similarity / 0.1) follow Wu, Xiong, Yu, Lin, "Unsupervised feature
// learning via non-parametric instance discrimination", CVPR 2018; the plain majority of the 5 Euclidean neighbours
// follows Ermolov, Siarohin, Sangineto, Sebe, "Whitening for self-supervised representation learning", ICML 2021.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "kernels/backend.h"
#include "ssl/evaluation/feature_matrix.h"

namespace vergence {

enum class Distance {
  cosine,    // neighbours by cosine similarity
  euclidean  // neighbours by Euclidean distance of the features as they are
};

/// One form of kNN: which neighbours, how many, and what a vote weighs.
struct KnnForm {
  Distance distance = Distance::cosine;
  std::int64_t k = 200;
  double temperature = 0.1;  // a vote weighs exp(similarity / temperature), cosine only; 0: every vote weighs 1
};

/// Cosine neighbours, k = 200, votes exp(similarity / 0.1).
KnnForm knn_cosine_200();
/// Euclidean neighbours, k = 5, plain majority.
KnnForm knn_euclidean_5();

/// How much is compared at a time: memory is about 4 * queries * bank bytes beside the features. No effect on the
/// result beyond the rounding of the matrix product.
struct KnnBlocks {
  std::int64_t queries = 256, bank = 65536;
};

struct KnnResult {
  std::int64_t k = 0;                   // as used: never more than the bank has rows
  std::vector<std::int32_t> predicted;  // [query rows]
  double top1 = 0;                      // per cent of the queries whose prediction is their label
};

/// Classifies every row of `query` by its neighbours in `bank`, in each of the `forms` (one matrix product serves all).
/// Of equally near neighbours the earlier row counts, of classes with equal votes the smaller one. A k above the bank's
/// size is cut to it, with one notice on stderr. Throws UsageError if features are empty, not finite or do not match.
std::vector<KnnResult> knn_classify(const Features& bank, const Features& query, const std::vector<KnnForm>& forms,
                                    Backend& backend, const KnnBlocks& blocks = {});

/// The two forms of the contract, in per cent.
struct KnnAccuracy {
  KnnResult cosine_200, euclidean_5;
};
KnnAccuracy knn_accuracy(const Features& bank, const Features& query, Backend& backend);

}  // namespace vergence
