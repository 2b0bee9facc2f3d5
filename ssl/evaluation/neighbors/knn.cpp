// kNN classification: the votes of the nearest neighbors.
#include "ssl/evaluation/neighbors/knn.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "kernels/error.h"

namespace vergence {
namespace {

/// The class with the most votes of the first `k` neighbors; of equal ones the lowest.
std::int32_t vote(const std::vector<Neighbor>& neighbors, std::int64_t k, const KnnForm& form, const Features& bank) {
  std::vector<double> votes(static_cast<std::size_t>(bank.classes), 0.0);
  const bool weighted = form.distance == Distance::cosine && form.temperature > 0;
  for (std::size_t i = 0; i < static_cast<std::size_t>(k); ++i) {
    const Neighbor& n = neighbors[i];
    votes[static_cast<std::size_t>(bank.labels[static_cast<std::size_t>(n.row)])] +=
        weighted ? std::exp((1 - n.distance / 2) / form.temperature) : 1.0;
  }
  return static_cast<std::int32_t>(std::max_element(votes.begin(), votes.end()) - votes.begin());
}

void check_knn(const Features& bank, const Features& query, const std::vector<KnnForm>& forms,
               const KnnBlocks& blocks) {
  check_labeled(bank, "kNN bank");
  check_labeled(query, "kNN queries");
  require_usage(bank.dim == query.dim, "kNN: the bank's features have ", bank.dim, " values, the queries' ", query.dim);
  require_usage(bank.classes == query.classes, "kNN: the bank has ", bank.classes, " classes, the queries ",
                query.classes);
  require_usage(bank.rows() <= std::numeric_limits<std::int32_t>::max(), "kNN: the bank has ", bank.rows(),
                " images, expected fewer than 2^31");
  require(blocks.queries > 0 && blocks.bank > 0, "kNN: blocks must be positive");
  for (const KnnForm& form : forms) require_usage(form.k > 0, "kNN: k is ", form.k, ", expected at least 1");
}

}  // namespace

KnnForm knn_cosine_200() { return {Distance::cosine, 200, 0.1}; }
KnnForm knn_euclidean_5() { return {Distance::euclidean, 5, 0}; }

std::vector<KnnResult> knn_classify(const Features& bank, const Features& query, const std::vector<KnnForm>& forms,
                                    Backend& backend, const KnnBlocks& blocks) {
  check_knn(bank, query, forms, blocks);
  std::vector<KnnResult> results;
  for (const KnnForm& form : forms) {
    results.push_back({std::min(form.k, bank.rows()), {}, 0});
    results.back().predicted.resize(static_cast<std::size_t>(query.rows()));
  }
  std::vector<WantedNeighbors> wanted;  // one list for each distance: the nearest of it serve all smaller k
  std::vector<std::size_t> list_of;     // of each form
  for (std::size_t f = 0; f < forms.size(); ++f) {
    const auto list = std::find_if(wanted.begin(), wanted.end(),
                                   [&](const WantedNeighbors& each) { return each.distance == forms[f].distance; });
    list_of.push_back(static_cast<std::size_t>(list - wanted.begin()));
    if (list == wanted.end())
      wanted.push_back({forms[f].distance, results[f].k});
    else
      list->k = std::max(list->k, results[f].k);
  }
  NeighborSearch search(bank, query, wanted, backend, blocks);
  for (std::int64_t begin = 0; begin < query.rows(); begin += blocks.queries) {
    const auto found = search.find(begin, std::min(blocks.queries, query.rows() - begin));
    for (std::size_t f = 0; f < forms.size(); ++f)
      for (std::size_t i = 0; i < found[list_of[f]].size(); ++i)
        results[f].predicted[static_cast<std::size_t>(begin) + i] =
            vote(found[list_of[f]][i], results[f].k, forms[f], bank);
  }
  for (KnnResult& result : results) {
    std::int64_t hits = 0;
    for (std::size_t i = 0; i < result.predicted.size(); ++i) hits += result.predicted[i] == query.labels[i];
    result.top1 = 100.0 * static_cast<double>(hits) / static_cast<double>(query.rows());
  }
  return results;
}

KnnAccuracy knn_accuracy(const Features& bank, const Features& query, Backend& backend) {
  std::vector<KnnResult> results = knn_classify(bank, query, {knn_cosine_200(), knn_euclidean_5()}, backend);
  return {std::move(results[0]), std::move(results[1])};
}

}  // namespace vergence
