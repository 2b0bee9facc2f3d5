// Bootstrap intervals against the binomial distribution, which the share of hits in a resample follows.
#include "ssl/evaluation/sampling/bootstrap.h"

#include <cmath>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "kernels/error.h"

namespace vergence {
namespace {

using Labels = std::vector<std::int32_t>;

/// `hits` of `count` predictions are right.
Interval interval_of(std::size_t hits, std::size_t count, std::uint64_t seed = 1) {
  Labels labels(count, 3), predicted(count, -1);
  for (std::size_t i = 0; i < hits; ++i) predicted[(7 * i) % count] = 3;
  return bootstrap_interval(predicted, labels, seed);
}

/// The share at or below which a binomial number of hits lies with this probability, in percent.
double binomial_quantile(std::size_t count, double p, double probability) {
  double below = 0;
  for (std::size_t k = 0; k <= count; ++k) {
    const auto n = static_cast<double>(count), x = static_cast<double>(k);
    below += std::exp(std::lgamma(n + 1) - std::lgamma(x + 1) - std::lgamma(n - x + 1) + x * std::log(p) +
                      (n - x) * std::log1p(-p));
    if (below >= probability) return 100 * x / n;
  }
  return 100;
}

TEST(Bootstrap, EqualsTheBinomialInterval) {
  for (const auto& [hits, count] : {std::pair<std::size_t, std::size_t>{300, 1000}, {5500, 10000}, {60, 400}}) {
    const double p = static_cast<double>(hits) / static_cast<double>(count);
    const double deviation = 100 * std::sqrt(p * (1 - p) / static_cast<double>(count));
    // The 2.5th percentile of 1,000 normal draws deviates by sqrt(0.025 0.975 / 1000) / 0.0584 = 0.085 deviations;
    // allow four times that, and the step from one count to the next.
    const double allowed = 4 * 0.085 * deviation + 100 / static_cast<double>(count);
    for (const std::uint64_t seed : {1, 2, 3}) {
      const Interval found = interval_of(hits, count, seed);
      EXPECT_NEAR(found.low, binomial_quantile(count, p, 0.025), allowed) << hits << " of " << count;
      EXPECT_NEAR(found.high, binomial_quantile(count, p, 0.975), allowed) << hits << " of " << count;
    }
  }
}

TEST(Bootstrap, IsRepeatableAndDependsOnTheSeed) {
  const Interval one = interval_of(40, 100), two = interval_of(40, 100), other = interval_of(40, 100, 9);
  EXPECT_EQ(one.low, two.low);
  EXPECT_EQ(one.high, two.high);
  EXPECT_TRUE(one.low != other.low || one.high != other.high);
  EXPECT_EQ(one.json().size(), 2u);
  EXPECT_EQ((Interval{1.234, 5}).text(), "1.23 to 5.00");
}

TEST(Bootstrap, HasNoWidthWhereAllOrNoneAreRight) {
  EXPECT_EQ(interval_of(50, 50).low, 100);
  EXPECT_EQ(interval_of(50, 50).high, 100);
  EXPECT_EQ(interval_of(0, 50).high, 0);
  EXPECT_THROW(bootstrap_interval({}, {}, 1), Error);
}

}  // namespace
}  // namespace vergence
