// Tests normal values and random orders: their distribution, and how many numbers of the stream each takes.
#include "kernels/draws.h"

#include <algorithm>
#include <gtest/gtest.h>
#include <map>
#include <numeric>
#include <vector>

namespace vergence {
namespace {

/// Checks mean, variance and the shares beyond one and two standard deviations, of `count` draws.
template <class Draw>
void expect_normal(int count, double deviation, Draw draw) {
  double sum = 0, squares = 0, beyond_one = 0, beyond_two = 0;
  for (int i = 0; i < count; ++i) {
    const double value = draw() / deviation;
    sum += value, squares += value * value, beyond_one += std::abs(value) > 1, beyond_two += std::abs(value) > 2;
  }
  const double spread = 5 / std::sqrt(count);  // five standard deviations of the mean
  EXPECT_NEAR(sum / count, 0, spread);
  EXPECT_NEAR(squares / count, 1, 2 * spread);
  EXPECT_NEAR(beyond_one / count, 0.3173, spread);
  EXPECT_NEAR(beyond_two / count, 0.0455, spread);
}

TEST(Draws, NormalValues) {
  Random random(1, Purpose::test);
  expect_normal(20000, 1, [&] { return normal(random); });
  expect_normal(20000, 0.02, [&] { return normal(random, 0.02); });
}

TEST(Draws, PairsAreNormalAndIndependent) {
  Random random(2, Purpose::test);
  double product = 0;
  constexpr int count = 20000;
  std::vector<float> second;
  expect_normal(count, 1, [&] {
    const auto [one, other] = normal_pair(random);
    product += one * other;
    second.push_back(other);
    return one;
  });
  expect_normal(count, 1, [&, at = std::size_t{0}]() mutable { return second[at++]; });
  EXPECT_NEAR(product / count, 0, 5 / std::sqrt(count));
}

TEST(Draws, TakeTwoNumbersOfTheStream) {
  Random one(3, Purpose::test), other(3, Purpose::test), plain(3, Purpose::test);
  normal(one), normal_pair(other);
  plain.bits(), plain.bits();
  const std::uint32_t next = plain.bits();
  EXPECT_EQ(one.bits(), next);
  EXPECT_EQ(other.bits(), next);
}

std::vector<int> counting(int count) {
  std::vector<int> values(static_cast<std::size_t>(count));
  std::iota(values.begin(), values.end(), 0);
  return values;
}

TEST(Draws, EveryOrderIsAsLikely) {
  Random random(4, Purpose::test);
  std::map<std::vector<int>, int> seen;
  for (int i = 0; i < 24000; ++i) {
    std::vector<int> values = counting(4);
    shuffle(values, random);
    ++seen[values];
  }
  EXPECT_EQ(seen.size(), 24u);
  for (const auto& [order, count] : seen) EXPECT_NEAR(count, 1000, 5 * std::sqrt(1000));
}

TEST(Draws, EverySelectionIsAsLikely) {
  Random random(5, Purpose::test);
  std::map<std::vector<int>, int> seen;
  for (int i = 0; i < 20000; ++i) {
    std::vector<int> values = counting(5);
    draw_to_front(values, 2, random);
    ++seen[{values[0], values[1]}];
    std::sort(values.begin(), values.end());
    ASSERT_EQ(values, counting(5));
  }
  EXPECT_EQ(seen.size(), 20u);
  for (const auto& [chosen, count] : seen) EXPECT_NEAR(count, 1000, 5 * std::sqrt(1000));
}

}  // namespace
}  // namespace vergence
