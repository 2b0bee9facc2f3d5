// VICReg's loss against its definition, and its gradient against differences.
#include <cmath>
#include <gtest/gtest.h>

#include "engine/graph.h"
#include "engine/ops/ops.h"
#include "models/encoders/resnet.h"
#include "ssl/objective_list.h"
#include "ssl/options/table.h"
#include "tests/op_table/runner.h"

namespace vergence::test {
namespace {

using Matrix = std::vector<std::vector<double>>;

/// (25 + 25 + 1 by default) as in the authors' code, in plain loops.
double expected_loss(const Matrix& z, double invariance, double variance, double covariance) {
  const std::size_t n = z.size() / 2, d = z[0].size();
  double distance = 0, spread = 0, shared = 0;
  for (std::size_t i = 0; i < n; ++i)
    for (std::size_t j = 0; j < d; ++j) distance += (z[i][j] - z[n + i][j]) * (z[i][j] - z[n + i][j]);
  for (std::size_t view = 0; view < 2; ++view) {
    std::vector<double> mean(d);
    for (std::size_t i = 0; i < n; ++i)
      for (std::size_t j = 0; j < d; ++j) mean[j] += z[view * n + i][j] / static_cast<double>(n);
    for (std::size_t a = 0; a < d; ++a)
      for (std::size_t b = 0; b < d; ++b) {
        double c = 0;
        for (std::size_t i = 0; i < n; ++i) c += (z[view * n + i][a] - mean[a]) * (z[view * n + i][b] - mean[b]);
        c /= static_cast<double>(n - 1);
        if (a == b)
          spread += std::max(0.0, 1 - std::sqrt(c + 1e-4)) / 2;
        else
          shared += c * c;
      }
  }
  const double size = static_cast<double>(d);
  return invariance * distance / (size * static_cast<double>(n)) + variance * spread / size +
         covariance * shared / size;
}

std::unique_ptr<Method> method(const Options& options) {
  const ObjectiveSetup setup{options, ResNetSettings{.width = 1}, cpu_backend(), DType::f64, DType::f64};
  return make_method("vicreg", "--objective", setup, make_encoder(setup.encoder, setup.init()));
}

TEST(Vicreg, IsItsDefinition) {
  for (const auto& [images, dim] : {std::pair{7, 4}, std::pair{4, 9}}) {
    Matrix rows;
    std::vector<double> values = normal_values("z", 0, 2 * images * dim);
    for (double& value : values) value = 0.7 * value + 3;
    for (int i = 0; i < 2 * images; ++i) rows.emplace_back(values.begin() + i * dim, values.begin() + (i + 1) * dim);
    const Tensor z = from_values(cpu_backend(), {2 * images, dim}, values);
    for (const char* weights : {"25 25 1", "1 0 0", "0 1 0", "0 0 1"}) {
      Options options;
      double w[3];
      std::istringstream(weights) >> w[0] >> w[1] >> w[2];
      set_option(options, "vicreg.invariance", join(w[0]));
      set_option(options, "vicreg.variance", join(w[1]));
      set_option(options, "vicreg.covariance", join(w[2]));
      const double expected = expected_loss(rows, w[0], w[1], w[2]);
      EXPECT_GT(expected, 0) << weights;
      EXPECT_NEAR(method(options)->loss({z, {}}).item(), expected, 1e-10 * (1 + expected)) << weights;
    }
  }
}

TEST(Vicreg, GradientFollowsTheLoss) {
  const Options options;
  const auto vicreg = method(options);
  const Tensor z = from_values(cpu_backend(), {10, 6}, normal_values("z", 0, 60));
  const Tensor direction = from_values(cpu_backend(), {10, 6}, normal_values("direction", 0, 60));
  const Tensor x = leaf(z);
  Parts parts;
  const Tensor loss = vicreg->loss({x, {}}, &parts);
  const double along = dot(grad({loss}, {x}, {.keep = true})[0], direction).item(), h = 1e-6;
  const auto at = [&](double step) { return vicreg->loss({z + step * direction, {}}).item(); };
  EXPECT_NEAR(along, (at(h) - at(-h)) / (2 * h), 1e-6 * std::abs(along));
  ASSERT_EQ(parts.size(), 3u);
  EXPECT_NEAR(parts[0].second.item() + parts[1].second.item() + parts[2].second.item(), loss.item(), 1e-12);
}

}  // namespace
}  // namespace vergence::test
