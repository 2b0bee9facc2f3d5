// kNN classification: blocks of queries against blocks of the bank, one matrix product per pair of blocks; every query
// keeps its k best so far.
#include "ssl/evaluation/knn.h"

#include <algorithm>
#include <cmath>
#include <iostream>
#include <limits>

#include "engine/ops.h"
#include "engine/tensor.h"
#include "kernels/parallel.h"

namespace vergence {
namespace {

struct Neighbour {
  float score = 0;  // larger is nearer
  std::int32_t row = 0;

  bool operator<(const Neighbour& other) const {  // "comes before"
    return score != other.score ? score > other.score : row < other.row;
  }
};

/// The k best of a stream of neighbours that arrive in the order of their rows.
class Nearest {
 public:
  explicit Nearest(std::int64_t k) : k_(static_cast<std::size_t>(k)) {}

  /// Later rows lose ties, so only a score above the k-th best so far can get in.
  void offer(float score, std::int32_t row) {
    if (!(score > threshold_)) return;
    kept_.push_back({score, row});
    if (kept_.size() >= 2 * k_ + 64) cut();
  }
  /// The best, nearest first.
  const std::vector<Neighbour>& sorted() {
    cut();
    std::sort(kept_.begin(), kept_.end());
    return kept_;
  }

 private:
  void cut() {
    if (kept_.size() < k_) return;
    const auto last = kept_.begin() + static_cast<std::ptrdiff_t>(k_) - 1;
    std::nth_element(kept_.begin(), last, kept_.end());
    threshold_ = last->score;
    kept_.resize(k_);
  }

  std::size_t k_;
  float threshold_ = -std::numeric_limits<float>::infinity();
  std::vector<Neighbour> kept_;
};

/// score = dot * query_factor * factor[row] + offset[row] for the rows of the bank.
struct Scoring {
  std::vector<float> factor, offset;
};

std::vector<double> squared_norms(const Features& features) {
  std::vector<double> result(static_cast<std::size_t>(features.rows()));
  parallel_for(features.rows(), 64, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      const float* x = features.row(i);
      double total = 0;
      for (std::int64_t j = 0; j < features.dim; ++j) total += static_cast<double>(x[j]) * x[j];
      result[static_cast<std::size_t>(i)] = total;
    }
  });
  return result;
}

float inverse_norm(double squared) { return static_cast<float>(1 / std::max(std::sqrt(squared), 1e-12)); }

/// Cosine: dot / |b|, made a similarity by the query's own factor. Euclidean: minus the squared distance, |q|^2 left
/// out, which is the same for the whole bank.
Scoring scoring_of(Distance distance, const std::vector<double>& bank_norms) {
  Scoring result;
  for (double norm : bank_norms) {
    const bool cosine = distance == Distance::cosine;
    result.factor.push_back(cosine ? inverse_norm(norm) : 2.0f);
    result.offset.push_back(cosine ? 0.0f : static_cast<float>(-norm));
  }
  return result;
}

void offer_row(const float* dots, std::int64_t begin, std::int64_t count, const Scoring& scoring, float query_factor,
               Nearest& nearest) {
  const float *factor = scoring.factor.data() + begin, *offset = scoring.offset.data() + begin;
  constexpr std::int64_t chunk = 256;  // scores of a chunk are computed with vector instructions, then looked at
  float scores[chunk];
  for (std::int64_t start = 0; start < count; start += chunk) {
    const std::int64_t size = std::min(chunk, count - start);
    for (std::int64_t i = 0; i < size; ++i)
      scores[i] = dots[start + i] * (query_factor * factor[start + i]) + offset[start + i];
    for (std::int64_t i = 0; i < size; ++i) nearest.offer(scores[i], static_cast<std::int32_t>(begin + start + i));
  }
}

std::int32_t vote(const std::vector<Neighbour>& neighbours, const KnnForm& form, const Features& bank) {
  std::vector<double> votes(static_cast<std::size_t>(bank.classes), 0.0);
  const bool weighted = form.distance == Distance::cosine && form.temperature > 0;
  for (const Neighbour& n : neighbours)
    votes[static_cast<std::size_t>(bank.labels[static_cast<std::size_t>(n.row)])] +=
        weighted ? std::exp(n.score / form.temperature) : 1.0;
  return static_cast<std::int32_t>(std::max_element(votes.begin(), votes.end()) - votes.begin());
}

void check(const Features& bank, const Features& query, const std::vector<KnnForm>& forms, const KnnBlocks& blocks) {
  check_features(bank, "kNN bank");
  check_features(query, "kNN queries");
  require_usage(bank.dim == query.dim, "kNN: the bank's features have ", bank.dim, " values, the queries' ", query.dim);
  require_usage(bank.classes == query.classes, "kNN: the bank has ", bank.classes, " classes, the queries ",
                query.classes);
  require_usage(bank.rows() <= std::numeric_limits<std::int32_t>::max(), "kNN: the bank has ", bank.rows(),
                " images, expected fewer than 2^31");
  require(blocks.queries > 0 && blocks.bank > 0, "kNN: blocks must be positive");
  for (const KnnForm& form : forms) require_usage(form.k > 0, "kNN: k is ", form.k, ", expected at least 1");
}

