// Neighbors against brute force in higher precision: far from the origin, in clusters, with ties and of any magnitude.
#include <algorithm>
#include <bit>
#include <cmath>
#include <gtest/gtest.h>
#include <limits>

#include "kernels/random.h"
#include "ssl/evaluation/neighbors/by_cosine.h"
#include "ssl/evaluation/neighbors/knn.h"
#include "tests/support/checked_backend.h"

namespace vergence {
namespace {

using Real = long double;

/// Values of about unit deviation around `shift`, and around one of `clusters` centers `apart` from one another.
struct Sample {
  std::int64_t rows, dim;
  float shift = 0, spread = 1, apart = 0;
  int clusters = 1;
};

Features features_of(const Sample& sample, std::uint64_t stream) {
  Random center(5, Purpose::test, 0, 0), random(5, Purpose::test, 1, stream);
  std::vector<float> centers;
  for (std::int64_t i = 0; i < sample.clusters * sample.dim; ++i)
    centers.push_back(sample.shift + (center.uniform() < 0.5f ? -sample.apart : sample.apart));
  Features result{sample.dim, 4, {}, {}};
  for (std::int64_t i = 0; i < sample.rows; ++i) {
    const auto cluster = static_cast<std::int64_t>(random.below(static_cast<std::uint32_t>(sample.clusters)));
    result.labels.push_back(static_cast<std::int32_t>(random.below(4)));
    for (std::int64_t j = 0; j < sample.dim; ++j) {
      float value = -6;
      for (int k = 0; k < 12; ++k) value += random.uniform();
      result.values.push_back(centers[static_cast<std::size_t>(cluster * sample.dim + j)] + sample.spread * value);
    }
  }
  return result;
}

Real norm(const float* x, std::int64_t dim) {
  Real squared = 0;
  for (std::int64_t j = 0; j < dim; ++j) squared += static_cast<Real>(x[j]) * x[j];
  return std::sqrt(squared);
}

/// |q - b|^2, or that of the two at unit length (2 with zeros).
Real reference(Distance distance, const float* q, const float* b, std::int64_t dim) {
  Real of_q = 1, of_b = 1;
  if (distance == Distance::cosine) {
    of_q = norm(q, dim), of_b = norm(b, dim);
    if (of_q == 0 || of_b == 0) return 2;
  }
  Real total = 0;
  for (std::int64_t j = 0; j < dim; ++j) total += (q[j] / of_q - b[j] / of_b) * (q[j] / of_q - b[j] / of_b);
  return total < 1e-30L && distance == Distance::cosine ? 0 : total;
}

using Found = std::vector<std::vector<std::vector<Neighbor>>>;

Found find(const Features& bank, const Features& query, const std::vector<WantedNeighbors>& wanted,
           Backend& backend = cpu_backend(), const KnnBlocks& blocks = {}) {
  NeighborSearch search(bank, query, wanted, backend, blocks);
  Found all(wanted.size());
  for (std::int64_t begin = 0; begin < query.rows(); begin += blocks.queries) {
    Found some = search.find(begin, std::min(blocks.queries, query.rows() - begin));
    for (std::size_t f = 0; f < wanted.size(); ++f)
      for (auto& list : some[f]) all[f].push_back(std::move(list));
  }
  return all;
}

/// What f64 may be off by: lengths and quotients round each direction.
Real rounding_of(Distance distance, Real value) {
  return distance == Distance::euclidean ? 1e-13L * value : 4e-15L * std::sqrt(value) + 1e-29L;
}

/// Every list is the reference's: rows whose distances differ by more than f64 rounds stand in their order, and equal
/// rows in the bank's.
void expect_exact(const Features& bank, const Features& query, const std::vector<WantedNeighbors>& wanted,
                  const Found& found) {
  for (std::size_t f = 0; f < wanted.size(); ++f)
    for (std::int64_t i = 0; i < query.rows(); ++i) {
      std::vector<Real> distances;
      for (std::int64_t b = 0; b < bank.rows(); ++b)
        distances.push_back(reference(wanted[f].distance, query.row(i), bank.row(b), bank.dim));
      std::vector<Real> sorted = distances;
      std::sort(sorted.begin(), sorted.end());
      const std::vector<Neighbor>& list = found[f][static_cast<std::size_t>(i)];
      ASSERT_EQ(list.size(), static_cast<std::size_t>(wanted[f].k));
      for (std::size_t n = 0; n < list.size(); ++n) {
        const Real distance = sorted[n];
        const Real seen = distances[static_cast<std::size_t>(list[n].row)];
        const Real rounding = rounding_of(wanted[f].distance, seen);
        EXPECT_LE(std::abs(list[n].distance - seen), rounding);
        EXPECT_LE(std::abs(seen - distance), rounding) << "form " << f << ", query " << i << ", place " << n;
        for (std::int32_t earlier = 0; earlier < list[n].row; ++earlier) {
          if (!std::equal(bank.row(earlier), bank.row(earlier + 1), bank.row(list[n].row))) continue;
          EXPECT_TRUE(std::any_of(list.begin(), list.begin() + static_cast<std::ptrdiff_t>(n),
                                  [&](const Neighbor& before) { return before.row == earlier; }))
              << "of two equal rows the later: form " << f << ", query " << i << ", place " << n;
        }
      }
    }
}

const std::vector<WantedNeighbors> both{{Distance::cosine, 40}, {Distance::euclidean, 5}};

void expect_exact(const Features& bank, const Features& query) {
  expect_exact(bank, query, both, find(bank, query, both));
}

class KnnShifted : public testing::TestWithParam<std::tuple<float, std::int64_t>> {};

TEST_P(KnnShifted, NeighborsAreExact) {
  const auto [shift, dim] = GetParam();
  for (float spread : {1.0f, 0.01f}) {
    const Sample bank{1300, dim, shift, spread}, query{30, dim, shift, spread};
    expect_exact(features_of(bank, 0), features_of(query, 1));
  }
}

INSTANTIATE_TEST_SUITE_P(Far, KnnShifted,
                         testing::Combine(testing::Values(0.0f, 10.0f, 100.0f, 1000.0f, 1e6f),
                                          testing::Values<std::int64_t>(1, 3, 64, 512)));

TEST(KnnExact, ClustersFarApart) {
  // No center is near all of them: f32 products about the mean tell the clusters apart but not what is within.
  for (float apart : {30.0f, 1000.0f})
    for (int clusters : {2, 5}) {
      const Sample bank{1500, 24, 0, 0.01f, apart, clusters}, query{25, 24, 0, 0.01f, apart, clusters};
      expect_exact(features_of(bank, 0), features_of(query, 1));
    }
}

TEST(KnnExact, OfEqualRowsTheEarlierComesFirst) {
  for (float shift : {0.0f, 1000.0f}) {
    Features bank = features_of({300, 7, shift}, 0);
    for (int copy = 0; copy < 4; ++copy)  // row i + 300 c is row i; its fourfold is as near by cosine
      for (std::size_t i = 0; i < 300 * 7; ++i) bank.values.push_back(bank.values[i] * (copy == 3 ? 4 : 1));
    bank.labels.resize(1500);
    const Features query = features_of({20, 7, shift}, 1);
    const Found found = find(bank, query, both);
    expect_exact(bank, query, both, found);
    for (const auto& list : found[0])
      for (std::size_t n = 0; n < 40; ++n) EXPECT_EQ(list[n].row, list[n / 5 * 5].row + static_cast<int>(n % 5) * 300);
    for (const auto& list : found[1])
      for (std::size_t n = 0; n < 4; ++n) EXPECT_EQ(list[n].row, list[0].row + static_cast<int>(n) * 300);
  }
}

TEST(KnnExact, CollapsedFeatures) {
  const auto first_rows = [](const Found& found) {
    for (const auto& lists : found)
      for (const auto& list : lists)
        for (std::size_t n = 0; n < list.size(); ++n) EXPECT_EQ(list[n].row, static_cast<int>(n));
  };
  for (float value : {0.0f, 1000.7f, 1e-40f, -3e38f}) {
    Features bank{6, 4, std::vector<float>(6 * 3000, value), std::vector<std::int32_t>(3000)};
    Features query{6, 4, std::vector<float>(6 * 3, value), {0, 0, 0}};
    query.values[0] = value / 2;
    for (std::size_t j = 6; j < 12; ++j) query.values[j] = 0;
    first_rows(find(bank, query, both));
  }
  // Rows on one ray or line: the cosine is 1 or -1 and nothing else.
  Features bank = features_of({2000, 1}, 0), query = features_of({9, 1}, 1);
  const Found on_a_line = find(bank, query, {{Distance::cosine, 1500}});
  for (const auto& list : on_a_line[0]) {
    const auto side = [&](std::size_t n) { return bank.values[static_cast<std::size_t>(list[n].row)] < 0; };
    for (std::size_t n = 1; n < 1500; ++n) {
      EXPECT_TRUE(list[n].distance == 0 || list[n].distance == 4);
      EXPECT_TRUE(side(n) != side(n - 1) || list[n - 1].row < list[n].row) << n;
    }
  }
  // Neighboring numbers of f32.
  bank = features_of({1500, 5}, 0), query = features_of({20, 5}, 1);
  for (Features* features : {&bank, &query})
    for (float& value : features->values)
      value = std::bit_cast<float>(std::bit_cast<std::uint32_t>(777.77f) + static_cast<std::uint32_t>(4 * value + 30));
  expect_exact(bank, query);
}

TEST(KnnExact, AnyMagnitude) {
  const float largest = std::numeric_limits<float>::max(), least = std::numeric_limits<float>::denorm_min();
  for (float unit : {1e30f, 2e37f, 1e-30f, 1e-42f}) {
    Features bank = features_of({700, 9}, 0), query = features_of({20, 9}, 1);
    for (float& value : bank.values) value *= unit;
    for (float& value : query.values) value *= unit;
    expect_exact(bank, query);
  }
  // All in one bank: rows from the smallest number to the largest, and rows of zeros.
  Features bank = features_of({900, 3}, 0), query = features_of({60, 3}, 1);
  const float units[] = {1, 1e30f, 1e-30f, 1e-43f, 1000, 0, 1e15f, 2e37f};
  for (Features* features : {&bank, &query}) {
    for (std::size_t i = 0; i < features->values.size(); ++i) features->values[i] *= units[i / 3 % 8];
    features->values[3] = largest, features->values[4] = -largest, features->values[9] = least;
  }
  expect_exact(bank, query);
  // A single row far out, or a single query.
  for (Features* features : {&bank, &query}) {
    bank = features_of({900, 6}, 0), query = features_of({10, 6}, 1);
    for (std::size_t j = 12; j < 18; ++j) features->values[j] = j % 2 ? 1e30f : -2e29f;
    expect_exact(bank, query);
  }
}

TEST(KnnExact, BlocksDoNotShow) {
  const Features bank = features_of({1400, 19, 50, 0.1f}, 0), query = features_of({70, 19, 50, 0.1f}, 1);
  const Found expected = find(bank, query, both);
  expect_exact(bank, query, both, expected);
  for (const KnnBlocks blocks : {KnnBlocks{1, 1400}, KnnBlocks{70, 33}, KnnBlocks{13, 1}, KnnBlocks{64, 1000}}) {
    const Found found = find(bank, query, both, cpu_backend(), blocks);
    for (std::size_t f = 0; f < both.size(); ++f)
      for (std::size_t i = 0; i < 70; ++i)
        for (std::size_t n = 0; n < found[f][i].size(); ++n) {
          EXPECT_EQ(found[f][i][n].row, expected[f][i][n].row);
          EXPECT_EQ(found[f][i][n].distance, expected[f][i][n].distance);
        }
  }
}

/// A device that rounds what it multiplies to 10 bits of fraction, and says so.
class CoarseBackend : public test::CheckedBackend {
 public:
  using CheckedBackend::CheckedBackend;
  void gemm(bool transpose_a, bool transpose_b, std::int64_t m, std::int64_t n, std::int64_t k, ConstArray a,
            ConstArray b, ConstArray bias, Array out) override {
    std::vector<float> coarse_a = coarse(a), coarse_b = coarse(b);
    CheckedBackend::gemm(transpose_a, transpose_b, m, n, k, {coarse_a.data(), a.size, DType::f32},
                         {coarse_b.data(), b.size, DType::f32}, bias, out);
  }
  double f32_operand_rounding() const override { return 0x1p-10; }

