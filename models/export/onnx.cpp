// Collects the nodes and weights, then writes them as onnx.proto3 numbers its fields.
#include "models/export/onnx.h"

#include <cmath>
#include <cstring>
#include <map>
#include <nlohmann/json.hpp>
#include <protozero/pbf_writer.hpp>

#include "engine/version.h"
#include "models/network_graph.h"

namespace vergence {
namespace {

using Ints = std::vector<std::int64_t>;
using protozero::pbf_writer;

// The numbers of the fields, as onnx.proto3 has them.
namespace model_field {
enum : protozero::pbf_tag_type {
  ir_version = 1,
  producer = 2,
  producer_version = 3,
  graph = 7,
  opset = 8,
  metadata = 14
};
}
namespace opset_field {
enum : protozero::pbf_tag_type { version = 2 };
}
namespace text_field {  // of a metadata entry
enum : protozero::pbf_tag_type { key = 1, value = 2 };
}
namespace graph_field {
enum : protozero::pbf_tag_type { node = 1, name = 2, initializer = 5, input = 11, output = 12 };
}
namespace node_field {
enum : protozero::pbf_tag_type { input = 1, output = 2, name = 3, op = 4, attribute = 5 };
}
namespace attribute_field {
enum : protozero::pbf_tag_type { name = 1, integer = 3, integers = 8, type = 20 };
constexpr std::int32_t type_integer = 2, type_integers = 7;
}  // namespace attribute_field
namespace tensor_field {
enum : protozero::pbf_tag_type { dims = 1, type = 2, name = 8, bytes = 9 };
}
namespace value_field {
enum : protozero::pbf_tag_type { name = 1, type = 2, tensor_type = 1, element = 1, shape = 2, dim = 1 };
}
namespace dim_field {
enum : protozero::pbf_tag_type { size = 1, name = 2 };
}

constexpr std::int32_t type_f32 = 1;
constexpr std::int64_t opset_version = 17, ir_version = 8;        // as in ONNX 1.12, which brought opset 17
constexpr std::int64_t most_bytes = (std::int64_t{1} << 31) - 1;  // of a protobuf message

struct Attribute {
  const char* name;
  Ints values;
  bool list = true;  // false: one value alone
};

struct OnnxNode {
  const char* op;
  std::vector<std::string> inputs;
  std::string output;
  std::vector<Attribute> attributes;
};

struct Weights {
  std::string name;
  Ints shape;
  std::vector<float> values;
};

/// The file's tensors by name, in PyTorch's layout.
class FileTensors {
 public:
  explicit FileTensors(const TrainedEncoder& trained) : entries_(trained.encoder, trained.statistics) {
    for (const TensorEntry& entry : entries_.entries()) by_name_[entry.name] = &entry;
  }

  Weights at(const std::string& name) const {
    const TensorEntry& entry = *by_name_.at(name);
    Weights weights{name, entry.shape, std::vector<float>(static_cast<std::size_t>(entry.size()))};
    std::memcpy(weights.values.data(), entry.data, weights.values.size() * sizeof(float));
    return weights;
  }

 private:
  EncoderEntries entries_;
  std::map<std::string, const TensorEntry*> by_name_;
};

/// A network's nodes and weights. A value has the name of the layer that makes it.
class OnnxGraph final : public NetworkGraph {
 public:
  OnnxGraph(const FileTensors& tensors, Value images) : tensors_(tensors), images_(std::move(images)) {}

  Value images() override { return images_; }

  Value conv_bn(const Value& x, const ConvBn& layer, const GraphConvBnOptions& options) override {
    const Weights& weights = add_folded(layer);
    const ConvOptions& conv = layer.conv;
    Value y = add({"Conv",
                   {x, weights.name, layer.conv_name + ".bias"},
                   layer.norm_name,
                   {{"kernel_shape", {weights.shape[2], weights.shape[3]}},
                    {"strides", Ints(2, conv.stride)},
                    {"pads", Ints(4, conv.padding)},
                    {"dilations", Ints(2, conv.dilation)},
                    {"group", {conv.groups}, false}}});
    if (!options.add.empty()) y = add({"Add", {y, options.add}, layer.norm_name + ".add", {}});
    return options.relu ? add({"Relu", {y}, layer.norm_name + ".relu", {}}) : y;
  }