Tensor block_of(const Features& features, std::int64_t begin, std::int64_t count, Backend& backend) {
  const float* first = features.row(begin);
  return from_floats(backend, {count, features.dim}, std::vector<float>(first, first + count * features.dim));
}

/// One run: the bank on the device, and what turns its dot products into scores.
class Classifier {
 public:
  Classifier(const Features& bank, const Features& query, const std::vector<KnnForm>& forms, Backend& backend,
             const KnnBlocks& blocks)
      : bank_(bank), query_(query), forms_(forms), backend_(backend), query_norms_(squared_norms(query)) {
    const std::vector<double> bank_norms = squared_norms(bank);
    for (const KnnForm& form : forms) scorings_.push_back(scoring_of(form.distance, bank_norms));
    for (std::int64_t begin = 0; begin < bank.rows(); begin += blocks.bank)
      bank_blocks_.push_back(block_of(bank, begin, std::min(blocks.bank, bank.rows() - begin), backend));
  }

  /// Fills in the predictions of `count` queries from `begin`.
  void classify(std::int64_t begin, std::int64_t count, std::vector<KnnResult>& results) {
    const Tensor queries = block_of(query_, begin, count, backend_);
    std::vector<std::vector<Nearest>> nearest;
    for (const KnnResult& result : results) nearest.emplace_back(static_cast<std::size_t>(count), Nearest(result.k));
    std::int64_t first = 0;
    for (const Tensor& block : bank_blocks_) {
      const Tensor dots = matmul(queries, block, false, true);
      dots_.resize(static_cast<std::size_t>(dots.size()));
      backend_.download(dots_.data(), dots.array().data, dots.size() * size_of(DType::f32));
      offer_block(begin, count, first, block.shape[0], nearest);
      first += block.shape[0];
    }
    parallel_for(count, 4, [&](std::int64_t low, std::int64_t high) {
      for (std::int64_t i = low; i < high; ++i)
        for (std::size_t f = 0; f < forms_.size(); ++f)
          results[f].predicted[static_cast<std::size_t>(begin + i)] =
              vote(nearest[f][static_cast<std::size_t>(i)].sorted(), forms_[f], bank_);
    });
  }

 private:
  /// Offers rows first ... first + width - 1 of the bank to the queries, whose dot products lie in dots_.
  void offer_block(std::int64_t begin, std::int64_t count, std::int64_t first, std::int64_t width,
                   std::vector<std::vector<Nearest>>& nearest) {
    parallel_for(count, 4, [&](std::int64_t low, std::int64_t high) {
      for (std::int64_t i = low; i < high; ++i)
        for (std::size_t f = 0; f < forms_.size(); ++f) {
          const bool cosine = forms_[f].distance == Distance::cosine;
          const float factor = cosine ? inverse_norm(query_norms_[static_cast<std::size_t>(begin + i)]) : 1.0f;
          offer_row(dots_.data() + i * width, first, width, scorings_[f], factor,
                    nearest[f][static_cast<std::size_t>(i)]);
        }
    });
  }

  const Features &bank_, &query_;
  const std::vector<KnnForm>& forms_;
  Backend& backend_;
  std::vector<double> query_norms_;
  std::vector<Scoring> scorings_;
  Tensors bank_blocks_;  // uploaded once, not once per block of queries
  std::vector<float> dots_;
};

}  // namespace

KnnForm knn_cosine_200() { return {Distance::cosine, 200, 0.1}; }
KnnForm knn_euclidean_5() { return {Distance::euclidean, 5, 0}; }

std::vector<KnnResult> knn_classify(const Features& bank, const Features& query, const std::vector<KnnForm>& forms,
                                    Backend& backend, const KnnBlocks& blocks) {
  check(bank, query, forms, blocks);
  std::vector<KnnResult> results;
  for (const KnnForm& form : forms) {
    if (form.k > bank.rows())
      std::cerr << "notice: kNN with k = " << form.k << " uses k = " << bank.rows() << ", all the bank has\n";
    results.push_back({std::min(form.k, bank.rows()), {}, 0});
    results.back().predicted.resize(static_cast<std::size_t>(query.rows()));
  }
  Classifier classifier(bank, query, forms, backend, blocks);
  for (std::int64_t begin = 0; begin < query.rows(); begin += blocks.queries)
    classifier.classify(begin, std::min(blocks.queries, query.rows() - begin), results);
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