 private:
  static std::vector<float> coarse(ConstArray values) {
    std::vector<float> result(values.as<float>(), values.as<float>() + values.size);
    for (float& value : result) value = std::bit_cast<float>(std::bit_cast<std::uint32_t>(value) & 0xffffe000u);
    return result;
  }
};

TEST(KnnExact, OnADeviceThatRoundsItsOperands) {
  CoarseBackend device(cpu_backend());
  for (float apart : {0.0f, 3.0f}) {
    const Features bank = features_of({1300, 100, 1000, 0.3f, apart, 3}, 0),
                   query = features_of({40, 100, 1000, 0.3f, apart, 3}, 1);
    expect_exact(bank, query, both, find(bank, query, both, device));
  }
  EXPECT_TRUE(device.problems().empty());
}

TEST(KnnExact, TranslationChangesNoEuclideanPrediction) {
  // Multiples of 1/1024 below 8: adding 1000 is exact in f32.
  Features bank = features_of({2000, 32}, 0), query = features_of({100, 32}, 1);
  for (Features* features : {&bank, &query})
    for (float& value : features->values) value = std::round(value * 1024) / 1024;
  const auto predicted = [&] { return knn_classify(bank, query, {knn_euclidean_5()}, cpu_backend())[0].predicted; };
  const std::vector<std::int32_t> here = predicted();
  for (Features* features : {&bank, &query})
    for (float& value : features->values) value += 1000;
  EXPECT_EQ(here, predicted());
}

TEST(KnnExact, BanksSmallerThanK) {
  const Features bank = features_of({7, 3, 1000}, 0), query = features_of({5, 3, 1000}, 1);
  const std::vector<WantedNeighbors> all{{Distance::cosine, 7}, {Distance::euclidean, 7}};
  expect_exact(bank, query, all, find(bank, query, all));
  for (const KnnResult& result :
       knn_classify(bank, query, {knn_cosine_200(), {Distance::euclidean, 8, 0}}, cpu_backend()))
    EXPECT_EQ(result.k, 7);
  EXPECT_THROW(find(bank, query, {{Distance::cosine, 8}}), Error);
}

TEST(ByCosine, TheBlocksOfABankDoNotMatter) {
  const Sample sample{.rows = 700, .dim = 12, .clusters = 3};
  Features bank = features_of(sample, 1);
  std::copy_n(bank.values.begin(), 12, bank.values.begin() + 12 * 650);  // equal rows in two blocks: the earlier first
  Features queries = rows_at(bank, {0, 5, 699});
  const auto whole = nearest_by_cosine(bank, queries, 20, cpu_backend());
  EXPECT_EQ(whole[0][0].row, 0);
  EXPECT_EQ(whole[0][1].row, 650);
  EXPECT_EQ(cosine_of(whole[0][1]), 1);
  for (const std::int64_t block : {7, 100, 699, 1000}) {
    FeatureBlocks blocks{.rows = 700, .dim = 12, .block = block, .read = {}};
    blocks.read = [&](std::int64_t begin, std::int64_t count) {
      std::vector<std::int64_t> places;
      for (std::int64_t i = begin; i < begin + count; ++i) places.push_back(i);
      return rows_at(bank, places);
    };
    const auto found = nearest_by_cosine(blocks, queries, 20, cpu_backend());
    for (std::size_t q = 0; q < 3; ++q)
      for (std::size_t i = 0; i < 20; ++i) {
        EXPECT_EQ(found[q][i].row, whole[q][i].row) << block;
        EXPECT_EQ(found[q][i].distance, whole[q][i].distance) << block;
      }
  }
}

}  // namespace
}  // namespace vergence
