// Encoders, heads and their running statistics: names and sizes against torchvision's, the forward pass against plain
// compositions by name, statistic groups against separate calls.
#include <algorithm>
#include <cmath>
#include <gtest/gtest.h>
#include <map>

#include "engine/graph.h"
#include "models/encoders/resnet.h"
#include "models/heads.h"
#include "tests/support/small_models.h"

namespace vergence {
namespace {

double largest_difference(const Tensor& a, const Tensor& b) {
  EXPECT_EQ(a.shape, b.shape);
  const std::vector<double> left = a.values(), right = b.values();
  double most = 0;
  for (std::size_t i = 0; i < left.size(); ++i) most = std::max(most, std::abs(left[i] - right[i]));
  return most;
}

std::vector<std::string> names_of(ResNet model) {
  std::vector<std::string> names;
  model.each([&](const std::string& name, Tensor&) { names.push_back(name); });
  return names;
}

std::int64_t count_of(ResNet model) {
  std::int64_t count = 0;
  model.each([&](const std::string&, Tensor& tensor) { count += tensor.size(); });
  return count;
}

TEST(ResNet, NamesOfResNet18AreTorchvisions) {
  const std::vector<std::string> expected{"conv1.weight",
                                          "bn1.weight",
                                          "bn1.bias",
                                          "layer1.0.conv1.weight",
                                          "layer1.0.bn1.weight",
                                          "layer1.0.bn1.bias",
                                          "layer1.0.conv2.weight",
                                          "layer1.0.bn2.weight",
                                          "layer1.0.bn2.bias",
                                          "layer1.1.conv1.weight",
                                          "layer1.1.bn1.weight",
                                          "layer1.1.bn1.bias",
                                          "layer1.1.conv2.weight",
                                          "layer1.1.bn2.weight",
                                          "layer1.1.bn2.bias",
                                          "layer2.0.conv1.weight",
                                          "layer2.0.bn1.weight",
                                          "layer2.0.bn1.bias",
                                          "layer2.0.conv2.weight",
                                          "layer2.0.bn2.weight",
                                          "layer2.0.bn2.bias",
                                          "layer2.0.downsample.0.weight",
                                          "layer2.0.downsample.1.weight",
                                          "layer2.0.downsample.1.bias",
                                          "layer2.1.conv1.weight",
                                          "layer2.1.bn1.weight",
                                          "layer2.1.bn1.bias",
                                          "layer2.1.conv2.weight",
                                          "layer2.1.bn2.weight",
                                          "layer2.1.bn2.bias",
                                          "layer3.0.conv1.weight",
                                          "layer3.0.bn1.weight",
                                          "layer3.0.bn1.bias",
                                          "layer3.0.conv2.weight",
                                          "layer3.0.bn2.weight",
                                          "layer3.0.bn2.bias",
                                          "layer3.0.downsample.0.weight",
                                          "layer3.0.downsample.1.weight",
                                          "layer3.0.downsample.1.bias",
                                          "layer3.1.conv1.weight",
                                          "layer3.1.bn1.weight",
                                          "layer3.1.bn1.bias",
                                          "layer3.1.conv2.weight",
                                          "layer3.1.bn2.weight",
                                          "layer3.1.bn2.bias",
                                          "layer4.0.conv1.weight",
                                          "layer4.0.bn1.weight",
                                          "layer4.0.bn1.bias",
                                          "layer4.0.conv2.weight",
                                          "layer4.0.bn2.weight",
                                          "layer4.0.bn2.bias",
                                          "layer4.0.downsample.0.weight",
                                          "layer4.0.downsample.1.weight",
                                          "layer4.0.downsample.1.bias",
                                          "layer4.1.conv1.weight",
                                          "layer4.1.bn1.weight",
                                          "layer4.1.bn1.bias",
                                          "layer4.1.conv2.weight",
                                          "layer4.1.bn2.weight",
                                          "layer4.1.bn2.bias"};
  EXPECT_EQ(names_of(make_resnet(small(), {cpu_backend()})), expected);
}

/// torchvision's names, spelled by its rules: `convs` convolutions a block, a downsample where listed.
std::vector<std::string> torchvision_names(const std::vector<int>& depths, int convs, int first_downsampled_stage) {
  std::vector<std::string> names;
  auto layer = [&](const std::string& conv, const std::string& norm) {
    names.insert(names.end(), {conv + ".weight", norm + ".weight", norm + ".bias"});
  };
  layer("conv1", "bn1");
  for (int stage = 1; stage <= 4; ++stage)
    for (int block = 0; block < depths[static_cast<std::size_t>(stage - 1)]; ++block) {
      const std::string name = join("layer", stage, ".", block, ".");
      for (int i = 1; i <= convs; ++i) layer(join(name, "conv", i), join(name, "bn", i));
      if (block == 0 && stage >= first_downsampled_stage) layer(name + "downsample.0", name + "downsample.1");
    }
  return names;
}

TEST(ResNet, NamesOfTheDeeperOnesAreTorchvisions) {
  const auto names34 = names_of(make_resnet(small("resnet34"), {cpu_backend()}));
  EXPECT_EQ(names34, torchvision_names({3, 4, 6, 3}, 2, 2));
  EXPECT_EQ(names34.size(), 108u);
  const auto names50 = names_of(make_resnet(small("resnet50"), {cpu_backend()}));
  EXPECT_EQ(names50, torchvision_names({3, 4, 6, 3}, 3, 1));
  EXPECT_EQ(names50.size(), 159u);
}

TEST(ResNet, ParameterCountsAreTorchvisions) {
  const std::map<std::string, std::int64_t> expected{
      {"resnet18", 11'176'512}, {"resnet34", 21'284'672}, {"resnet50", 23'508'032}};
  for (const auto& [encoder, count] : expected) {
    ResNetSettings settings;
    settings.encoder = encoder;
    settings.stem = Stem::imagenet;
    EXPECT_EQ(cost_of(settings, 1).parameters, count) << encoder;
  }
  for (const char* encoder : {"resnet18", "resnet50"})
    for (const Stem stem : {Stem::cifar, Stem::imagenet}) {
      ResNetSettings settings = small(encoder, 3);
      settings.stem = stem;
      EXPECT_EQ(cost_of(settings, 1).parameters, count_of(make_resnet(settings, {cpu_backend()})));
    }
}

TEST(ResNet, CostsAreTheKnownOnes) {
  ResNetSettings settings;
  settings.stem = Stem::imagenet;
  settings.image_size = 224;
  // 1.814 and 4.089 billion multiply-adds without the classifier, as published for torchvision's networks.
  EXPECT_NEAR(cost_of(settings, 1).forward_flops / 2e9, 1.814, 0.001);
  settings.encoder = "resnet50";
  EXPECT_NEAR(cost_of(settings, 1).forward_flops / 2e9, 4.087, 0.001);
  const Cost one = cost_of(settings, 1), eight = cost_of(settings, 8, DType::bf16);
  EXPECT_DOUBLE_EQ(eight.forward_flops, 8 * one.forward_flops);
  EXPECT_LT(eight.activation_bytes, 5 * one.activation_bytes);
}

TEST(ResNet, FeatureAndMapShapes) {
  const std::map<Stem, std::int64_t> sides{
      {Stem::cifar, 4}, {Stem::stl, 2}, {Stem::stl_stride2, 2}, {Stem::imagenet, 1}, {Stem::cifar_padding2, 5}};
  for (const auto& [stem, side] : sides)
    for (const char* encoder : {"resnet18", "resnet50"}) {
      ResNetSettings settings = small(encoder);
      settings.stem = stem;
      settings.image_size = 32;
      const ResNet model = make_resnet(settings, {cpu_backend(), 0, DType::f64});
      const Tensor images = random_tensor({4, 32, 32, 3}, 1);
      const std::int64_t dim = encoder == std::string("resnet18") ? 16 : 64;
      EXPECT_EQ(settings.dim(), dim);
      EXPECT_EQ(model.feature_map(images, {}).shape, Shape({4, side, side, dim})) << text_of(stem_words, stem);
      EXPECT_EQ(settings.map_size(), side) << text_of(stem_words, stem);
      EXPECT_EQ(model(images, {}).shape, Shape({4, dim}));
    }
}

TEST(ResNet, StagesHaveTheirMaps) {
  for (const char* encoder : {"resnet18", "resnet50"}) {
    const ResNetSettings settings = small(encoder);
    const Encoder model = make_resnet(settings, {cpu_backend(), 0, DType::f64});
    const Tensor images = random_tensor({2, 32, 32, 3}, 1);
    ASSERT_EQ(model.stages(), 4);
    std::int64_t channels = settings.dim() / 8, side = 32;
    for (std::int64_t stage = 1; stage <= 4; ++stage, channels *= 2, side /= 2)
      EXPECT_EQ(model.stage_map(images, {}, stage).shape, Shape({2, side, side, channels})) << encoder << stage;
    EXPECT_EQ(model.stage_map(images, {}, 4).values(), model.feature_map(images, {}).values()) << encoder;
    EXPECT_THROW(model.stage_map(images, {}, 5), Error);
    EXPECT_THROW(model.stage_map(images, {}, 0), Error);
  }
}

/// torchvision's forward pass over weights by name, from elementary ops.
struct Composed {
  std::map<std::string, Tensor> weights;
  ResNetSettings settings;

