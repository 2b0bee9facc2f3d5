#include "models/encoder_file.h"

#include <array>
#include <charconv>
#include <cmath>
#include <map>
#include <optional>
#include <set>

#include "kernels/parallel.h"
#include "models/enough_values.h"

namespace vergence {

namespace {

/// A separate copy, on the CPU and in f32.
Tensor host_floats(const Tensor& tensor) {
  return tensor.dtype == DType::f32 ? host_copy(tensor) : from_floats(cpu_backend(), tensor.shape, tensor.floats());
}

/// [out, height, width, in], as in the engine -> [out, in, height, width], as in PyTorch. `weight` is from host_floats.
Tensor to_oihw(const Tensor& weight) {
  const Shape& s = weight.shape;
  Tensor turned = empty(cpu_backend(), {s[0], s[3], s[1], s[2]}, DType::f32);
  const auto* from = static_cast<const float*>(weight.data->data());
  auto* to = static_cast<float*>(turned.data->data());
  const std::int64_t area = s[1] * s[2], in = s[3];
  parallel_for(s[0], 16, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t o = begin; o < end; ++o)
      for (std::int64_t cell = 0; cell < area; ++cell)
        for (std::int64_t i = 0; i < in; ++i) to[(o * in + i) * area + cell] = from[(o * area + cell) * in + i];
  });
  return turned;
}

std::vector<float> to_ohwi(const std::vector<float>& values, const Shape& s) {
  std::vector<float> out(values.size());
  const std::int64_t area = s[1] * s[2], in = s[3];
  for (std::int64_t o = 0; o < s[0]; ++o)
    for (std::int64_t i = 0; i < in; ++i)
      for (std::int64_t cell = 0; cell < area; ++cell)
        out[static_cast<std::size_t>((o * area + cell) * in + i)] =
            values[static_cast<std::size_t>((o * in + i) * area + cell)];
  return out;
}

std::vector<std::int64_t> oihw(const Shape& s) { return {s[0], s[3], s[1], s[2]}; }

std::vector<std::int64_t> sizes_of(const Shape& shape) {
  std::vector<std::int64_t> sizes;
  for (int axis = 0; axis < shape.rank(); ++axis) sizes.push_back(shape[axis]);
  return sizes;
}

/// The layers with running statistics, by the name of the parameter that precedes the statistics in the file.
std::map<std::string, const ConvBn*> norms_of(const Encoder& encoder) {
  std::map<std::string, const ConvBn*> norms;
  for (const ConvBn* layer : encoder.layers()) norms[layer->norm_name + ".bias"] = layer;
  return norms;
}

/// Reads tensors of one file and records which were requested.
class Reader final : public EncoderTensors {
 public:
  explicit Reader(const SafetensorsFile& file) : file_(file) {}

  std::optional<std::vector<float>> floats(const std::string& name, const std::vector<std::int64_t>& shape) override {
    const TensorEntry& entry = file_.at(name, "F32", shape);
    used_.insert(name);
    std::vector<float> values(static_cast<std::size_t>(entry.size()));
    std::memcpy(values.data(), entry.data, values.size() * sizeof(float));
    for (float value : values)
      require_usage(std::isfinite(value), file_.path(), ": '", name, "': expected finite values, got ", value);
    return values;
  }

  std::int64_t counter(const std::string& name) override {
    const TensorEntry& entry = file_.at(name, "I64", {});
    used_.insert(name);
    std::int64_t value;
    std::memcpy(&value, entry.data, sizeof value);
    require_usage(value >= 0, file_.path(), ": '", name, "': expected 0 or more, got ", value);
    return value;
  }

  void require_all_used() const {
    for (const TensorEntry& entry : file_.tensors())
      require_usage(used_.contains(entry.name), file_.path(), ": unexpected tensor '", entry.name,
                    "': the network that the metadata describe has none of that name");
  }

 private:
  const SafetensorsFile& file_;
  std::set<std::string> used_;
};

}  // namespace

std::string channels_text(const ChannelValues& values, std::int64_t channels, const char* between) {
  std::string text;
  for (std::size_t c = 0; c < static_cast<std::size_t>(channels); ++c) {
    std::array<char, 32> digits{};
    std::to_chars(digits.data(), digits.data() + digits.size(), values[c]);
    text += c > 0 ? between : "";
    text += digits.data();
  }
  return text;
}

