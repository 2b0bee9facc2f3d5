// How many kernels a training step launches with our own kernels: each one costs the GPU a microsecond or two beside
// its work.
#include <cstdio>
#include <gtest/gtest.h>
#include <map>
#include <string>

#include "kernels/cuda/emulated/backend.h"
#include "kernels/cuda/launch.h"
#include "ssl/bench/step.h"
#include "ssl/steps/setup.h"
#include "tests/support/with_choices.h"

namespace vergence::test {
namespace {

using Counts = std::map<std::string, int>;
Counts counts;

/// The launches of one step as it is recorded, when all that lasts is there: from an earlier recording. Steps are noted
/// down alone: with its many images, which all layers need for whole tiles per statistic group, running one would take
/// minutes.
Counts launches_of(const BenchSettings& settings) {
  const Options options = bench_options(settings);
  Backend& device = emulated_backend();
  const WithChoices own_kernels(device, {.cuda_conv = CudaConv::cuda});
  const auto objective = make_objective(objective_setup(options, settings.image, device));
  const Views views = bench_views(options, *objective, device);
  for (const auto& [name, optimizer] : objective->state().optimizers) optimizer->apply();  // its tables
  device.begin_recording();
  objective->run(views);
  const auto first = device.end_recording();
  counts.clear();
  device.begin_recording();
  emulated::launch_observer = [](const char* kernel) { ++counts[kernel]; };
  objective->run(views);
  emulated::launch_observer = nullptr;
  device.end_recording();
  return counts;
}

TEST(Launches, OfASimClrStepAreFew) {
  BenchSettings settings;
  settings.image = 16, settings.run.values.batch = 128, settings.run.values.precision = Precision::bf16;
  settings.run.set("width", "16");
  const Counts found = launches_of(settings);
  int all = 0;
  for (const auto& [name, count] : found) {
    std::printf("%4d %s\n", count, name.c_str());
    all += count;
  }
  std::printf("%4d in all\n", all);
  EXPECT_LE(all, 220);  // 20 of them merge what our own convolutions leave of their tiles; cuDNN's leave nothing
  // What a batch norm sums comes with a convolution wherever one is next to it.
  EXPECT_EQ(found.at("norm_forward"), 20);
  EXPECT_EQ(found.at("merge_tiles"), 20);
  EXPECT_EQ(found.count("norm_statistics"), 0);
  EXPECT_EQ(found.at("norm_backward"), 20);
  EXPECT_EQ(found.at("norm_backward_sums"), 4)
      << "of three without ReLU and of the last, whose cotangent pooling makes";
}

}  // namespace
}  // namespace vergence::test
