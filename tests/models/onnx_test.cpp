// What ONNX files contain. tests/tools/export_test.py runs such files.
#include "models/export/onnx.h"

#include <cmath>
#include <cstring>
#include <gtest/gtest.h>
#include <map>
#include <protozero/pbf_reader.hpp>

#include "models/encoders/resnet.h"
#include "models/network_graph.h"

namespace vergence {
namespace {

using Texts = std::vector<std::string>;

/// The parts of a file that the tests look at.
struct OnnxFile {
  Texts ops, outputs;  // of the nodes
  std::map<std::string, std::vector<float>> weights;

  explicit OnnxFile(const std::string& bytes) {
    for (protozero::pbf_reader model(bytes); model.next();)
      model.tag() == 7 ? read_graph(model.get_message()) : model.skip();
  }

 private:
  void read_graph(protozero::pbf_reader graph) {
    while (graph.next()) {
      if (graph.tag() == 1)
        read_node(graph.get_message());
      else if (graph.tag() == 5)
        read_weights(graph.get_message());
      else
        graph.skip();
    }
  }
  void read_node(protozero::pbf_reader node) {
    while (node.next()) {
      if (node.tag() == 2)
        outputs.push_back(node.get_string());
      else if (node.tag() == 4)
        ops.push_back(node.get_string());
      else
        node.skip();
    }
  }
  void read_weights(protozero::pbf_reader tensor) {
    std::string name, bytes;
    while (tensor.next()) {
      if (tensor.tag() == 8)
        name = tensor.get_string();
      else if (tensor.tag() == 9)
        bytes = tensor.get_bytes();
      else
        tensor.skip();
    }
    std::vector<float>& values = weights[name];
    values.resize(bytes.size() / sizeof(float));
    std::memcpy(values.data(), bytes.data(), bytes.size());
  }
};

/// `encoder` with statistics and batch norms that are not those of a fresh network.
Exported exported(Encoder encoder) {
  Statistics statistics;
  for (const ConvBn* layer : encoder.layers()) {
    const std::int64_t channels = layer->gamma.size();
    const auto values = [&](float first, float step) {
      std::vector<float> list;
      for (std::int64_t c = 0; c < channels; ++c) list.push_back(first + step * static_cast<float>(c % 5));
      return from_floats(cpu_backend(), {channels}, list);
    };
    assign(layer->gamma, values(0.5f, 0.3f));
    assign(layer->beta, values(-0.2f, 0.1f));
    statistics.layers[layer->norm_name] = {values(0.3f, -0.2f), values(0.2f, 0.4f), 3};
  }
  return {.trained = {std::move(encoder), std::move(statistics), {{"objective", "simclr"}}},
          .mean = {0.5, 0.4, 0.3},
          .std = {0.2, 0.25, 0.3}};
}

Encoder conv4() {
  EncoderSettings settings;
  settings.encoder = "conv4";
  return make_encoder(settings, {cpu_backend(), 3});
}

TEST(Onnx, HasTheOperationsInOrder) {
  const OnnxFile file(onnx_model(exported(conv4()), {.normalize = true}));
  Texts expected{"Sub", "Div"};
  for (int block = 0; block < 4; ++block) expected.insert(expected.end(), {"Conv", "Relu", "MaxPool"});
  expected.insert(expected.end(), {"Transpose", "Flatten"});
  EXPECT_EQ(file.ops, expected);
  EXPECT_EQ(file.outputs.front(), "centered");
  EXPECT_EQ(file.outputs.back(), "features");
  EXPECT_EQ(file.weights.at("mean"), (std::vector<float>{0.5f, 0.4f, 0.3f}));

  const ResNetSettings no_relu{.encoder = "resnet18", .width = 4, .stem = Stem::imagenet, .stem_relu = false};
  const OnnxFile resnet(onnx_model(exported(make_resnet(no_relu, {cpu_backend(), 3}))));
  EXPECT_EQ(Texts(resnet.ops.begin(), resnet.ops.begin() + 7),
            (Texts{"Conv", "MaxPool", "Conv", "Relu", "Conv", "Add", "Relu"}));
  EXPECT_EQ(resnet.ops.back(), "Flatten");
}

TEST(Onnx, FoldsBatchNormIntoTheConvolution) {
  const Exported given = exported(conv4());
  const OnnxFile file(onnx_model(given));
  const ConvBn& layer = *given.trained.encoder.layers()[0];
  const RunningStatistics& running = given.trained.statistics.layers.at(layer.norm_name);
  const std::vector<float> w = layer.w.floats(), gamma = layer.gamma.floats(), beta = layer.beta.floats(),
                           mean = running.mean.floats(), variance = running.variance.floats();
  const std::vector<float>&weight = file.weights.at("layer1.conv.weight"), &bias = file.weights.at("layer1.conv.bias");
  ASSERT_EQ(weight.size(), w.size());
  ASSERT_EQ(bias.size(), gamma.size());
  for (std::size_t out = 0; out < gamma.size(); ++out) {
    const double scale = gamma[out] / std::sqrt(variance[out] + 1e-5);
    EXPECT_FLOAT_EQ(bias[out], static_cast<float>(beta[out] - mean[out] * scale));
    for (std::size_t pixel = 0; pixel < 9; ++pixel)
      for (std::size_t in = 0; in < 3; ++in)
        EXPECT_FLOAT_EQ(weight[(out * 3 + in) * 9 + pixel], static_cast<float>(w[(out * 9 + pixel) * 3 + in] * scale));
  }
}

TEST(Onnx, RefusesWhatItCannotWrite) {
  struct Opaque final : EncoderNetwork {  // a family that does not describe its network
    ResNet network = make_resnet({.width = 4}, {cpu_backend(), 3});
    std::unique_ptr<EncoderNetwork> clone() const override { return std::make_unique<Opaque>(*this); }
    void each(const Visit& visit, const std::string& prefix) override { network.each(visit, prefix); }
    std::vector<const ConvBn*> layers() const override { return network.layers(); }
    Tensor feature_map(const Tensor& images, const ForwardMode& pass) const override {
      return network.feature_map(images, pass);
    }
    Tensor features_of(const Tensor& map) const override { return network.features_of(map); }
  };
  const EncoderSettings settings = ResNetSettings{.width = 4};
  EXPECT_THROW(onnx_model(exported({settings, std::make_unique<Opaque>()})), UsageError);
  Exported unknown = exported(conv4());
  unknown.mean = unknown.std = {};
  EXPECT_THROW(onnx_model(unknown, {.normalize = true}), UsageError);
  EXPECT_NO_THROW(onnx_model(unknown));
}

}  // namespace
}  // namespace vergence
