// `bench data`: what it reports of the loader.
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "kernels/error.h"
#include "ssl/bench/data.h"

namespace vergence {
namespace {

Options small_options() {
  Options options;
  options.image_size = 16;
  options.limit = 40;
  options.batch = 8;
  options.workers = 2;
  return options;
}

TEST(BenchData, CountsWholeBatchesAndTwoViewsAnImage) {
  const auto report = bench_data(small_options(), 0.05);
  const auto images = report["images"].get<std::int64_t>();
  const auto seconds = report["seconds"].get<double>(), rate = report["images_per_s"].get<double>();
  EXPECT_GT(images, 0);
  EXPECT_EQ(images % 8, 0);
  EXPECT_GE(seconds, 0.05);
  EXPECT_NEAR(rate * seconds, static_cast<double>(images), 1e-6 * static_cast<double>(images));
  EXPECT_DOUBLE_EQ(report["views_per_s"].get<double>(), 2 * rate);
  EXPECT_EQ(report["workers"], 2);
  EXPECT_EQ(report["image"], 16);
  EXPECT_EQ(report["options"]["dataset"], "confounded_shapes");
  EXPECT_EQ(report["options"]["limit"], "40");
  EXPECT_FALSE(report["options"].contains("objective"));
}

TEST(BenchData, MakesABatchHoweverLittleTimeThereIs) { EXPECT_EQ(bench_data(small_options(), 1e-9)["images"], 8); }

TEST(BenchData, RefusesWhatPretrainRefuses) {
  Options options = small_options();
  options.batch = 41;
  EXPECT_THROW(bench_data(options, 0.05), UsageError);
}

}  // namespace
}  // namespace vergence
