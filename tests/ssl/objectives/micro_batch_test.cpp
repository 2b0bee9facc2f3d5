// Micro-batches: every objective on every base trains as with the whole batch, in a fraction of the memory.
//
// A part's batch norms see the part. Where all parts hold the same images, its statistics are those of the whole batch,
// so steps with and without micro-batches must agree. Parts of different images: parts_test.
#include <gtest/gtest.h>
#include <omp.h>

#include "engine/ops/ops.h"
#include "tests/support/objective_cases.h"

namespace vergence {
namespace {

constexpr std::int64_t parts = 2, image = 16;

/// The rows of each of the `sections` of x, `parts` times.
Tensor repeated(const Tensor& x, std::int64_t sections) {
  const std::int64_t rows = x.shape[0] / sections;
  Tensors all;
  for (std::int64_t section = 0; section < sections; ++section)
    for (std::int64_t i = 0; i < parts; ++i) all.push_back(slice(x, 0, section * rows, rows));
  return concat(all, 0);
}

/// Steps on parts of the same images.
StepResults train(const Options& options, DType type, int steps) {
  const std::int64_t part = options.batch / parts;
  const auto objective = make_objective(small_setup(options, type, image));
  const auto random = [&](std::int64_t rows, std::uint64_t stream) {
    return random_tensor({rows, image, image, 3}, stream, type);
  };
  const Views views{repeated(random(2 * part, 1), 2), repeated(random(part, 2), 1), repeated(random(2 * part, 3), 2)};
  std::vector<std::int64_t> indices;
  for (std::int64_t i = 0; i < parts * part; ++i) indices.push_back(i % part);
  StepResults outcome;
  const std::vector<double> first = parameters_of(*objective);
  for (std::int64_t step = 0; step < steps; ++step) {
    const StepContext context{.lr = 1e-6, .step = step, .steps = 10, .images = parts * part, .indices = indices};
    outcome.losses.push_back(objective->step(views, context).loss.item());
    if (step == 0) outcome.gradients = gradients_of(*objective);
  }
  outcome.parameters = parameters_of(*objective);
  EXPECT_NE(outcome.parameters, first);
  return outcome;
}

class MicroBatch : public testing::TestWithParam<ObjectiveCase> {};

void expect_trains_as_the_whole(Options options, DType type, int steps, double tolerance, double of_gradients) {
  SCOPED_TRACE(name_of(type));
  const StepResults whole = train(options, type, steps);
  options.micro_batch = options.batch / parts;
  const StepResults micro = train(options, type, steps);
  expect_close(micro.losses, whole.losses, tolerance);
  ASSERT_EQ(micro.gradients.size(), whole.gradients.size());
  for (std::size_t set = 0; set < whole.gradients.size(); ++set)
    expect_close(micro.gradients[set], whole.gradients[set], of_gradients);
  expect_close(micro.parameters, whole.parameters, tolerance);
}

/// In so small a network, f32's rounding moves gradients: batch norms of few values multiply it, and a unit near zero
/// may come to the other side of its ReLU.
TEST_P(MicroBatch, TrainsAsTheWholeBatch) {
  expect_trains_as_the_whole(options_of(GetParam(), 2, 4 * parts), DType::f64, 2, 1e-12, 5e-12);
  expect_trains_as_the_whole(options_of(GetParam(), 2, 4 * parts), DType::f32, 1, 1e-5, 1e-2);
}

TEST_P(MicroBatch, RecomputedBlocksTrainToTheSameBits) {
  Options options = options_of(GetParam(), 2, 4 * parts);
  const StepResults kept = train(options, DType::f32, 2);
  options.recompute_blocks = true;
  const StepResults again = train(options, DType::f32, 2);
  EXPECT_EQ(again.losses, kept.losses);
  EXPECT_EQ(again.gradients[0], kept.gradients[0]);
  expect_close(again.parameters, kept.parameters, 1e-6);  // a second derivative may round differently
}

/// With two threads, as oneDNN's scratch memory grows with their number.
std::int64_t peak_of_a_step(const Options& options) {
  const int threads = omp_get_max_threads();
  omp_set_num_threads(2);
  const auto objective = make_objective(small_setup(options, DType::f32, 32));
  const std::int64_t rows = 2 * options.batch;
  const Views views{random_tensor({rows, 32, 32, 3}, 1, DType::f32),
                    random_tensor({options.batch, 32, 32, 3}, 2, DType::f32),
                    random_tensor({rows, 32, 32, 3}, 3, DType::f32)};
  cpu_backend().reset_peak();
  objective->step(views, {.lr = 1e-4, .images = options.batch});
  omp_set_num_threads(threads);
  return cpu_backend().memory().peak;
}

TEST_P(MicroBatch, OfAQuarterNeedsAtMostTwoFifthsOfTheMemory) {
  Options options = options_of(GetParam(), 4, 32);
  const auto whole = static_cast<double>(peak_of_a_step(options));
  options.micro_batch = 8;
  const auto micro = static_cast<double>(peak_of_a_step(options));
  options.micro_batch = 0, options.recompute_blocks = true;
  const auto blocks = static_cast<double>(peak_of_a_step(options));
  EXPECT_LE(micro, 0.4 * whole);
  EXPECT_LE(blocks, 0.7 * whole);
  std::cout << "peak: " << micro / whole << " of the whole batch's; recomputed blocks: " << blocks / whole << std::endl;
}

/// A step's peak divided by the plan's estimate.
double peak_by_plan(const Options& options) {
  const std::int64_t planned = make_objective(small_setup(options, DType::f32, 32))->cost(options.batch).bytes;
  return static_cast<double>(peak_of_a_step(options)) / static_cast<double>(planned);
}

TEST_P(MicroBatch, ThePlansMemoryIsNearThatOfAStep) {
  for (const auto& [option, value] :
       {std::pair{"micro-batch", "0"}, {"micro-batch", "8"}, {"recompute-blocks", "on"}}) {
    Options options = options_of(GetParam(), 8, 32);
    set_option(options, option, value);
    const double ratio = peak_by_plan(options);
    EXPECT_GT(ratio, 0.75) << option << ' ' << value;
    EXPECT_LT(ratio, 1.5) << option << ' ' << value;
  }
}

TEST(PlannedMemory, GrowsWithTheStrataThatAreNotStreamed) {
  for (const char* train : {"fixed", "ordinary", "meta"})
    for (const char* streaming : {"off", "on"}) {
      Options options = small_options("icl_msr", 2, 32, "1024", "64");
      set_options(options, {{"icl_msr.strata", "24"},
                            {"icl_msr.every", "1"},
                            {"icl_msr.train", train},
                            {"icl_msr.build", "table"},
                            {"icl_msr.streaming", streaming}});
      const double ratio = peak_by_plan(options);
      EXPECT_GT(ratio, 0.75) << train << ' ' << streaming;
      EXPECT_LT(ratio, 1.5) << train << ' ' << streaming;
    }
}

INSTANTIATE_TEST_SUITE_P(Objectives, MicroBatch, testing::ValuesIn(objective_cases()),
                         [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace vergence
