// Ranks: every objective on every base trains on several ranks, each with a part of the batch, as on one with all of
// it.
#include <gtest/gtest.h>

#include "engine/ops/ops.h"
#include "kernels/communicators/threads.h"
#include "tests/support/objective_cases.h"

namespace vergence {
namespace {

constexpr std::int64_t image = 16;

/// The rows of this rank in each of the `sections` of x.
Tensor own_rows(const Tensor& x, std::int64_t sections, const Communicator& ranks) {
  const std::int64_t rows = x.shape[0] / sections, own = rows / ranks.ranks();
  Tensors parts;
  for (std::int64_t section = 0; section < sections; ++section)
    parts.push_back(slice(x, 0, section * rows + ranks.rank() * own, own));
  return concat(parts, 0);
}

struct RankResults : StepResults {
  std::vector<double> running;
  std::vector<std::int64_t> counts;  // updates of each layer's running statistics
};

/// Steps of one rank, on its part of the batch.
RankResults train(const Options& options, DType type, int steps, Communicator& ranks) {
  ObjectiveSetup setup = small_setup(options, type, image);
  setup.ranks = {&ranks};
  const auto objective = make_objective(setup);
  const auto random = [&](std::int64_t rows, std::uint64_t stream) {
    return random_tensor({rows, image, image, 3}, stream, type);
  };
  const std::int64_t batch = options.batch, own = batch / ranks.ranks();
  const Views views{own_rows(random(2 * batch, 1), 2, ranks), own_rows(random(batch, 2), 1, ranks),
                    own_rows(random(2 * batch, 3), 2, ranks)};
  std::vector<std::int64_t> indices;
  for (std::int64_t i = 0; i < own; ++i) indices.push_back(100 + ranks.rank() * own + i);
  RankResults results;
  const std::vector<double> first = parameters_of(*objective);
  for (std::int64_t step = 0; step < steps; ++step) {
    const StepContext context{.lr = 1e-6, .step = step, .steps = 10, .images = own, .indices = indices};
    results.losses.push_back(objective->step(views, context).loss.item());
    if (step == 0) results.gradients = gradients_of(*objective);
  }
  results.parameters = parameters_of(*objective);
  EXPECT_NE(results.parameters, first);
  for (const auto& [name, layer] : objective->statistics().layers) {
    results.counts.push_back(layer.batches);
    for (const Tensor& tensor : {layer.mean, layer.variance})
      for (const double value : tensor.values()) results.running.push_back(value);
  }
  return results;
}

std::vector<RankResults> train_on(int count, const Options& options, DType type, int steps) {
  std::vector<RankResults> all(static_cast<std::size_t>(count));
  run_ranks(count, [&](Communicator& ranks) {
    all[static_cast<std::size_t>(ranks.rank())] = train(options, type, steps, ranks);
  });
  return all;
}

void expect_trains_as_one(int count, const Options& options, DType type, int steps, double tolerance,
                          double of_gradients) {
  SCOPED_TRACE(join(count, " ranks, ", name_of(type)));
  const RankResults one = train_on(1, options, type, steps)[0];
  const std::vector<RankResults> all = train_on(count, options, type, steps);
  const RankResults& rank = all[0];
  expect_close(rank.losses, one.losses, tolerance);
  ASSERT_EQ(rank.gradients.size(), one.gradients.size());
  for (std::size_t set = 0; set < one.gradients.size(); ++set)
    expect_close(rank.gradients[set], one.gradients[set], of_gradients);
  expect_close(rank.parameters, one.parameters, tolerance);
  expect_close(rank.running, one.running, tolerance);
  EXPECT_EQ(rank.counts, one.counts);
  for (const RankResults& other : all) {
    EXPECT_EQ(other.losses, rank.losses);
    EXPECT_EQ(other.gradients, rank.gradients);
    EXPECT_EQ(other.parameters, rank.parameters);
    EXPECT_EQ(other.running, rank.running);
  }
}

class RankSteps : public testing::TestWithParam<ObjectiveCase> {};

/// Ranks add in another order. In so small a network that moves f32's gradients: batch norms of few values multiply
/// rounding, and a unit near zero may come to the other side of its ReLU.
TEST_P(RankSteps, AreThoseOfOneRank) {
  expect_trains_as_one(2, options_of(GetParam(), 2, 8), DType::f64, 5, 1e-12, 5e-12);
  expect_trains_as_one(4, options_of(GetParam(), 2, 8), DType::f64, 1, 1e-12, 5e-12);
  expect_trains_as_one(2, options_of(GetParam(), 2, 8), DType::f32, 1, 1e-5, 1e-2);
}

INSTANTIATE_TEST_SUITE_P(Objectives, RankSteps, testing::ValuesIn(objective_cases()),
                         [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace vergence