  Value max_pool(const Value& x, const PoolOptions& pool) override {
    return add(
        {"MaxPool",
         {x},
         x + ".max",
         {{"kernel_shape", Ints(2, pool.kernel)}, {"strides", Ints(2, pool.stride)}, {"pads", Ints(4, pool.padding)}}});
  }

  Value global_average_pool(const Value& x) override {
    return add({"Flatten", {add({"GlobalAveragePool", {x}, x + ".mean", {}})}, x + ".mean.flat", {}});
  }

  Value flatten(const Value& x) override {
    return add({"Flatten", {add({"Transpose", {x}, x + ".pixels", {{"perm", {0, 2, 3, 1}}}})}, x + ".flat", {}});
  }

  Value add(OnnxNode node) {
    nodes_.push_back(std::move(node));
    return nodes_.back().output;
  }

  void add_weights(Weights weights) { weights_.push_back(std::move(weights)); }

  /// Renames a value that no node takes.
  void rename(const Value& from, const std::string& to) {
    for (OnnxNode& node : nodes_)
      if (node.output == from) node.output = to;
  }

  const std::vector<OnnxNode>& nodes() const { return nodes_; }
  const std::vector<Weights>& weights() const { return weights_; }

 private:
  /// Adds the convolution's weights and bias that include the batch norm: in f64, rounded once. Returns the weights.
  const Weights& add_folded(const ConvBn& layer) {
    Weights weights = tensors_.at(layer.conv_name + ".weight"), bias = tensors_.at(layer.norm_name + ".bias");
    const auto of_norm = [&](const char* kind) { return tensors_.at(layer.norm_name + kind).values; };
    const std::vector<float> gamma = of_norm(".weight"), mean = of_norm(".running_mean"),
                             variance = of_norm(".running_var");
    const std::size_t per_channel = weights.values.size() / gamma.size();
    for (std::size_t c = 0; c < gamma.size(); ++c) {
      const double scale = gamma[c] / std::sqrt(static_cast<double>(variance[c]) + norm_epsilon);
      for (std::size_t i = c * per_channel; i < (c + 1) * per_channel; ++i)
        weights.values[i] = static_cast<float>(weights.values[i] * scale);
      bias.values[c] = static_cast<float>(bias.values[c] - mean[c] * scale);
    }
    bias.name = layer.conv_name + ".bias";
    weights_.push_back(std::move(bias));
    weights_.push_back(std::move(weights));
    return weights_.back();
  }

