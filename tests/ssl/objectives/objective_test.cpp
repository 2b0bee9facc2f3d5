// What all objectives take from the options.
#include "ssl/objective.h"

#include <algorithm>
#include <cmath>
#include <gtest/gtest.h>

#include "tests/support/small_objectives.h"

namespace vergence {
namespace {

TEST(OptimizerOptions, ReachTheOptimizer) {
  Options options;
  set_options(options, {{"momentum", "0.31"},
                        {"nesterov", "on"},
                        {"weight-decay", "0.32"},
                        {"lars.eta", "0.33"},
                        {"lars.epsilon", "0.34"},
                        {"lars.clip", "on"},
                        {"lars.joint_norm", "on"},
                        {"adam.beta1", "0.35"},
                        {"adam.beta2", "0.36"},
                        {"adam.epsilon", "0.37"}});
  for (const auto& [name, kind] : optimizer_words) {
    set_option(options, "optimizer", name);
    const OptimizerSettings settings = optimizer_settings(options);
    EXPECT_EQ(settings.kind, kind);
    EXPECT_EQ(settings.momentum, 0.31);
    EXPECT_TRUE(settings.nesterov);
    EXPECT_EQ(settings.weight_decay, 0.32);
    EXPECT_EQ(settings.eta, 0.33);
    EXPECT_TRUE(settings.clip);
    EXPECT_TRUE(settings.joint_norm);
    EXPECT_EQ(settings.beta1, 0.35);
    EXPECT_EQ(settings.beta2, 0.36);
    EXPECT_EQ(settings.epsilon, kind == OptimizerKind::lars ? 0.34 : 0.37);
    EXPECT_EQ(settings.exclude_vectors, kind == OptimizerKind::lars) << name;
    for (const bool exclude : {false, true}) {
      Options chosen = options;
      chosen.exclude_1d = exclude;
      EXPECT_EQ(optimizer_settings(chosen).exclude_vectors, exclude) << name;
    }
  }
}

/// Its moments are the gradient and the gradient's square then.
TEST(OptimizerOptions, AdamsFirstStepMovesEachWeightByTheRate) {
  Options options = small_options("simclr");
  set_options(options, {{"optimizer", "adam"}, {"weight-decay", "0"}});
  const auto objective = small_objective(options);
  const ParameterSet model = set_of(*objective, "model");
  const std::vector<double> before = model.flat().values();
  objective->step(random_batch(1), step_context(0, 0.01));
  const std::vector<double> after = model.flat().values(), gradient = model.gradient().values();
  int compared = 0;
  double worst = 0;
  for (std::size_t i = 0; i < gradient.size(); ++i) {
    if (std::abs(gradient[i]) < 1e-3) continue;  // the others feel epsilon, 1e-8
    worst = std::max(worst, std::abs(before[i] - after[i] - std::copysign(0.01, gradient[i])));
    ++compared;
  }
  EXPECT_LT(worst, 2e-7);
  EXPECT_GT(compared, 100);
}

}  // namespace
}  // namespace vergence
