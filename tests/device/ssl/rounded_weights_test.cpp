// The bf16 copies of weights that live from step to step: whoever writes the weights writes them too, and convolutions
// compute the same from them.
#include <cstring>
#include <gtest/gtest.h>

#include "engine/ops/ops.h"
#include "models/encoders/resnet.h"
#include "ssl/bench/step.h"
#include "ssl/steps/setup.h"
#include "tests/device/device_under_test.h"
#include "tests/op_table/runner.h"
#include "tests/support/small_objectives.h"
#include "tests/support/step_runs.h"

namespace vergence::test {
namespace {

std::vector<double> copy_of(const Tensor& tensor) {
  Tensor copy = tensor.detached();
  copy.data = tensor.rounded, copy.dtype = DType::bf16, copy.rounded = nullptr;
  return copy.values();
}

std::vector<double> rounded(const Tensor& tensor) {
  std::vector<double> values = tensor.values();
  for (double& value : values) value = static_cast<float>(bf16(static_cast<float>(value)));
  return values;
}

/// All sets, and the model's own tensors.
void expect_copies(Objective& objective, const std::string& when) {
  for (const auto& [name, set] : objective.state().parameters) {
    ASSERT_TRUE(set.flat().rounded) << name << ", " << when;
    EXPECT_EQ(copy_of(set.flat()), rounded(set.flat())) << name << ", " << when;
  }
  const Tensor& stem = objective.encoder().as<ResNet>().stem.w;
  ASSERT_TRUE(stem.rounded) << when;
  EXPECT_EQ(copy_of(stem), rounded(stem)) << when;
}

Options options_of(const char* objective, const char* optimizer) {
  Options options = small_options(objective);
  set_option(options, "optimizer", optimizer);
  options.precision = Precision::bf16;
  return options;
}

TEST(RoundedWeights, FollowEveryOptimizerAndMovingAverage) {
  for (const char* optimizer : {"sgd", "lars", "adamw"})
    for (const bool record : {false, true}) {
      const Options options = options_of("byol", optimizer);
      const auto objective = make_objective(objective_setup(options, small_image, device_under_test()));
      expect_copies(*objective, "before the first step");
      const Outcome run =
          run_steps(*objective, device_under_test(), random_views(options.batch, small_image, 3, device_under_test()),
                    record, steps_at(0.1, 3, options.batch));
      EXPECT_EQ(run.recorded.back(), record) << run.refusal;
      expect_copies(*objective, join(optimizer, record ? ", recorded" : ", eager"));
    }
}

TEST(RoundedWeights, FollowWhatIsWrittenFromOutside) {
  const Options options = options_of("simclr", "sgd");
  const auto objective = make_objective(objective_setup(options, small_image, device_under_test()));
  const Tensor& flat = objective->state().parameters[0].second.flat();
  std::vector<std::byte> bytes = to_host(flat);
  for (std::size_t i = 0; i + 4 <= bytes.size(); i += 4) {  // half of each value
    float value = 0;
    std::memcpy(&value, bytes.data() + i, 4);
    value *= 0.5f;
    std::memcpy(bytes.data() + i, &value, 4);
  }
  from_host(flat, bytes);
  expect_copies(*objective, "from the host's memory");
  const Tensor& stem = objective->encoder().as<ResNet>().stem.w;
  assign(stem, 3.0 * stem.detached());
  expect_copies(*objective, "one tensor assigned");
}

TEST(RoundedWeights, AreOnlyKeptForBf16AndOnlyWhereTheDeviceWantsThem) {
  Options options = options_of("simclr", "sgd");
  EXPECT_FALSE(make_objective(objective_setup(options, small_image, cpu_backend()))
                   ->state()
                   .parameters[0]
                   .second.flat()
                   .rounded);
  options.precision = Precision::fp32;
  EXPECT_FALSE(make_objective(objective_setup(options, small_image, device_under_test()))
                   ->state()
                   .parameters[0]
                   .second.flat()
                   .rounded);
}

TEST(RoundedWeights, GiveConvolutionsTheSameBits) {
  Backend& device = device_under_test();
  const auto draw = [&](const char* name, const Shape& shape, DType type) {
    return from_values(device, shape, normal_values(name, 0, shape.size()), type);
  };
  const Tensor x = draw("x", {2, 8, 8, 16}, DType::bf16), g = draw("g", {2, 8, 8, 24}, DType::bf16);
  Tensor w = draw("w", {24, 3, 3, 16}, DType::f32);
  const Tensor plain = w;
  const ParameterSet set({{"w", &w}}, Role::trainable, DType::bf16);
  ASSERT_TRUE(w.rounded);
  const ConvOptions conv{.padding = 1};
  EXPECT_EQ(conv2d(x, w, conv).values(), conv2d(x, plain, conv).values());
  EXPECT_EQ(conv2d_data(g, w, x.shape, conv).values(), conv2d_data(g, plain, x.shape, conv).values());
  // Of a step away from the parameters there is no copy, and none is used.
  const Tensor away = w.detached() + 1.0;
  EXPECT_FALSE(away.rounded);
  EXPECT_EQ(conv2d(x, away, conv).values(), conv2d(x, plain + 1.0, conv).values());
}

}  // namespace
}  // namespace vergence::test