  const FileTensors& tensors_;
  Value images_;
  std::vector<OnnxNode> nodes_;
  std::vector<Weights> weights_;
};

/// A tensor's name, type and shape. A dimension of size 0 is free and has the name `batch`.
void write_value(pbf_writer value, const std::string& name, const Ints& shape) {
  value.add_string(value_field::name, name);
  pbf_writer type(value, value_field::type), tensor(type, value_field::tensor_type);
  tensor.add_int32(value_field::element, type_f32);
  pbf_writer dims(tensor, value_field::shape);
  for (const std::int64_t size : shape) {
    pbf_writer dim(dims, value_field::dim);
    if (size > 0)
      dim.add_int64(dim_field::size, size);
    else
      dim.add_string(dim_field::name, "batch");
  }
}

void write_node(pbf_writer writer, const OnnxNode& node) {
  for (const std::string& input : node.inputs) writer.add_string(node_field::input, input);
  writer.add_string(node_field::output, node.output);
  writer.add_string(node_field::name, node.output);
  writer.add_string(node_field::op, node.op);
  for (const Attribute& attribute : node.attributes) {
    pbf_writer field(writer, node_field::attribute);
    field.add_string(attribute_field::name, attribute.name);
    for (const std::int64_t value : attribute.values)
      field.add_int64(attribute.list ? attribute_field::integers : attribute_field::integer, value);
    field.add_enum(attribute_field::type,
                   attribute.list ? attribute_field::type_integers : attribute_field::type_integer);
  }
}

void write_weights(pbf_writer tensor, const Weights& weights) {
  for (const std::int64_t size : weights.shape) tensor.add_int64(tensor_field::dims, size);
  tensor.add_int32(tensor_field::type, type_f32);
  tensor.add_string(tensor_field::name, weights.name);
  tensor.add_bytes(tensor_field::bytes, reinterpret_cast<const char*>(weights.values.data()),
                   weights.values.size() * sizeof(float));
}

void require_possible_size(const OnnxGraph& graph) {
  std::int64_t bytes = 0;
  for (const Weights& weights : graph.weights())
    bytes += static_cast<std::int64_t>(weights.values.size() * sizeof(float));
  constexpr std::int64_t beside = 16 << 20;  // more than nodes and names take
  require_usage(bytes <= most_bytes - beside, "ONNX: the weights have ", bytes >> 20,
                " MiB, expected less than the 2 GiB that a file can hold");
}

/// The encoder's metadata and what the graph takes.
Metadata about(const Exported& exported, bool normalizes) {
  Metadata entries = exported.trained.metadata;
  entries.erase("format");  // of the encoder's file
  entries.merge(exported.trained.encoder.settings().metadata());
  if (!exported.mean.empty()) {
    entries["mean"] = nlohmann::json(exported.mean).dump();
    entries["std"] = nlohmann::json(exported.std).dump();
  }
  entries["input"] = normalizes ? "values in [0, 1]" : "(values in [0, 1] - mean) / std";
  return entries;
}

/// Adds nodes that normalize `image`.
NetworkGraph::Value add_normalization(OnnxGraph& graph, const std::string& image, const Exported& exported) {
  require_usage(!exported.mean.empty(), "ONNX: the encoder's file has no mean and std to normalize with");
  const auto channels = static_cast<std::int64_t>(exported.mean.size());
  const auto add = [&](const char* name, const std::vector<double>& values) {
    graph.add_weights({name, {1, channels, 1, 1}, {values.begin(), values.end()}});
  };
  add("mean", exported.mean);
  add("std", exported.std);
  const NetworkGraph::Value centered = graph.add({"Sub", {image, "mean"}, "centered", {}});
  return graph.add({"Div", {centered, "std"}, "normalized", {}});
}

}  // namespace

std::string onnx_model(const Exported& exported, const OnnxSettings& settings) {
  const Encoder& encoder = exported.trained.encoder;
  const EncoderSettings& network = encoder.settings();
  const FileTensors tensors(exported.trained);
  OnnxGraph graph(tensors, settings.normalize ? "normalized" : "image");
  if (settings.normalize) add_normalization(graph, "image", exported);
  graph.rename(encoder.describe(graph), "features");
  require_possible_size(graph);

  std::string bytes;
  pbf_writer model(bytes);
  model.add_int64(model_field::ir_version, ir_version);
  model.add_string(model_field::producer, "vergence");
  model.add_string(model_field::producer_version, version());
  pbf_writer(model, model_field::opset).add_int64(opset_field::version, opset_version);
  for (const auto& [key, value] : about(exported, settings.normalize)) {
    pbf_writer entry(model, model_field::metadata);
    entry.add_string(text_field::key, key);
    entry.add_string(text_field::value, value);
  }
  pbf_writer body(model, model_field::graph);
  body.add_string(graph_field::name, network.encoder);
  for (const OnnxNode& node : graph.nodes()) write_node({body, graph_field::node}, node);
  for (const Weights& weights : graph.weights()) write_weights({body, graph_field::initializer}, weights);
  write_value({body, graph_field::input}, "image", {0, network.channels, network.image_size, network.image_size});
  write_value({body, graph_field::output}, "features", {0, network.dim()});
  body.commit();
  return bytes;
}

}  // namespace vergence