  Tensor norm(const Tensor& x, const std::string& name) const {
    const Tensor flat = reshape(x, {x.rows(), x.cols()});
    const Tensor centered = flat - sum_over_rows(flat) / static_cast<double>(x.rows());
    const Tensor variance = sum_over_rows(square(centered)) / static_cast<double>(x.rows());
    const Tensor unit = centered * reciprocal(sqrt(variance + 1e-5));
    return reshape(unit * weights.at(name + ".weight") + weights.at(name + ".bias"), x.shape);
  }
  Tensor conv(const Tensor& x, const std::string& name, std::int64_t stride, std::int64_t more_padding = 0) const {
    const Tensor& w = weights.at(name + ".weight");
    return conv2d(x, w, {.stride = stride, .padding = w.shape[1] / 2 + more_padding});
  }

  Tensor block(const Tensor& x, const std::string& name, std::int64_t stride) const {
    const bool bottleneck = weights.contains(name + ".conv3.weight");
    Tensor y = relu(norm(conv(x, name + ".conv1", bottleneck ? 1 : stride), name + ".bn1"));
    y = norm(conv(y, name + ".conv2", bottleneck ? stride : 1), name + ".bn2");
    if (bottleneck) y = norm(conv(relu(y), name + ".conv3", 1), name + ".bn3");
    const bool down = weights.contains(name + ".downsample.0.weight");
    return relu(y + (down ? norm(conv(x, name + ".downsample.0", stride), name + ".downsample.1") : x));
  }

