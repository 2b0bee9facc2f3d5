// Every op that is recorded at run time, at any order, belongs to a row of the op table, and every row really runs the
// ops it is listed for. New objectives (of the shape that tests/support/objective_cases.h describes) and encoders are
// among those that run here.
#include <algorithm>
#include <gtest/gtest.h>

#include "engine/graph.h"
#include "models/encoders/resnet.h"
#include "models/heads.h"
#include "ssl/losses.h"
#include "tests/op_table/runner.h"
#include "tests/support/objective_cases.h"

namespace vergence::test {
namespace {

std::string list(const std::set<std::string>& names) {
  std::string text;
  for (const std::string& name : names) text += (text.empty() ? "" : ", ") + name;
  return text;
}

const std::set<std::string>& listed_ops() {
  static const std::set<std::string> names = [] {
    std::set<std::string> all;
    for (const OpCase& row : op_cases()) all.insert(row.ops.begin(), row.ops.end());
    return all;
  }();
  return names;
}

std::set<std::string> without_row(const std::set<std::string>& seen) {
  std::set<std::string> missing;
  std::set_difference(seen.begin(), seen.end(), listed_ops().begin(), listed_ops().end(),
                      std::inserter(missing, missing.end()));
  return missing;
}

TEST(OpCoverage, EveryRowRunsItsOps) {
  std::set<std::string> names;
  for (const OpCase& row : op_cases()) {
    EXPECT_TRUE(names.insert(row.name).second) << "two rows are called " << row.name;
    const DType dtype = row.dtypes.back();  // the cheapest: what is recorded hardly depends on it
    const OpNames ops;
    evaluate(row, cpu_backend(), draw_inputs(row, dtype), dtype, dtype);
    for (const std::string& name : row.ops)
      EXPECT_TRUE(ops.seen().count(name)) << row.name << " is listed for " << name << " but ran " << list(ops.seen());
    EXPECT_TRUE(without_row(ops.seen()).empty())
        << row.name << " ran ops without a row: " << list(without_row(ops.seen()));
  }
}

/// One loss of a small ResNet with a head, its gradient, and the gradient of that gradient's square.
void train_step(const ResNetSettings& settings, DType activations, const std::function<Tensor(const Tensor&)>& loss) {
  const Init init{cpu_backend(), 3};
  ResNet encoder = make_resnet(settings, init);
  Mlp head = make_mlp({.sizes = {settings.dim(), 24, 16}, .hidden_norm = true, .last_norm = LastNorm::plain}, init);
  ParameterSet weights(parameters_of(encoder)), head_weights(parameters_of(head));
  const Shape shape{8, settings.image_size, settings.image_size, 3};
  const Tensor images = from_values(cpu_backend(), shape, normal_values("images", 0, shape.size()), DType::f32);
  Statistics statistics;
  const ForwardMode pass{.groups = 2, .running = &statistics, .activations = activations};
  const Tensor value = loss(head(encoder(images, pass), pass));
  Tensors wrt = weights.tensors();
  wrt.insert(wrt.end(), head_weights.tensors().begin(), head_weights.tensors().end());
  const Tensors gradients = grad({value}, wrt, {.create = true, .keep = true, .seeds = {}});
  Tensor square_sum;
  for (const Tensor& g : gradients) square_sum = square_sum ? square_sum + dot(g, g) : dot(g, g);
  grad({square_sum}, wrt);
  const ForwardMode eval{.training = false, .running = &statistics, .activations = activations};
  head(encoder(images, eval), eval);
}

TEST(OpCoverage, EveryOpOfATrainingStepHasARow) {
  const OpNames ops;
  const ResNetSettings small{.width = 4, .image_size = 16};
  const ResNetSettings pooled{.width = 4, .stem = Stem::imagenet, .image_size = 33};
  train_step(small, DType::f32, [](const Tensor& z) { return nt_xent(z, 0.2); });
  train_step(small, DType::bf16, [](const Tensor& z) { return nt_xent(z, 0.2); });
  train_step(pooled, DType::f32, [](const Tensor& z) { return barlow_twins(z); });
  train_step(small, DType::f32, [](const Tensor& z) { return barlow_twins(z, {.unbiased = true}); });
  train_step(small, DType::f32, [](const Tensor& z) { return byol(z, z.detached()); });
  for (const char* name : {"conv2d", "batch_norm_double_backward", "max_pool", "info_nce_double_backward",
                           "cross_correlation_loss_backward", "cast"})
    EXPECT_TRUE(ops.seen().count(name)) << "the step did not run " << name << "; it ran " << list(ops.seen());
  EXPECT_TRUE(without_row(ops.seen()).empty()) << "ops without a row: " << list(without_row(ops.seen()));
}

TEST(OpCoverage, EveryOpOfAnEncoderHasARow) {
  for (const EncoderFamily& family : encoder_families()) {
    const OpNames ops;
    EncoderSettings settings;
    settings.encoder = family.names.front();
    Encoder encoder = make_encoder(settings, {cpu_backend(), 3});
    const Tensors wrt = ParameterSet(parameters_of(encoder)).tensors();
    Statistics statistics;
    const Tensor features = encoder(random_tensor({4, settings.image_size, settings.image_size, 3}, 1, DType::f32),
                                    {.groups = 2, .running = &statistics});
    Tensor squares;
    for (const Tensor& g : grad({dot(features, features)}, wrt, {.create = true, .keep = true, .seeds = {}}))
      squares = squares ? squares + dot(g, g) : dot(g, g);
    grad({squares}, wrt);
    EXPECT_TRUE(ops.seen().count("conv2d")) << family.names.front() << " ran " << list(ops.seen());
    EXPECT_TRUE(without_row(ops.seen()).empty())
        << family.names.front() << " ran ops without a row: " << list(without_row(ops.seen()));
  }
}

/// Ops that one objective records itself; its tests test them. Of those, pair_l1 is in no case.
const std::set<std::string>& ops_of_one_objective() {
  static const std::set<std::string> names{"pair_scores", "streamed_loss", "streamed_loss_backward"};
  return names;
}

TEST(OpCoverage, EveryOpOfAnObjectiveHasARow) {
  std::set<std::string> own;
  const std::vector<std::int64_t> indices{0, 1, 2, 3, 4, 5, 6, 7};
  for (const ObjectiveCase& setting : objective_cases()) {
    constexpr std::int64_t side = 16;
    const auto images = static_cast<std::int64_t>(indices.size());
    const Options options = options_of(setting, 2, images);
    const auto objective = small_objective(options, DType::f32, side);
    const auto random = [&](std::int64_t rows, std::uint64_t stream) {
      return random_tensor({rows, side, side, 3}, stream, DType::f32);
    };
    const Views views{random(2 * images, 1), random(images, 2), random(2 * images, 3)};
    const OpNames ops;
    objective->step(views, {.lr = 1e-6, .steps = 10, .images = images, .indices = indices});
    for (const std::string& name : without_row(ops.seen())) {
      EXPECT_TRUE(ops_of_one_objective().count(name)) << setting.name << " ran an op without a row: " << name;
      own.insert(name);
    }
  }
  EXPECT_EQ(own, ops_of_one_objective()) << "these have a row or are gone";
}

}  // namespace
}  // namespace vergence::test
