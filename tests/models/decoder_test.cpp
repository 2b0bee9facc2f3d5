// The decoder: published sizes, the forward pass against plain loops, its gradient, and its use on frozen features.
#include "models/decoder.h"

#include <cmath>
#include <gtest/gtest.h>

#include "engine/graph.h"
#include "engine/optimizer.h"
#include "tests/support/complaints.h"
#include "tests/support/small_models.h"

namespace vergence {
namespace {

Init master(DType dtype = DType::f32) { return {cpu_backend(), 1, dtype}; }

Decoder perturbed(const DecoderSettings& settings) {
  Decoder decoder = make_decoder(settings, master(DType::f64));
  std::uint64_t stream = 2000;
  decoder.each([&](const std::string&, Tensor& tensor) {
    ++stream;
    if (tensor.shape.rank() == 1) tensor = tensor + 0.5 * random_tensor(tensor.shape, stream);
  });
  return decoder;
}

TEST(Decoder, HasThePublishedNumbersOfParameters) {
  const auto count = [](std::int64_t features, std::int64_t image_size) {
    return make_decoder({.features = features, .image_size = image_size}, master()).parameters();
  };
  EXPECT_EQ(count(512, 32), 1'045'059);
  EXPECT_EQ(count(512, 64), 1'646'979);
  EXPECT_EQ(count(2048, 224), 6'873'795);
  EXPECT_EQ(count(512, 96), 2'962'819);  // ours: the layers of 64 from a grid of 6x6
}

TEST(Decoder, NamesAreThoseOfASequence) {
  std::vector<std::string> names;
  make_decoder({.features = 16, .image_size = 32, .width = 4}, master()).each([&](const std::string& name, Tensor&) {
    names.push_back(name);
  });
  EXPECT_EQ(names, (std::vector<std::string>{
                       "decoder.0.weight", "decoder.1.weight", "decoder.1.bias", "decoder.4.weight", "decoder.5.weight",
                       "decoder.5.bias", "decoder.7.weight", "decoder.8.weight", "decoder.8.bias", "decoder.10.weight",
                       "decoder.11.weight", "decoder.11.bias", "decoder.13.weight", "decoder.13.bias"}));
}

TEST(Decoder, MakesImagesOfEverySize) {
  for (const std::int64_t size : {8, 16, 32, 48, 64, 96, 128, 160, 224}) {
    const Decoder decoder = make_decoder({.features = 5, .image_size = size, .width = 2}, master());
    EXPECT_EQ(decoder(random_tensor({3, 5}, 1, DType::f32), {}).shape, (Shape{3, size, size, 3})) << size;
  }
}

TEST(Decoder, StartsFromAFeatureMapOfTheGridOrFiner) {
  for (const std::int64_t map : {2, 4, 8, 16}) {
    const Decoder decoder = make_decoder({.features = 5, .image_size = 16, .map_size = map, .width = 2}, master());
    EXPECT_EQ(decoder.grid, map);
    EXPECT_EQ(decoder(random_tensor({2, map, map, 5}, 1, DType::f32), {}).shape, (Shape{2, 16, 16, 3})) << map;
  }
}

TEST(Decoder, TheFeatureMapIsAsLargeAsItsSettingsSay) {
  for (const auto& [name, stem] : stem_words)
    for (const std::int64_t size : {32, 40, 64, 72}) {
      ResNetSettings settings = small();
      settings.stem = stem, settings.image_size = size;
      const Tensor map = make_resnet(settings, master()).feature_map(zeros(cpu_backend(), {2, size, size, 3}), {});
      EXPECT_EQ(map.shape, (Shape{2, settings.map_size(), settings.map_size(), settings.dim()})) << name << size;
    }
}

TEST(Decoder, RefusesSizesItHasNoShapeFor) {
  const auto refused = [](const DecoderSettings& settings, const char* part) {
    const std::string message = message_of([&] { make_decoder(settings, master()); });
    EXPECT_NE(message.find(part), std::string::npos) << part << " not in: " << message;
  };
  refused({.image_size = 30}, "images of 30 pixels; expected a multiple of 8");
  refused({.image_size = 72}, "images of 72 pixels");
  refused({.image_size = 144}, "images of 144 pixels");
  refused({.image_size = 32, .map_size = 2}, "a feature map of 2x2 for images of 32 pixels; expected 4x4");
  refused({.image_size = 32, .map_size = 12}, "a feature map of 12x12");
  refused({.image_size = 32, .map_size = 64}, "a feature map of 64x64");
  refused({.width = 0}, "width is 0");
}

// ---- the forward pass by plain loops

struct Image {
  std::int64_t side = 1, channels = 1;
  std::vector<double> values;  // [rows, side, side, channels]
};

/// Every input pixel adds its value, times the kernel, to the output pixels that the kernel reaches.
Image spread(const Image& x, const TransposedConv& layer) {
  const std::int64_t out = layer.w.shape[3], side = x.side * layer.stride, in = x.channels;
  const auto rows = static_cast<std::int64_t>(x.values.size()) / (x.side * x.side * in);
  const std::vector<double> w = layer.w.values();
  const std::vector<double> bias = layer.bias ? layer.bias.values() : std::vector<double>{};
  Image y{side, out, std::vector<double>(static_cast<std::size_t>(rows * side * side * out))};
  for (std::int64_t i = 0; i < rows * x.side * x.side * in; ++i) {
    const std::int64_t c = i % in, column = i / in % x.side, line = i / in / x.side % x.side,
                       row = i / in / x.side / x.side;
    for (std::int64_t k = 0; k < 9 * out; ++k) {
      const std::int64_t to_line = line * layer.stride + k / out / 3 - 1,
                         to_column = column * layer.stride + k / out % 3 - 1;
      if (to_line < 0 || to_line >= side || to_column < 0 || to_column >= side) continue;
      y.values[static_cast<std::size_t>(((row * side + to_line) * side + to_column) * out + k % out)] +=
          x.values[static_cast<std::size_t>(i)] * w[static_cast<std::size_t>(c * 9 * out + k)];
    }
  }
  if (!bias.empty())
    for (std::size_t i = 0; i < y.values.size(); ++i) y.values[i] += bias[i % bias.size()];
  return y;
}

/// ReLU of the batch norm of the columns, by the statistics of all rows.
void normalize(std::vector<double>& x, const Tensor& gamma, const Tensor& beta) {
  const std::vector<double> scale = gamma.values(), shift = beta.values();
  const std::size_t cols = scale.size(), rows = x.size() / cols;
  for (std::size_t c = 0; c < cols; ++c) {
    double mean = 0, variance = 0;
    for (std::size_t r = 0; r < rows; ++r) mean += x[r * cols + c] / static_cast<double>(rows);
    for (std::size_t r = 0; r < rows; ++r) variance += std::pow(x[r * cols + c] - mean, 2) / static_cast<double>(rows);
    for (std::size_t r = 0; r < rows; ++r) {
      double& value = x[r * cols + c];
      value = std::max(0.0, (value - mean) / std::sqrt(variance + 1e-5) * scale[c] + shift[c]);
    }
  }
}

/// rows x inputs times weights, one row of them per output.
std::vector<double> product(const std::vector<double>& x, const std::vector<double>& w, std::size_t inputs) {
  const std::size_t rows = x.size() / inputs, outputs = w.size() / inputs;
  std::vector<double> y(rows * outputs);
  for (std::size_t r = 0; r < rows; ++r)
    for (std::size_t o = 0; o < outputs; ++o)
      for (std::size_t i = 0; i < inputs; ++i) y[r * outputs + o] += x[r * inputs + i] * w[o * inputs + i];
  return y;
}

TEST(Decoder, ComputesWhatPlainLoopsDo) {
  for (const DecoderSettings& settings :
       {DecoderSettings{.features = 5, .image_size = 16, .width = 2},
        DecoderSettings{.features = 5, .image_size = 16, .map_size = 4, .width = 2},
        DecoderSettings{.features = 3, .image_size = 64, .width = 1},
        DecoderSettings{.features = 3, .image_size = 160, .width = 1, .image_channels = 2}}) {
    const Decoder decoder = perturbed(settings);
    const std::int64_t map = settings.map_size;
    const Tensor features = random_tensor(map ? Shape{3, map, map, settings.features} : Shape{3, settings.features}, 1);
    const Tensor &start = map ? decoder.map_start.w : decoder.start.w,
                 &gamma = map ? decoder.map_start.gamma : decoder.start_norm.gamma,
                 &beta = map ? decoder.map_start.beta : decoder.start_norm.beta;
    Image x{decoder.grid, decoder.layers[0].w.shape[0],
            product(features.values(), start.values(), static_cast<std::size_t>(settings.features))};
    normalize(x.values, gamma, beta);
    for (std::size_t i = 0; i < decoder.layers.size(); ++i) {
      x = spread(x, decoder.layers[i]);
      if (i < decoder.norms.size()) normalize(x.values, decoder.norms[i].gamma, decoder.norms[i].beta);
    }
    const Tensor images = decoder(features, {});
    ASSERT_EQ(images.shape, (Shape{3, settings.image_size, settings.image_size, settings.image_channels}));
    const std::vector<double> values = images.values();
    for (std::size_t i = 0; i < values.size(); ++i)
      ASSERT_NEAR(values[i], x.values[i], 1e-11 * (1 + std::abs(x.values[i]))) << settings.image_size << " at " << i;
  }
}

TEST(Decoder, ItsGradientIsThatOfFiniteDifferences) {
  Decoder decoder = perturbed({.features = 5, .image_size = 16, .width = 2});
  const Tensor features = leaf(random_tensor({4, 5}, 1)), images = random_tensor({4, 16, 16, 3}, 2);
  const auto loss = [&](const Decoder& model, const Tensor& x) {
    return mean(square(images - model(x, {.groups = 2})));
  };
  decoder.each([](const std::string&, Tensor& tensor) { tensor = leaf(tensor); });
  Tensors wrt = values_of(decoder);
  wrt.push_back(features);
  const Tensors gradient = grad({loss(decoder, features)}, wrt);
  double along = 0;
  Tensors direction;
  for (std::size_t i = 0; i < wrt.size(); ++i) {
    direction.push_back(random_tensor(wrt[i].shape, 3000 + i));
    along += dot(gradient[i], direction[i]).item();
  }
  const auto loss_at = [&](double step) {
    Decoder moved = decoder;
    Tensors values;
    for (std::size_t i = 0; i + 1 < wrt.size(); ++i) values.push_back(wrt[i].detached() + step * direction[i]);
    set_values(values, moved);
    return loss(moved, features.detached() + step * direction.back()).item();
  };
  EXPECT_NEAR((loss_at(1e-6) - loss_at(-1e-6)) / 2e-6, along, 1e-7 * (1 + std::abs(along)));
}

TEST(Decoder, InHalfPrecisionItIsNearSinglePrecision) {
  for (const std::int64_t map : {0, 4}) {
    const Decoder decoder = make_decoder({.features = 32, .image_size = 32, .map_size = map, .width = 16}, master());
    const Tensor features = random_tensor(map ? Shape{8, 4, 4, 32} : Shape{8, 32}, 1, DType::f32);
    const Tensor single = decoder(features, {}), half = decoder(features, {.activations = DType::bf16});
    EXPECT_EQ(half.dtype, DType::f32);
    const double difference = std::sqrt(mean(square(single - half)).item() / mean(square(single)).item());
    EXPECT_LT(difference, 2e-2);
    EXPECT_GT(difference, 1e-5);
  }
}

TEST(Decoder, CountsItsOperations) {
  const Decoder decoder = make_decoder({.features = 512, .image_size = 32}, master());
  const double expected = 512 * 1024 + 9.0 * (16 * 64 * 256 + 64 * 256 * 128 + 256 * 128 * 64 + 1024 * 64 * 3);
  EXPECT_EQ(decoder.flops(10), 20 * expected);
  EXPECT_EQ(decoder.kept_values(10), 20 * (16 * 64 + 64 * 256 + 256 * 128 + 1024 * 64 + 1024 * 3));
}

/// Images of few degrees of freedom, and features that tell which: a probe of frozen features learns them.
TEST(Decoder, LearnsImagesFromFrozenFeatures) {
  const std::int64_t count = 64;
  const Tensor factors = random_tensor({count, 6}, 1, DType::f32);
  const Tensor images = reshape(matmul(factors, random_tensor({6, 16 * 16 * 3}, 2, DType::f32)), {count, 16, 16, 3});
  const Tensor features = tanh(matmul(factors, random_tensor({6, 12}, 3, DType::f32)));
  Decoder decoder = make_decoder({.features = 12, .image_size = 16, .width = 8}, master());
  Statistics running;
  ParameterSet parameters(parameters_of(decoder));
  Optimizer optimizer(parameters, {.kind = OptimizerKind::adam});
  const double variance = mean(square(images)).item();
  const auto r_squared = [&](const ForwardMode& pass) {
    return 1 - mean(square(images - decoder(features, pass))).item() / variance;
  };
  EXPECT_LT(r_squared({}), 0);
  for (int step = 0; step < 150; ++step) {
    const Tensor difference = images - decoder(features, {.running = &running});
    parameters.backward(mean(square(difference)));
    optimizer.step(1e-2);
  }
  EXPECT_GT(r_squared({}), 0.6);
  EXPECT_GT(r_squared({.training = false, .running = &running}), 0.6);
}

}  // namespace
}  // namespace vergence