  Tensor features(Tensor x) const {
    const bool halves = settings.stem == Stem::stl_stride2 || settings.stem == Stem::imagenet;
    x = norm(conv(x, "conv1", halves ? 2 : 1, settings.stem == Stem::cifar_padding2 ? 1 : 0), "bn1");
    if (settings.stem_relu) x = relu(x);
    if (settings.stem == Stem::imagenet || settings.stem == Stem::stl) x = max_pool(x, {3, 2, 1});
    for (int stage = 1; stage <= 4; ++stage)
      for (int i = 0; weights.contains(join("layer", stage, ".", i, ".conv1.weight")); ++i)
        x = block(x, join("layer", stage, ".", i), stage > 1 && i == 0 ? 2 : 1);
    return global_average_pool(x);
  }
};

TEST(ResNet, ForwardEqualsTheCompositionByName) {
  for (const char* encoder : {"resnet18", "resnet50"})
    for (const auto& [name, stem] : stem_words)
      for (bool stem_relu : {true, false}) {
        ResNetSettings settings = small(encoder);
        settings.stem = stem;
        settings.stem_relu = stem_relu;
        ResNet model = perturbed(settings);
        Composed reference{{}, settings};
        model.each([&](const std::string& weight, Tensor& tensor) { reference.weights[weight] = tensor; });
        const Tensor images = random_tensor({6, 16, 16, 3}, 2);
        EXPECT_LT(largest_difference(model(images, {}), reference.features(images)), 1e-10) << encoder << " " << name;
      }
}

TEST(ResNet, GradientAlongARandomDirection) {
  ResNet model = perturbed(small());
  const Tensor images = random_tensor({6, 8, 8, 3}, 3), seed = random_tensor({6, 16}, 4);
  expect_gradient_along_a_direction(model, [&](const ResNet& net) { return dot(net(images, {.groups = 2}), seed); });
}

TEST(ResNet, TwoGroupsEqualTwoCalls) {
  const ResNet model = perturbed(small("resnet50"));
  const Tensor images = random_tensor({10, 8, 8, 3}, 5);
  Statistics together, apart;
  const Tensor both = model(images, {.groups = 2, .running = &together});
  const Tensor first = model(slice(images, 0, 0, 5), {.running = &apart});
  const Tensor second = model(slice(images, 0, 5, 5), {.running = &apart});
  EXPECT_LT(largest_difference(both, concat({first, second}, 0)), 1e-12);
  EXPECT_EQ(together.layers.size(), model.layers().size());
  for (const auto& [name, entry] : together.layers) {
    EXPECT_LT(largest_difference(entry.mean, apart.layers.at(name).mean), 1e-12) << name;
    EXPECT_LT(largest_difference(entry.variance, apart.layers.at(name).variance), 1e-12) << name;
    EXPECT_EQ(entry.batches, 2);
    EXPECT_EQ(apart.layers.at(name).batches, 2);
  }
}

TEST(ResNet, Bf16StaysCloseAndReturnsMasterType) {
  const ResNet model = perturbed(small("resnet18", 8), DType::f32);
  const Tensor images = random_tensor({8, 16, 16, 3}, 6, DType::f32);
  const Tensor exact = model(images, {}), rounded = model(images, {.activations = DType::bf16});
  EXPECT_EQ(rounded.dtype, DType::f32);
  const double error = largest_difference(exact, rounded);
  EXPECT_GT(error, 0) << "bf16 was not used";
  EXPECT_LT(error, 0.25);
}

TEST(ResNet, ZeroInitGammaMakesBlocksIdentities) {
  ResNetSettings settings = small();
  settings.zero_init_gamma = true;
  const ResNet model = make_resnet(settings, {cpu_backend(), 1, DType::f64});
  for (const ResNetBlock& block : model.blocks)
    EXPECT_EQ(block.convs.back().gamma.values(), std::vector<double>(block.convs.back().gamma.values().size(), 0.0));
  EXPECT_EQ(model.blocks[0].convs[0].gamma.values(), std::vector<double>(2, 1.0));
}

TEST(ResNet, RefusesImpossibleSettings) {
  auto refused = [](auto&& change) {
    ResNetSettings settings;
    change(settings);
    EXPECT_THROW(make_resnet(settings, {cpu_backend()}), UsageError);
  };
  refused([](ResNetSettings& s) { s.encoder = "resnet19"; });
  refused([](ResNetSettings& s) { s.width = 0; });
  refused([](ResNetSettings& s) { s.channels = -3; });
  const ResNet model = make_resnet(small(), {cpu_backend()});
  EXPECT_THROW(model(random_tensor({2, 8, 8, 4}, 1, DType::f32), {}), Error);
}

TEST(RunningStatistics, FollowThePyTorchRule) {
  const Tensor x = random_tensor({12, 3}, 7);
  const BatchNorm layer = make_batch_norm({cpu_backend(), 0, DType::f64}, "bn", 3);
  Statistics statistics;
  batch_norm(x, layer, {.groups = 2, .running = &statistics});
  const std::vector<double> values = x.values();
  for (std::size_t c = 0; c < 3; ++c) {
    double mean = 0, variance = 1;
    for (std::size_t group = 0; group < 2; ++group) {
      double sum = 0, squares = 0;
      for (std::size_t r = 0; r < 6; ++r) sum += values[(group * 6 + r) * 3 + c];
      for (std::size_t r = 0; r < 6; ++r) squares += std::pow(values[(group * 6 + r) * 3 + c] - sum / 6, 2);
      mean = 0.9 * mean + 0.1 * sum / 6;
      variance = 0.9 * variance + 0.1 * squares / 5;
    }
    EXPECT_NEAR(statistics.layers.at("bn").mean.values()[c], mean, 1e-14);
    EXPECT_NEAR(statistics.layers.at("bn").variance.values()[c], variance, 1e-12);
  }
  EXPECT_THROW(batch_norm(slice(x, 0, 0, 2), layer, {.groups = 2, .running = &statistics}), UsageError);
  EXPECT_THROW(batch_norm(x, layer, {.training = false}), Error);
}

TEST(RunningStatistics, EvaluationReadsAndNeverWrites) {
  const ResNet model = perturbed(small());
  const Tensor images = random_tensor({6, 8, 8, 3}, 8);
  Statistics statistics;
  model(images, {.running = &statistics});
  const auto all_values = [&] {
    std::vector<std::vector<double>> all;
    for (const auto& [name, entry] : statistics.layers)
      all.push_back(entry.mean.values()), all.push_back(entry.variance.values());
    return all;
  };
  const auto before = all_values();
  const Tensor whole = model(images, {.training = false, .running = &statistics});
  const Tensor part = model(slice(images, 0, 2, 1), {.training = false, .running = &statistics});
  EXPECT_LT(largest_difference(slice(whole, 0, 2, 1), part), 1e-12) << "an image's features depend on its neighbors";
  EXPECT_EQ(all_values(), before);
  model(images, {.running = &statistics});
  EXPECT_NE(all_values(), before) << "training wrote none";
}

TEST(Weights, DependOnSeedAndNameAlone) {
  const ResNet a = make_resnet(small(), {cpu_backend(), 1}), b = make_resnet(small(), {cpu_backend(), 1}),
               c = make_resnet(small(), {cpu_backend(), 2});
  EXPECT_EQ(a.blocks[3].convs[1].w.values(), b.blocks[3].convs[1].w.values());
  EXPECT_NE(a.blocks[3].convs[1].w.values(), c.blocks[3].convs[1].w.values());
  EXPECT_NE(a.blocks[0].convs[0].w.values(), a.blocks[0].convs[1].w.values());
  const Init init{cpu_backend(), 1};
  EXPECT_EQ(uniform_weights(init, "layer2.1.conv2.weight", {4, 3, 3, 4}, 36).values(), a.blocks[3].convs[1].w.values());
}

TEST(Weights, AreUniformWithinPyTorchsBound) {
  const Linear layer = make_linear({cpu_backend(), 1}, "head", 400, 300);
  const double bound = 1 / std::sqrt(400.0);
  for (const Tensor& tensor : {layer.w, layer.bias}) {
    double sum = 0, squares = 0, most = 0;
    for (double value : tensor.values()) {
      sum += value;
      squares += value * value;
      most = std::max(most, std::abs(value));
    }
    const double count = static_cast<double>(tensor.size());
    EXPECT_LE(most, bound);
    EXPECT_GT(most, 0.95 * bound);
    EXPECT_NEAR(sum / count, 0, 0.1 * bound);
    EXPECT_NEAR(squares / count, bound * bound / 3, 0.05 * bound * bound);
  }
}

std::vector<std::string> names_of(Mlp head) {
  std::vector<std::string> names;
  head.each([&](const std::string& name, Tensor&) { names.push_back(name); });
  return names;
}

TEST(Heads, NamesAreThoseOfASequential) {
  const Init init{cpu_backend()};
  EXPECT_EQ(
      names_of(make_mlp({.name = "projector", .sizes = {4, 8, 3}}, init)),
      (std::vector<std::string>{"projector.0.weight", "projector.0.bias", "projector.2.weight", "projector.2.bias"}));
  EXPECT_EQ(names_of(make_mlp({.name = "p",
                               .sizes = {4, 8, 8, 3},
                               .hidden_norm = true,
                               .hidden_bias = false,
                               .last_norm = LastNorm::affine},
                              init)),
            (std::vector<std::string>{"p.0.weight", "p.1.weight", "p.1.bias", "p.3.weight", "p.4.weight", "p.4.bias",
                                      "p.6.weight", "p.6.bias", "p.7.weight", "p.7.bias"}));
  EXPECT_EQ(names_of(make_mlp({.name = "p", .sizes = {4, 3}, .last_norm = LastNorm::plain, .last_bias = false}, init)),
            (std::vector<std::string>{"p.0.weight"}));
  EXPECT_THROW(make_mlp({.name = "p", .sizes = {4}}, init), UsageError);
  EXPECT_THROW(make_mlp({.name = "p", .sizes = {4, 0}}, init), UsageError);
}

TEST(Heads, ForwardEqualsTheComposition) {
  const Init init{cpu_backend(), 3, DType::f64};
  const Tensor x = random_tensor({8, 4}, 9);
  auto norm = [](const Tensor& y) {
    const Tensor centered = y - sum_over_rows(y) / 8;
    return centered * reciprocal(sqrt(affine(sum_over_rows(square(centered)), 1.0 / 8, 1e-5)));
  };
  for (LastNorm last : {LastNorm::none, LastNorm::affine, LastNorm::plain})
    for (bool hidden_norm : {false, true}) {
      Mlp head = make_mlp({.name = "p", .sizes = {4, 6, 5, 3}, .hidden_norm = hidden_norm, .last_norm = last}, init);
      for (BatchNorm& layer : head.norms)
        if (layer.gamma) {
          layer.gamma = random_tensor(layer.gamma.shape, 70);
          layer.beta = random_tensor(layer.beta.shape, 71);
        }
      Tensor expected = x;
      for (std::size_t i = 0; i < 3; ++i) {
        expected = linear(expected, head.linears[i].w, head.linears[i].bias);
        if (i < 2 ? hidden_norm : last != LastNorm::none) expected = norm(expected);
        if (head.norms[i].gamma) expected = expected * head.norms[i].gamma + head.norms[i].beta;
        if (i < 2) expected = relu(expected);
      }
      EXPECT_LT(largest_difference(head(x, {}), expected), 1e-12);
    }
}

TEST(Heads, CountsAndStatistics) {
  const Mlp head = make_mlp({.name = "projector", .sizes = {512, 2048, 256}}, {cpu_backend()});
  EXPECT_EQ(head.parameters(), 512 * 2048 + 2048 + 2048 * 256 + 256);
  EXPECT_DOUBLE_EQ(head.flops(10), 20.0 * (512 * 2048 + 2048 * 256));
  const Mlp normed =
      make_mlp({.name = "p", .sizes = {4, 6, 3}, .hidden_norm = true, .last_norm = LastNorm::plain}, {cpu_backend()});
  Statistics statistics;
  normed(random_tensor({8, 4}, 10, DType::f32), {.groups = 2, .running = &statistics});
  ASSERT_EQ(statistics.layers.size(), 2u);
  EXPECT_EQ(statistics.layers.begin()->first, "p.1");
  EXPECT_EQ(statistics.layers.at("p.4").mean.size(), 3);
}

TEST(Models, AreValues) {
  ResNet model = perturbed(small());
  const Tensor images = random_tensor({4, 8, 8, 3}, 11);
  const Tensor before = model(images, {});
  ResNet other = model;
  Tensors values = values_of(model);
  for (Tensor& value : values) value = 0.5 * value;
  set_values(values, other);
  EXPECT_EQ(largest_difference(model(images, {}), before), 0);
  EXPECT_GT(largest_difference(other(images, {}), before), 1e-3);
}

TEST(Models, MomentumEncoderFollows) {
  ResNet online = perturbed(small());
  Mlp projector = make_mlp({.name = "projector", .sizes = {16, 8, 4}}, {cpu_backend(), 1, DType::f64});
  Mlp predictor = make_mlp({.name = "predictor", .sizes = {4, 8, 4}}, {cpu_backend(), 1, DType::f64});
  ResNet target = online;
  Mlp target_projector = projector;
  auto list = parameters_of(online);
  auto join_lists = [](std::vector<NamedTensor>& to, const std::vector<NamedTensor>& more) {
    to.insert(to.end(), more.begin(), more.end());
  };
  join_lists(list, parameters_of(projector));
  join_lists(list, parameters_of(predictor));
  const ParameterSet trained(list);
  auto target_list = parameters_of(target);
  join_lists(target_list, parameters_of(target_projector));
  const ParameterSet average(target_list, Role::constant);
  const std::vector<double> start = target.blocks[5].convs[0].w.values();
  cpu_backend().fill(trained.flat().array(), 2);
  ema_update(average, trained, from_values(cpu_backend(), {1}, {0.9}));
  const std::vector<double> moved = target.blocks[5].convs[0].w.values();
  for (std::size_t i = 0; i < moved.size(); ++i) ASSERT_NEAR(moved[i], 0.9 * start[i] + 0.1 * 2, 1e-15);
  EXPECT_EQ(target(random_tensor({4, 8, 8, 3}, 12), {}).node, nullptr) << "the target must be a constant";
  EXPECT_NE(online(random_tensor({4, 8, 8, 3}, 12), {}).node, nullptr);
}

}  // namespace
}  // namespace vergence
