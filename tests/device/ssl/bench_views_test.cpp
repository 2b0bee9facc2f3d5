// `bench` times what training does: its views have the type and channels of those that a device makes for itself.
#include <cmath>
#include <gtest/gtest.h>

#include "datasets/loading/batch_source.h"
#include "kernels/cuda/rules.h"
#include "ssl/bench/step.h"
#include "ssl/steps/setup.h"
#include "tests/device/device_under_test.h"
#include "tests/support/small_objectives.h"

namespace vergence::test {
namespace {

Options of(const char* objective, const char* precision) {
  Options options = small_options(objective);
  options.image_size = 16;
  options.limit = 12;
  set_option(options, "precision", precision);
  set_options(options, {{"mrcl.decoder_width", "4"},
                        {"mrcl.rec_target", "clean"},
                        {"icl_msr.build", "images"},
                        {"icl_msr.strata", "2"},
                        {"metamask.meta_batch", "fresh"}});
  return options;
}

void expect_alike(const Tensor& bench, const Tensor& training, const std::string& what) {
  ASSERT_EQ(static_cast<bool>(bench), static_cast<bool>(training)) << what;
  if (!training) return;
  EXPECT_EQ(bench.dtype, training.dtype) << what;
  EXPECT_EQ(bench.shape, training.shape) << what;
}

TEST(BenchViews, AreOfTrainingsTypeAndChannels) {
  for (const char* name : {"simclr", "metamask", "mrcl", "icl_msr"})
    for (const char* precision : {"fp32", "bf16"}) {
      const Options options = of(name, precision);
      const Dataset dataset = open_dataset(dataset_settings(options), "train");
      for (Backend* device : {&cpu_backend(), &device_under_test()}) {
        const auto objective = make_objective(objective_setup(options, options.image_size, *device));
        const auto batches = make_batch_source(
            {dataset, loader_settings(options, dataset, *objective, 0), *device, activations_of(options, *device)});
        batches->prepare(0);
        const Views training = batches->make(), bench = bench_views(options, *objective, *device);
        const std::string what = join(name, ", ", precision, ", ", device->name());
        expect_alike(bench.both, training.both, what);
        expect_alike(bench.plain, training.plain, what + ", plain");
        expect_alike(bench.fresh, training.fresh, what + ", fresh");
        const std::string objective_name = name;
        EXPECT_EQ(bool(bench.plain), objective_name == "mrcl" || objective_name == "icl_msr") << what;
        EXPECT_EQ(bool(bench.fresh), objective_name == "metamask" || objective_name == "icl_msr") << what;
      }
    }
}

TEST(BenchViews, GiveTheStemTheTensorCoresInBf16) {
  const Options options = of("simclr", "bf16");
  const auto objective = make_objective(objective_setup(options, 16, device_under_test()));
  const Shape& views = bench_views(options, *objective, device_under_test()).both.shape;
  const ConvShape stem{views[0], views[1], views[2], views[3], 64, 3, 3, 1, 1};
  for (const ConvPass pass : {ConvPass::forward, ConvPass::weight})
    EXPECT_EQ(choose_cuda_conv(stem, pass, DType::bf16, {}), CudaConvAlgorithm::tensor);
}

TEST(BenchViews, AreNormalInThreeChannelsAndZeroInTheOthers) {
  const std::vector<double> plain = random_views(4, 16, 5, device_under_test()).both.values(),
                            padded = random_views(4, 16, 5, device_under_test(), DType::bf16).both.values();
  ASSERT_EQ(padded.size(), plain.size() / 3 * 8);
  double sum = 0, squares = 0;
  for (std::size_t i = 0; i < padded.size(); ++i) {
    const std::size_t channel = i % 8;
    const double expected = channel < 3 ? static_cast<float>(bf16(static_cast<float>(plain[i / 8 * 3 + channel]))) : 0;
    ASSERT_EQ(padded[i], expected) << i;
    sum += expected;
    squares += expected * expected;
  }
  const auto count = static_cast<double>(plain.size());
  EXPECT_NEAR(sum / count, 0, 4 / std::sqrt(count));
  EXPECT_NEAR(squares / count, 1, 4 * std::sqrt(2 / count));
}

}  // namespace
}  // namespace vergence::test
