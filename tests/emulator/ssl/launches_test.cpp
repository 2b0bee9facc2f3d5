// Counts the kernels that a training step launches without a library: each costs the GPU a microsecond or two in
// addition to its work.
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

/// The launches of one recorded step, after an earlier recording made everything that lasts. Only records: running it
/// would take minutes, with the many images that all layers need for whole tiles per statistic group.
Counts launches_of(const BenchSettings& settings) {
  const Options options = bench_options(settings);
  Backend& device = emulated_backend();
  const WithChoices own_kernels(device, {.cuda_conv = CudaConv::cuda});
  const auto objective = make_objective(objective_setup(options, settings.image, device));
  const Views views = bench_views(options, *objective, device);
  for (const auto& [name, optimizer] : objective->state().optimizers) optimizer->apply();  // creates its tables
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
  EXPECT_LE(all, 220);  // 20 merge the statistics of our own convolutions' tiles; cuDNN's have none
  // A neighboring convolution computes a batch norm's sums wherever there is one.
  EXPECT_EQ(found.at("norm_forward"), 20);
  EXPECT_EQ(found.at("merge_tiles"), 20);
  EXPECT_EQ(found.count("norm_statistics"), 0);
  EXPECT_EQ(found.at("norm_backward"), 20);
  EXPECT_EQ(found.at("norm_backward_sums"), 4)
      << "of three without ReLU and of the last, whose cotangent pooling makes";
}

}  // namespace
}  // namespace vergence::test