void EncoderEntries::add(const std::string& name, const Tensor& floats) {
  floats_.push_back(floats);
  entries_.push_back({name, "F32", sizes_of(floats.shape), floats.data->data(), floats.data->bytes()});
}

EncoderEntries::EncoderEntries(const Encoder& encoder, const Statistics& statistics) {
  const auto norms = norms_of(encoder);
  Encoder copy = encoder;
  copy.each([&](const std::string& name, Tensor& tensor) {
    const Tensor floats = host_floats(tensor);
    add(name, tensor.shape.rank() == 4 ? to_oihw(floats) : floats);
    if (const auto norm = norms.find(name); norm != norms.end()) add_statistics(*norm->second, statistics);
  });
}

void EncoderEntries::add_statistics(const ConvBn& layer, const Statistics& statistics) {
  const Shape channels{layer.gamma.size()};
  const std::string& norm = layer.norm_name;
  const auto found = statistics.layers.find(norm);
  const bool known = found != statistics.layers.end();
  add(norm + ".running_mean", known ? host_floats(found->second.mean) : zeros(cpu_backend(), channels, DType::f32));
  add(norm + ".running_var",
      known ? host_floats(found->second.variance) : full(cpu_backend(), channels, 1, DType::f32));
  counters_.push_back({known ? found->second.batches : 0});
  entries_.push_back({norm + ".num_batches_tracked", "I64", {}, counters_.back().data(), 8});
}

EncoderSnapshot::EncoderSnapshot(const Encoder& encoder, const Statistics& statistics, const Metadata& more)
    : entries_(encoder, statistics), metadata_(more) {
  metadata_.emplace("format", "pt");
  metadata_.merge(encoder.settings().metadata());
}

Metadata normalization_of(const ChannelValues& mean, const ChannelValues& std, std::int64_t channels) {
  return {{"mean", "[" + channels_text(mean, channels, ", ") + "]"},
          {"std", "[" + channels_text(std, channels, ", ") + "]"}};
}

void save_encoder(const std::string& path, const Encoder& encoder, const Statistics& statistics, const Metadata& more) {
  EncoderSnapshot(encoder, statistics, more).write(path);
}

TrainedEncoder load_encoder(const std::string& path, Backend& backend) {
  const SafetensorsFile file(path);
  Reader reader(file);
  const EncoderSettings settings = EncoderSettings::from_metadata(file.metadata(), path);
  std::int64_t values = 0;
  for (const TensorEntry& entry : file.tensors()) values += entry.size();
  require_enough_values(settings, values, path);
  TrainedEncoder trained = encoder_from(reader, settings, {.backend = backend});
  trained.metadata = file.metadata();
  reader.require_all_used();
  return trained;
}

TrainedEncoder encoder_from(EncoderTensors& tensors, const EncoderSettings& settings, const Init& init) {
  TrainedEncoder trained{make_encoder(settings, init), {}, {}};
  const auto norms = norms_of(trained.encoder);
  const auto on_device = [&](const Shape& shape, const std::vector<float>& values) {
    const Tensor made = from_floats(init.backend, shape, values);
    return init.dtype == DType::f32 ? made : cast(made, init.dtype);
  };
  trained.encoder.each([&](const std::string& name, Tensor& tensor) {
    const bool is_conv = tensor.shape.rank() == 4;
    const auto values = tensors.floats(name, is_conv ? oihw(tensor.shape) : sizes_of(tensor.shape));
    if (values) assign(tensor, on_device(tensor.shape, is_conv ? to_ohwi(*values, tensor.shape) : *values));
    const auto norm = norms.find(name);
    if (norm == norms.end()) return;
    const std::string& layer = norm->second->norm_name;
    const Shape channels{tensor.size()};
    const auto mean = tensors.floats(layer + ".running_mean", sizes_of(channels));
    const auto variance = tensors.floats(layer + ".running_var", sizes_of(channels));
    trained.statistics.layers[layer] = {
        mean ? on_device(channels, *mean) : zeros(init.backend, channels, init.dtype),
        variance ? on_device(channels, *variance) : full(init.backend, channels, 1, init.dtype),
        tensors.counter(layer + ".num_batches_tracked")};
  });
  return trained;
}

}  // namespace vergence
